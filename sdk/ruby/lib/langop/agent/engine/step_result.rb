# frozen_string_literal: true

module Langop
  module Agent
    module Engine
      # What a step gave: a text, and the structured form of a tool's result if there is one; a present
      # null counts.
      class StepResult
        # Most bytes of a text that is kept; what is longer is cut, with a note.
        MAX_TEXT_BYTES = 64 * 1024
        # In place of a structured form that is not there.
        ABSENT = Object.new.freeze
        private_constant :ABSENT

        attr_reader :text

        def initialize(text, structured = ABSENT)
          @text = text
          @structured = structured
        end

        # @param hash [Hash] as {#to_h} gives it
        def self.from(hash) = new(hash["text"].to_s, hash.fetch("structured", ABSENT))

        def structured? = !@structured.equal?(ABSENT)

        # The structured form if there is one, else the text.
        def value = structured? ? @structured : text

        def to_h = structured? ? { "structured" => @structured, "text" => text } : { "text" => text }
      end

      # What values of a definition stand for when a step runs.
      class Bindings
        # No item: the step does not run once per item.
        NO_ITEM = Object.new.freeze

        # @param results [Hash{String => StepResult}] of other steps
        # @param item [Object] the item, of a step that runs once per item
        def initialize(results, item = NO_ITEM)
          @results = results
          @item = item
        end

        # An item as a text: of anything but a text, its JSON.
        def self.item_text(item) = item.is_a?(String) ? item : JSON.generate(item)

        # The arguments of a call: literals as they are, results and items in the form that the property
        # of `schema` wants.
        def arguments(params, schema)
          params.to_h { |name, value| [name, wants_text?(schema, name) && text(value) || json(value)] }
        end

        private

        def json(value)
          return @results[value[Definition::RESULT]]&.value if Definition.result?(value)
          return @item.equal?(NO_ITEM) ? nil : @item if Definition.item?(value)

          case value
          when Array then value.map { |item| json(item) }
          when Hash then value.transform_values { |item| json(item) }
          else value
          end
        end

        # The text of a reference, for a parameter that must be one.
        def text(value)
          return @results[value[Definition::RESULT]]&.text if Definition.result?(value)

          Bindings.item_text(@item) if Definition.item?(value) && !@item.equal?(NO_ITEM)
        end

        # Whether the schema says that the property is a string, and nothing else.
        def wants_text?(schema, property)
          properties = schema.is_a?(Hash) ? schema["properties"] : nil
          known = properties.is_a?(Hash) ? properties[property] : nil
          known.is_a?(Hash) && Array(known["type"]) == ["string"]
        end
      end
    end
  end
end
