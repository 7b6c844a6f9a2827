# frozen_string_literal: true

require "helper"

class ClientTest < Minitest::Test
  include Together

  # What servers of the handshake say to a modern request: as they were met.
  REFUSALS = {
    "TypeScript SDK 1" => ->(r) { Answers.error(r, -32_000, "Bad Request: Server not initialized", id: nil) },
    "Python SDK 1" => ->(r) { Answers.error(r, -32_600, "Missing session ID", id: "server-error") },
    "gateway" => ->(r) { Answers.error(r, -32_601, "Method not found", status: 404) },
    "go-sdk" => ->(r) { Answers.result(r, { supportedVersions: ["2025-11-25"] }) },
    "answers anything" => ->(r) { Answers.result(r, {}) },
    "no body" => ->(_) { [405, {}, ""] },
    "version refused" => lambda { |r|
      [400, {}, JSON.generate(jsonrpc: "2.0", id: r.id, error: { code: -32_022, message: "no", data: { supported: ["2025-06-18"] } })]
    }
  }.freeze

  def test_both_eras_are_spoken
    REFUSALS.each do |name, refusal|
      server = serve { |r| r.modern? ? refusal.call(r) : legacy(r) { text(r, "legacy") } }
      assert_equal "legacy", client(tools: { "t" => server }).call_tool("t", "record", text: "x").text, name
      call = server.seen.last
      assert_equal "s-1", call.headers["mcp-session-id"], name
      assert_equal "2025-11-25", call.headers["mcp-protocol-version"], name
    end
    server = serve { |r| modern(r) { text(r, "modern") } }
    assert_equal "modern", client(tools: { "t" => server }).call_tool("t", "record").text
    refute_includes server.methods_seen, "initialize"
  end

  def test_an_outage_is_no_verdict_about_the_era
    answers = [[503, {}, ""], :drop]
    server = serve { |r| answers.shift || modern(r) { text(r, "there") } }
    assert_equal "there", client(tools: { "t" => server }).call_tool("t", "record").text
    refute_includes server.methods_seen, "initialize"
  end

  def test_a_modern_request_says_who_asks
    server = serve { |r| modern(r) { text(r, "") } }
    client(tools: { "t" => server }).call_tool("t", "record", text: "é")
    call = server.seen.last
    assert_equal ["2026-07-28", "tools/call", "record"], call.headers.values_at("mcp-protocol-version", "mcp-method", "mcp-name")
    assert_equal "application/json, text/event-stream", call.headers["accept"]
    meta = call.message["params"]["_meta"]
    assert_equal({}, meta["io.modelcontextprotocol/clientCapabilities"])
    assert_equal "langop-ruby", meta["io.modelcontextprotocol/clientInfo"]["name"]
    assert_kind_of Integer, meta["progressToken"]
  end

  def test_a_lost_session_costs_one_handshake
    [->(r) { error(r, -32_600, "Session not found", status: 404) },
     ->(r) { error(r, -32_000, "No valid session ID", id: nil) }].each do |lost|
      session = 0
      server = serve do |r|
        next error(r, -32_601, "?", status: 404) if r.modern?

        if r.method_name == "initialize"
          session += 1
          next [200, { "mcp-session-id" => "s-#{session}" }, JSON.generate(result(r, { protocolVersion: "2025-11-25" }))]
        end
        # The first session is lost after its list.
        next lost.call(r) if r.headers["mcp-session-id"] == "s-1" && %w[tools/call ping].include?(r.method_name)

        legacy(r) { text(r, "again") }
      end
      assert_equal "again", client(tools: { "t" => server }).call_tool("t", "record").text
      assert_equal 2, server.methods_seen.count("initialize")
    end
  end

  def test_a_complaint_of_a_tool_is_no_lost_session
    server = serve { |r| r.modern? ? [404, {}, ""] : legacy(r) { error(r, -32_000, "the database is away") } }
    error = failure("tool-protocol") { client(tools: { "t" => server }).call_tool("t", "record") }
    assert_includes error.message, "the database is away"
    assert_equal 1, server.methods_seen.count("tools/call")
  end

  def test_a_stream_may_hold_more_than_the_answer
    server = serve do |r|
      next [202, {}, ""] if r.method_name.nil?

      modern(r) do
        events({ method: "notifications/progress", params: { progressToken: r.id, progress: 1 } },
               { id: 7, method: "elicitation/create", params: {} }, result(r, { content: [{ type: "text", text: "streamed" }] }))
      end
    end
    client = client(tools: { "t" => server })
    assert_equal "streamed", client.call_tool("t", "record").text
    client.tool_client.give_notice
    refused = server.seen.map(&:message).find { |message| message["id"] == 7 }
    assert_equal({ "action" => "decline" }, refused["result"])
  end

  def test_a_stream_that_ends_is_taken_up_again
    server = serve do |r|
      next [404, {}, ""] if r.modern?
      if r.verb == "GET"
        next [200, { "content-type" => "text/event-stream" }, "data: #{JSON.generate({ jsonrpc: "2.0", id: @called, result: { content: [] } })}\n\n"]
      end

      legacy(r) do
        @called = r.id
        [200, { "content-type" => "text/event-stream" }, "id: e-1\nretry: 1\ndata:\n\n"]
      end
    end
    assert_equal "", client(tools: { "t" => server }).call_tool("t", "record").text
    assert_equal "e-1", server.seen.last.headers["last-event-id"]
  end

  # What comes back for a call: how often it is made if it changes nothing, and if it does; and the reason.
  def test_what_is_repeated
    [
      [->(_) { [500, {}, ""] }, 3, 1, "outcome-unknown"],
      [->(_) { :drop }, 3, 1, "outcome-unknown"],
      [->(r) { error(r, -32_603, "broken", status: 200) }, 3, 1, "outcome-unknown"],
      [->(_) { [429, { "retry-after" => "0" }, ""] }, 4, 4, "tool-unavailable"],
      [->(_) { [401, {}, ""] }, 1, 1, "tool-refused"],
      [->(_) { [421, {}, ""] }, 1, 1, "tool-refused"],
      [->(_) { [200, {}, "<html>"] }, 1, 1, "tool-protocol"],
      [->(r) { error(r, -32_602, "text is required", status: 200) }, 1, 1, "tool-protocol"],
      [->(r) { error(r, -32_602, "Unknown tool: record", status: 200) }, 2, 2, "unknown-operation"],
      [->(r) { error(r, -32_020, "headers") }, 2, 2, "tool-protocol"],
      [->(r) { error(r, -32_021, "elicitation") }, 1, 1, "needs-person"],
      [->(r) { error(r, -32_022, "version") }, 2, 2, "tool-unavailable"],
      [->(r) { result(r, { resultType: "task" }) }, 1, 1, "tool-protocol"],
      [->(r) { result(r, { resultType: "input_required", inputRequests: { a: {} } }) }, 1, 1, "needs-person"],
      [->(r) { result(r, { resultType: "input_required", requestState: "s" }) }, 11, 11, "tool-protocol"]
    ].each do |answer, harmless, other, reason|
      { "read" => harmless, "record" => other }.each do |operation, times|
        server = serve { |r| modern(r) { answer.call(r) } }
        client = client(tools: { "t" => server })
        client.tool_client.stub(:sleep, nil) { failure(reason) { client.call_tool("t", operation) } }
        assert_equal times, server.methods_seen.count("tools/call"), "#{reason} #{operation}"
      end
    end
  end

  def test_a_call_that_is_given_up_is_told_to_a_server_of_the_handshake
    called = Thread::Queue.new
    server = serve do |r|
      next [404, {}, ""] if r.modern?

      legacy(r) do
        called << r.id
        ->(socket) { socket.read }
      end
    end
    client = client(tools: { "t" => server })
    calling = Thread.new { client.call_tool("t", "record") }
    id = called.pop
    calling.kill.join
    client.tool_client.give_notice
    notice = server.seen.find { |r| r.method_name == "notifications/cancelled" }
    assert_equal id, notice.message["params"]["requestId"]
  end

  def test_nobody_is_there
    error = failure("tool-unavailable") do
      client(tools: { "t" => "http://127.0.0.1:1" }).tool_client.list("t", deadline: Langop::Deadline.never.within(1))
    end
    assert_equal "the tool 't' does not answer: no connection", error.message
  end

  def test_a_name_is_never_guessed
    tools = %w[list-files read.file Read_File].map { |name| Langop::Client::Operation.named("t", name) }
    resolve = ->(name) { Langop::Client::Operation.resolve(tools, name)&.name }
    assert_equal "list-files", resolve.call("LIST_files")
    assert_equal "read.file", resolve.call("read.file")
    assert_nil resolve.call("read-file"), "two are alike"
    assert_nil resolve.call(nil), "there are several"
  end

  def test_a_tool_with_invalid_marks_is_left_out_and_others_stay
    bad = [{ "x-mcp-header" => "" }, { "x-mcp-header" => "a b" }, { "x-mcp-header" => "A", "type" => "object" }]
    bad.each do |property|
      assert Langop::MCP::Headers.invalid_marks("properties" => { "a" => property }), property
    end
    assert Langop::MCP::Headers.invalid_marks("items" => { "x-mcp-header" => "A" })
    assert_nil Langop::MCP::Headers.invalid_marks("properties" => { "a" => { "type" => "string", "x-mcp-header" => "A" } })
  end

  def test_results_have_two_forms
    result = lambda { |hash| Langop::Client::ToolResult.new(hash) }
    blocks = [{ "type" => "text", "text" => "a" }, { "type" => "resource_link", "uri" => "file:///b" },
              { "type" => "image", "mimeType" => "image/png", "data" => "A" * 4096 }, { "type" => "new" }]
    assert_equal "a\nfile:///b\n[image/png, 3 KiB]\n[something unknown]", result.call("content" => blocks).text
    assert_equal "3", result.call("structuredContent" => 3).text
    assert_predicate result.call("structuredContent" => nil), :structured?
    refute_predicate result.call({}), :structured?
  end

  class Helper < Langop::Client::Base
    attr_reader :greeting

    def initialize(...)
      super
      @greeting = "Hello"
    end
  end

  def test_a_subclass_is_configured_from_the_environment
    model = serve_all(says(" Hi! "))
    helper = Helper.new(env: { "MODEL_ENDPOINTS" => JSON.generate([{ name: "m", url: model.url, model: "x" }]) })
    assert_equal ["Hello", "Hi!"], [helper.greeting, helper.ask("Hello?")]
    assert_equal "/v1/chat/completions", model.seen.last.path
    assert_equal "x", model.seen.last.message["model"]
  end
end
