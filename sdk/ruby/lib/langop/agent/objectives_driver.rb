# frozen_string_literal: true

module Langop
  module Agent
    # Drives the loop of a model with tools: asks, calls, and ends by the model, a bound, a signal or the
    # deadline.
    class ObjectivesDriver
      # How long a tool that does not answer is left alone, in seconds.
      AGAIN = 30.0
      # Longest time to look whether a tool that did not answer does so now; a tenth of it is waited for a
      # connection.
      LOOK = 20.0
      # Bytes of a token, roughly, and the share of the context that a conversation may take.
      TOKEN_BYTES = 4
      CONTEXT_SHARE = 0.7

      # @return [Engine::ChatLoop]
      attr_reader :chat

      # @param run [Run]
      # @param messages [Array<Hash>, nil] nil: as a run begins, or goes on
      def initialize(run, messages = nil)
        @run = run
        # Tools that do not answer, with when to look again; and those that want a person, left out for good.
        @away = {}
        @left_out = []
        saved = run.request.resumed || {}
        bytes = (run.environment.context_tokens * TOKEN_BYTES * CONTEXT_SHARE).to_i
        messages ||= Array(saved["messages"]).empty? ? beginning : saved["messages"]
        @chat = Engine::ChatLoop.new(messages, functions, limit: run.max_iterations, bytes: bytes)
        @chat.resume(saved["iterations"].to_i)
      end

      # @return [Run::Ended]
      def drive
        ended = converse
        case ended.kind
        when :achieved then Run::Ended.new(message: ended.value, iterations: @chat.iterations)
        when :nothing_to_do
          Run::Ended.new(message: "nothing to do: #{ended.value}", iterations: @chat.iterations, nothing_to_do: true)
        else Run::Ended.new(failure: ended.value, iterations: @chat.iterations)
        end
      end

      # Goes on until the loop ends.
      # @return [Engine::ChatLoop::End]
      def converse
        @works = Works.new
        loop do
          halt_on_signal
          refresh if @chat.between_turns?
          @chat.start_next.each { |start| start_one(start) }
          ended = @chat.end
          return ended if ended

          wait
        end
      ensure
        @works.close
      end

      private

      def beginning
        messages = @run.prompt.begin(@run.now_in_words, workspace: @run.environment.workspace, previous: @run.request.previous)
        messages.last["content"] = @run.request.message if @run.request.message
        messages
      end

      def halt_on_signal
        return if @grace || !@run.stopping.set?

        @grace = Deadline.now + Run::GRACE
        @chat.halt(@run.stopped)
      end

      def wait
        seconds = [@run.deadline.remaining, @grace && [@grace - Deadline.now, 0].max].compact.min
        @works.wait(@grace ? nil : @run.stopping, seconds) { |happened| record(*happened) }
        @chat.halt(@run.time_limit) if @run.deadline.over?
        return unless @run.deadline.over? || (@grace && @grace <= Deadline.now)

        @works.clear
        @chat.abandon
      end

      def start_one(start)
        return @works.start { call(start) } unless start == :ask

        chat = Client::Models::Chat.new(messages: @chat.messages.map(&:dup), functions: @chat.functions.describe)
        @works.start do
          [:answered, @run.ask(chat, "turn")]
        rescue Failure => e
          [:unanswered, e]
        end
      end

      # What the model sees of a call, and why it failed if it did.
      def call(planned)
        result, text = @run.call(planned.id, current(planned.operation), planned.arguments)
        [:called, planned.id, result.error? ? "error: #{text}" : text, nil]
      rescue Failure => e
        [:called, planned.id, "error: #{e.message}", e]
      end

      # What was listed a moment ago and is gone now is told by the server.
      def current(operation)
        @run.client.tool_client.operation(operation.server, operation.name, deadline: @run.deadline)
      rescue Failure
        Client::Operation.named(operation.server, operation.name, read_only: operation.read_only)
      end

      def record(kind, value, text = nil, failure = nil)
        case kind
        when :answered
          @run.log.info("the model answered", run: @run.id, iteration: @chat.iterations + 1, calls: value.calls.size,
                                              input_tokens: value.tokens.input, output_tokens: value.tokens.output)
          @chat.answered(value)
        when :unanswered then unanswered(value)
        when :called
          note(value, failure) if failure
          @chat.called(value, text)
        end
        @run.remember do |saved|
          # Where the outcome is not known the model was told so: it is its business now.
          saved["intents"]&.delete(value) if kind == :called
          saved["messages"] = @chat.messages
          @run.progress(saved, @chat.iterations)
        end
      end

      def unanswered(failure)
        if failure.is_a?(Client::Models::TooLong) && @chat.shorten
          @run.log.warn("the conversation is too long; old results are left out", run: @run.id)
        else
          @chat.abandon
          @chat.halt(failure)
        end
      end

      # What a failed call says of its tool.
      def note(id, failure)
        tool = @chat.tool_of(id) or return
        @left_out << tool if failure.reason == "needs-person"
        @away[tool] = Deadline.now + AGAIN if failure.reason == "tool-unavailable"
      end

      # Functions of all tools that answer.
      def functions
        offered = @run.client.tool_client.names.flat_map do |tool|
          next [] if @left_out.include?(tool) || @away.fetch(tool, 0) > Deadline.now

          operations(tool)
        end
        Engine::Functions.new(offered)
      end

      def operations(tool)
        deadline = @away.key?(tool) ? @run.deadline.within(LOOK) : @run.deadline
        list = @run.client.tool_client.list(tool, deadline: deadline)
        @away.delete(tool)
        list
      rescue Failure => e
        @run.log.warn("its functions are left out: #{e.message}", run: @run.id, tool: tool)
        @away[tool] = Deadline.now + AGAIN
        []
      end

      # Offers what is there now, and says what went and what came.
      def refresh
        before = @chat.functions.tools
        @chat.offer(functions)
        now = @chat.functions.tools
        known = @chat.iterations.zero? ? @run.client.tool_client.names : before
        gone = known - now
        came = now - before
        if gone.any?
          @chat.say("[These tools do not answer at the moment, and their functions are left out: #{gone.sort.join(", ")}]")
        end
        @chat.say("[These tools answer again: #{came.sort.join(", ")}]") if came.any?
      end
    end
  end
end
