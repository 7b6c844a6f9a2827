# frozen_string_literal: true

module Langop
  module MCP
    # Headers that mirror a modern request: its method, what it names, and parameters that a tool's
    # schema marks by `x-mcp-header`. The client writes them, the server compares them with the body.
    module Headers
      MARK = "x-mcp-header"
      PREFIX = "mcp-param-"
      TOKEN = /\A[A-Za-z0-9!#$%&'*+.^_`|~-]+\z/
      # Keywords whose values are schemas by name, and those whose values are no schemas.
      SCHEMAS_BY_NAME = %w[$defs definitions dependencies dependentSchemas patternProperties].freeze
      NO_SCHEMAS = %w[default const enum examples dependentRequired].freeze

      module_function

      # @return [Hash{String => String}] of a request
      def of(method, params, schema = nil)
        headers = { "mcp-protocol-version" => MODERN, "mcp-method" => method }
        name = name_of(method, params)
        headers["mcp-name"] = encode(name) if name
        return headers unless method == "tools/call" && schema

        marked(schema).each do |path, header, _|
          value = plain(value_at(params["arguments"], path))
          headers[PREFIX + header.downcase] = encode(value) unless value.nil?
        end
        headers
      end

      # What is wrong with the headers of a request, in words; nil if nothing is.
      # @yield [String] a header's name; gives its value or nil
      def mismatch(method, params, schema = nil)
        sent = yield("mcp-method")
        return "the header Mcp-Method is missing" unless sent
        return "the header Mcp-Method is '#{Quote.line(sent, 60)}', and the method is '#{method}'" if sent != method

        name = name_of(method, params)
        wrong = name && differs("Mcp-Name", yield("mcp-name"), name)
        return wrong if wrong || method != "tools/call" || schema.nil?

        marked(schema).each do |path, header, _|
          value = plain(value_at(params["arguments"], path))
          wrong = differs("Mcp-Param-#{header}", yield(PREFIX + header.downcase), value)
          return wrong if wrong
        end
        nil
      end

      # @return [String, nil] what is wrong with the marks in a tool's schema: such a tool is not offered
      def invalid_marks(schema)
        return "the schema itself is marked" if schema.key?(MARK)
        return "a mark is not on a property" if stray?(schema, on_chain: true)

        seen = []
        marked(schema, only_good: false).each do |path, header, property|
          at = path.join(".")
          return "'#{at}' is marked by no name of a header" unless header.is_a?(String) && header.match?(TOKEN)
          return "two properties are marked by '#{header}'" if seen.include?(header.downcase)
          return "'#{at}' is marked and no text, whole number or boolean" unless %w[string integer boolean].include?(property["type"])

          seen << header.downcase
        end
        nil
      end

      # As a header's value: wrapped where it would not survive as it is.
      def encode(value)
        unsafe = value.match?(/\A[ \t]|[ \t]\z|[^ -~]/) || (value.start_with?("=?base64?") && value.end_with?("?="))
        unsafe ? "=?base64?#{[value].pack("m0")}?=" : value
      end

      # The value of a header, unwrapped; nil if that cannot be done.
      def decode(value)
        return value unless value.start_with?("=?base64?") && value.end_with?("?=")

        decoded = value.delete_prefix("=?base64?").delete_suffix("?=").unpack1("m0").force_encoding(Encoding::UTF_8)
        decoded if decoded.valid_encoding?
      rescue ArgumentError
        nil
      end

      def name_of(method, params)
        key = { "tools/call" => "name", "prompts/get" => "name", "resources/read" => "uri" }[method]
        name = key && params.is_a?(Hash) ? params[key] : nil
        name if name.is_a?(String)
      end

      # Path, header and schema of each marked property along `properties`.
      def marked(schema, path = [], only_good: true)
        properties = schema["properties"]
        return [] unless properties.is_a?(Hash)

        properties.select { |_, property| property.is_a?(Hash) }.flat_map do |name, property|
          here = path + [name]
          mark = property[MARK]
          is_marked = only_good ? mark.is_a?(String) && !mark.empty? : property.key?(MARK)
          (is_marked ? [[here, mark, property]] : []) + marked(property, here, only_good: only_good)
        end
      end

      # Whether a mark is anywhere but on a property that is reached by `properties` alone.
      def stray?(schema, on_chain:)
        schema.any? do |key, value|
          case key
          when MARK then !on_chain
          when "properties" then by_name_stray?(value, on_chain)
          when *SCHEMAS_BY_NAME then by_name_stray?(value, false)
          when *NO_SCHEMAS then false
          else Array(value.is_a?(Hash) ? [value] : value).any? { |one| one.is_a?(Hash) && stray?(one, on_chain: false) }
          end
        end
      end

      def by_name_stray?(schemas, on_chain)
        schemas.is_a?(Hash) && schemas.each_value.any? { |one| one.is_a?(Hash) && stray?(one, on_chain: on_chain) }
      end

      def value_at(arguments, path)
        path.reduce(arguments) { |found, name| found.is_a?(Hash) ? found[name] : nil }
      end

      def plain(value)
        case value
        when String then value
        when Numeric, true, false then JSON.generate(value)
        end
      end

      def differs(header, sent, expected)
        return if sent.nil? && expected.nil?
        return "the header #{header} is missing" if sent.nil?
        return "the header #{header} is there, and the parameter is not" if expected.nil?

        "the header #{header} differs from the body" if decode(sent) != expected
      end
    end
  end
end
