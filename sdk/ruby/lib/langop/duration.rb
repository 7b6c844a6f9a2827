# frozen_string_literal: true

module Langop
  # Durations such as `5m` and `1h30m`, in whole seconds.
  module Duration
    # Longest: 366 days.
    MAX_SECONDS = 366 * 86_400
    # Units from the largest down, the order in which a duration names them.
    UNITS = { "d" => 86_400, "h" => 3600, "m" => 60, "s" => 1 }.freeze
    # Each unit at most once, largest first.
    FORMAT = /\A(?=\d)(?:(?<d>\d+)d)?(?:(?<h>\d+)h)?(?:(?<m>\d+)m)?(?:(?<s>\d+)s)?\z/

    module_function

    # @param text [String]
    # @return [Integer] seconds
    # @raise [ArgumentError] if it is none; the message says what to write instead
    def parse(text)
      found = FORMAT.match(text)
      unless found
        raise ArgumentError, "invalid duration '#{Quote.line(text, 40)}': write whole numbers with d, h, m or s, " \
                             "largest first, such as 5m, 1h30m or 2d"
      end
      seconds = UNITS.sum { |unit, length| found[unit].to_i * length }
      raise ArgumentError, "'#{text}' is not longer than zero: write at least 1s" if seconds.zero?
      raise ArgumentError, "'#{Quote.line(text, 40)}' is longer than 366 days: write at most 366d" if seconds > MAX_SECONDS

      seconds
    end
  end
end
