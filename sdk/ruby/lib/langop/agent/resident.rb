# frozen_string_literal: true

require "time"

module Langop
  module Agent
    # Run after run: once for a Job, else staying. Decides when the next one begins and when the process
    # gives up.
    class Resident
      # Least pause of an autonomous agent, pause after the first failed run, and the longest, in seconds.
      REST = 60
      AFTER_FAILURE = 30
      LONGEST = 900
      # So many failed runs in a row end the process, so that the operator counts them and the kubelet backs off.
      MOST_FAILURES = 3

      # @param executor [Executor]
      # @param began [Float] when the process began
      def initialize(executor, stopping, began)
        @executor = executor
        @environment = executor.client.environment
        @log = executor.client.log
        @stopping = stopping
        @began = began
        @failures = 0
        @idle = 0
      end

      # How long to wait for the next run.
      # @param since_start [Numeric] how long ago the last one began
      # @return [Numeric] seconds
      def self.pause(schedule, failures:, idle:, since_start:)
        doubled = ->(base, times) { [base * (2**[times, 10].min), LONGEST].min }
        case schedule.kind
        # A start that was missed is skipped, never made up for.
        when :every then schedule.seconds - (since_start % schedule.seconds)
        when :continuous then failures.positive? ? doubled.call(AFTER_FAILURE, failures - 1) : doubled.call(REST, idle)
        else 0
        end
      end

      # Runs until the process should end.
      # @return [Report] how the last run ended
      def run
        request = first
        return Report.stopped_between_runs unless wait_for_start(request)

        loop do
          start = Deadline.now
          report = @executor.run(request)
          count(report)
          return report if last?(report)

          pause = Resident.pause(@environment.schedule, failures: @failures, idle: @idle, since_start: Deadline.now - start)
          @log.info("waiting for the next run", seconds: pause.to_i)
          return Report.stopped_between_runs unless @stopping.sleep(pause)

          request = @executor.new_request(stopping: @stopping, previous: report.line)
        end
      end

      private

      def count(report)
        failed = report.outcome == "failed"
        @failures = failed ? @failures + 1 : 0
        @idle = !failed && report.nothing_to_do? ? @idle + 1 : 0
      end

      def last?(report)
        !@environment.schedule.resident? || report.outcome == "stopped" || @failures >= MOST_FAILURES
      end

      # The first run: one that was under way when the last process ended, or a new one.
      def first
        # A Job's own deadline began with the process.
        began = @environment.schedule.resident? ? Deadline.now : @began
        saved = @executor.checkpoint.saved || {}
        request = @executor.new_request(stopping: @stopping, began: began, previous: saved["ended"])
        return request if saved["ended"] || saved["run"].to_s.empty?

        deadline = saved["deadline"] && Time.parse(saved["deadline"])
        if !@environment.schedule.resident? || (deadline && deadline <= Time.now)
          @log.warn("an earlier run did not end; it is abandoned", run: saved["run"])
          return request
        end
        @log.info("going on with the run of an earlier process", run: saved["run"])
        request.deadline = Deadline.at(deadline)
        request.resumed = saved
        request
      end

      # Waits before the first run, so that a new process does not run early. False if a signal came.
      def wait_for_start(request)
        saved = @executor.checkpoint.saved || {}
        return true unless @environment.schedule.kind == :every && saved["ended"] && saved["started"]

        early = @environment.schedule.seconds - (Time.now - Time.parse(saved["started"]))
        return true unless early.positive?

        @log.info("the last run began not long ago", seconds: early.to_i)
        return false unless @stopping.sleep(early)

        request.deadline = Deadline.of_run(Deadline.now, @environment.timeout)
        true
      end
    end
  end
end
