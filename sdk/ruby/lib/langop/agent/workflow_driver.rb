# frozen_string_literal: true

module Langop
  module Agent
    # Drives a workflow: starts what the engine says, hands back what came of it, and ends by signal or
    # deadline.
    class WorkflowDriver
      Event = Engine::Workflow::Event

      # @param run [Run]
      def initialize(run)
        @run = run
        @workflow = Engine::Workflow.new(run.code.definition.steps, parallel: run.environment.parallel,
                                                                    limit: run.max_iterations)
        saved = run.request.resumed
        @workflow.resume(saved["steps"] || [], saved["iterations"].to_i) if saved
        @works = Works.new
      end

      # @return [Run::Ended]
      def drive
        loop do
          halt_on_signal
          @workflow.start_next.each { |start| start_one(start) }
          ended = @workflow.end
          return ended(*ended) if ended

          wait
        end
      ensure
        @works.close
      end

      private

      def halt_on_signal
        return if @grace || !@run.stopping.set?

        @grace = Deadline.now + Run::GRACE
        @workflow.halt(@run.stopped)
      end

      def wait
        seconds = [@run.deadline.remaining, @grace && [@grace - Deadline.now, 0].max].compact.min
        @works.wait(@grace ? nil : @run.stopping, seconds) { |index, event| record(index, event) }
        if @run.deadline.over?
          @workflow.halt(@run.time_limit)
          abandon
        elsif @grace && @grace <= Deadline.now
          abandon
        end
      end

      def abandon
        @works.clear
        @workflow.abandon
      end

      # What a step needs is gathered here, since the engine goes on meanwhile.
      def start_one(start)
        task = task(start)
        name = @workflow.step(start.step).name
        @works.start do
          @run.client.traces.span("langop.step #{name}", "langop.step": name) { [start.step, task.call] }
        rescue Failure => e
          [start.step, Event.new(:failed, e, false)]
        end
      end

      def task(start)
        step = @workflow.step(start.step)
        _, item = numbered = @workflow.item(start.step)
        case start.work
        when :judge, :judge_strictly then judging(start, step)
        when :ask then asking(start, step, numbered, item)
        when :call then calling(start, step, numbered, item)
        end
      end

      def judging(start, step)
        messages = @run.prompt.judge(step.only_if, @workflow.judging_context(start.step), @run.now_in_words,
                                     strict: start.work == :judge_strictly)
        chat = Client::Models::Chat.new(messages: messages, judgement: true)
        lambda do
          completion = @run.ask(chat, "judge")
          @run.log.info("judged", run: @run.id, step: step.name, input_tokens: completion.tokens.input,
                                  output_tokens: completion.tokens.output, verdict: Engine::Verdict.read(completion.text))
          Event.new(:judged, completion.text)
        end
      end

      def asking(start, step, numbered, item)
        about = Engine::Bindings.item_text(item) if numbered && !Definition.item?(step.action.prompt)
        messages = @run.prompt.ask(question(step.action.prompt, item), about, @workflow.context(start.step))
        chat = Client::Models::Chat.new(messages: messages)
        lambda do
          completion = @run.ask(chat, "ask", name: step.action.model)
          answer(step, completion)
        end
      end

      def question(prompt, item)
        return Engine::Bindings.item_text(item) if Definition.item?(prompt)

        Definition.result?(prompt) ? @workflow.result(prompt[Definition::RESULT])&.text.to_s : prompt
      end

      def answer(step, completion)
        problem = completion.problem(needs_text: true)
        return Event.new(:failed, Failure.new("model-refused", problem), true) if problem

        @run.log.warn("the answer was cut at the model's limit", run: @run.id, step: step.name) if completion.finish == :length
        text = Quote.cut(completion.text.strip, Engine::StepResult::MAX_TEXT_BYTES)
        Event.new(:done, Engine::StepResult.new(text))
      end

      def calling(start, step, numbered, item)
        bindings = Engine::Bindings.new(@workflow.results(start.step), numbered ? item : Engine::Bindings::NO_ITEM)
        which = which(start.step)
        call = step.action
        lambda do
          operation = @run.client.tool_client.operation(call.tool, call.action, deadline: @run.deadline)
          result, text = @run.call(which, operation, bindings.arguments(call.params, operation.schema))
          raise Failure.new("tool-error", "the tool '#{call.tool}' says: #{text}") if result.error?

          Event.new(:done, result.structured? ? Engine::StepResult.new(text, result.structured) : Engine::StepResult.new(text))
        end
      end

      # Names what a step does, in the checkpoint and to tools: the step, and of a step that runs once per
      # item the item. No step's name can hold the character between them.
      def which(index)
        number, = @workflow.item(index)
        name = @workflow.step(index).name
        number ? "#{name}\0#{number + 1}" : name
      end

      # Takes what came of a step, and remembers it.
      def record(index, event)
        which = which(index)
        # Whatever else is wrong, without time nothing could go well.
        event = Event.new(:failed, @run.time_limit, event.answered) if event.kind == :failed && @run.deadline.over?
        # Of a call whose outcome is not known the intent stays.
        is_known = event.kind != :failed || !%w[outcome-unknown time-limit].include?(event.value.reason)
        word = event.kind == :failed ? event.value.reason : event.kind.to_s
        bytes = event.kind == :done ? event.value.text.bytesize : 0
        @run.log.info("step: #{word}", run: @run.id, step: @workflow.step(index).name, bytes: bytes)
        @workflow.record(index, event)
        @run.remember do |saved|
          saved["intents"]&.delete(which) if is_known
          saved["steps"] = @workflow.records
          @run.progress(saved, @workflow.iterations)
        end
      end

      WORDS = { done: "done", skipped: "skipped", failed: "failed" }.freeze
      private_constant :WORDS

      def ended(step, failure)
        nodes = @workflow.nodes
        nodes.each { |node| @run.client.metrics.step(WORDS.fetch(node.state, "not-run")) }
        skipped = nodes.select { |node| node.state == :skipped }.map { |node| node.step.name }
        done = nodes.count { |node| node.state == :done }
        message = "#{done} step#{"s" unless done == 1} done"
        message += ", #{skipped.size} skipped" if skipped.any?
        Run::Ended.new(message: message, failure: failure, step: step&.name, iterations: @workflow.iterations,
                       skipped: skipped, nothing_to_do: failure.nil? && @workflow.nothing_to_do?)
      end
    end
  end
end
