# frozen_string_literal: true

module Langop
  module Client
    # All models of the environment, behind their proxies. Repeats what may get better and says what will
    # not, within the deadline and the limit on tokens.
    class Models
      # Longest time of one attempt, in seconds.
      ATTEMPT = 120.0
      # Attempts on a proxy that has answered before.
      ATTEMPTS = 4
      # How long a proxy that has never answered is waited for: it starts beside us.
      START = 90.0
      # Longest pause that a server may ask for.
      MAX_PAUSE = 60
      # Largest answer.
      MAX_ANSWER = 8 * 1024 * 1024
      # Most tokens of the answer to a condition.
      JUDGEMENT_TOKENS = 16

      # The messages are longer than the model can read; fewer may do.
      class TooLong < Failure; end

      # What is asked. `functions`: what the model may call; `judgement`: a word is wanted, at temperature 0.
      Chat = Struct.new(:messages, :functions, :judgement, keyword_init: true) do
        # @param model [String] as the server knows it
        # @return [String] the body of the request
        def body(model)
          body = { model: model, messages: messages }
          body[:tools] = functions.map { |function| { type: "function", function: function } } if functions&.any?
          body.update(temperature: 0, max_tokens: JUDGEMENT_TOKENS) if judgement
          JSON.generate(body)
        end
      end

      # What one run has used.
      class Usage
        def initialize(tokens = Tokens.none)
          @tokens = tokens
          @mutex = Mutex.new
        end

        def tokens = @mutex.synchronize { @tokens }

        def add(tokens) = @mutex.synchronize { @tokens += tokens }
      end

      # Something to ask again for: why, when, and whether there is something that answers at all.
      Again = Struct.new(:why, :after, :there)
      # A refusal that asking again does not change.
      Refused = Struct.new(:status, :message)
      private_constant :Again, :Refused

      # @param endpoints [Array<Environment::Endpoint>]
      # @param max_tokens [Integer, nil] most tokens of one run
      def initialize(endpoints, max_tokens: nil, log: Log.none, metrics: nil, traces: Traces.new({}))
        @endpoints = endpoints
        @max_tokens = max_tokens
        @log = log
        @metrics = metrics
        @traces = traces
        @answered = {}
      end

      def any? = @endpoints.any?

      # Asks the named model, which has no stand-in; without a name the first, and the next ones where it
      # does not answer.
      # @param purpose [String] `ask`, `judge` or `turn`, for metrics
      # @return [Completion]
      # @raise [Failure, TooLong]
      def ask(chat, name: nil, usage: Usage.new, deadline: Deadline.never, purpose: "ask")
        if @max_tokens && usage.tokens.total >= @max_tokens
          raise Failure.new("token-limit", "#{@max_tokens} tokens were used, as many as allowed")
        end

        first = nil
        @endpoints.select { |endpoint| name.nil? || endpoint.name == name }.each do |endpoint|
          return ask_one(endpoint, chat, usage, deadline, purpose)
        rescue Failure => e
          raise if e.reason != "model-unavailable" || deadline.over?

          @log.warn(e.message, model: endpoint.name)
          first ||= e
        end
        raise first || Failure.new("not-offered", "no model is offered: set MODEL_ENDPOINTS")
      end

      private

      def ask_one(endpoint, chat, usage, deadline, purpose)
        completion = @traces.span("chat #{endpoint.model}", kind: :client, **about(endpoint)) do |span|
          attempts(endpoint, chat.body(endpoint.model), deadline).tap { |answer| span.set(told(answer)) }
        rescue Failure => e
          span.fail(e.reason)
          raise
        end
        usage.add(completion.tokens)
        @metrics&.tokens(endpoint.name, completion.tokens)
        @metrics&.iteration(purpose)
        @metrics&.model_request(endpoint.name, "ok")
        completion
      rescue Failure => e
        @metrics&.model_request(endpoint.name, e.reason)
        raise
      end

      def about(endpoint)
        { "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": endpoint.model,
          "server.address": endpoint.url.host, "server.port": endpoint.url.port }
      end

      def told(completion)
        finish = { complete: "stop", length: "length", filtered: "content_filter" }.fetch(completion.finish)
        told = { "gen_ai.response.finish_reasons" => finish, "gen_ai.response.model" => completion.model }
        return told unless completion.tokens.missing.zero?

        told.merge("gen_ai.usage.input_tokens" => completion.tokens.input, "gen_ai.usage.output_tokens" => completion.tokens.output)
      end

      def attempts(endpoint, body, deadline)
        began = Deadline.now
        (1..).each do |count|
          outcome = attempt(endpoint, body, deadline)
          return outcome if outcome.is_a?(Completion)
          raise refusal(endpoint, outcome) if outcome.is_a?(Refused)
          raise Failure.new("time-limit", "the time is over") if deadline.over?

          @answered[endpoint.name] = true if outcome.there
          pause = outcome.after || Tools.jittered(2**[count - 1, 2].min)
          is_patient = @answered[endpoint.name] ? count < ATTEMPTS : Deadline.now - began + pause < START
          if !is_patient || deadline.left(pause) < pause
            raise unavailable(endpoint, outcome.why)
          end

          @log.info("asking again: #{outcome.why}", model: endpoint.name, attempt: count)
          sleep(pause)
        end
      end

      def unavailable(endpoint, why)
        Failure.new("model-unavailable", "the model '#{endpoint.name}' does not answer: #{why}")
      end

      def attempt(endpoint, body, deadline)
        request = Net::HTTP::Post.new(endpoint.url, "content-type" => "application/json")
        request.body = body
        longest = Deadline.now + deadline.left(ATTEMPT)
        Http.request(endpoint.url, request, read_timeout: deadline.left(ATTEMPT)) do |response, _|
          answer = Http.body(response, MAX_ANSWER)
          raise Http::Broken, "no answer in time" if Deadline.now > longest

          answer ? judge(endpoint, response, answer) : Again.new("the answer is too large", nil, true)
        end
      rescue Http::Untrusted => e
        raise unavailable(endpoint, e.message)
      rescue Http::NotSent, Http::Broken => e
        Again.new(e.message, nil, false)
      end

      def judge(endpoint, response, body)
        status = response.code.to_i
        after = Http.retry_after(response)&.clamp(0, MAX_PAUSE)
        # A gateway answers for something that may not be there.
        is_there = !(502..504).cover?(status)
        if (200..299).cover?(status)
          completion = Completion.read(body)
          @answered[endpoint.name] = true if completion
          return completion || Again.new("the answer is no chat completion", after, is_there)
        end
        message = error_message(body)
        phrase = "#{status} #{response.message}"
        case status
        when 408, 409, 429, 500..599 then Again.new("#{phrase}: #{Quote.line(message)}", after, is_there)
        else
          @answered[endpoint.name] = true
          Refused.new(status, [phrase, message])
        end
      end

      def refusal(endpoint, refused)
        phrase, message = refused.message
        is_long = refused.status == 413 ||
                  (refused.status == 400 && message.match?(/context/i) && message.match?(/length|window/i))
        kind = is_long ? TooLong : Failure
        kind.new("model-refused", "the model '#{endpoint.name}' refuses: #{phrase} #{Quote.line(message, 200)}")
      end

      # The message of an error's body, in whichever of the usual shapes.
      def error_message(body)
        body = JSON.parse(body)
        error = body.is_a?(Hash) ? body.fetch("error", body) : nil
        message = error.is_a?(Hash) ? error["message"] : error
        message.is_a?(String) ? message : ""
      rescue JSON::ParserError
        ""
      end
    end
  end
end
