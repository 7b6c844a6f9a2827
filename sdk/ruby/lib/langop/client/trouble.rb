# frozen_string_literal: true

module Langop
  module Client
    # What came back from a tool server instead of a result: whether to try again, and the reason of the
    # failure if that does not help.
    class Trouble < StandardError
      # Longest pause that a server may ask for before it is asked again, in seconds.
      MAX_PAUSE = 30

      # Of each kind: what may be done about it, and the reason. `unknown_operation`: the server knows no
      # such operation; `header_mismatch`: it found headers and body to differ; `needs_person`: it wants
      # a capability or an answer of a person; `renegotiate`: session or version are no longer good;
      # `busy`: it did nothing; `not_sent`: nothing was sent; `untrusted`: nothing was sent, and no
      # waiting helps; `interrupted`: something was sent, and nobody knows what came of it; `refused`: it
      # lets nobody in; `protocol`: it does not keep to the protocol, or the request was wrong.
      KINDS = {
        unknown_operation: [:after_list, "unknown-operation"],
        header_mismatch: [:after_list, "tool-protocol"],
        needs_person: [:no, "needs-person"],
        renegotiate: [:after_connecting, "tool-unavailable"],
        busy: [3, "tool-unavailable"],
        not_sent: [3, "tool-unavailable"],
        untrusted: [:no, "tool-unavailable"],
        interrupted: [:no, "outcome-unknown"],
        refused: [:no, "tool-refused"],
        protocol: [:no, "tool-protocol"]
      }.freeze
      # How often a call is repeated that by the server's word may be.
      HARMLESS_REPEATS = 2

      attr_reader :kind, :after

      # @param kind [Symbol] a key of {KINDS}
      # @param said [#to_s] what the server or the network said
      # @param after [Integer, nil] seconds until the server wants to be asked again
      def initialize(kind, said = "", after: nil)
        @kind = kind
        @after = after
        super(Quote.line(said))
      end

      # @param error [Hash] of JSON-RPC
      # @return [Trouble]
      def self.of_error(error)
        code = error["code"]
        said = error["message"].to_s
        case code
        when MCP::HEADER_MISMATCH then new(:header_mismatch, said)
        when MCP::MISSING_CAPABILITY then new(:needs_person, said)
        when MCP::UNSUPPORTED_VERSION then new(:renegotiate, said)
        when MCP::INTERNAL_ERROR then new(:interrupted, said)
        else
          about_name = code == MCP::INVALID_PARAMS && about_name?(said)
          about_name ? new(:unknown_operation, said) : new(:protocol, "#{Quote.line(said, 100)} (#{code})")
        end
      end

      # -32602 is for bad arguments too; the message alone tells.
      def self.about_name?(message)
        message.match?(/tool/i) && message.match?(/unknown|not found|no such|not exist/i)
      end

      # @param harmless [Boolean] by the server's word the operation may be called again
      # @return [Symbol, Integer] `:no`, `:after_list`, `:after_connecting`, or at most so many times
      def repeat(harmless: false)
        kind == :interrupted && harmless ? HARMLESS_REPEATS : KINDS.fetch(kind).first
      end

      # @return [Numeric] seconds to wait before the attempt after `attempt` ones, without jitter
      def pause(attempt) = after ? [after, MAX_PAUSE].min : 2**[attempt - 1, 2].min

      def reason = KINDS.fetch(kind).last

      # @return [Failure] of a call of `operation` of `tool`
      def failure(tool, operation)
        what = case kind
               when :unknown_operation then "has no operation '#{operation}': #{message}"
               when :header_mismatch then "finds the headers of the request wrong"
               when :needs_person then "needs a person, whom an agent does not have: #{message}"
               when :renegotiate, :busy, :not_sent, :untrusted then "does not answer: #{message}"
               when :interrupted then "may or may not have done '#{operation}': #{message}"
               when :refused then "lets nobody in (#{message}): check its allowed hosts, origins or key"
               when :protocol then "refuses the request or answers wrongly: #{message}"
               end
        Failure.new(reason, "the tool '#{tool}' #{what}")
      end
    end
  end
end
