# frozen_string_literal: true

module Langop
  module Agent
    # Whether the process is to end. Set from a signal's handler, where nothing may lock: so a pipe, which
    # whoever waits for other things can wait for too.
    class Stopping
      # Readable once it is set.
      attr_reader :reader

      def initialize
        @reader, @writer = IO.pipe
        @is_set = false
      end

      def set
        @is_set = true
        @writer.write_nonblock(".", exception: false)
      end

      def set? = @is_set

      # Sets it on SIGTERM and SIGINT.
      def on_signals
        %w[TERM INT].each { |signal| Signal.trap(signal) { set } }
        self
      end

      # @return [Boolean] whether the seconds passed without it
      def sleep(seconds) = IO.select([@reader], nil, nil, seconds).nil?
    end

    # Works of a run that are under way, each in a thread of its own, and what came of them. Whoever is no
    # longer waited for is ended: its connection closes, and so its server knows.
    class Works
      def initialize
        @done = Thread::Queue.new
        @reader, @writer = IO.pipe
        @threads = []
      end

      # Carries out the block; what it gives is taken by {#wait}.
      def start(&block)
        span = Traces.current
        @threads = @threads.select(&:alive?) << Thread.new do
          Thread.current.report_on_exception = false
          @done << [Traces.within(span, &block), nil]
        rescue StandardError => e
          @done << [nil, e]
        ensure
          @writer.write_nonblock(".", exception: false)
        end
      end

      # Waits for something that is done, for `stopping` (unless it is nil), or for so many seconds.
      # @param seconds [Numeric, nil] nil: for ever
      # @yield what came of a work, if that is it
      # @raise [StandardError] what a work did not expect: a fault of this program
      def wait(stopping, seconds)
        ready, = IO.select([@reader, stopping&.reader].compact, nil, nil, seconds)
        return unless ready&.include?(@reader)

        @reader.read_nonblock(1)
        return if @done.empty?

        value, error = @done.pop
        raise error if error

        yield value
      end

      # Ends what is under way; what is done already is forgotten.
      def clear
        @threads.each(&:kill)
        @threads.each(&:join)
        @threads = []
        @done.clear
      end

      # For the end of a run.
      def close
        clear
        [@reader, @writer].each(&:close)
      end
    end
  end
end
