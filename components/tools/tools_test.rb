# frozen_string_literal: true

# Run with the SDK: ruby -I../../sdk/ruby/lib -I../../sdk/ruby/test tools_test.rb
require "helper"
require "rbconfig"

class ToolsTest < Minitest::Test
  include Together

  # Each is loaded as the server does, with settings of its own.
  def load(name, **settings)
    before = settings.to_h { |variable, _| [variable.to_s, ENV.fetch(variable.to_s, nil)] }
    settings.each { |variable, value| ENV[variable.to_s] = value }
    loader = Langop::ToolLoader.new(name)
    # Constants of a file are its own.
    %i[ROOT MAX_BYTES MAX_FILES RESERVED ALLOWED MAX_REDIRECTS TIMEOUT HOST PORT SECURITY FROM ADDRESS KEPT].each do |constant|
      [Object, loader.singleton_class].each { |owner| owner.send(:remove_const, constant) if owner.const_defined?(constant, false) }
    end
    loader.load(File.join(__dir__, name, "#{name}.rb"))
  ensure
    before.each { |variable, value| ENV[variable] = value }
  end

  def call(tools, name, key: nil, **arguments)
    result = tools.call(name, JSON.parse(JSON.generate(arguments)), key ? { "io.langop/idempotency-key" => key } : {})
    [result["isError"] || false, result["content"].first["text"]]
  end

  def good(...)
    is_error, text = call(...)
    refute is_error, text
    text
  end

  def bad(...)
    is_error, text = call(...)
    assert is_error, text
    text
  end

  def test_files_are_written_found_and_deleted
    files = load("filesystem", WORKSPACE_PATH: @folder)
    assert_equal "wrote 6 bytes to a/b.txt", good(files, "write_file", path: "a/b.txt", content: "größ")
    assert_equal "größ", good(files, "read_file", path: "a/b.txt")
    assert_equal "a/", good(files, "list_files")
    assert_equal "b.txt (6 bytes)", good(files, "list_files", path: "a")
    assert_equal "a/b.txt:1: größ", good(files, "search_files", text: "ö")
    assert_equal "(nothing)", good(files, "search_files", text: "none")
    assert_equal "deleted a/b.txt", good(files, "delete_file", path: "a/b.txt")
    assert_equal "there is no a/b.txt", good(files, "delete_file", path: "a/b.txt")
    assert_equal %w[delete_file list_files read_file search_files write_file], files.operations.map { |tool| tool["name"] }
  end

  def test_nothing_leads_out_of_the_workspace
    outside = Dir.mktmpdir
    File.write(File.join(outside, "secret"), "s3cret")
    files = load("filesystem", WORKSPACE_PATH: @folder)
    File.symlink(outside, File.join(@folder, "out"))
    File.symlink(File.join(outside, "secret"), File.join(@folder, "link"))
    File.symlink(File.join(outside, "new"), File.join(@folder, "dangling"))
    ["../x", "/etc/passwd", "out/secret", "link", "out/new", "dangling", "#{@folder}-beside/x"].each do |path|
      bad(files, "read_file", path: path)
      bad(files, "write_file", path: path, content: "x")
      bad(files, "delete_file", path: path)
    end
    assert_equal ["secret"], Dir.children(outside)
    assert_equal "(nothing)", good(files, "search_files", text: "s3cret")
  ensure
    FileUtils.remove_entry(outside)
  end

  def test_pages_are_fetched_and_redirects_followed
    server = serve do |request|
      next [302, { "location" => "/page" }, ""] if request.path == "/"

      request.path == "/page" ? [200, {}, "x" * 100] : [404, {}, ""]
    end
    web = load("web", WEB_ALLOWED_ADDRESSES: "127.0.0.1")
    assert_equal "x" * 10, good(web, "fetch", url: "#{server.url}/", max_bytes: 10)
    assert_match(/answers 404/, bad(web, "fetch", url: "#{server.url}/none"))
  end

  def test_what_is_not_public_is_refused_before_anything_is_sent
    server = serve { |_| [200, {}, "inside"] }
    port = URI(server.url).port
    web = load("web")
    hosts = %w[127.0.0.1 localhost 0.0.0.0 [::1] [::ffff:127.0.0.1] [::ffff:10.0.0.1] 10.1.2.3 169.254.169.254 192.168.1.1 172.16.0.1
               100.64.0.1 [fe80::1] [fd00::1] [64:ff9b::7f00:1] [2002:7f00:1::]]
    hosts.each { |host| assert_match(/is not public/, bad(web, "fetch", url: "http://#{host}:#{port}/"), host) }
    ["ftp://example.com/", "file:///etc/passwd", "http://user:secret@example.com/", "nonsense"].each { |url| bad(web, "fetch", url: url) }
    assert_empty server.seen
  end

  def test_a_redirect_to_what_is_not_public_is_refused
    inside = serve { |_| [200, {}, "inside"] }
    port = URI(inside.url).port
    outside = serve { |_| [302, { "location" => "http://127.0.0.2:#{port}/" }, ""] }
    web = load("web", WEB_ALLOWED_ADDRESSES: "127.0.0.1/32")
    assert_match(/is not public/, bad(web, "fetch", url: outside.url))
    assert_empty inside.seen
  end

  # Takes one message after the other and keeps them.
  class MailServer
    attr_reader :messages

    def initialize
      @server = TCPServer.new("127.0.0.1", 0)
      @messages = Thread::Queue.new
      @thread = Thread.new { loop { talk(@server.accept) } }
    end

    def port = @server.addr[1]

    def close
      @thread.kill
      @server.close
    end

    private

    def talk(socket)
      socket.write("220 ready\r\n")
      while (line = socket.gets)
        case line
        when /\A(HELO|EHLO|MAIL|RCPT|RSET)/ then socket.write("250 ok\r\n")
        when /\ADATA/
          socket.write("354 go on\r\n")
          text = +""
          text << line until (line = socket.gets) == ".\r\n"
          @messages << text
          socket.write("250 taken\r\n")
        else
          socket.write("221 bye\r\n")
          break
        end
      end
    ensure
      socket.close
    end
  end

  def mail(**settings)
    @server = MailServer.new
    @servers << @server
    load("email", SMTP_HOST: "127.0.0.1", SMTP_PORT: @server.port.to_s, SMTP_SECURITY: "none", SMTP_FROM: "agent@example.com", **settings)
  end

  def test_a_message_is_sent_once_for_each_key
    tools = mail
    arguments = { to: "ops@example.com", subject: "Größe", body: "line 1\nline 2" }
    assert_equal "sent to ops@example.com", good(tools, "send", key: "k", **arguments)
    assert_equal "was sent to ops@example.com before", good(tools, "send", key: "k", **arguments)
    message = @server.messages.pop
    assert_empty @server.messages
    head, body = message.split("\r\n\r\n", 2)
    assert_includes head, "Subject: =?UTF-8?B?#{["Größe"].pack("m0")}?="
    assert_equal "line 1\nline 2", body.unpack1("m").force_encoding("UTF-8")
  end

  def test_nobody_else_is_written_to
    tools = mail(EMAIL_ALLOWED_RECIPIENTS: "ops@example.com, @example.org")
    good(tools, "send", to: "Any@Example.org", subject: "x", body: "y")
    ["eve@example.com", "ops@example.com.evil.example", "a@b\r\nBcc: eve@example.com"].each do |address|
      bad(tools, "send", to: address, subject: "x", body: "y")
    end
    good(tools, "send", to: "ops@example.com", subject: "x\r\nBcc: eve@example.com", body: "y")
    messages = Array.new(2) { @server.messages.pop }
    refute(messages.any? { |message| message.match?(/^Bcc:/) }, messages.last)
  end
end
