# frozen_string_literal: true

module Langop
  # Why a run ended without success, in words for people. The reasons and exit codes are those of the
  # reference runtime: they are in termination messages, logs and metrics, and never change.
  class Failure < StandardError
    # The exit code of each reason.
    EXIT_CODES = {
      "tool-error" => 1,
      "model-refused" => 1,
      "impossible" => 1,
      "undecided" => 1,
      "no-progress" => 1,
      "outcome-unknown" => 1,
      "needs-person" => 1,
      "not-a-list" => 1,
      "configuration" => 3,
      "invalid-code" => 3,
      "code-mismatch" => 3,
      "not-offered" => 3,
      "iteration-limit" => 4,
      "item-limit" => 4,
      "token-limit" => 4,
      "time-limit" => 5,
      "model-unavailable" => 6,
      "tool-unavailable" => 7,
      "tool-refused" => 7,
      "tool-protocol" => 7,
      "unknown-operation" => 7,
      "stopped" => 143
    }.freeze

    # @return [String] a key of {EXIT_CODES}
    attr_reader :reason

    # @param reason [String] a key of {EXIT_CODES}
    # @param message [String] what is wrong and what to do; may hold texts of tools and models
    def initialize(reason, message)
      raise ArgumentError, "unknown reason '#{reason}'" unless EXIT_CODES.key?(reason)

      @reason = reason
      super(message)
    end

    # @return [Integer] with which the process exits
    def exit_code = EXIT_CODES.fetch(reason)

    # @return [String] `stopped` or `failed`
    def outcome = reason == "stopped" ? "stopped" : "failed"
  end
end
