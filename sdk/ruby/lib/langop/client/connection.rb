# frozen_string_literal: true

require "json"

module Langop
  module Client
    # How to speak to one server: 2026-07-28 first, then the handshake of the versions before. Declares
    # no capability, so that no conforming server can ask this client for anything. Sends one request at
    # a time for whoever asks and repeats nothing; what may be repeated is decided by {Tools}.
    class Connection
      # Longest time without progress and in all, and of a request that does nothing, in seconds.
      CALL = 120.0
      CALL_IN_ALL = 600.0
      NEGOTIATION = 10.0
      # Largest answer that is no stream.
      MAX_ANSWER = 16 * 1024 * 1024
      # So often a stream that broke off is taken up again, after a pause of at most so many seconds.
      MAX_RESUMES = 5
      MAX_RESUME_PAUSE = 5.0
      # By these a server of the handshake says that it knows the session no more.
      SESSION_COMPLAINTS = [-32_000, MCP::INVALID_REQUEST].freeze

      # What a server answered: a result, or an error of JSON-RPC.
      Answer = Struct.new(:result, :error, keyword_init: true)
      # A request under way: how long it is waited for, and by which token its progress is known.
      Wait = Struct.new(:id, :until, :longest, :token, keyword_init: true) do
        def self.of(id, deadline)
          now = Deadline.now
          new(id: id, until: now + deadline.left(CALL), longest: now + deadline.left(CALL_IN_ALL))
        end

        def left = [[self.until, longest].min - Deadline.now, 0.0].max

        # There is progress: it is waited for anew.
        def renew = self.until = Deadline.now + CALL
      end

      # @return [String] the version that both speak
      attr_reader :version

      # @param url [URI]
      # @param ids [#call] gives a number that no other request has
      # @param notify [#call] carries out a block that must not hold up the caller
      def initialize(url, ids:, notify:)
        @url = url
        @ids = ids
        @notify = notify
      end

      def modern? = @version == MCP::MODERN

      # @raise [Trouble]
      def negotiate(deadline)
        deadline = deadline.within(NEGOTIATION)
        @version = MCP::MODERN
        answer = discover(deadline)
        shake_hands(deadline) unless modern_answer?(answer)
        self
      end

      # @param schema [Hash, nil] of the parameters of the operation that is called
      # @return [Hash] the result
      # @raise [Trouble]
      def request(method, params, deadline:, meta: {}, schema: nil)
        wait = Wait.of(@ids.call, deadline)
        if method == "tools/call"
          wait.token = wait.id
          meta = meta.merge("progressToken" => wait.token)
          Traces.current.set("jsonrpc.request.id" => wait.id.to_s)
        end
        answer = exchange(message(method, params, meta, wait.id), schema, wait)
        return answer.result unless answer.error

        Traces.current.set("rpc.response.status_code" => answer.error["code"]) if wait.token
        raise Trouble.of_error(answer.error)
      end

      private

      def exchange(body, schema, wait)
        is_given_up = true
        answer = modern? ? post(body, MCP::Headers.of(body[:method], body[:params], schema), wait) : legacy(body, wait)
        is_given_up = false
        answer
      rescue Trouble
        is_given_up = wait.left.zero?
        raise
      ensure
        # Also where this thread is being ended.
        cancel(wait.id) if is_given_up && !modern?
      end

      def discover(deadline)
        wait = Wait.of(@ids.call, deadline)
        body = message("server/discover", {}, {}, wait.id)
        post(body, MCP::Headers.of("server/discover", body[:params]), wait)
      rescue Trouble => e
        # A refusal of whatever kind is of a server that does not know discovery; an outage is no verdict.
        raise unless e.kind == :protocol

        nil
      end

      def modern_answer?(answer)
        return false unless answer
        return modern_error?(answer.error) if answer.error

        versions = answer.result["supportedVersions"]
        versions.is_a?(Array) && versions.include?(MCP::MODERN)
      end

      def modern_error?(error)
        return false unless MCP::MODERN_ERRORS.include?(error["code"])

        data = error["data"]
        supported = data.is_a?(Hash) ? data["supported"] : nil
        !supported.is_a?(Array) || supported.include?(MCP::MODERN)
      end

      def shake_hands(deadline)
        @version = nil
        @session = nil
        wait = Wait.of(@ids.call, deadline)
        params = { protocolVersion: MCP::LEGACY.first, capabilities: {}, clientInfo: client_info }
        answer = post({ jsonrpc: "2.0", id: wait.id, method: "initialize", params: params }, {}, wait)
        raise Trouble.of_error(answer.error) if answer.error

        version = answer.result["protocolVersion"]
        unless MCP::LEGACY.include?(version)
          raise Trouble.new(:protocol, "it speaks no version of MCP that this runtime speaks")
        end

        @version = version
        send_message({ jsonrpc: "2.0", method: "notifications/initialized" }, deadline.left(NEGOTIATION))
      end

      def client_info = { name: "langop-ruby", version: VERSION }

      def message(method, params, meta, id)
        if modern?
          meta = meta.merge(MCP::META_VERSION => MCP::MODERN, MCP::META_CLIENT => client_info, MCP::META_CAPABILITIES => {})
        end
        params = params.merge("_meta" => meta) unless meta.empty?
        { jsonrpc: "2.0", id: id, method: method, params: params }
      end

      # A call that is given up is the modern server's to see by the closed stream; this one must be told.
      def cancel(id)
        params = { requestId: id, reason: "the run no longer waits for it" }
        notice = { jsonrpc: "2.0", method: "notifications/cancelled", params: params }
        @notify.call { send_message(notice, 1.0) }
      end

      # Sends a message that has no answer.
      def send_message(body, timeout)
        Http.request(@url, http_request(body, legacy_headers), read_timeout: timeout) { |response, _| response.code }
      rescue Http::NotSent => e
        raise not_sent(e)
      rescue Http::Broken => e
        raise Trouble.new(:interrupted, e.message)
      end

      def not_sent(error) = Trouble.new(error.is_a?(Http::Untrusted) ? :untrusted : :not_sent, error.message)

      def legacy(body, wait)
        post(body, legacy_headers, wait)
      rescue Trouble => e
        raise unless @session && lost?(e)

        raise Trouble.new(:renegotiate, "it lost the session")
      end

      # A lost session is 404 by the specification and 400 in many servers. The latter may also come from
      # a tool, so the session is tried by a ping: only if that is refused too is it lost, and nothing is
      # done twice.
      def lost?(trouble)
        return true if trouble.is_a?(SessionGone)
        return false unless trouble.is_a?(SessionComplaint)

        wait = Wait.of(@ids.call, Deadline.never.within(NEGOTIATION))
        post({ jsonrpc: "2.0", id: wait.id, method: "ping" }, legacy_headers, wait)
        false
      rescue SessionGone, SessionComplaint
        true
      rescue Trouble
        false
      end

      # 404 while there was a session.
      class SessionGone < Trouble; end
      # 400 and a code that may be about the session.
      class SessionComplaint < Trouble; end
      private_constant :SessionGone, :SessionComplaint

      def legacy_headers
        { "mcp-protocol-version" => @version, "mcp-session-id" => @session }.compact
      end

      def http_request(body, headers)
        request = Net::HTTP::Post.new(@url, headers)
        request["content-type"] = "application/json"
        request["accept"] = "application/json, text/event-stream"
        request.body = JSON.generate(body)
        request
      end

      def post(body, headers, wait)
        answer, stream = Http.request(@url, http_request(body, headers), read_timeout: wait.left) do |response, http|
          @session = response["mcp-session-id"] if body[:method] == "initialize" && response["mcp-session-id"]
          read(response, http, wait)
        end
        answer || resume(stream, wait) || raise(Trouble.new(:interrupted, "the connection broke"))
      rescue Http::NotSent => e
        raise not_sent(e)
      rescue Http::Broken => e
        raise Trouble.new(:interrupted, e.message)
      end

      # An answer, or the stream that ended without one.
      def read(response, http, wait)
        status = response.code.to_i
        return read_stream(response, http, wait) if status == 200 && response["content-type"].to_s.start_with?("text/event-stream")

        body = Http.body(response, MAX_ANSWER)
        raise Trouble.new(:protocol, "the answer has more than #{MAX_ANSWER} bytes") unless body

        error = refusal(status, response)
        raise error if error && !(status < 500 && json_error(body))

        [answer(status, body), nil]
      end

      def refusal(status, response)
        case status
        when 401, 403, 421 then Trouble.new(:refused, "HTTP #{status}")
        when 429, 503 then Trouble.new(:busy, "HTTP #{status}", after: Http.retry_after(response))
        when 500.. then Trouble.new(:interrupted, "HTTP #{status}")
        when 404
          @session ? SessionGone.new(:protocol, "HTTP 404") : Trouble.new(:protocol, "HTTP 404: there is no MCP at this path")
        when 200..299 then nil
        else Trouble.new(:protocol, "HTTP #{status}")
        end
      end

      def answer(status, body)
        message = parse(body)
        raise Trouble.new(:protocol, "the answer is no JSON") unless message
        raise SessionGone.new(:protocol, "HTTP 404") if status == 404 && @session

        error = message["error"]
        if status == 400 && @session && error.is_a?(Hash) && SESSION_COMPLAINTS.include?(error["code"])
          raise SessionComplaint.new(:protocol, "#{Quote.line(error["message"], 100)} (#{error["code"]})")
        end

        answer_of(message) || raise(Trouble.new(:protocol, "the answer is no MCP"))
      end

      # The error of a body, where it is one of JSON-RPC: it says more than a status.
      def json_error(body) = parse(body)&.dig("error").is_a?(Hash)

      def parse(body)
        message = JSON.parse(body, max_nesting: 200)
        message if message.is_a?(Hash)
      rescue JSON::ParserError
        nil
      end

      def answer_of(message)
        return Answer.new(error: message["error"]) if message["error"].is_a?(Hash)

        Answer.new(result: message["result"]) if message["result"].is_a?(Hash)
      end

      def read_stream(response, http, wait, stream = EventStream.new)
        catch(:answer) do
          response.read_body do |chunk|
            stream.feed(chunk) { |data| take_event(parse(data), wait) }
            raise Http::Broken, "no answer in time" if wait.left.zero?

            http.read_timeout = wait.left
          end
          [nil, stream]
        rescue IOError, SystemCallError
          [nil, stream]
        end
      end

      # Whatever comes on the stream: the answer, whatever id an error carries; a sign of progress; or a
      # question to this client, which is refused at once, so that nobody waits for it.
      def take_event(message, wait)
        return unless message

        if message["method"]
          wait.renew if progress?(message, wait)
          refuse(message) if message.key?("id")
        elsif message["id"] == wait.id || (message["error"] && !message["id"].is_a?(Integer))
          answer = answer_of(message) || raise(Trouble.new(:protocol, "the answer is no MCP"))
          throw :answer, [answer, nil]
        end
      end

      def progress?(message, wait)
        params = message["params"]
        message["method"] == "notifications/progress" && params.is_a?(Hash) && wait.token &&
          params["progressToken"] == wait.token
      end

      def refuse(question)
        reply = case question["method"]
                when "ping" then { result: {} }
                when "roots/list" then { result: { roots: [] } }
                when "elicitation/create" then { result: { action: "decline" } }
                else { error: { code: MCP::METHOD_NOT_FOUND, message: "this client answers no questions" } }
                end
        @notify.call { send_message({ jsonrpc: "2.0", id: question["id"] }.merge(reply), NEGOTIATION) }
      end

      # Servers of the handshake may close a stream and have it taken up again after a pause.
      def resume(stream, wait)
        MAX_RESUMES.times do
          return if modern? || stream.nil? || stream.last_id.nil? || stream.last_id.empty?

          sleep([(stream.retry_ms || 1000) / 1000.0, MAX_RESUME_PAUSE, wait.left].min)
          request = Net::HTTP::Get.new(@url, legacy_headers.merge("last-event-id" => stream.last_id))
          request["accept"] = "text/event-stream"
          answer, stream = Http.request(@url, request, read_timeout: wait.left) do |response, http|
            next [nil, nil] unless response.code == "200"

            read_stream(response, http, wait, stream)
          end
          return answer if answer
        end
        nil
      end
    end
  end
end
