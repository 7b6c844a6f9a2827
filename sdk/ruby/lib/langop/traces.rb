# frozen_string_literal: true

require "net/http"
require "securerandom"
require "uri"

module Langop
  # Traces over OTLP (http/protobuf) where the standard OTEL_* variables name a receiver. Names and kinds,
  # never contents. Whatever is wrong with it is a warning: no run ends for want of traces.
  class Traces
    # Spans that are kept until they are sent; what comes beyond is left out.
    MAX_SPANS = 4096
    # Longest time to send, in seconds.
    SENDING = 5
    SERVICE_NAME = "langop-agent"
    FORMAT = /\A(?!ff)[0-9a-f]{2}-(?<trace>(?!0{32})[0-9a-f]{32})-(?<span>(?!0{16})[0-9a-f]{16})-(?<flags>[0-9a-f]{2})/
    KINDS = { internal: 1, client: 3 }.freeze
    ERROR = 2

    # A span that is under way. Without a receiver there is one that forgets everything.
    class Span
      attr_reader :trace_id, :id, :parent_id, :name, :kind, :links, :attributes, :begun
      attr_accessor :ended, :failed

      def initialize(name, kind, parent, links, attributes)
        @name = name
        @kind = kind
        @trace_id, @parent_id = parent || [SecureRandom.hex(16), nil]
        @id = SecureRandom.hex(8)
        @links = links
        @attributes = attributes
        @begun = Traces.now
      end

      # @return [String] by which others name it as their parent
      def traceparent = "00-#{trace_id}-#{id}-01"

      def set(attributes) = @attributes.update(attributes.compact)

      # It failed, for a reason that is a word.
      def fail(reason)
        self.failed = true
        set("error.type" => reason)
      end
    end

    # What is used where nobody listens.
    class NoSpan
      def traceparent = nil
      def set(_attributes) = nil
      def fail(_reason) = nil
    end

    NO_SPAN = NoSpan.new.freeze
    private_constant :NO_SPAN

    # @return [Integer] nanoseconds of the calendar
    def self.now = Process.clock_gettime(Process::CLOCK_REALTIME, :nanosecond)

    # @return [Span, NoSpan] that of this thread
    def self.current = Thread.current[:langop_span] || NO_SPAN

    # Carries the block out within a span, which another thread may have begun.
    def self.within(span)
      before = Thread.current[:langop_span]
      Thread.current[:langop_span] = span
      yield
    ensure
      Thread.current[:langop_span] = before
    end

    # @return [Array<String>, nil] trace and span of a traceparent; nil for one that cannot be read
    def self.parse(traceparent)
      found = FORMAT.match(traceparent.to_s.strip)
      found && [found[:trace], found[:span]]
    end

    # @param variables [#[]] the process's environment, or any other
    # @param log [Log]
    def initialize(variables, log: Log.none)
      @log = log
      @mutex = Mutex.new
      @spans = []
      @url = receiver(variables)
      @resource = resource(variables) if @url
      @headers = pairs(variables["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] || variables["OTEL_EXPORTER_OTLP_HEADERS"])
    end

    # Carries the block out within a new span.
    # @param parent [Array<String>, nil] trace and span; nil: the span of this thread, or none
    # @param links [Array<Array<String>>] spans of other traces that caused it
    # @yield [Span, NoSpan]
    def span(name, kind: :internal, parent: nil, links: [], **attributes)
      return yield NO_SPAN unless @url

      current = Thread.current[:langop_span]
      parent ||= [current.trace_id, current.id] if current.is_a?(Span)
      span = Span.new(name, kind, parent, links, attributes.transform_keys(&:to_s).compact)
      begin
        Traces.within(span) { yield span }
      ensure
        span.ended = Traces.now
        @mutex.synchronize { @spans << span if @spans.size < MAX_SPANS }
      end
    end

    # Sends what has ended.
    def flush
      spans = @mutex.synchronize { @spans.slice!(0..) }
      return if spans.empty?

      request = Net::HTTP::Post.new(@url, { "content-type" => "application/x-protobuf" }.merge(@headers))
      request.body = Wire.request(@resource, spans)
      status = Client::Http.request(@url, request, read_timeout: SENDING) { |response, _| response.code }
      @log.warn("traces are refused", status: status.to_i) unless status.start_with?("2")
    rescue Client::Http::NotSent, Client::Http::Broken => e
      @log.warn("traces could not be sent: #{e.message}")
    end

    private

    def receiver(variables)
      return if variables["OTEL_SDK_DISABLED"].to_s.casecmp?("true") || variables["OTEL_TRACES_EXPORTER"] == "none"

      own = variables["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].to_s
      base = variables["OTEL_EXPORTER_OTLP_ENDPOINT"].to_s
      return if own.empty? && base.empty?

      protocol = variables["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] || variables["OTEL_EXPORTER_OTLP_PROTOCOL"] || "http/protobuf"
      return warn_of("the protocol '#{protocol}' is not spoken; write http/protobuf") unless protocol == "http/protobuf"

      url = URI.parse(own.empty? ? "#{base.delete_suffix("/")}/v1/traces" : own)
      url.is_a?(URI::HTTP) && url.host ? url : warn_of("OTEL_EXPORTER_OTLP_ENDPOINT is no URL of HTTP")
    rescue URI::InvalidURIError
      warn_of("OTEL_EXPORTER_OTLP_ENDPOINT is no URL")
    end

    def warn_of(problem)
      @log.warn("there are no traces: #{problem}")
      nil
    end

    def resource(variables)
      named = variables["OTEL_SERVICE_NAME"].to_s
      { "service.name" => SERVICE_NAME }.merge(pairs(variables["OTEL_RESOURCE_ATTRIBUTES"]))
                                        .merge(named.empty? ? {} : { "service.name" => named })
    end

    # `a=b,c=d`, with percent signs for what would not survive.
    def pairs(text)
      text.to_s.split(",").filter_map do |pair|
        key, value = pair.split("=", 2)
        [key.strip, URI.decode_www_form_component(value.strip.gsub("+", "%2B"))] if value
      end.to_h
    end

    # The few messages of OTLP that are needed, in protobuf's encoding.
    module Wire
      module_function

      def request(resource, spans)
        scope = text(1, "langop") + text(2, VERSION)
        within = bytes(1, scope) + spans.map { |span| bytes(2, span(span)) }.join
        bytes(1, bytes(1, attributes(1, resource)) + bytes(2, within))
      end

      def span(span)
        links = span.links.map { |trace, id| bytes(13, hex(1, trace) + hex(2, id)) }.join
        status = span.failed ? bytes(15, number(3, ERROR)) : ""
        hex(1, span.trace_id) + hex(2, span.id) + (span.parent_id ? hex(4, span.parent_id) : "") + text(5, span.name) +
          number(6, KINDS.fetch(span.kind)) + fixed(7, span.begun) + fixed(8, span.ended) +
          attributes(9, span.attributes) + links + status
      end

      def attributes(field, attributes)
        attributes.map { |key, value| bytes(field, text(1, key) + bytes(2, value_of(value))) }.join
      end

      def value_of(value)
        case value
        when true, false then number(2, value ? 1 : 0)
        when Integer then number(3, value)
        else text(1, value.to_s)
        end
      end

      def text(field, text) = bytes(field, text.encode(Encoding::UTF_8).b)
      def hex(field, hex) = bytes(field, [hex].pack("H*"))
      def bytes(field, bytes) = varint((field << 3) | 2) + varint(bytes.bytesize) + bytes.b
      def number(field, number) = varint(field << 3) + varint(number)
      def fixed(field, number) = varint((field << 3) | 1) + [number].pack("Q<")

      def varint(number)
        number &= 0xffff_ffff_ffff_ffff
        bytes = []
        while number > 0x7f
          bytes << ((number & 0x7f) | 0x80)
          number >>= 7
        end
        (bytes << number).pack("C*")
      end
    end
    private_constant :Wire
  end
end
