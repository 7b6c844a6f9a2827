# frozen_string_literal: true

module Langop
  module Agent
    module Engine
      # A workflow as a state machine: {#start_next} says what to start, {#record} takes what came of it.
      # Bounded: at most so many works at once, and so many answers of models. Does nothing itself.
      class Workflow
        # Something to start for a step: `work` is :judge, :judge_strictly, :ask or :call.
        Start = Struct.new(:step, :work)
        # What came of it: `kind` is :judged, :done or :failed. `answered`: a model answered all the same.
        Event = Struct.new(:kind, :value, :answered)
        # What asks a model.
        ASKING = %i[judge judge_strictly ask].freeze
        # States in which those that wait for a step may go on.
        SETTLED = %i[done skipped].freeze

        # `uses`: the steps whose results it uses, by their index; `tool`: what it calls.
        Node = Struct.new(:step, :uses, :tool, :state, :work, :result, :skip, :verdict, :strict, :items, :done, keyword_init: true) do
          def settled? = SETTLED.include?(state)

          # Takes what the step gave: the result, or that of an item, of which the next may follow.
          def take(given)
            if items
              done << given
              self.state = :pending
              settle_items
            else
              self.state = :done
              self.result = given
            end
          end

          # A step with a result for each of its items is done.
          def settle_items
            return if items.nil? || done.size < items.size

            self.state = :done
            self.result = Items.joined(done)
          end
        end

        attr_reader :iterations

        # @param steps [Array<Definition::Step>]
        # @param parallel [Integer] most works at once
        # @param limit [Integer] most answers of models
        def initialize(steps, parallel:, limit:)
          @index = steps.each_with_index.to_h { |step, index| [step.name, index] }
          @nodes = steps.map do |step|
            Node.new(step: step, uses: @index.values_at(*step.uses), tool: step.tool, state: :pending, strict: false, done: [])
          end
          # Counted along, since looking at all steps for each of them takes long where there are many.
          @active = 0
          @busy = Hash.new(0)
          @has_skipped = false
          @order = Order.new(steps)
          @parallel = parallel
          @limit = limit
          @iterations = 0
          @ended = nil
        end

        # Goes on where `records` ended, with so many answers of models used. Records of other steps are of
        # no use.
        def resume(records, iterations)
          @iterations = iterations
          records.each do |record|
            index = @index[record["name"]] or next
            node = @nodes[index]
            node.verdict = record["verdict"]
            node.done = Array(record["items"]).map { |item| StepResult.from(item) }
            case record["state"]
            when "done"
              node.state = :done
              node.result = StepResult.from(record["result"])
            when "skipped" then skip(node, record["why"])
            end
          end
        end

        # What to remember from one process to the next.
        # @return [Array<Hash>]
        def records
          @nodes.map do |node|
            state = { active: "pending", not_run: "notRun" }.fetch(node.state, node.state.to_s)
            record = { "name" => node.step.name, "state" => state }
            record["result"] = node.result.to_h if node.state == :done
            record["why"] = node.skip if node.state == :skipped
            record["verdict"] = node.verdict unless node.verdict.nil?
            record["items"] = node.done.map(&:to_h) unless node.settled? || node.done.empty?
            record
          end
        end

        # What to start now, in textual order. Each is under way until {#record} takes what came of it.
        # @return [Array<Start>]
        def start_next
          starts = []
          # A step without items is done by looking at it, and others may wait for that.
          nil while start_round(starts)
          starts
        end

        # Takes what came of something started. What was never started is of no interest.
        # @param event [Event]
        def record(step, event)
          node = @nodes[step]
          return unless node.state == :active

          @active -= 1
          @busy[node.tool] -= 1
          answered = event.kind == :failed ? event.answered : ASKING.include?(node.work)
          @iterations += 1 if answered
          case event.kind
          when :judged then judged(node, event.value)
          when :done then node.take(event.value)
          when :failed then fail_step(node, event.value)
          end
        end

        # Ends the run for a reason of no step: nothing new starts. The first reason counts.
        def halt(failure) = @ended ||= [nil, failure]

        # What is under way will never be recorded: nobody waits for it any more.
        def abandon
          @nodes.each { |node| node.state = :failed if node.state == :active }
          @active = 0
          @busy.clear
        end

        # How the run ended, once nothing is under way and nothing can start any more: nil before that,
        # else the step and the failure, both nil if every step is done or skipped.
        def end
          return if @active.positive?
          return @nodes.all?(&:settled?) ? [nil, nil] : nil unless @ended

          @nodes.each { |node| node.state = :not_run if node.state == :pending }
          @ended
        end

        # @return [Definition::Step]
        def step(index) = @nodes[index].step

        # @return [Array<Node>] in textual order
        def nodes = @nodes.dup

        # @return [StepResult, nil] what a step gave
        def result(name) = @nodes[@index[name]].result

        # @return [Hash{String => StepResult}] the results that a step uses
        def results(index) = results_of(@nodes[index].uses).to_h

        # The item that a step under way runs for, as a list of one, so that null is an item too; and its
        # number from 0.
        def item(index)
          node = @nodes[index]
          number = node.done.size
          [number, node.items[number]] if node.items && number < node.items.size
        end

        # What a model sees for a question: name and result of each ancestor that has one.
        def context(index) = results_of(@order.ancestors[index])

        # As for a question; for a step without dependency the results of all finished steps.
        def judging_context(index)
          step(index).depends_on.empty? ? results_of(@nodes.each_index) : context(index)
        end

        # Whether there were conditions and none of them held.
        def nothing_to_do?
          conditions = @nodes.select { |node| node.step.only_if }
          conditions.any? && conditions.all? { |node| node.state == :skipped }
        end

        private

        # Whether a step was settled without starting anything.
        def start_round(starts)
          has_settled = false
          skip_needy
          @nodes.each_with_index do |node, index|
            break if @ended

            work = startable(node, index) or next
            if !%i[judge judge_strictly].include?(work) && !item_left?(node)
              has_settled = true
              next
            end
            next if ASKING.include?(work) && out_of_answers?

            node.state = :active
            node.work = work
            @active += 1
            @busy[node.tool] += 1
            starts << Start.new(index, work)
          end
          has_settled
        end

        def out_of_answers?
          asking = @nodes.count { |node| node.state == :active && ASKING.include?(node.work) }
          return false if @limit > @iterations + asking

          if asking.zero?
            halt(Failure.new("iteration-limit", "#{@iterations} answers of models were used, as many as allowed: " \
                                                "raise max_iterations or shorten the workflow"))
          end
          true
        end

        # Whether there is something to do for a step that can run: not for one that runs once per item
        # and has no item left, or whose list is none. Such a step is settled, or fails, by this.
        def item_left?(node)
          return true unless node.step.each

          node.items ||= items_of(node.step.each)
          node.settle_items
          !node.settled?
        rescue Failure => e
          fail_step(node, e)
          false
        end

        def items_of(name)
          result = result(name)
          result ? Items.of(name, result, @limit) : []
        end

        def results_of(indices)
          indices.map { |index| @nodes[index] }.select { |node| node.state == :done }.map { |node| [node.step.name, node.result] }
        end

        # Skips what needs the result of a skipped step, until there is no more of it. Each in its turn:
        # what waits for it waits for all that it waits for.
        def skip_needy
          loop do
            needy = @nodes.select.with_index { |node, index| node.state == :pending && needy?(node) && due?(index) }
            return if needy.empty?

            needy.each { |node| skip(node, "needs-skipped") }
          end
        end

        # Whether it needs the result of a skipped step.
        def needy?(node) = @has_skipped && node.uses.any? { |used| @nodes[used].state == :skipped }

        # Whether all that it waits for is settled.
        def due?(index) = @order.waits_for[index].all? { |earlier| @nodes[earlier].settled? }

        def skip(node, why)
          node.state = :skipped
          node.skip = why
          @has_skipped = true
        end

        # What can be started for a step now, if anything.
        def startable(node, index)
          return unless node.state == :pending && @active < @parallel
          return if !due?(index) || needy?(node)
          return if node.tool && @busy[node.tool].positive?
          return node.strict ? :judge_strictly : :judge if node.step.only_if && node.verdict.nil?

          node.tool ? :call : :ask
        end

        def judged(node, answer)
          was_strict = node.strict
          node.state = :pending
          holds = Verdict.read(answer)
          if holds.nil?
            return node.strict = true unless was_strict

            fail_step(node, Failure.new("undecided", "the model answered neither YES nor NO whether the condition holds: " \
                                                     "word only_if so that the results decide it"))
          else
            node.verdict = holds
            return if holds

            skip(node, "condition")
          end
        end

        def fail_step(node, failure)
          node.state = :failed
          @ended ||= [node.step, failure]
        end
      end

      # Reads the answer to a condition: the first word decides, and what is neither YES nor NO decides
      # nothing.
      module Verdict
        # @return [Boolean, nil]
        def self.read(answer)
          { "yes" => true, "no" => false }[answer[/[[:alnum:]]+/].to_s.downcase]
        end
      end
    end
  end
end
