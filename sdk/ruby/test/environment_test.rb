# frozen_string_literal: true

require "helper"

class EnvironmentTest < Minitest::Test
  include Together

  def environment(**variables) = Langop::Environment.new(variables.transform_keys(&:to_s))

  def test_urls_follow_the_rule
    read = environment(
      MCP_SERVERS: '[{"name":"a","url":"http://a:8080"},{"name":"b","url":"http://b/"},{"name":"c","url":"https://c/x"}]',
      MODEL_ENDPOINTS: '[{"name":"m","url":"http://m:8000"},{"name":"n","url":"http://n/v1","model":"x"}]'
    )
    assert_equal %w[http://a:8080/mcp http://b/mcp https://c/x], read.tools.map { |tool| tool.url.to_s }
    assert_equal %w[http://m:8000/v1/chat/completions http://n/v1/chat/completions], read.models.map { |model| model.url.to_s }
    assert_equal %w[m x], read.models.map(&:model)
  end

  def test_an_empty_value_is_as_good_as_none
    read = environment(AGENT_NAME: " ", AGENT_MAX_ITERATIONS: "", PORT: "")
    assert_equal ["agent", 25, 8088, :once], [read.name, read.max_iterations, read.port, read.schedule.kind]
  end

  def test_schedules
    assert_equal [:once, true], environment(AGENT_MODE: "scheduled", AGENT_SCHEDULE: "0 9 * * *").schedule.to_h.values_at(:kind, :by_job)
    assert_equal [:every, 5400], environment(AGENT_MODE: "scheduled", AGENT_SCHEDULE: "every 90m").schedule.to_h.values_at(:kind, :seconds)
    assert_equal :continuous, environment(AGENT_MODE: "autonomous").schedule.kind
  end

  # The variable, a value that is wrong, and what the message says to write.
  def test_what_is_wrong_names_the_variable_and_what_to_write
    twice = '[{"name":"a","url":"http://a"},{"name":"a","url":"http://b"}]'
    [
      [:MCP_SERVERS, "nonsense", "write for example"], [:MCP_SERVERS, '{"a":1}', "write for example"],
      [:MCP_SERVERS, '[{"name":"a","url":"ftp://s3cret"}]', "http://"], [:MODEL_ENDPOINTS, twice, "its own name"],
      [:MCP_SERVERS, '[{"name":" ","url":"http://a"}]', "without a name"],
      [:AGENT_TIMEOUT, "soon", "such as 5m"], [:AGENT_TIMEOUT, "0s", "at least 1s"], [:AGENT_TIMEOUT, "367d", "at most 366d"],
      [:AGENT_MODE, "always", "autonomous or scheduled"], [:PORT, "70000", "from 1 to 65535"],
      [:AGENT_MAX_ITERATIONS, "0", "from 1 to 10000"], [:LANGOP_AGENT_SERVE, "ftp", "write mcp"]
    ].each do |variable, value, advice|
      error = failure("configuration") { environment(variable => value) }
      assert_match(/\A#{variable} .*#{Regexp.escape(advice)}/, error.message)
      refute_includes error.message, "s3cret"
    end
    failure("configuration") { Langop::Log.new("loud") }
  end

  def test_days_that_are_due
    due = lambda do |only, date, cron: "* * * * *"|
      days = Langop::Days.new(only, cron, "Europe/Berlin")
      days.not_due(Time.utc(*date, 12)).nil?
    end
    assert due.call("last day of month", [2028, 2, 29])
    refute due.call("last day of month", [2028, 2, 28])
    assert due.call("second Tuesday", [2026, 1, 13])
    assert due.call("last FRI", [2026, 1, 30])
    refute due.call("last FRI", [2026, 1, 23])
    assert due.call("every 2 weeks from 2026-01-06", [2026, 1, 21])
    refute due.call("every 2 weeks from 2026-01-06", [2026, 1, 14])
  end

  def test_a_pod_that_starts_after_midnight_is_for_the_day_before
    days = Langop::Days.new("last day of month", "55 23 * * *", "Europe/Berlin")
    assert_nil days.not_due(Time.new(2026, 2, 1, 0, 10, 0, "+01:00"))
    assert_equal "not due: 2026-02-01 is no day of 'last day of month'", days.not_due(Time.new(2026, 2, 1, 1, 10, 0, "+01:00"))
  end

  def test_days_that_cannot_be_read
    [["never", "* * * * *", nil, "AGENT_SCHEDULE_ONLY"], ["every 1 weeks from 2026-01-06", nil, nil, "AGENT_SCHEDULE_ONLY"],
     ["every 2 weeks from 2026-02-30", nil, nil, "AGENT_SCHEDULE_ONLY"], ["first MON", "* * *", nil, "AGENT_SCHEDULE"],
     ["first MON", "61 * * * *", nil, "AGENT_SCHEDULE"], ["first MON", nil, "Europe/Nowhere", "AGENT_TIME_ZONE"]].each do |only, cron, zone, variable|
      assert_equal variable, assert_raises(Langop::Days::Wrong) { Langop::Days.new(only, cron, zone) }.variable
    end
  end
end

class TextsTest < Minitest::Test
  def test_a_quote_is_one_bounded_line_without_what_nobody_sees
    assert_equal "a b [31mc", Langop::Quote.line("a\n\tb\u200b\e[31mc")
    assert_equal "éééé…", Langop::Quote.line("é" * 50, 12)
    assert Langop::Quote.line("\xff broken").valid_encoding?
    cut = Langop::Quote.cut("é" * 100, 60)
    assert_operator cut.bytesize, :<=, 60
    assert_match(/\[cut: 60 of 200 bytes shown\]\z/, cut)
  end

  def test_keys_are_taken_out_and_look_alikes_stay
    random = "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8"
    [["ghp_", random], ["sk-ant-", random + random], ["xoxb-", random], ["AKIA", "ABCDEFGH23456723"]].each do |prefix, body|
      assert_equal "key #{Langop::Secrets::REMOVED}, then", Langop::Secrets.mask("key #{prefix}#{body}, then")
    end
    ["ghp_#{"x" * 36}", "ghp_short", "xghp_#{random}", "AKIAIOSFODNN7EXAMPLE"].each do |text|
      assert_equal text, Langop::Secrets.mask(text)
    end
    pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END RSA PRIVATE KEY-----"
    assert_equal "a #{Langop::Secrets::REMOVED} b", Langop::Secrets.mask("a #{pem} b")
  end

  def test_a_schema_refuses_what_does_not_fit
    schema = { "type" => "object", "required" => ["a"], "additionalProperties" => false,
               "properties" => { "a" => { "type" => "integer", "minimum" => 1 }, "b" => { "enum" => %w[x y] },
                                 "c" => { "type" => "array", "items" => { "$ref" => "#/$defs/d" } } },
               "$defs" => { "d" => { "anyOf" => [{ "type" => "string", "maxLength" => 2 }, { "type" => "null" }] } } }
    good = { "a" => 1.0, "b" => "x", "c" => ["ab", nil] }
    assert_nil Langop::Schema.misfit(schema, good, closed: true)
    { { "a" => "1" } => "`a` must be an integer, not a string", {} => "`a` is missing: it is required",
      good.merge("a" => 0) => "`a` must be at least 1", good.merge("b" => "z") => '`b` must be one of "x", "y"',
      good.merge("c" => ["abc"]) => "`c[0]` must have at most 2 characters",
      good.merge("d" => 1) => "`d` does not exist: there are a, b, c" }.each do |value, said|
      assert_equal said, Langop::Schema.misfit(schema, value, closed: true)
    end
    circle = { "$ref" => "#" }
    assert_nil Langop::Schema.misfit(circle, 1), "a schema that never ends refuses nothing"
    assert_nil Langop::Schema.misfit({ "$ref" => "http://127.0.0.1:1/x", "type" => "odd" }, 1), "nothing is fetched"
  end
end
