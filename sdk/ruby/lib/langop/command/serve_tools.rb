# frozen_string_literal: true

module Langop
  module Command
    # `langop-tool-server`: serves tools of Ruby files as an MCP server.
    class ServeTools
      USAGE = <<~TEXT
        Serves the tools that Ruby files declare, over MCP's Streamable HTTP.

        Usage: langop-tool-server FILE...

        Settings: PORT (8080), LANGOP_TOOL_HOST (all addresses), MCP_PATH (/mcp), LANGOP_LOG (info).
      TEXT
      # How long calls in flight may take after a signal, in seconds.
      GRACE = 20.0

      # @param arguments [Array<String>] of the command line
      # @return [Integer] the exit code
      def self.call(arguments)
        if arguments.empty? || arguments.first.start_with?("-")
          warn USAGE
          return 2
        end
        new(arguments).run
      rescue Failure, ArgumentError, ScriptError, SystemCallError => e
        warn "langop-tool-server: #{e.message}"
        3
      end

      def initialize(files)
        # Standard output may be a tool's own.
        @log = Log.new(setting("LANGOP_LOG", "info"), output: $stderr)
        @tools = ToolLoader.new(File.basename(files.first, ".rb"), log: @log).load(*files)
      end

      def run
        host = setting("LANGOP_TOOL_HOST", nil)
        port = Integer(setting("PORT", "8080"), 10, exception: false)
        raise ArgumentError, "PORT cannot be read: write a port such as 8080" unless port && (1..65_535).cover?(port)

        stopping = Agent::Stopping.new.on_signals
        server = serve(host, port)
        @log.info("serving", address: "#{host || "*"}:#{port}", path: path, tools: @tools.operations.size)
        stopping.sleep(nil)
        server.stop
        0
      end

      private

      def serve(host, port)
        server = HttpServer.new(host, port, grace: GRACE)
        server.answer("/readyz") { [200, "ok\n"] }
        server.mount(path, MCP::Endpoint, @tools, log: @log)
        server.start
      end

      def path
        path = setting("MCP_PATH", "/mcp")
        return path if path.match?(%r{\A/[^{}*?#]*\z})

        raise ArgumentError, "MCP_PATH is no path: write for example /mcp"
      end

      def setting(name, default)
        value = ENV.fetch(name, "").strip
        value.empty? ? default : value
      end
    end
  end
end
