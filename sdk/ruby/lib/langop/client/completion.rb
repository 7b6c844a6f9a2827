# frozen_string_literal: true

require "json"

module Langop
  module Client
    # Sums of the tokens that models say they used. Nothing is estimated: an answer without usage is
    # counted as missing.
    Tokens = Struct.new(:input, :output, :cached_input, :missing) do
      def self.none = new(0, 0, 0, 0)

      # @param usage [Hash, nil] of a chat completion
      def self.of(usage)
        return new(0, 0, 0, 1) unless usage.is_a?(Hash) && usage["prompt_tokens"].is_a?(Integer)

        details = usage["prompt_tokens_details"]
        cached = details.is_a?(Hash) ? details["cached_tokens"] : nil
        new(usage["prompt_tokens"], usage["completion_tokens"].to_i, cached.to_i, 0)
      end

      # @param hash [Hash, nil] as {#to_json_hash} gives it
      def self.from(hash)
        hash ||= {}
        new(*%w[input output cachedInput missing].map { |key| hash[key].to_i })
      end

      def +(other) = Tokens.new(*to_a.zip(other.to_a).map(&:sum))

      # Read and written together, for the limit.
      def total = input + output

      def to_json_hash = { "input" => input, "output" => output, "cachedInput" => cached_input, "missing" => missing }
    end

    # An answer of a model: the common denominator of the servers that speak the API of chat completions.
    # What they leave out or write otherwise is accepted here and nowhere else.
    #
    # @!attribute finish [Symbol] `:complete`, `:length` or `:filtered`
    # @!attribute calls [Array<Hash>] of the keys id, name and arguments, the last as JSON in a string
    Completion = Struct.new(:text, :refusal, :calls, :finish, :tokens, :model, keyword_init: true) do
      # @param body [String]
      # @return [Completion, nil] nil if it is no chat completion
      def self.read(body)
        answer = JSON.parse(body)
        choice = answer["choices"].first if answer.is_a?(Hash) && answer["choices"].is_a?(Array)
        message = choice["message"] if choice.is_a?(Hash)
        return unless message.is_a?(Hash)

        new(text: text_of(message["content"]), refusal: message["refusal"].to_s.empty? ? nil : message["refusal"].to_s,
            calls: calls_of(message["tool_calls"]), finish: finish_of(choice["finish_reason"]),
            tokens: Tokens.of(answer["usage"]), model: answer["model"])
      rescue JSON::ParserError
        nil
      end

      # A string, or the texts of a list of parts.
      def self.text_of(content)
        case content
        when String then content
        when Array then content.filter_map { |part| part["text"] if part.is_a?(Hash) && part["text"].is_a?(String) }.join
        else ""
        end
      end

      def self.calls_of(calls)
        Array(calls).select { |call| call.is_a?(Hash) && call["function"].is_a?(Hash) }.map do |call|
          arguments = call["function"]["arguments"]
          arguments = arguments.nil? ? "" : JSON.generate(arguments) unless arguments.is_a?(String)
          { id: call["id"].to_s, name: call["function"]["name"].to_s, arguments: arguments }
        end
      end

      def self.finish_of(reason)
        { "length" => :length, "content_filter" => :filtered }.fetch(reason, :complete)
      end

      # Why there is no answer to use, in words; nil if there is.
      # @param needs_text [Boolean] calls are no answer
      def problem(needs_text: false)
        return "a filter of the model's provider kept the answer" if finish == :filtered
        return unless needs_text || calls.empty?
        return "the model refuses: #{refusal}" if refusal

        "the model answered nothing" if text.strip.empty?
      end
    end
  end
end
