# frozen_string_literal: true

module Langop
  module Agent
    module Engine
      # The loop of a model that pursues objectives with tools, as a state machine: {#start_next} says
      # what to start, {#answered} and {#called} take what came of it. Every call of a model gets exactly
      # one answer, whatever is wrong with it; the loop itself does nothing.
      class ChatLoop
        # Most calls of one message that are carried out, and most at once, all of which only read.
        MAX_CALLS = 16
        MAX_PARALLEL = 4
        # Most bytes of a result that a model sees.
        MAX_RESULT_BYTES = 16 * 1024
        # So often the same call with the same result is remarked upon, and ends the run.
        REMARK = 3
        NO_PROGRESS = 5
        # In place of a result that is no longer shown.
        REMOVED = "[removed: the result is old and the conversation is long]"

        # A call that a model wants and may have.
        Planned = Struct.new(:id, :operation, :arguments, keyword_init: true)
        # How the loop ended: `kind` is :achieved, :nothing_to_do or :failed.
        End = Struct.new(:kind, :value)
        Call = Struct.new(:id, :state, :planned, keyword_init: true)
        private_constant :Call

        attr_reader :messages, :iterations, :functions

        # @param messages [Array<Hash>] to begin with, or those of an earlier process to go on with
        # @param functions [Functions]
        # @param limit [Integer] most answers of the model
        # @param bytes [Integer] most bytes of the conversation; what is above loses its oldest results
        def initialize(messages, functions, limit:, bytes:)
          @messages = messages
          @functions = functions
          @limit = limit
          @bytes = bytes
          @iterations = 0
          @is_asking = false
          @calls = []
          @seen = {}
          @ended = nil
          pick_up
        end

        # So many answers were used before.
        def resume(iterations) = @iterations = iterations

        # Whether the model is to be asked next: then functions may change and something may be said.
        def between_turns? = @ended.nil? && !@is_asking && @calls.empty?

        # Offers other functions from the next turn on.
        def offer(functions) = @functions = functions

        # The tool of a call that is under way.
        def tool_of(id) = @calls.find { |call| call.id == id && call.state == :active }&.planned&.operation&.server

        # Tells the model something, and goes on if the loop had ended. Only between turns.
        def say(text)
          @ended = nil
          @messages << { "role" => "user", "content" => text }
        end

        # What to start now: `:ask`, or calls.
        # @return [Array<Symbol, Planned>]
        def start_next
          return [] if @ended || @is_asking
          return start_calls unless @calls.empty?

          if @iterations >= @limit
            halt(Failure.new("iteration-limit", "#{@iterations} answers of models were used, as many as allowed: " \
                                                "raise max_iterations"))
            return []
          end
          forget(@bytes)
          @is_asking = true
          [:ask]
        end

        # Takes the model's answer.
        # @param completion [Client::Completion]
        def answered(completion)
          @is_asking = false
          @iterations += 1
          problem = completion.problem
          return halt(Failure.new("model-refused", problem)) if problem

          calls = with_good_ids(completion.calls)
          @messages << message_of(completion, calls)
          return @ended ||= End.new(:achieved, completion.text.strip) if calls.empty?

          plan(calls)
        end

        # The messages are longer than the model can read: asks once more with fewer results. False if
        # there are none to leave out.
        def shorten
          @is_asking = false
          forget(@messages.sum { |message| size(message) } / 2)
        end

        # Takes what came of a call, as the text that the model sees. Progress is judged by it.
        def called(id, text)
          call = @calls.find { |known| known.id == id && known.state == :active } or return
          call.state = :answered
          text = Quote.cut(text, MAX_RESULT_BYTES)
          count = repeats(call.planned, text)
          if count >= NO_PROGRESS
            halt(Failure.new("no-progress", "the same call of '#{call.planned.operation.name}' gave the same result #{count} times"))
          elsif count >= REMARK
            text += "\n[This call gave the same result before. Do something else, or finish.]"
          end
          tell(id, text)
          close_turn
        end

        # Ends the loop for a reason of no call: nothing new starts. The first reason counts.
        def halt(failure) = @ended ||= End.new(:failed, failure)

        # What is under way will never be recorded.
        def abandon
          @is_asking = false
          @calls = []
        end

        # @return [End, nil] how it ended, once nothing is under way any more
        def end = @is_asking || @calls.any? { |call| call.state == :active } ? nil : @ended

        private

        # Calls that only read run together; any other waits for those before it and holds up those
        # after it.
        def start_calls
          starts = []
          active = []
          @calls.each do |call|
            case call.state
            when :active then active << call
            when :waiting
              writes = active.any? { |other| !other.planned.operation.read_only }
              may = call.planned.operation.read_only ? !writes && active.size < MAX_PARALLEL : active.empty?
              break unless may

              call.state = :active
              active << call
              starts << call.planned
            end
          end
          starts
        end

        # How often in a row this call gave this result.
        def repeats(planned, text)
          key = [planned.operation.server, planned.operation.name, planned.arguments]
          last, count = @seen[key]
          count = last == text ? count + 1 : 1
          @seen[key] = [text, count]
          count
        end

        def message_of(completion, calls)
          message = { "role" => "assistant", "content" => completion.text.empty? ? nil : completion.text }
          return message if calls.empty?

          message.merge("tool_calls" => calls.map do |call|
            { "id" => call[:id], "type" => "function",
              "function" => { "name" => call[:name], "arguments" => call[:arguments] } }
          end)
        end

        # Ids that are missing or were there before are replaced.
        def with_good_ids(calls)
          known = @messages.filter_map { |message| message["tool_call_id"] }
          calls.each_with_index.map do |call, number|
            id = call[:id]
            id = "call_#{@iterations}_#{number}" if id.empty? || known.include?(id)
            known << id
            call.merge(id: id)
          end
        end

        # Decides for each call whether it is carried out, and answers those that are not.
        def plan(calls)
          finishing, ended = calls.filter_map { |call| (ended = finish(call)) && [call, ended] }.first
          if finishing
            calls.each { |call| tell(call[:id], call.equal?(finishing) ? "finished" : "not run: the run is finished") }
            return @ended ||= ended
          end
          @calls = calls.each_with_index.map do |call, number|
            planned = planned(number, call)
            next Call.new(id: call[:id], state: :waiting, planned: planned) if planned.is_a?(Planned)

            tell(call[:id], planned)
            Call.new(id: call[:id], state: :answered)
          end
          close_turn
        end

        # How a call ends the run, if it does.
        def finish(call)
          return unless call[:name] == Functions::FINISH

          said = parse(call[:arguments])
          return unless said.is_a?(Hash)

          summary = said["summary"].to_s
          case said["outcome"]
          when "achieved" then End.new(:achieved, summary)
          when "nothing_to_do" then End.new(:nothing_to_do, summary)
          when "impossible" then End.new(:failed, Failure.new("impossible", summary))
          end
        end

        # What is to be called, or what is wrong with the call, in words for the model.
        def planned(number, call)
          return "refused: at most #{MAX_CALLS} calls in one message; call it again in the next" if number >= MAX_CALLS
          return "finish needs an outcome (achieved, nothing_to_do or impossible) and a summary" if call[:name] == Functions::FINISH

          operation = @functions[call[:name]]
          return "there is no function '#{Quote.cut(call[:name], 100)}'" unless operation

          text = call[:arguments].strip
          arguments = text.empty? ? {} : parse(text)
          return "the arguments are no JSON: write a JSON object" if arguments == :unreadable
          return "the arguments must be a JSON object" unless arguments.is_a?(Hash)

          Planned.new(id: call[:id], operation: operation, arguments: arguments)
        end

        def parse(text)
          JSON.parse(text)
        rescue JSON::ParserError
          :unreadable
        end

        def tell(id, text)
          @messages << { "role" => "tool", "tool_call_id" => id, "content" => text }
        end

        # Once every call is answered: the answers in the order of the calls, so that equal turns are equal.
        def close_turn
          return unless @calls.all? { |call| call.state == :answered }

          order = @calls.map(&:id)
          @calls = []
          answers = @messages.pop(order.size)
          @messages.concat(answers.sort_by { |message| order.index(message["tool_call_id"]) || -1 })
        end

        # The calls of an earlier process's last message that have no answer yet.
        def pick_up
          last = @messages.rindex { |message| message["role"] == "assistant" && Array(message["tool_calls"]).any? } or return
          answered = @messages.slice!((last + 1)..)
          wanted = @messages[last]["tool_calls"]
          return @messages.concat(answered) if answered.size >= wanted.size

          plan(wanted.map { |call| { id: call["id"], name: call["function"]["name"], arguments: call["function"]["arguments"] } })
          answered.each do |message|
            call = @calls.find { |known| known.id == message["tool_call_id"] && known.state == :waiting } or next
            call.state = :answered
            @messages << message
          end
        end

        # Leaves out the oldest results until the conversation is no longer than `bytes`. Whether any was
        # left out.
        def forget(bytes)
          size = @messages.sum { |message| size(message) }
          has_forgotten = false
          @messages.each do |message|
            break if size <= bytes

            content = message["content"]
            next unless message["role"] == "tool" && content.bytesize > REMOVED.bytesize

            size -= content.bytesize - REMOVED.bytesize
            message["content"] = REMOVED
            has_forgotten = true
          end
          has_forgotten
        end

        # About how many bytes a message adds to a request.
        def size(message)
          calls = Array(message["tool_calls"]).sum do |call|
            call["function"]["name"].bytesize + call["function"]["arguments"].bytesize + 40
          end
          message["content"].to_s.bytesize + calls
        end
      end
    end
  end
end
