# frozen_string_literal: true

require "digest"

module Langop
  module Agent
    # What the agent is to do: the definition beside the mounted code, or the bare instructions. The code
    # itself is read for its hash alone. It is never evaluated: it came from a language model, and what
    # keeps it harmless is the parser that made the definition of it.
    class Code
      # Largest files that are read, in bytes.
      MAX_CODE_BYTES = 128 * 1024
      MAX_DEFINITION_BYTES = 1024 * 1024
      DEFINITION = "definition.json"

      # @return [Definition]
      attr_reader :definition
      # @return [String] SHA-256 of the code in hex; of the instructions where there is no code
      attr_reader :hash

      def initialize(definition, hash)
        @definition = definition
        @hash = hash
      end

      # @param environment [Environment]
      # @param instructions [String, nil] the one objective where there is no code
      # @raise [Failure]
      def self.load(environment, instructions = environment.instructions)
        path = environment.code_path or return of_instructions(environment.name, instructions)
        code = read(path, MAX_CODE_BYTES) || raise(invalid("there is no code at #{path}"))
        beside = File.join(File.dirname(path), DEFINITION)
        json = read(beside, MAX_DEFINITION_BYTES)
        unless json
          raise invalid("there is no #{DEFINITION} beside the code: mount both as the synthesizer made them; the code " \
                        "alone is not evaluated")
        end
        new(Definition.parse(json), Digest::SHA256.hexdigest(code))
      rescue JSON::ParserError, ArgumentError => e
        raise invalid("#{DEFINITION} is no definition: #{Quote.line(e.message)}")
      end

      def self.of_instructions(name, instructions)
        unless instructions
          raise Failure.new("configuration", "there is nothing to do: set AGENT_CODE_PATH or INSTRUCTIONS")
        end

        new(Definition.new({ "name" => name, "objectives" => [instructions] }), Digest::SHA256.hexdigest(instructions))
      end

      # A file of at most `limit` bytes; nil if it is not there.
      def self.read(path, limit)
        size = File.size(path)
        raise invalid("#{path} has #{size} bytes; at most #{limit} are read") if size > limit

        File.binread(path).force_encoding(Encoding::UTF_8)
      rescue Errno::ENOENT
        nil
      rescue SystemCallError => e
        raise invalid("#{path} cannot be read: #{e.message}")
      end

      def self.invalid(message) = Failure.new("invalid-code", message)
      private_class_method :of_instructions, :read, :invalid

      # What the definition needs and the environment does not hold is a failure, before anything is done.
      # @raise [Failure]
      def check_offered(environment)
        missing("tool", "MCP_SERVERS (toolRefs)", definition.tools - environment.tools.map(&:name))
        missing("model", "MODEL_ENDPOINTS (modelRefs)", definition.models - environment.models.map(&:name))
        return if environment.models.any? || !definition.needs_model?

        raise Failure.new("not-offered", "the agent asks a model and none is offered: set MODEL_ENDPOINTS (modelRefs)")
      end

      private

      def missing(kind, variable, names)
        return if names.empty?

        raise Failure.new("not-offered", "the #{kind} '#{names.first}' is not offered: add it to #{variable}")
      end
    end
  end
end
