# frozen_string_literal: true

require "helper"

class TracesTest < Minitest::Test
  include Together

  # Spans as they arrive are judged with a real decoder in the table of behaviours; here, what goes wrong.
  def traces(**variables) = Langop::Traces.new(variables.transform_keys(&:to_s), log: Langop::Log.new("warn", output: @log = StringIO.new))

  def test_what_is_wrong_is_a_warning_and_no_failure
    { { OTEL_EXPORTER_OTLP_ENDPOINT: "http://a", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" } => "write http/protobuf",
      { OTEL_EXPORTER_OTLP_ENDPOINT: "nonsense" } => "no URL" }.each do |variables, said|
      traces = traces(**variables)
      assert_equal :done, traces.span("x") { :done }
      traces.flush
      assert_includes @log.string, said
    end
    [["http://127.0.0.1:1", "could not be sent"], [serve { |_| [503, {}, ""] }.url, "are refused"]].each do |url, said|
      traces = traces(OTEL_EXPORTER_OTLP_ENDPOINT: url)
      traces.span("x") { nil }
      traces.flush
      assert_includes @log.string, said
    end
  end

  def test_nobody_listens_and_nothing_is_kept
    traces = traces(OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1")
    traces.span("x") { |span| assert_nil span.traceparent }
    traces.flush
    assert_empty @log.string
  end

  def test_spans_name_their_parents_and_say_where_they_are_from
    receiver = serve { |_| [200, {}, ""] }
    traces = traces(OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_SERVICE_NAME: "mine", OTEL_RESOURCE_ATTRIBUTES: "a=b%20c",
                    OTEL_EXPORTER_OTLP_HEADERS: "x-key=k")
    traces.span("outer") do |outer|
      traces.span("inner", kind: :client, "n": 300, "ok": true) do |inner|
        assert_equal [outer.trace_id, outer.id], [inner.trace_id, inner.parent_id]
        assert_equal [inner.trace_id, inner.id], Langop::Traces.parse(inner.traceparent)
      end
    end
    traces.flush
    request = receiver.seen.last
    assert_equal ["/v1/traces", "application/x-protobuf", "k"], [request.path, *request.headers.values_at("content-type", "x-key")]
    ["mine", "b c", "outer", "inner"].each { |text| assert_includes request.body.b, text }
  end

  def test_only_what_the_standard_allows_is_a_parent
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert_equal %w[0af7651916cd43dd8448eb211c80319c b7ad6b7169203331], Langop::Traces.parse(good)
    [nil, "", "00-0-0-0", "ff#{good[2..]}", "00-#{"0" * 32}-b7ad6b7169203331-01", good.sub("a", "z")].each { |bad| assert_nil Langop::Traces.parse(bad) }
  end
end
