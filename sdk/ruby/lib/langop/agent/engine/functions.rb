# frozen_string_literal: true

require "digest"

module Langop
  module Agent
    module Engine
      # Operations of tools as functions that a model may call. Names are mapped there and back by a
      # table, never by splitting them.
      class Functions
        # Longest name that models' servers take.
        MAX_NAME = 64
        # Digits of the hash that tells names apart.
        HASH_DIGITS = 6
        # The function by which a model ends.
        FINISH = "finish"
        FINISH_FUNCTION = {
          name: FINISH,
          description: "Ends the run: when the objectives are achieved, when there is nothing to do, or when they cannot be achieved.",
          parameters: {
            type: "object", required: %w[outcome summary],
            properties: {
              outcome: { type: "string", enum: %w[achieved nothing_to_do impossible] },
              summary: { type: "string", description: "What was done, in one sentence." }
            }
          }
        }.freeze

        # @param operations [Array<Client::Operation>]
        def initialize(operations = [])
          plain = operations.map { |operation| plain(operation) }
          counts = plain.tally
          @table = {}
          operations.zip(plain) do |operation, name|
            is_good = name.size <= MAX_NAME && name != FINISH && counts[name] == 1
            @table[is_good ? name : hashed(name, operation)] = operation
          end
        end

        # @return [Client::Operation, nil] what a name means
        def [](name) = @table[name]

        # @return [Array<Hash>] for a model, sorted by name so that prompts can be cached, {FINISH} last
        def describe
          functions = @table.sort.map do |name, operation|
            { name: name, description: operation.description, parameters: operation.schema || {} }
          end
          functions << FINISH_FUNCTION
        end

        # @return [Array<String>] the tools that have functions here
        def tools = @table.values.map(&:server).uniq

        private

        # `TOOL__OPERATION`, each run of other characters as one `_`.
        def plain(operation)
          [operation.server, operation.name].map { |part| part.gsub(/[^A-Za-z0-9_-]+/, "_") }.join("__")
        end

        def hashed(plain, operation)
          hash = Digest::SHA256.hexdigest("#{operation.server}\0#{operation.name}")
          named = ->(digits) { "#{plain[0, MAX_NAME - digits - 1]}_#{hash[0, digits]}" }
          (HASH_DIGITS..MAX_NAME - 2).lazy.map(&named).find { |name| !@table.key?(name) } || named.call(HASH_DIGITS)
        end
      end
    end
  end
end
