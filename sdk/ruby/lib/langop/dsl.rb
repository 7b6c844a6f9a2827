# frozen_string_literal: true

module Langop
  # The agent language for people who write Ruby: the same words as in agent code, giving the same
  # {Definition}.
  #
  #     definition = Langop::Dsl.agent "greeter" do
  #       workflow do
  #         step "Greet" do
  #           ask "Say hello"
  #         end
  #       end
  #     end
  #
  # This evaluates Ruby, so it is for files that people write and run themselves. Code that the operator
  # mounts came from a language model and is never read this way: see {Agent::Code}.
  module Dsl
    # @param name [String] of the agent
    # @return [Definition]
    # @raise [ArgumentError] what is wrong, and what to write instead
    def self.agent(name, &block)
      builder = AgentBuilder.new(name)
      builder.instance_eval(&block)
      Definition.new(builder.to_h)
    end

    # The one agent that a file declares.
    # @param path [String] of a file that a person wrote
    # @return [Definition]
    # @raise [ArgumentError] if it declares none or several, or is the mounted code
    def self.load(path)
      mounted = ENV.fetch("AGENT_CODE_PATH", nil)
      if mounted && File.exist?(mounted) && File.dirname(File.realpath(path)) == File.dirname(File.realpath(mounted))
        raise ArgumentError, "#{path} is mounted code, which is never evaluated: its definition.json is run by langop-agent-ruby"
      end

      file = FileBuilder.new
      file.instance_eval(File.read(path, encoding: Encoding::UTF_8), path)
      return file.definitions.first if file.definitions.size == 1

      raise ArgumentError, "#{path} declares #{file.definitions.size} agents: write exactly one `agent '…' do`"
    end

    # What a file says at its top.
    class FileBuilder
      attr_reader :definitions

      def initialize
        @definitions = []
      end

      def agent(name, &block) = @definitions << Dsl.agent(name, &block)
    end
    private_constant :FileBuilder

    # What `agent … do` says.
    class AgentBuilder
      MODES = %w[autonomous scheduled].freeze

      # @return [Hash] as `definition.json` has it
      attr_reader :to_h

      def initialize(name)
        unless name.is_a?(String) && name.match?(/\A[a-z](?:[-a-z0-9]{0,50}[a-z0-9])?\z/)
          raise ArgumentError, "invalid agent name '#{name}': write at most 52 of a-z, 0-9 and -, beginning with a letter"
        end

        @to_h = { "name" => name, "constraints" => {} }
      end

      def description(text) = @to_h["description"] = text

      def mode(mode)
        raise ArgumentError, "unknown mode '#{mode}': write :autonomous or :scheduled" unless MODES.include?(mode.to_s)

        @to_h["mode"] = mode.to_s
      end

      # `every: '5m'`, or `cron: '0 9 * * 1-5'` (or several in a list) with `time_zone:` and `only:`.
      def schedule(every: nil, cron: nil, time_zone: nil, only: nil)
        unless every.nil? ^ cron.nil?
          raise ArgumentError, "a schedule has one of every: and cron:"
        end
        return @to_h["schedule"] = { "every" => { "seconds" => Duration.parse(every) } } if every

        expression, *also = Array(cron)
        # Reading it shows what is wrong with it.
        [expression, *also].each { |one| Days.new(only || "last day of month", one, time_zone) }
        said = { "expression" => expression, "also" => also, "timeZone" => time_zone, "only" => only }
        @to_h["schedule"] = { "cron" => said.reject { |_, value| value.nil? || value == [] } }
      rescue Days::Wrong => e
        raise ArgumentError, "#{e.variable.delete_prefix("AGENT_").downcase} #{e.message}"
      end

      def objectives(objectives) = @to_h["objectives"] = objectives

      def workflow(&block)
        builder = WorkflowBuilder.new
        builder.instance_eval(&block)
        @to_h["steps"] = builder.steps
      end

      def constraints(max_iterations: nil, timeout: nil)
        seconds = timeout && Duration.parse(timeout)
        @to_h["constraints"] = { "maxIterations" => max_iterations, "timeoutSeconds" => seconds }.compact
      end
    end

    # What `workflow do` says.
    class WorkflowBuilder
      attr_reader :steps

      def initialize
        @steps = []
      end

      # `depends_on:` a step or a list of them; `only_if:` a condition in words; `each: result("List")` runs
      # the step once per item.
      def step(name, depends_on: [], only_if: nil, each: nil, &block)
        raise ArgumentError, "two steps are called '#{name}'" if @steps.any? { |step| step["name"] == name }

        builder = StepBuilder.new
        builder.instance_eval(&block)
        raise ArgumentError, "the step '#{name}' does nothing: write use_tool or ask" unless builder.action

        step = { "name" => name, "dependsOn" => Array(depends_on), "onlyIf" => only_if,
                 "each" => each && each[Definition::RESULT], "action" => builder.action }
        @steps << step.reject { |_, value| value.nil? || value == [] }
      end

      # The result of an earlier step.
      def result(step) = { Definition::RESULT => step }
    end

    # What `step … do` says: one thing.
    class StepBuilder
      attr_reader :action

      def use_tool(tool, action: nil, params: {})
        act("useTool", { "tool" => tool, "action" => action, "params" => plain(params) })
      end

      def ask(prompt, model: nil) = act("ask", { "prompt" => prompt, "model" => model })

      # The result of an earlier step.
      def result(step) = { Definition::RESULT => step }

      # The item, in a step with `each:`.
      def item = { Definition::ITEM => true }

      private

      def act(kind, said)
        raise ArgumentError, "a step does one thing: write another step" if @action

        @action = { kind => said.reject { |_, value| value.nil? || value == {} } }
      end

      def plain(value)
        case value
        when Hash then value.to_h { |key, item| [key.to_s, plain(item)] }
        when Array then value.map { |item| plain(item) }
        when Symbol then value.to_s
        else value
        end
      end
    end
  end
end
