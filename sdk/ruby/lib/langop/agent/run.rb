# frozen_string_literal: true

require "digest"
require "fileutils"
require "securerandom"

module Langop
  module Agent
    # What a run is asked for.
    #
    # @!attribute deadline [Deadline]
    # @!attribute stopping [Stopping] set when nothing new may start
    # @!attribute path [Array<String>] the agents through which it was asked for
    # @!attribute previous [String, nil] what the previous run ended with
    # @!attribute message [String, nil] what somebody asks, instead of beginning with the objectives alone
    # @!attribute resumed [Hash, nil] a run to go on with
    # @!attribute remembered [Boolean] whether it is the run that the checkpoint is of
    Request = Struct.new(:deadline, :stopping, :traceparent, :path, :previous, :message, :resumed, :remembered,
                         keyword_init: true)

    # One run: its identity, what its drivers share, and the report that it ends with.
    class Run
      # How long calls in flight may take after a signal, in seconds.
      GRACE = 20.0

      # How a run ended, before it is reported.
      Ended = Struct.new(:message, :failure, :step, :iterations, :skipped, :nothing_to_do, keyword_init: true)

      attr_reader :id, :client, :code, :request, :usage, :prompt, :max_iterations

      # @param client [Client::Base]
      # @param code [Code]
      # @param request [Request]
      # @param checkpoint [Checkpoint, nil]
      def initialize(client, code, request, checkpoint: nil, max_iterations: client.environment.max_iterations)
        saved = request.resumed || {}
        @client = client
        @code = code
        @request = request
        @checkpoint = checkpoint if request.remembered
        @max_iterations = max_iterations
        @id = saved["run"] || SecureRandom.hex(16)
        @prompt = Engine::Prompt.new(code.definition, environment.persona, SecureRandom.hex(6))
        @usage = Client::Models::Usage.new(Client::Tokens.from(saved["tokens"]))
        @tool_calls = saved["toolCalls"].to_i
        @path = request.path + [environment.path_name]
        @mutex = Mutex.new
      end

      def environment = client.environment
      def log = client.log
      def deadline = request.deadline
      def stopping = request.stopping

      # @return [Report]
      def carry_out
        began = Deadline.now
        report = in_span do |span|
          log.info("the run begins", run: id, resumed: !request.resumed.nil?)
          report = finish(ended, Deadline.now - began, span.traceparent || request.traceparent)
          span.set("langop.outcome" => report.outcome, "langop.tokens.input" => report.tokens.input,
                   "langop.tokens.output" => report.tokens.output)
          span.fail(report.reason) if report.failure
          report
        end
        client.traces.flush
        report
      end

      # Date, time and zone of the agent, for models.
      def now_in_words = Time.now.strftime("%A, %Y-%m-%d %H:%M %Z (%:z)")

      # Asks a model for something of this run.
      # @return [Client::Completion]
      def ask(chat, purpose, name: nil)
        client.model_client.ask(chat, name: name, usage: usage, deadline: deadline, purpose: purpose)
      end

      # Calls an operation: the intent on disk before the effect, the call, the result in a bounded form.
      # @param which [String] the step or call: the same when the call is made again by another process
      # @return [Client::ToolResult, String] the result, and its text in at most 64 KiB
      def call(which, operation, arguments)
        key = Digest::SHA256.hexdigest("#{id}\n#{which}")
        unless operation.harmless
          intent = { "key" => key, "tool" => operation.server, "operation" => operation.name }
          remember { |saved| (saved["intents"] ||= {})[which] = intent }
        end
        calls = @mutex.synchronize { @tool_calls += 1 }
        result = client.tool_client.call(operation, arguments, deadline: deadline, meta: meta(key))
        log.info("the tool answered", run: id, tool: operation.server, operation: operation.name, calls: calls,
                                      bytes: result.text.bytesize, is_error: result.error?)
        [result, bounded(which, result.text)]
      end

      # Changes what survives the process.
      def remember(&change) = @checkpoint&.update(&change)

      # What every driver remembers of its own progress.
      def progress(saved, iterations)
        saved["iterations"] = iterations
        saved["tokens"] = usage.tokens.to_json_hash
        saved["toolCalls"] = @mutex.synchronize { @tool_calls }
      end

      def time_limit = Failure.new("time-limit", "the time of the run is over: raise the timeout or do less in a run")
      def stopped = Failure.new("stopped", "a signal ended the run")

      private

      def in_span(&block)
        cause = Traces.parse(environment.synthesis_traceparent)
        client.traces.span("invoke_agent #{environment.name}", parent: Traces.parse(request.traceparent), links: [cause].compact,
                           "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": environment.name,
                           "langop.run": id, "langop.code_hash": code.hash, &block)
      end

      def ended
        attempt
      rescue Failure => e
        Ended.new(failure: e)
      end

      def attempt
        code.check_offered(environment)
        which, intent = request.resumed&.fetch("intents", nil)&.first
        return unknown_outcome(which, intent) if which

        begin_checkpoint
        driver = code.definition.steps.empty? ? ObjectivesDriver : WorkflowDriver
        driver.new(self).drive
      end

      def unknown_outcome(which, intent)
        failure = Failure.new("outcome-unknown", "the process ended while '#{intent["operation"]}' of the tool " \
                                                 "'#{intent["tool"]}' was being called: it may or may not have " \
                                                 "happened, and is not done twice")
        Ended.new(failure: failure, step: which, iterations: request.resumed["iterations"].to_i)
      end

      def begin_checkpoint
        @checkpoint&.begin(request.resumed || {
          "run" => id, "codeHash" => code.hash, "started" => Time.now.utc.iso8601(6),
          "deadline" => deadline.time&.utc&.iso8601(6), "iterations" => 0, "toolCalls" => 0,
          "tokens" => Client::Tokens.none.to_json_hash, "steps" => [], "messages" => [], "intents" => {}, "ended" => nil
        })
      end

      def finish(ended, seconds, traceparent)
        of = { run: id, code_hash: code.hash, step: ended.step, iterations: ended.iterations.to_i,
               tool_calls: @mutex.synchronize { @tool_calls }, tokens: usage.tokens, seconds: seconds,
               skipped: ended.skipped || [], resumed: !request.resumed.nil?, traceparent: traceparent,
               nothing_to_do: ended.nothing_to_do || false }
        report = ended.failure ? Report.of_failure(ended.failure, **of) : Report.new("succeeded", ended.message, **of)
        client.metrics.run(report.outcome, report.reason, seconds)
        # A run that a signal ended goes on in the next process.
        remember { |saved| saved["ended"] = report.line } unless report.outcome == "stopped"
        log.info("the run ended: #{report.line}", **report.fields)
        report
      end

      def meta(key)
        { "io.langop/run" => id, "io.langop/idempotency-key" => key, "io.langop/path" => @path,
          "traceparent" => request.traceparent }.compact
      end

      # A long text goes to a file in full if there is a workspace.
      def bounded(which, text)
        limit = Engine::StepResult::MAX_TEXT_BYTES
        return text if text.bytesize <= limit

        path = keep_in_full(which, text)
        note = path ? "\n[in full in #{path}]" : ""
        Quote.cut(text, limit - note.bytesize) + note
      end

      def keep_in_full(which, text)
        return unless environment.workspace

        folder = File.join(environment.workspace, "results")
        FileUtils.mkdir_p(folder)
        path = File.join(folder, "#{Digest::SHA256.hexdigest("#{id}\n#{which}")[0, 16]}.txt")
        File.write(path, text)
        path
      rescue SystemCallError => e
        log.warn("a long result could not be kept in full", run: id, error: e.message)
        nil
      end
    end
  end
end
