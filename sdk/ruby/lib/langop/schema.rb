# frozen_string_literal: true

module Langop
  # Looks for what in a value does not fit a JSON Schema, by the keywords that say which entries there
  # are and what they may be. Bounded, fetches nothing and runs no pattern: schemas are others' texts.
  # What it cannot understand refuses nothing.
  class Schema
    # Deepest nesting that is followed, references included.
    DEEPEST = 64
    # Most looks at a schema.
    EFFORT = 50_000

    TYPES = {
      "string" => "a string", "integer" => "an integer", "number" => "a number", "boolean" => "`true` or `false`",
      "null" => "`nil`", "array" => "an array", "object" => "a hash"
    }.freeze

    # @param schema [Hash]
    # @param closed [Boolean] whether entries are refused that the schema's own objects do not name
    # @return [String, nil] the first thing that is wrong, in words; nil if nothing is
    def self.misfit(schema, value, closed: false) = new(schema, closed).first_misfit(value)

    def initialize(schema, closed)
      @root = schema
      @closed = closed
      @effort = EFFORT
    end

    def first_misfit(value)
      place, problem = check(@root, value, "", 0)
      return unless problem

      place.empty? ? "it #{problem}" : "`#{place}` #{problem}"
    end

    private

    # The place and what is wrong there, or nil.
    def check(schema, value, place, depth)
      @effort -= 1
      return if !schema.is_a?(Hash) || depth >= DEEPEST || @effort.negative?

      problem = wrong_type(schema, value) || choice(schema, value) || bounds(schema, value)
      return [place, problem] if problem

      inside(schema, value, place, depth) || combined(schema, value, place, depth)
    end

    def wrong_type(schema, value)
      types = Array(schema["type"])
      # A word that is no type says nothing that could be checked.
      return if types.empty? || !types.all? { |type| TYPES.key?(type) }
      return if types.any? { |type| of_type?(type, value) }

      "must be #{types.map { |type| TYPES[type] }.join(" or ")}, not #{kind(value)}"
    end

    def of_type?(type, value)
      case value
      when nil then type == "null"
      when true, false then type == "boolean"
      when Numeric then type == "number" || (type == "integer" && value == value.floor)
      when String then type == "string"
      when Array then type == "array"
      when Hash then type == "object"
      end
    end

    def kind(value)
      case value
      when nil then "`nil`"
      when true, false then "a boolean"
      when Float then "a float"
      when Numeric then "an integer"
      when String then "a string"
      when Array then "an array"
      else "a hash"
      end
    end

    def choice(schema, value)
      choices = schema.key?("const") ? [schema["const"]] : schema["enum"]
      return if !choices.is_a?(Array) || choices.empty? || choices.include?(value)

      "must be one of #{choices.first(10).map { |one| JSON.generate(one) }.join(", ")}"
    end

    LENGTHS = { String => ["minLength", "maxLength", "characters"], Array => ["minItems", "maxItems", "items"] }.freeze
    private_constant :LENGTHS

    def bounds(schema, value)
      return range(schema, value) if value.is_a?(Numeric)

      least, most, what = LENGTHS[value.class]
      return unless what
      return "must have at least #{schema[least]} #{what}" if under?(value.size, schema[least])

      "must have at most #{schema[most]} #{what}" if under?(schema[most], value.size)
    end

    def range(schema, value)
      return "must be at least #{schema["minimum"]}" if under?(value, schema["minimum"])
      return "must be at most #{schema["maximum"]}" if under?(schema["maximum"], value)
      return "must be more than #{schema["exclusiveMinimum"]}" if under?(value, schema["exclusiveMinimum"], true)

      "must be less than #{schema["exclusiveMaximum"]}" if under?(schema["exclusiveMaximum"], value, true)
    end

    def under?(one, other, or_equal = false)
      return false unless one.is_a?(Numeric) && other.is_a?(Numeric)

      or_equal ? one <= other : one < other
    end

    def inside(schema, value, place, depth)
      case value
      when Hash then entries(schema, value, place, depth)
      when Array then items(schema, value, place, depth)
      end
    end

    def items(schema, value, place, depth)
      first = [schema["prefixItems"], schema["items"]].find { |list| list.is_a?(Array) } || []
      value.each_with_index do |item, index|
        found = check(first[index] || schema["items"], item, "#{place}[#{index}]", depth + 1)
        return found if found
      end
      nil
    end

    def entries(schema, value, place, depth)
      at = ->(name) { place.empty? ? name : "#{place}.#{name}" }
      missing = Array(schema["required"]).find { |name| !value.key?(name) }
      return [at.call(missing), "is missing: it is required"] if missing

      known = schema["properties"].is_a?(Hash) ? schema["properties"] : {}
      value.each do |name, entry|
        unless known.key?(name) || known_otherwise?(schema)
          return [at.call(name), "does not exist: there #{known.empty? ? "is none" : "are #{known.keys.join(", ")}"}"]
        end

        found = check(known.fetch(name, schema["additionalProperties"]), entry, at.call(name), depth + 1)
        return found if found
      end
      nil
    end

    def known_otherwise?(schema)
      schema.key?("patternProperties") || !@closed || schema["additionalProperties"] != false
    end

    def combined(schema, value, place, depth)
      all = [referred(schema["$ref"]), *schema["allOf"]].compact
      all.each do |one|
        found = check(one, value, place, depth + 1)
        return found if found
      end
      %w[anyOf oneOf].each do |keyword|
        alternatives = schema[keyword]
        next unless alternatives.is_a?(Array) && !alternatives.empty?

        found = alternatives.map { |one| check(one, value, place, depth + 1) }
        return found.first if found.all?
      end
      nil
    end

    # Only what is in the same document: nothing is fetched.
    def referred(reference)
      return unless reference.is_a?(String) && reference.start_with?("#")

      steps = reference.delete_prefix("#").split("/").drop(1)
      steps.map { |step| step.gsub("~1", "/").gsub("~0", "~") }.reduce(@root) do |found, step|
        found.is_a?(Hash) ? found[step] : nil
      end
    end
  end
end
