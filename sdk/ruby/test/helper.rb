# frozen_string_literal: true

require "minitest/autorun"
require "socket"
require "stringio"
require "tmpdir"
require "langop"

# A server as rude as real ones: what it answers is decided by a block for each request, down to the bytes.
class RudeServer
  Request = Struct.new(:verb, :path, :headers, :body, keyword_init: true) do
    def message = body.empty? ? {} : JSON.parse(body)
    def method_name = message["method"]
    def id = message["id"]
    def modern? = message.dig("params", "_meta", Langop::MCP::META_VERSION).is_a?(String)
  end

  attr_reader :requests

  # @yield [Request] gives a hash to be sent as JSON with status 200; [status, headers, body]; :drop; or a
  #   proc that takes the socket
  def initialize(&answer)
    @answer = answer
    @server = TCPServer.new("127.0.0.1", 0)
    @requests = Thread::Queue.new
    @thread = Thread.new { loop { serve(@server.accept) } }
  end

  def url = "http://127.0.0.1:#{@server.addr[1]}"

  # All that was asked so far.
  def seen
    all = []
    all << @requests.pop until @requests.empty?
    all.each { |request| @requests << request }
    all
  end

  def methods_seen = seen.map(&:method_name)

  def close
    @thread.kill
    @server.close
  end

  private

  def serve(socket)
    Thread.new do
      request = read(socket)
      @requests << request if request
      reply(socket, @answer.call(request)) if request
    rescue SystemCallError, IOError
      nil
    ensure
      socket.close
    end
  end

  def read(socket)
    line = socket.gets or return
    verb, path = line.split
    headers = {}
    while (line = socket.gets.chomp) != ""
      name, value = line.split(": ", 2)
      headers[name.downcase] = value
    end
    body = socket.read(headers["content-length"].to_i).force_encoding(Encoding::UTF_8)
    Request.new(verb: verb, path: path, headers: headers, body: body)
  end

  def reply(socket, answer)
    return if answer == :drop
    return answer.call(socket) if answer.is_a?(Proc)

    status, headers, body = answer.is_a?(Hash) ? [200, {}, JSON.generate(answer)] : answer
    headers = { "content-type" => "application/json", "content-length" => body.bytesize }.merge(headers)
    socket.write("HTTP/1.1 #{status} Words\r\n#{headers.map { |pair| pair.join(": ") }.join("\r\n")}\r\n\r\n#{body}")
  end
end

# Answers of servers, in few words.
module Answers
  TOOLS = [
    { "name" => "read", "inputSchema" => { "type" => "object" }, "annotations" => { "readOnlyHint" => true } },
    { "name" => "record", "description" => "Records",
      "inputSchema" => { "type" => "object", "properties" => { "text" => { "type" => "string" } } } }
  ].freeze

  module_function

  def result(request, result) = { jsonrpc: "2.0", id: request.id, result: result }

  def error(request, code, message, status: 400, id: request.id)
    [status, {}, JSON.generate(jsonrpc: "2.0", id: id, error: { code: code, message: message })]
  end

  # A modern server. The block answers calls.
  def modern(request)
    case request.method_name
    when "server/discover" then result(request, { resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: {} })
    when "tools/list" then result(request, { resultType: "complete", tools: TOOLS, ttlMs: 60_000 })
    when "tools/call" then yield request
    end
  end

  # A server of the handshake, after whatever it says to a modern request.
  def legacy(request)
    case request.method_name
    when "initialize"
      body = JSON.generate(result(request, { protocolVersion: "2025-11-25", capabilities: {}, serverInfo: {} }))
      [200, { "mcp-session-id" => "s-1" }, body]
    when "notifications/initialized", "notifications/cancelled" then [202, {}, ""]
    when "tools/list" then result(request, { tools: TOOLS })
    when "tools/call" then yield request
    when "ping" then result(request, {})
    end
  end

  def text(request, text, **more) = result(request, { content: [{ type: "text", text: text }], **more })

  # A stream of events.
  def events(*messages)
    [200, { "content-type" => "text/event-stream" }, messages.map { |message| "data: #{JSON.generate(message)}\n\n" }.join]
  end

  # A chat completion.
  def says(text, calls: nil, finish: "stop", usage: { prompt_tokens: 10, completion_tokens: 2 })
    message = { role: "assistant", content: text, tool_calls: calls }.compact
    { choices: [{ message: message, finish_reason: finish }], usage: usage }.compact
  end

  def call(name, arguments, id: "c1") = { id: id, type: "function", function: { name: name, arguments: arguments } }
end

# What tests share.
module Together
  include Answers

  def setup
    @servers = []
    @folder = Dir.mktmpdir
  end

  def teardown
    @servers.each(&:close)
    FileUtils.remove_entry(@folder)
  end

  def serve(&answer)
    RudeServer.new(&answer).tap { |server| @servers << server }
  end

  # Gives these answers one after the other.
  def serve_all(*answers)
    serve { answers.size > 1 ? answers.shift : answers.first }
  end

  def client(tools: {}, models: {}, log: nil, **variables)
    named = ->(servers) { JSON.generate(servers.map { |name, server| { name: name, url: server.is_a?(String) ? server : server.url } }) }
    variables = variables.transform_keys(&:to_s)
    variables["MCP_SERVERS"] = named.call(tools)
    variables["MODEL_ENDPOINTS"] = named.call(models)
    Langop::Client::Base.new(env: variables, log: log)
  end

  def failure(reason, &block)
    error = assert_raises(Langop::Failure, &block)
    assert_equal reason, error.reason, error.message
    error
  end

  # The definition as it is mounted beside code.
  def mount(definition, code = "raise 'evaluated'")
    File.write(File.join(@folder, "agent.rb"), code)
    File.write(File.join(@folder, "definition.json"), JSON.generate(definition)) if definition
    File.join(@folder, "agent.rb")
  end

  def use_tool(name, tool, action, params = {}, **more)
    { "name" => name, "action" => { "useTool" => { "tool" => tool, "action" => action, "params" => params } } }.merge(more.transform_keys(&:to_s))
  end

  def ask(name, prompt, **more)
    { "name" => name, "action" => { "ask" => { "prompt" => prompt } } }.merge(more.transform_keys(&:to_s))
  end
end
