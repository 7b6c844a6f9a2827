# frozen_string_literal: true

require "json"
require "webrick"

module Langop
  module MCP
    # The server's side of Streamable HTTP, in both eras on one path and without sessions: any replica
    # answers any request. Checks headers and messages; what a tool does is its toolbox's business, which
    # has a `name`, `operations` as `tools/list` shows them, and `call(name, arguments, meta)`, which gives
    # a result or nil where there is no such operation.
    class Endpoint < WEBrick::HTTPServlet::AbstractServlet
      # Largest request where nobody says otherwise, in bytes.
      MAX_BODY = 4 * 1024 * 1024
      # How long a list is fresh, in milliseconds: it never changes while the process lives.
      LIST_TTL_MS = 300_000
      # Callers on this machine; those within a cluster send no Origin.
      ORIGINS = %r{\Ahttps?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\z}i

      # Why a request is not answered with a result: an HTTP status and an error of JSON-RPC.
      class Refusal < StandardError
        attr_reader :status, :code, :data

        def initialize(status, code, message, data = nil)
          @status = status
          @code = code
          @data = data
          super(message)
        end
      end

      def initialize(server, toolbox, max_body: MAX_BODY, log: Log.none)
        super(server)
        @toolbox = toolbox
        @max_body = max_body
        @log = log
      end

      def service(request, response)
        return plain(response, 403, "this origin is not allowed") unless allowed_origin?(request["origin"])

        unless request.request_method == "POST"
          response["allow"] = "POST"
          return plain(response, 405, "only POST is answered")
        end
        wrong = wrong_media_type(request)
        return plain(response, *wrong) if wrong

        body = read(request) or return plain(response, 413, "at most #{@max_body} bytes are read")
        answer(body, request, response)
      end

      private

      def allowed_origin?(origin) = origin.nil? || origin.empty? || origin.match?(ORIGINS)

      def plain(response, status, words)
        response.status = status
        response["content-type"] = "text/plain; charset=utf-8"
        response.body = "#{words}\n"
      end

      def wrong_media_type(request)
        type = request["content-type"].to_s[/\A[^;]*/].strip.downcase
        return [415, "the content type must be application/json"] unless type == "application/json"

        accepted = request["accept"].to_s.downcase
        good = accepted.include?("*/*") || %w[application/json text/event-stream].all? { |kind| accepted.include?(kind) }
        [406, "accept both application/json and text/event-stream"] unless good
      end

      def read(request)
        body = +""
        request.body do |chunk|
          body << chunk
          return nil if body.bytesize > @max_body
        end
        body
      end

      def answer(body, request, response)
        message = parse(body)
        id = message["id"]
        result = result_of(message, request)
        return response.status = 202 if result.nil?

        json(response, 200, { jsonrpc: "2.0", id: id, result: result })
      rescue Refusal => e
        error = { code: e.code, message: e.message, data: e.data }.compact
        json(response, e.status, { jsonrpc: "2.0", id: id, error: error })
      end

      def json(response, status, message)
        response.status = status
        response["content-type"] = "application/json"
        response.body = JSON.generate(message)
      end

      def parse(body)
        message = JSON.parse(Quote.utf8(body), max_nesting: 200)
        unless message.is_a?(Hash) && message["jsonrpc"] == "2.0"
          raise Refusal.new(400, INVALID_REQUEST, "the body must be one message of JSON-RPC 2.0")
        end

        message
      rescue JSON::ParserError
        raise Refusal.new(400, PARSE_ERROR, "the body is no JSON")
      end

      # The result, or nil for a message that has none.
      def result_of(message, request)
        method = message["method"]
        return if !message.key?("id") && (method.is_a?(String) || message.key?("result") || message.key?("error"))

        id = message["id"]
        unless method.is_a?(String) && (id.is_a?(String) || id.is_a?(Integer))
          raise Refusal.new(400, INVALID_REQUEST, "a request has a method, and an id that is a text or a number")
        end

        params = message.fetch("params", {})
        raise Refusal.new(400, INVALID_PARAMS, "params must be an object") unless params.is_a?(Hash)

        modern?(params, request) ? modern(method, params, request) : legacy(method, params, request)
      end

      def modern?(params, request)
        meta = params["_meta"]
        version = request["mcp-protocol-version"]
        (meta.is_a?(Hash) && meta.key?(META_VERSION)) || (!version.nil? && !LEGACY.include?(version))
      end

      def modern(method, params, request)
        meta = params["_meta"].is_a?(Hash) ? params["_meta"] : {}
        check_version(meta[META_VERSION], request["mcp-protocol-version"])
        check_headers(method, params, request)
        unless meta[META_CAPABILITIES].is_a?(Hash)
          raise Refusal.new(400, INVALID_PARAMS, "#{META_CAPABILITIES} is missing in _meta")
        end

        result = case method
                 when "server/discover" then discovery
                 when "tools/list" then list(params)
                 when "tools/call" then call(params, meta)
                 else raise Refusal.new(404, METHOD_NOT_FOUND, "Method not found: #{Quote.line(method, 60)}")
                 end
        meta = { META_SERVER => server_info }.merge(result["_meta"] || {})
        { "resultType" => "complete" }.merge(result, "_meta" => meta)
      end

      def check_version(version, header)
        raise Refusal.new(400, INVALID_PARAMS, "#{META_VERSION} is missing in _meta") unless version.is_a?(String)
        raise Refusal.new(400, HEADER_MISMATCH, "the header MCP-Protocol-Version differs from _meta") unless header == version
        return if version == MODERN

        raise Refusal.new(400, UNSUPPORTED_VERSION, "Unsupported protocol version",
                          { supported: [MODERN], requested: version })
      end

      def check_headers(method, params, request)
        operation = @toolbox.operations.find { |known| known["name"] == params["name"] } if method == "tools/call"
        wrong = Headers.mismatch(method, params, operation && operation["inputSchema"]) do |name|
          values = request.header[name]
          raise Refusal.new(400, HEADER_MISMATCH, "the header #{name} is there twice") if values.is_a?(Array) && values.size > 1

          values.is_a?(Array) ? values.first : nil
        end
        raise Refusal.new(400, HEADER_MISMATCH, wrong) if wrong
      end

      def discovery
        { "supportedVersions" => [MODERN], "capabilities" => capabilities, "ttlMs" => LIST_TTL_MS, "cacheScope" => "public" }
      end

      def legacy(method, params, _request)
        case method
        when "initialize"
          asked = params["protocolVersion"]
          { "protocolVersion" => LEGACY.include?(asked) ? asked : LEGACY.first, "capabilities" => capabilities,
            "serverInfo" => server_info }
        when "ping" then {}
        when "tools/list" then list(params).slice("tools")
        when "tools/call" then call(params, params["_meta"].is_a?(Hash) ? params["_meta"] : {})
        else raise Refusal.new(200, METHOD_NOT_FOUND, "Method not found: #{Quote.line(method, 60)}")
        end
      end

      def capabilities = { "tools" => {} }

      def server_info = { "name" => @toolbox.name, "version" => VERSION }

      # One page holds all, so that no cursor is good.
      def list(params)
        raise Refusal.new(200, INVALID_PARAMS, "Invalid cursor") unless params["cursor"].nil?

        { "tools" => @toolbox.operations, "ttlMs" => LIST_TTL_MS, "cacheScope" => "public" }
      end

      def call(params, meta)
        name = params["name"]
        arguments = params.fetch("arguments", {}) || {}
        unless name.is_a?(String) && arguments.is_a?(Hash)
          raise Refusal.new(200, INVALID_PARAMS, "name must be a text, and arguments an object")
        end

        @toolbox.call(name, arguments, meta) ||
          raise(Refusal.new(200, INVALID_PARAMS, "Unknown tool: #{Quote.line(name)}"))
      end
    end
  end
end
