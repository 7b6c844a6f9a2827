# frozen_string_literal: true

module Langop
  module Client
    # Server-sent events out of the chunks of a body. Remembers the last id and the pause that the
    # server asks for, by which a broken stream can be taken up again.
    class EventStream
      # Largest event, in bytes.
      MAX_EVENT = 16 * 1024 * 1024

      attr_reader :last_id, :retry_ms

      def initialize
        @rest = +"".b
        @data = []
        @size = 0
      end

      # @param chunk [String]
      # @yield [String] the data of each event that is whole now
      # @raise [Trouble] if an event is too large
      def feed(chunk)
        @rest << chunk.b
        while (line = @rest.slice!(/\A[^\r\n]*(?:\r\n|\n|\r(?!\z))/n))
          data = take(line.chomp)
          yield data if data
        end
        too_large if @rest.bytesize + @size > MAX_EVENT
      end

      private

      def take(line)
        return dispatch if line.empty?

        field, value = line.split(":", 2)
        value = value.to_s.delete_prefix(" ").force_encoding(Encoding::UTF_8).scrub
        case field
        when "data"
          @data << value
          @size += value.bytesize
          too_large if @size > MAX_EVENT
        when "id" then @last_id = value unless value.include?("\0")
        when "retry" then @retry_ms = Integer(value, 10, exception: false) || @retry_ms
        end
        nil
      end

      def dispatch
        data = @data.join("\n")
        @data = []
        @size = 0
        data unless data.empty?
      end

      def too_large = raise(Trouble.new(:protocol, "an event of the answer has more than #{MAX_EVENT} bytes"))
    end
  end
end
