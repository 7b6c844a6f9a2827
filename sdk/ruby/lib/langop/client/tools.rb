# frozen_string_literal: true

module Langop
  module Client
    # All tools of the environment: connected when they are first needed, called, and called again where
    # that is right. Knows when a list of operations is fresh; knows nothing of steps and models.
    class Tools
      # How long a list is fresh where the server does not say, and at most, in seconds.
      LIST = 60
      LONGEST_LIST = 86_400
      # How long a server that does not answer is waited for, in seconds.
      WAIT = 60.0
      # Pauses while it is.
      FIRST_PAUSE = 0.25
      LONGEST_PAUSE = 5.0
      # Most rounds of a call whose server only wants its own state back.
      MAX_ROUNDS = 10
      # Most pages of a list.
      MAX_PAGES = 64
      # How long servers are given to take what they are told at the end, in seconds.
      NOTICE = 1.0
      # Worth waiting for while connecting: negotiating has no effects.
      MAY_PASS = %i[not_sent busy interrupted].freeze

      Server = Struct.new(:name, :url, :mutex, :connection, :list, :fresh_until, keyword_init: true)

      # @param endpoints [Array<Environment::Endpoint>]
      # @param log [Log]
      # @param metrics [#tool_call, #output_mismatch, nil]
      # @param traces [Traces]
      def initialize(endpoints, log: Log.none, metrics: nil, traces: Traces.new({}))
        @servers = endpoints.to_h do |endpoint|
          [endpoint.name, Server.new(name: endpoint.name, url: endpoint.url, mutex: Mutex.new)]
        end
        @log = log
        @metrics = metrics
        @traces = traces
        @mutex = Mutex.new
        @last_id = 0
        @notices = []
      end

      # @return [Array<String>] their names, sorted
      def names = @servers.keys.sort

      # @return [Array<Operation>] what a tool can do, from a list that is fresh by the server's word
      # @raise [Failure]
      def list(tool, deadline: Deadline.never)
        listed(server(tool), deadline)
      rescue Trouble => e
        raise e.failure(tool, "tools/list")
      end

      # The operation that `action` means, see {Operation.resolve}. Where the list cannot be had, the name
      # is taken as it is.
      # @raise [Failure]
      def operation(tool, action, deadline: Deadline.never)
        server = server(tool)
        list = listed(server, deadline)
        found = Operation.resolve(list, action)
        # A list may be older than the operation, so that a second look is worth its while.
        found ||= Operation.resolve(list = listed(server, deadline, renewed: true), action)
        found || raise(unknown(tool, action, list))
      rescue Trouble => e
        raise e.failure(tool, action || "tools/list") unless e.kind == :protocol && action

        Operation.named(tool, action)
      end

      # Calls an operation.
      # @param meta [Hash] what the call says of itself
      # @return [ToolResult]
      # @raise [Failure]
      def call(operation, arguments, deadline: Deadline.never, meta: {})
        server = server(operation.server)
        @traces.span("tools/call #{operation.name}", kind: :client, **about(server, operation)) do |span|
          # The tool's parent is this call.
          meta = meta.merge("traceparent" => span.traceparent) if span.traceparent
          result = ToolResult.new(rounds(server, operation, arguments, meta, deadline))
          span.fail("tool_error") if result.error?
          @metrics&.tool_call(server.name, result.error? ? "tool-error" : "ok")
          warn_of_misfit(operation, result)
          result
        rescue Trouble => e
          span.fail(e.reason)
          @metrics&.tool_call(server.name, e.reason)
          raise e.failure(server.name, operation.name)
        end
      end

      # Waits until all servers know which calls are given up: before the process ends, which would tell
      # those of the handshake's era nothing.
      def give_notice
        ends = Deadline.now + NOTICE
        notices = @mutex.synchronize { @notices.dup }
        told = notices.all? { |notice| notice.join([ends - Deadline.now, 0].max) }
        @log.info("a tool was not told in time that a call of it is given up") unless told
      end

      # A pause with jitter, so that many that wait do not come back together.
      def self.jittered(pause) = (pause / 2.0) + rand(pause / 2.0)

      private

      def about(server, operation)
        { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": operation.name, "mcp.method.name": "tools/call",
          "server.address": server.url.host, "server.port": server.url.port, "network.transport": "tcp" }
      end

      def server(tool)
        @servers.fetch(tool) do
          raise Failure.new("not-offered", "the tool '#{tool}' is not offered: add it to MCP_SERVERS (toolRefs)")
        end
      end

      def unknown(tool, action, list)
        names = list.first(10).map(&:name).join(", ")
        what = action ? "has no operation '#{action}'; it has #{names}" : "has several operations; name one of #{names}"
        Failure.new("unknown-operation", "the tool '#{tool}' #{what}")
      end

      def warn_of_misfit(operation, result)
        misfit = operation.misfit(result) or return
        @metrics&.output_mismatch(operation.server)
        @log.warn("the result is not as the tool's output schema says, and is taken as it is: #{misfit}",
                  tool: operation.server, operation: operation.name)
      end

      # The call, once more after a fresh list or with the server's state, where it asks for that alone.
      def rounds(server, operation, arguments, meta, deadline)
        params = { "name" => operation.name, "arguments" => arguments }
        has_listed = false
        rounds = 0
        loop do
          result = exchange(server, "tools/call", params, deadline, meta: meta, operation: operation)
          case result["resultType"]
          when nil, "complete" then return result
          when "input_required"
            rounds += 1
            params = params.merge("requestState" => state_alone(result, rounds))
          else raise Trouble.new(:protocol, "the answer is no result of a tool")
          end
        rescue Trouble => e
          raise if e.repeat != :after_list || has_listed

          has_listed = true
          operation = listed(server, deadline, renewed: true).find { |known| known.name == operation.name } || raise(e)
        end
      end

      # The state to send back, if that is all the server wants.
      def state_alone(result, rounds)
        wanted = result["inputRequests"]
        raise Trouble.new(:needs_person, "it asks for input") if wanted.respond_to?(:empty?) && !wanted.empty?

        state = result["requestState"]
        raise Trouble.new(:protocol, "it wants input and does not say which") unless state.is_a?(String)
        raise Trouble.new(:protocol, "it wanted its state back more than #{MAX_ROUNDS} times") if rounds > MAX_ROUNDS

        state
      end

      def listed(server, deadline, renewed: false)
        fresh = server.mutex.synchronize { server.list if server.fresh_until.to_f > Deadline.now }
        return fresh if fresh && !renewed

        tools, ttl = pages(server, deadline)
        list = tools.filter_map { |tool| Operation.of(server.name, tool) }
        seconds = ttl ? [ttl / 1000.0, LONGEST_LIST].min : LIST
        server.mutex.synchronize do
          server.fresh_until = Deadline.now + seconds
          server.list = list
        end
      end

      def pages(server, deadline)
        tools = []
        ttls = []
        cursor = nil
        MAX_PAGES.times do
          params = cursor ? { "cursor" => cursor } : {}
          page = exchange(server, "tools/list", params, deadline)
          raise Trouble.new(:protocol, "the answer is no list of tools") unless page["tools"].is_a?(Array)

          tools.concat(page["tools"])
          ttls << page["ttlMs"] if page["ttlMs"].is_a?(Integer)
          cursor = page["nextCursor"]
          break unless cursor.is_a?(String)
        end
        [tools, ttls.min]
      end

      # Sends a request, and again where that is right. Of a list nothing is done by asking again.
      def exchange(server, method, params, deadline, meta: {}, operation: nil)
        harmless = operation.nil? || operation.harmless
        has_reconnected = false
        attempts = 0
        loop do
          connection = connection(server, deadline)
          Traces.current.set("mcp.protocol.version" => connection.version) if operation
          return connection.request(method, params, deadline: deadline, meta: meta, schema: operation&.schema)
        rescue Trouble => e
          raise if connection.nil?

          attempts += 1
          again = e.repeat(harmless: harmless)
          if again == :after_connecting && !has_reconnected
            has_reconnected = true
            forget(server, connection)
          elsif again.is_a?(Integer) && attempts <= again
            pause_before_repeat(server, connection, e, attempts, deadline)
          else
            raise
          end
        end
      end

      def pause_before_repeat(server, connection, trouble, attempts, deadline)
        pause = Tools.jittered(trouble.pause(attempts))
        raise trouble if deadline.left(pause) < pause

        @log.info("calling again: #{trouble.message}", tool: server.name, attempts: attempts)
        # Nobody is there: awaited as at the beginning, over a new connection.
        forget(server, connection) if trouble.kind == :not_sent
        sleep(pause)
      end

      # Lets the next request connect anew, unless another one has done so already.
      def forget(server, connection)
        server.mutex.synchronize { server.connection = nil if server.connection.equal?(connection) }
      end

      # The connection to a server, waiting for one that does not answer yet.
      def connection(server, deadline)
        server.mutex.synchronize { server.connection ||= connect(server, deadline) }
      end

      def connect(server, deadline)
        began = Deadline.now
        patience = deadline.tenth_left(WAIT)
        pause = FIRST_PAUSE
        begin
          connection = Connection.new(server.url, ids: method(:next_id), notify: method(:notify)).negotiate(deadline)
          @log.info("connected", tool: server.name, version: connection.version)
          connection
        rescue Trouble => e
          raise unless MAY_PASS.include?(e.kind)
          # Nothing was done, so that nothing is unknown.
          raise Trouble.new(:not_sent, e.message) if Deadline.now - began + pause > patience

          sleep(Tools.jittered(pause))
          pause = [2 * pause, LONGEST_PAUSE].min
          retry
        end
      end

      def next_id = @mutex.synchronize { @last_id += 1 }

      # Tells a server something in passing. Whoever cannot be told has gone.
      def notify
        notice = Thread.new do
          yield
        rescue Trouble
          nil
        end
        @mutex.synchronize { (@notices = @notices.select(&:alive?)) << notice }
      end
    end
  end
end
