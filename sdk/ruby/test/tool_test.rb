# frozen_string_literal: true

require "helper"

class ToolTest < Minitest::Test
  include Together

  FILE = <<~RUBY
    tool "send" do
      description "Sends mail, für alle"
      parameter :to, type: :string, required: true, description: "Whom"
      parameter :body do
        type :string
        maxLength 10
      end
      parameter :copies, type: :integer, default: 1
      execute { |params, context| { to: params[:to], body: params["body"], copies: params[:copies], key: context.idempotency_key } }
    end

    tool "fails" do
      execute { raise Langop::ToolError, "the mailbox is full" }
    end

    tool "crashes" do
      read_only
      execute { File.read("/s3cret/path") }
    end
  RUBY

  def setup
    super
    path = File.join(@folder, "mail.rb")
    File.write(path, FILE)
    @log = StringIO.new
    log = Langop::Log.new("info", output: @log)
    @server = Langop::HttpServer.new("127.0.0.1", 0)
    @server.mount("/mcp", Langop::MCP::Endpoint, Langop::ToolLoader.new("mail", log: log).load(path), max_body: 100_000)
    @server.start
    @port = @server.port
  end

  def teardown
    @server.stop
    super
  end

  def post(body, **headers)
    request = Net::HTTP::Post.new("/mcp", { "content-type" => "application/json", "accept" => "application/json, text/event-stream" }.merge(headers.transform_keys(&:to_s)))
    request.body = body.is_a?(String) ? body : JSON.generate(body)
    Net::HTTP.start("127.0.0.1", @port) { |http| http.request(request) }
  end

  def modern(method, params = {}, version: Langop::MCP::MODERN, **headers)
    meta = { Langop::MCP::META_VERSION => version, Langop::MCP::META_CAPABILITIES => {} }
    named = Langop::MCP::Headers.of(method, params).merge("mcp-protocol-version" => version)
    post({ jsonrpc: "2.0", id: 1, method: method, params: params.merge(_meta: meta) }, **named, **headers)
  end

  def code(response) = [response.code.to_i, JSON.parse(response.body).dig("error", "code")]

  def test_a_declared_tool_is_listed_and_called
    client = client(tools: { "mail" => "http://127.0.0.1:#{@port}" })
    assert_equal %w[crashes fails send], client.tools.map(&:name)
    assert client.tools.first.read_only
    assert_equal "Sends mail, für alle", client.tools.last.description
    sent = client.call_tool("mail", "send", to: "a@example.com")
    assert_equal({ "to" => "a@example.com", "body" => nil, "copies" => 1, "key" => nil }, sent.structured)
    assert_equal JSON.generate(sent.structured), sent.text
  end

  def test_parameters_are_checked_and_the_model_is_told
    client = client(tools: { "mail" => "http://127.0.0.1:#{@port}" })
    { {} => "send: `to` is missing: it is required", { to: 3 } => "send: `to` must be a string, not an integer",
      { to: "a", body: "x" * 11 } => "send: `body` must have at most 10 characters",
      { to: "a", bcc: "b" } => "send: `bcc` does not exist: there are to, body, copies" }.each do |arguments, said|
      result = client.call_tool("mail", "send", arguments)
      assert_equal [true, said], [result.error?, result.text]
    end
  end

  def test_a_failure_tells_the_caller_only_what_the_tool_says
    client = client(tools: { "mail" => "http://127.0.0.1:#{@port}" })
    assert_equal "the mailbox is full", client.call_tool("mail", "fails").text
    crashed = client.call_tool("mail", "crashes")
    assert_equal [true, "crashes failed unexpectedly; its log says why"], [crashed.error?, crashed.text]
    assert_includes @log.string, "s3cret/path"
  end

  def test_a_client_of_the_handshake_is_answered_without_a_session
    response = post({ jsonrpc: "2.0", id: 1, method: "initialize", params: { protocolVersion: "2025-06-18", capabilities: {} } })
    assert_equal "2025-06-18", JSON.parse(response.body).dig("result", "protocolVersion")
    assert_nil response["mcp-session-id"]
    assert_equal "202", post({ jsonrpc: "2.0", method: "notifications/initialized" }).code
    listed = post({ jsonrpc: "2.0", id: "x", method: "tools/list" }, "mcp-protocol-version": "2025-06-18")
    assert_equal 3, JSON.parse(listed.body).dig("result", "tools").size
    unknown = post({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "none" } })
    assert_equal [200, -32_602], code(unknown)
  end

  def test_a_client_of_today_is_answered_with_what_it_may_keep
    result = JSON.parse(modern("tools/list").body)["result"]
    assert_equal ["complete", 300_000, "public"], result.values_at("resultType", "ttlMs", "cacheScope")
    assert_equal ["2026-07-28"], JSON.parse(modern("server/discover").body).dig("result", "supportedVersions")
  end

  # What is asked, the status, and the code of the error.
  def test_what_is_refused
    call = { jsonrpc: "2.0", id: 1, method: "tools/list", params: {} }
    [
      [modern("tools/list", version: "2099-01-01"), 400, -32_022], [modern("prompts/list"), 404, -32_601],
      [modern("tools/list", "mcp-method": "tools/call"), 400, -32_020], [modern("tools/list", { cursor: "x" }), 200, -32_602],
      [modern("tools/call", { "name" => "send", "arguments" => {} }, "mcp-name": "other"), 400, -32_020],
      [post(call, "mcp-protocol-version": "2026-07-28"), 400, -32_602], [post("{"), 400, -32_700], [post([call]), 400, -32_600],
      [post({ jsonrpc: "2.0", id: nil, method: "ping" }), 400, -32_600], [post({ jsonrpc: "2.0", id: 1, method: "x" }), 200, -32_601]
    ].each { |response, status, code| assert_equal [status, code], code(response), response.body }
    { { origin: "https://evil.example" } => "403", { "content-type": "text/plain" } => "415", { accept: "text/html" } => "406" }.each do |headers, status|
      assert_equal status, post(call, **headers).code
    end
    assert_equal "200", post(call, origin: "http://localhost:3000").code
    assert_equal "413", post("x" * 100_001).code
    [Net::HTTP::Get, Net::HTTP::Delete].each do |verb|
      assert_equal "405", Net::HTTP.start("127.0.0.1", @port) { |http| http.request(verb.new("/mcp")) }.code
    end
  end

  def test_what_is_wrong_with_a_file_is_told_with_what_to_write
    { "x = 1" => "declares no tool", 'tool("a") { }' => "write execute", 'tool("a b") { }' => "invalid tool name",
      'tool("a") { parameter :x, type: :date }' => "write one of string" }.each do |content, said|
      path = File.join(@folder, "bad.rb")
      File.write(path, content)
      assert_match(/#{said}/, assert_raises(ArgumentError) { Langop::ToolLoader.new.load(path) }.message)
    end
  end
end
