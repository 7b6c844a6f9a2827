# frozen_string_literal: true

require "json"
require "uri"

module Langop
  # The environment contract of an agent's pod, read into values. For each fault it names the variable
  # and what to write instead; never a value, which may be a secret.
  class Environment
    # Answers of models in one run where nobody says otherwise.
    DEFAULT_MAX_ITERATIONS = 25
    MAX_ITERATIONS = 10_000
    DEFAULT_PORT = 8088
    # Context of the models where nobody says otherwise, in tokens.
    DEFAULT_CONTEXT_TOKENS = 128_000
    # Most steps at once.
    MAX_PARALLEL = 4
    SERVED = %w[mcp].freeze

    # A server of MCP_SERVERS or MODEL_ENDPOINTS; `model` only of the latter.
    Endpoint = Struct.new(:name, :url, :model, keyword_init: true)
    # Who the agent is; all nil without a persona.
    Persona = Struct.new(:name, :prompt, :tone, :language, keyword_init: true)
    # When runs happen: `kind` is :once, :every or :continuous; `by_job` says that a Job keeps time.
    Schedule = Struct.new(:kind, :seconds, :by_job, keyword_init: true) do
      # Whether the process stays after a run.
      def resident? = kind != :once
    end

    attr_reader :name, :namespace, :schedule, :due_days, :max_iterations, :timeout, :code_path, :instructions,
                :workspace, :tools, :models, :persona, :port, :traceparent, :synthesis_traceparent, :parallel, :max_tokens, :context_tokens,
                :serve, :termination_log, :log

    # @param variables [#[]] the process's environment, or any other
    # @raise [Failure] of reason `configuration`
    def initialize(variables = ENV)
      @variables = variables
      read_agent
      read_times
      read_servers
      read_settings
    ensure
      # Nothing reads it later, and it may hold secrets.
      @variables = nil
    end

    # The name by which agents know each other.
    def path_name = "#{namespace}/#{name}"

    private

    # An empty value is as good as none. Where an image sets no locale, Ruby takes values for ASCII.
    def text(name)
      value = @variables[name]
      value = Quote.utf8(value) unless value.nil?
      value unless value.nil? || value.strip.empty?
    end

    def read_agent
      @name = text("AGENT_NAME") || "agent"
      @namespace = text("AGENT_NAMESPACE") || ""
      @code_path = text("AGENT_CODE_PATH")
      @instructions = text("INSTRUCTIONS")
      @workspace = text("WORKSPACE_PATH")
      @traceparent = text("TRACEPARENT")
      @synthesis_traceparent = text("LANGOP_SYNTHESIS_TRACEPARENT")
      @persona = Persona.new(name: text("PERSONA_NAME"), tone: text("PERSONA_TONE"), language: text("PERSONA_LANGUAGE"),
                             prompt: text("PERSONA_DISTILLED_PROMPT") || text("PERSONA_SYSTEM_PROMPT"))
    end

    def read_times
      @schedule = read_schedule
      @due_days = read_due_days
      @timeout = text("AGENT_TIMEOUT") && duration("AGENT_TIMEOUT", text("AGENT_TIMEOUT").strip)
    end

    def read_servers
      @tools = list("MCP_SERVERS").map do |entry|
        url = url("MCP_SERVERS", entry)
        url.path = "/mcp" if ["", "/"].include?(url.path)
        Endpoint.new(name: entry["name"], url: url)
      end
      @models = list("MODEL_ENDPOINTS").map do |entry|
        url = url("MODEL_ENDPOINTS", entry)
        base = url.path.delete_suffix("/")
        url.path = "#{base}#{"/v1" unless base.end_with?("/v1")}/chat/completions"
        Endpoint.new(name: entry["name"], url: url, model: entry["model"] || entry["name"])
      end
    end

    def read_settings
      @max_iterations = number("AGENT_MAX_ITERATIONS", 1, MAX_ITERATIONS) || DEFAULT_MAX_ITERATIONS
      @port = number("PORT", 1, 65_535) || DEFAULT_PORT
      @parallel = number("LANGOP_AGENT_PARALLEL", 1, MAX_PARALLEL) || MAX_PARALLEL
      @max_tokens = number("LANGOP_AGENT_MAX_TOKENS", 1, 2**63)
      @context_tokens = number("LANGOP_AGENT_CONTEXT_TOKENS", 1000, 2**32) || DEFAULT_CONTEXT_TOKENS
      @termination_log = text("LANGOP_TERMINATION_LOG") || "/dev/termination-log"
      @log = text("LANGOP_LOG") || "info"
      @serve = (text("LANGOP_AGENT_SERVE") || "").split(",").map(&:strip).reject(&:empty?)
      return if (@serve - SERVED).empty?

      wrong("LANGOP_AGENT_SERVE", "names something that cannot be served: write mcp, or leave it out")
    end

    def read_schedule
      case [text("AGENT_MODE")&.strip, text("AGENT_SCHEDULE")&.strip]
      in [nil, _] then Schedule.new(kind: :once, by_job: false)
      in ["autonomous", _] then Schedule.new(kind: :continuous)
      in ["scheduled", /\Aevery (?<distance>.*)\z/ => every]
        Schedule.new(kind: :every, seconds: duration("AGENT_SCHEDULE", every.delete_prefix("every ").strip))
      in ["scheduled", _] then Schedule.new(kind: :once, by_job: true)
      else wrong("AGENT_MODE", "is unknown: write autonomous or scheduled, or leave it out for one run")
      end
    end

    # Whoever stays keeps time by a distance, and has no days.
    def read_due_days
      only = text("AGENT_SCHEDULE_ONLY")
      return unless only && @schedule.by_job

      Days.new(only.strip, text("AGENT_SCHEDULE")&.strip, text("AGENT_TIME_ZONE")&.strip)
    rescue Days::Wrong => e
      wrong(e.variable, e.message)
    end

    def number(variable, least, most)
      value = text(variable) or return
      number = Integer(value.strip, 10, exception: false)
      return number if number && (least..most).cover?(number)

      wrong(variable, "is no whole number from #{least} to #{most}")
    end

    def duration(variable, value)
      Duration.parse(value)
    rescue ArgumentError => e
      wrong(variable, "is wrong: #{e.message}")
    end

    def list(variable)
      json = text(variable) or return []
      entries = JSON.parse(json)
      wrong(variable, EXAMPLE) unless entries.is_a?(Array) && entries.all? { |entry| entry?(entry) }
      names = entries.map { |entry| entry["name"] }
      wrong(variable, "holds an entry without a name") if names.any? { |name| name.strip.empty? }
      twice = names.find { |name| names.count(name) > 1 }
      wrong(variable, "names '#{Quote.line(twice)}' twice: give each its own name") if twice
      entries
    rescue JSON::ParserError
      wrong(variable, EXAMPLE)
    end

    EXAMPLE = 'is not what it should be: write for example [{"name":"a","url":"http://a:8080"}]'
    private_constant :EXAMPLE

    def entry?(entry)
      entry.is_a?(Hash) && entry["name"].is_a?(String) && entry["url"].is_a?(String) &&
        (entry["model"].nil? || entry["model"].is_a?(String))
    end

    def url(variable, entry)
      url = URI.parse(entry["url"])
      return url if url.is_a?(URI::HTTP) && url.host && !url.host.empty?

      raise URI::InvalidURIError
    rescue URI::InvalidURIError
      wrong(variable, "gives '#{Quote.line(entry["name"])}' a url that is none: write http:// or https:// and a host")
    end

    def wrong(variable, problem)
      raise Failure.new("configuration", "#{variable} #{problem}")
    end
  end
end
