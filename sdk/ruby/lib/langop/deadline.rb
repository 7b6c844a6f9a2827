# frozen_string_literal: true

module Langop
  # Until when a run may work, on a clock that nobody turns.
  class Deadline
    # Kept back at the end of a Job's time, so that there is still time to tell how it ended.
    MOST_RESERVE = 10.0

    # @return [Float] seconds of the monotonic clock
    def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    # No end.
    # @return [Deadline]
    def self.never = new(nil)

    # The end of a run of at most `timeout` seconds that began at `start`: less 10 s or a tenth of it,
    # whichever is less.
    # @param timeout [Numeric, nil]
    # @return [Deadline]
    def self.of_run(start, timeout)
      new(timeout && (start + timeout - [MOST_RESERVE, timeout / 10.0].min))
    end

    # @param time [Time, nil] of the calendar
    # @return [Deadline]
    def self.at(time) = new(time && (now + (time - Time.now)))

    def initialize(end_at)
      @end_at = end_at
    end

    # @return [Boolean]
    def over? = !@end_at.nil? && @end_at <= Deadline.now

    # @return [Float, nil] seconds; nil without an end
    def remaining = @end_at && [@end_at - Deadline.now, 0.0].max

    # @return [Float] what is left, at most `most` seconds
    def left(most) = [remaining || most, most].min

    # @return [Float] `most`, but at most a tenth of what is left
    def tenth_left(most) = [(remaining || (most * 10.0)) / 10, most].min

    # @return [Deadline] at most so far away
    def within(most) = Deadline.new(Deadline.now + left(most))

    # @return [Time, nil] as a time of the calendar
    def time = @end_at && (Time.now + remaining)
  end
end
