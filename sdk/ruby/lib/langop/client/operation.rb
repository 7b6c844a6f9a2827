# frozen_string_literal: true

module Langop
  module Client
    # An operation of a tool, by the server's word.
    #
    # @!attribute server [String] the tool's name in MCP_SERVERS
    # @!attribute name [String] as the server calls it
    # @!attribute schema [Hash, nil] its live input schema, if it could be had
    Operation = Struct.new(:server, :name, :description, :schema, :output_schema, :read_only, :harmless,
                           keyword_init: true) do
      # @param tool [Hash] an entry of a server's list
      # @return [Operation, nil] nil for what must not be offered
      def self.of(server, tool)
        return unless tool.is_a?(Hash) && tool["name"].is_a?(String)

        schema = tool["inputSchema"].is_a?(Hash) ? tool["inputSchema"] : {}
        return if MCP::Headers.invalid_marks(schema)

        hints = tool["annotations"].is_a?(Hash) ? tool["annotations"] : {}
        read_only = hints["readOnlyHint"] == true
        new(server: server, name: tool["name"], description: tool["description"].to_s, schema: schema,
            output_schema: tool["outputSchema"], read_only: read_only,
            harmless: read_only || hints["idempotentHint"] == true)
      end

      # One that is known by its name alone.
      def self.named(server, name, read_only: false)
        new(server: server, name: name, description: "", read_only: read_only, harmless: read_only)
      end

      # The operation that `action` means: of that name, else the only one of that name but for case and
      # separators; without a name the only one there is. Never guesses.
      def self.resolve(list, action)
        return list.size == 1 ? list.first : nil unless action

        equal = list.find { |operation| operation.name == action }
        return equal if equal

        plain = ->(name) { name.downcase.tr("-.", "_") }
        alike = list.select { |operation| plain.call(operation.name) == plain.call(action) }
        alike.first if alike.size == 1
      end

      # @return [String, nil] what of a result is not as the server says that results are
      def misfit(result)
        return if !output_schema.is_a?(Hash) || result.error?
        return "it has no structure" unless result.structured?

        misfit = Schema.misfit(output_schema, result.structured)
        misfit && Quote.line(misfit)
      end
    end

    # What a tool answered, in the two forms that steps keep.
    class ToolResult
      # In place of what only later versions have.
      UNKNOWN = "[something unknown]"

      # @return [String] texts joined by line ends
      attr_reader :text
      # @return [Object, nil] the structured form, any JSON value; see {#structured?}
      attr_reader :structured

      # @param result [Hash] of `tools/call`
      def initialize(result)
        @is_error = result["isError"] == true
        @is_structured = result.key?("structuredContent")
        @structured = result["structuredContent"]
        blocks = result["content"].is_a?(Array) ? result["content"].map { |block| ToolResult.text_of(block) } : []
        @text = @is_structured && blocks.empty? ? JSON.generate(@structured) : blocks.join("\n")
      end

      # @return [Boolean] whether the tool says that it failed
      def error? = @is_error

      # @return [Boolean] whether there is a structured form; a present null counts
      def structured? = @is_structured

      # A link as its URI; of anything that is no text its type and size.
      def self.text_of(block)
        return UNKNOWN unless block.is_a?(Hash)

        case block["type"]
        when "text" then block["text"].to_s
        when "resource_link" then block["uri"].to_s
        when "image", "audio" then opaque(block["mimeType"], block["data"])
        when "resource"
          resource = block["resource"]
          return UNKNOWN unless resource.is_a?(Hash)

          resource["text"].is_a?(String) ? resource["text"] : opaque(resource["mimeType"] || "bytes", resource["blob"])
        else UNKNOWN
        end
      end

      def self.opaque(type, base64)
        bytes = base64.to_s.bytesize / 4 * 3
        bytes < 1024 ? "[#{type}, #{bytes} bytes]" : "[#{type}, #{(bytes / 1024.0).ceil} KiB]"
      end
    end
  end
end
