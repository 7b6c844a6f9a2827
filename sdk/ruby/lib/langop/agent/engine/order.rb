# frozen_string_literal: true

module Langop
  module Agent
    module Engine
      # Which step waits for which: what the code says, the textual order of steps without dependency,
      # and the textual order of steps of one tool as far as the others allow it. Never a circle.
      class Order
        # @return [Array<Array<Integer>>] which steps each waits for, by their index in the text
        attr_reader :waits_for
        # @return [Array<Array<Integer>>] which each depends on, directly or not: whose results it may see
        attr_reader :ancestors

        # @param steps [Array<Definition::Step>]
        def initialize(steps)
          @waits_for = Array.new(steps.size) { [] }
          # For each step all that it waits for, directly or not, as bits.
          @before = Array.new(steps.size, 0)
          by_name = steps.each_with_index.to_h { |step, index| [step.name, index] }
          steps.each_with_index { |step, index| step.depends_on.each { |name| add(index, by_name[name]) } }
          @ancestors = steps.each_index.map { |step| steps.each_index.select { |earlier| before?(earlier, step) } }
          textual(steps)
          by_tool(steps)
        end

        private

        # A step without dependency waits for the one before it that has none either.
        def textual(steps)
          free = steps.each_index.select { |index| steps[index].depends_on.empty? }
          free.each_cons(2) { |earlier, later| add(later, earlier) }
        end

        # Steps of one tool in textual order. Where a dependency says otherwise, it wins.
        def by_tool(steps)
          steps.each_index.group_by { |index| steps[index].tool }.each do |tool, indices|
            next unless tool

            indices.each_with_index { |later, at| indices.first(at).reverse_each { |earlier| add(later, earlier) } }
          end
        end

        def before?(earlier, later) = @before[later][earlier] == 1

        # Makes `later` wait for `earlier`, unless it does already, or that would be a circle.
        def add(later, earlier)
          return if earlier.nil? || later == earlier || before?(later, earlier) || before?(earlier, later)

          @waits_for[later] << earlier
          gained = @before[earlier] | (1 << earlier)
          @before.each_index { |step| @before[step] |= gained if step == later || before?(later, step) }
        end
      end
    end
  end
end
