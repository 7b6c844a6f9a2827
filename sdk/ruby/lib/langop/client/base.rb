# frozen_string_literal: true

module Langop
  module Client
    # Tools and models as the environment of a pod names them. A subclass that calls `super` in
    # `initialize` is configured from the environment:
    #
    #     class Helper < Langop::Client::Base
    #       def initialize
    #         super
    #         @greeting = "Hello"
    #       end
    #     end
    class Base
      # @return [Environment] what the environment says
      attr_reader :environment
      # @return [Log]
      attr_reader :log
      # @return [Metrics]
      attr_reader :metrics
      # @return [Traces]
      attr_reader :traces

      # @param env [#[]] where variables are looked up
      # @param log [Log, nil] nil: nothing is logged
      # @raise [Failure] of reason `configuration`, which names the variable that is wrong
      def initialize(env: ENV, log: nil)
        @environment = Environment.new(env)
        @log = log || Log.none
        @metrics = Metrics.new
        @traces = Traces.new(env, log: @log)
      end

      # @return [Array<Operation>] all operations of all tools
      # @raise [Failure] if a tool does not answer
      def tools = tool_client.names.flat_map { |name| tool_client.list(name) }

      # Calls an operation of a tool.
      #
      # @param server [String] the tool's name in MCP_SERVERS
      # @param name [String] the operation
      # @param args [Hash] its arguments
      # @return [ToolResult]
      # @raise [Failure] if there is no answer; what a tool says it failed with is an answer
      def call_tool(server, name, args = {})
        arguments = JSON.parse(JSON.generate(args))
        tool_client.call(tool_client.operation(server, name), arguments)
      end

      # Asks a model.
      #
      # @param text [String] the question
      # @param model [String, nil] its name in MODEL_ENDPOINTS; nil for the first
      # @return [String] the answer
      # @raise [Failure] if there is none
      def ask(text, model: nil)
        chat = Models::Chat.new(messages: [{ "role" => "user", "content" => text }])
        completion = model_client.ask(chat, name: model)
        problem = completion.problem(needs_text: true)
        raise Failure.new("model-refused", problem) if problem

        completion.text.strip
      end

      # @return [Tools] by which runs call tools
      def tool_client = @tool_client ||= Tools.new(environment.tools, log: log, metrics: metrics, traces: traces)

      # @return [Models] by which runs ask models
      def model_client
        @model_client ||= Models.new(environment.models, max_tokens: environment.max_tokens, log: log, metrics: metrics,
                                                          traces: traces)
      end
    end
  end
end
