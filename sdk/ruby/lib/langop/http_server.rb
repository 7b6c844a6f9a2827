# frozen_string_literal: true

require "webrick"

module Langop
  # An HTTP server that logs nothing of what it is asked, in a thread of its own.
  class HttpServer
    # How long requests in flight may take once it stops, in seconds.
    GRACE = 1.0

    # Takes the port.
    # @param host [String, nil] nil: all addresses, of both families where the machine has both
    # @raise [SystemCallError] if it cannot be used
    def initialize(host, port, grace: GRACE)
      @grace = grace
      @server = WEBrick::HTTPServer.new(
        BindAddress: host, Port: port, AccessLog: [], DoNotReverseLookup: true, MaxClients: 256,
        Logger: WEBrick::Log.new(File::NULL, WEBrick::BasicLog::FATAL), ServerSoftware: "langop"
      )
      # The one path that every server has.
      answer("/livez") { [200, "ok\n"] }
    end

    # @return [Integer] the port, where the system chose one
    def port = @server.listeners.first.addr[1]

    # @yield gives status and text
    def answer(path, type: "text/plain; charset=utf-8")
      @server.mount_proc(path) do |_, response|
        response.status, response.body = yield
        response["content-type"] = type
      end
    end

    # @param servlet [Class] of WEBrick
    def mount(path, servlet, *arguments, **options)
      @server.mount(path, Mounted.new(servlet, arguments, options))
    end

    # WEBrick's own way hands no keywords to a servlet.
    Mounted = Struct.new(:servlet, :arguments, :options) do
      def get_instance(server, *) = servlet.new(server, *arguments, **options)
    end
    private_constant :Mounted

    def start
      @thread = Thread.new { @server.start }
      self
    end

    # Waits until it has stopped.
    def join = @thread.join

    # Takes no new request. May be called from a signal's handler.
    def shutdown = @server.shutdown

    # Stops it, at the latest after the grace.
    def stop
      shutdown
      @thread&.join(@grace) || @thread&.kill
    end
  end
end
