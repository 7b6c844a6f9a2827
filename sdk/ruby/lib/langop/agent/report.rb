# frozen_string_literal: true

require "json"

module Langop
  module Agent
    # How a run ended, and the termination message that says so: line 1 in words for people, line 2 JSON
    # for the operator. Written once, at the end: a message written half-way would hide `OOMKilled`,
    # because the kubelet shows a message before a reason.
    class Report
      # Most bytes of the whole message; the kubelet keeps 4,096.
      MAX_BYTES = 4000
      # Most bytes of line 1; the operator shows 256.
      MAX_LINE_BYTES = 200
      # Most names of skipped steps.
      MAX_SKIPPED = 20

      # @return [String] `succeeded`, `failed`, `stopped` or `skipped`
      attr_reader :outcome
      # @return [Failure, nil] why it failed
      attr_reader :failure
      # @return [String] what happened, in words: a summary, or what is wrong
      attr_reader :message
      # @return [Client::Tokens] what models used
      attr_reader :tokens

      # @param of [Hash] what else is told: run, code_hash, step, iterations, tool_calls, tokens, seconds,
      #   skipped, resumed, traceparent and nothing_to_do
      def initialize(outcome, message, failure: nil, **of)
        @outcome = outcome
        @message = message
        @failure = failure
        @of = of
        @tokens = of.fetch(:tokens) { Client::Tokens.none }
      end

      # Of a process that a signal ended while nothing ran.
      def self.stopped_between_runs = new("succeeded", "a signal ended it between runs")

      # Of a process in which no run began, or of a run that failed.
      def self.of_failure(failure, **of) = new(failure.outcome, failure.message, failure: failure, **of)

      # Of a process that had nothing to do on this day.
      def self.not_due(why) = new("skipped", why)

      # @return [Boolean]
      def succeeded? = outcome == "succeeded"

      # @return [Boolean] whether the next run can wait longer
      def nothing_to_do? = @of.fetch(:nothing_to_do, false)

      # @return [String] the reason of the failure; empty if there is none
      def reason = failure ? failure.reason : ""

      # @return [Integer] with which the process exits
      def exit_code = failure ? failure.exit_code : 0

      # @return [Hash] what is logged of it
      def fields
        { run: @of[:run], outcome: outcome, reason: reason, step: @of[:step], iterations: @of[:iterations],
          tool_calls: @of[:tool_calls], input_tokens: tokens.input, output_tokens: tokens.output,
          duration_ms: milliseconds }
      end

      # @return [String] line 1
      def line
        said = Quote.line(message)
        return said.empty? ? "done" : said if outcome == "succeeded"
        return said unless failure

        where = " in step '#{Quote.line(@of[:step], 40)}'" if @of[:step]
        Quote.line("#{failure.reason}#{where}: #{said}", MAX_LINE_BYTES)
      end

      # @return [String] the whole message
      def to_s
        skipped = Array(@of[:skipped]).first(MAX_SKIPPED).map { |name| Quote.line(name, 60) }
        loop do
          text = "#{line}\n#{JSON.generate(account(skipped))}\n"
          return text if text.bytesize <= MAX_BYTES || skipped.pop.nil?
        end
      end

      # Writes the message over what is in a file. One that is not there is no error: then nobody asks.
      # @return [SystemCallError, nil] why it could not be written
      def write(path)
        File.open(path, File::WRONLY | File::TRUNC) { |file| file.write(to_s) }
        nil
      rescue Errno::ENOENT
        nil
      rescue SystemCallError => e
        e
      end

      private

      def account(skipped)
        account = { v: 1, outcome: outcome, reason: failure&.reason, step: @of[:step] && Quote.line(@of[:step]),
                    run: @of.fetch(:run, ""), codeHash: @of[:code_hash]&.slice(0, 12),
                    iterations: @of.fetch(:iterations, 0), toolCalls: @of.fetch(:tool_calls, 0),
                    tokens: tokens.to_json_hash, durationMs: milliseconds, skipped: skipped,
                    resumed: @of.fetch(:resumed, false), traceparent: @of[:traceparent] }
        account.compact
      end

      def milliseconds = (@of.fetch(:seconds, 0) * 1000).to_i
    end
  end
end
