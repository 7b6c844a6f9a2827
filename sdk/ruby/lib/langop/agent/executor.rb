# frozen_string_literal: true

module Langop
  module Agent
    # Runs an agent: its workflow if a definition lies beside AGENT_CODE_PATH, else the loop of a model
    # that pursues the instructions with all tools there are.
    #
    #     client = Langop::Client::Base.new
    #     report = Langop::Agent::Executor.new(client: client, instructions: "Summarise new files").run
    #     exit report.exit_code
    class Executor
      # @return [Client::Base]
      attr_reader :client
      # @return [Code]
      attr_reader :code
      # @return [Checkpoint]
      attr_reader :checkpoint

      # @param client [Client::Base]
      # @param instructions [String, nil] what to do where there is no code; nil: INSTRUCTIONS of the environment
      # @param max_iterations [Integer] most answers of models in one run
      # @param definition [Definition, nil] what to do, from {Dsl}, in place of that of the environment
      # @raise [Failure] if there is nothing to do, or it cannot be read
      def initialize(client:, instructions: nil, max_iterations: 10, definition: nil)
        @client = client
        @max_iterations = max_iterations
        @code = load(definition, instructions || client.environment.instructions)
        environment = client.environment
        @checkpoint = Checkpoint.new(environment.workspace, environment.name, @code.hash, log: client.log,
                                                                                        metrics: client.metrics)
      end

      # Runs it once.
      # @param request [Request, nil] nil: a run from the beginning
      # @return [Report]
      def run(request = nil)
        Run.new(client, code, request || new_request, checkpoint: checkpoint, max_iterations: @max_iterations).carry_out
      end

      # A run from the beginning, for nobody in particular.
      # @return [Request]
      def new_request(stopping: Stopping.new, began: Deadline.now, **others)
        environment = client.environment
        Request.new(deadline: Deadline.of_run(began, environment.timeout), stopping: stopping, path: [],
                    traceparent: environment.traceparent, remembered: true, **others)
      end

      # Talks with a person: a line in, an answer out, until an empty line or the end of the input.
      # @raise [Failure] if there is no model to talk to
      def chat(input: $stdin, output: $stdout, stopping: Stopping.new)
        Conversation.new(self, @max_iterations, stopping).talk(input, output)
      end

      private

      def load(definition, instructions)
        return Code.load(client.environment, instructions) unless definition

        Code.new(definition, Digest::SHA256.hexdigest(JSON.generate(definition.to_h)))
      end
    end

    # A person at a terminal speaks to the loop.
    class Conversation
      def initialize(executor, max_iterations, stopping)
        @stopping = stopping
        request = executor.new_request(stopping: stopping)
        request.deadline = Deadline.never
        request.remembered = false
        @run = Run.new(executor.client, executor.code, request, max_iterations: max_iterations)
      end

      def talk(input, output)
        @run.code.check_offered(@run.environment)
        raise Failure.new("not-offered", "there is no model to talk to: set MODEL_ENDPOINTS") if @run.environment.models.empty?

        messages = @run.prompt.begin(@run.now_in_words, workspace: @run.environment.workspace)
        driver = ObjectivesDriver.new(@run, messages.first(1))
        while (line = next_line(input, output))
          driver.chat.say(line)
          # Each line has its own bound.
          driver.chat.resume(0)
          ended = driver.converse
          return if @stopping.set?

          output.puts(answer(ended))
        end
      end

      private

      def next_line(input, output)
        output.print("> ")
        output.flush
        ready, = IO.select([input, @stopping.reader])
        line = input.gets if ready.include?(input)
        line = Quote.utf8(line) unless line.nil?
        line.chomp unless line.nil? || line.strip.empty?
      end

      def answer(ended)
        ended.kind == :failed ? "[#{ended.value.reason}: #{ended.value.message}]" : ended.value
      end
    end
  end
end
