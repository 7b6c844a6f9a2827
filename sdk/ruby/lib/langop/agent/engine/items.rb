# frozen_string_literal: true

module Langop
  module Agent
    module Engine
      # The list that a step gave, as items for a step that runs once for each, and what came of them as
      # one result again. A list is an array; an object whose only entry is one, as servers wrap them; or
      # a text that is such JSON, or has an item on each line.
      module Items
        # The mark of a line of a list: `- one`, `* one`, `1. one`.
        MARK = /\A(?:[-*•]|\d+[.)])\s+(?<item>\S.*)\z/
        # Models like to put what they are asked for into a fence.
        FENCE = /\A```[^\n]*\n(?<inside>.*)```\z/m

        module_function

        # @param name [String] of the step that gave the list
        # @param limit [Integer] most items
        # @return [Array]
        # @raise [Failure] if it is no list, or too long: nothing of it is done, since nobody could tell
        #   which items were
        def of(name, result, limit)
          items = of_json(result.value)
          unless items
            raise Failure.new("not-a-list", "the result of the step '#{name}' is no list: it must be an array, " \
                                            "or a text with an item on each line")
          end
          limit = [limit, Definition::MAX_ITEMS].min
          return items if items.size <= limit

          raise Failure.new("item-limit", "the list of the step '#{name}' has #{items.size} items, and at most #{limit} " \
                                          "are done: narrow the list, or raise max_iterations up to #{Definition::MAX_ITEMS}")
        end

        # An array of what was given for each, and the texts with a blank line between them.
        def joined(results)
          text = Quote.cut(results.map(&:text).join("\n\n"), StepResult::MAX_TEXT_BYTES)
          StepResult.new(text, results.map(&:value))
        end

        def of_json(json)
          case json
          when nil then []
          when Array then json
          when String then of_text(json)
          when Hash
            only = json.values.first
            of_json(only) if json.size == 1 && (only.is_a?(Array) || only.is_a?(String))
          end
        end

        def of_text(text)
          text = text.strip
          text = Regexp.last_match[:inside].strip if text.match(FENCE)
          parsed = text.start_with?("[", "{") ? parse(text) : nil
          return of_json(parsed) if parsed

          lines = text.lines.map(&:strip).reject(&:empty?)
          marked = lines.map { |line| line[MARK, :item] }
          marked.all? ? marked : lines
        end

        def parse(text)
          JSON.parse(text)
        rescue JSON::ParserError
          nil
        end
      end
    end
  end
end
