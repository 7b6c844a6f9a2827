# frozen_string_literal: true

module Langop
  module Agent
    # The agent as a tool of others, where a setting says so: one operation, `ask`, which is a run.
    # Bounded in number, and refused where it would come back to itself.
    class Asked
      # Most runs that were asked for, at once.
      MAX_RUNS = 4
      # Most agents on the way to this one.
      MAX_PATH = 5
      # Largest request, in bytes.
      MAX_BODY = 1024 * 1024
      SCHEMA = {
        "type" => "object", "required" => ["message"], "additionalProperties" => false,
        "properties" => { "message" => { "type" => "string", "description" => "What the agent should do or answer." },
                          "context_id" => { "type" => "string" } }
      }.freeze

      # @param executor [Executor]
      def initialize(executor, stopping)
        @executor = executor
        @environment = executor.client.environment
        @stopping = stopping
        @mutex = Mutex.new
        @runs = 0
      end

      def name = @environment.name

      def operations
        definition = @executor.code.definition
        [{ "name" => "ask", "description" => definition.description || "Asks the agent '#{definition.name}'.",
           "inputSchema" => SCHEMA, "annotations" => { "readOnlyHint" => false, "idempotentHint" => false } }]
      end

      def call(operation, arguments, meta)
        return unless operation == "ask"

        message = arguments["message"]
        return refused("'message' must be a text that is not empty") unless message.is_a?(String) && !message.strip.empty?

        path = Array(meta["io.langop/path"]).grep(String)
        return refused("refused: this agent is already on the way to itself") if path.include?(@environment.path_name)
        return refused("refused: more than #{MAX_PATH} agents call each other") if path.size >= MAX_PATH

        with_place { result(@executor.run(request(message, path, meta["traceparent"]))) } ||
          refused("busy: at most #{MAX_RUNS} runs at once; ask again later")
      end

      private

      def request(message, path, traceparent)
        request = @executor.new_request(stopping: @stopping, message: message)
        request.path = path
        request.remembered = false
        request.traceparent = traceparent if traceparent.is_a?(String)
        request
      end

      def with_place
        return unless @mutex.synchronize { @runs < MAX_RUNS && @runs += 1 }

        begin
          yield
        ensure
          @mutex.synchronize { @runs -= 1 }
        end
      end

      def result(report)
        summary = report.succeeded? ? report.message : report.line
        { "content" => [{ "type" => "text", "text" => summary }], "isError" => !report.succeeded?,
          "structuredContent" => { "outcome" => report.outcome, "summary" => summary, "tokens" => report.tokens.to_json_hash } }
      end

      def refused(words) = { "content" => [{ "type" => "text", "text" => words }], "isError" => true }
    end
  end
end
