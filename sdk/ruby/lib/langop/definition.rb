# frozen_string_literal: true

require "json"

module Langop
  # What agent code says once it was checked: the content of `definition.json`. This is all of an
  # agent's code that this SDK ever reads; the Ruby file beside it is for people, and is not evaluated.
  class Definition
    # The key of the object that stands for a step's result, and that of the item of a step with `each`.
    RESULT = "$result"
    ITEM = "$item"
    # Most items that a step runs for, whatever its list holds.
    MAX_ITEMS = 100

    # Calls a tool. `action`: the operation; nil only where the tool has but one.
    UseTool = Struct.new(:tool, :action, :params, keyword_init: true)
    # Asks a model. `model`: its name; nil for the agent's first.
    Ask = Struct.new(:prompt, :model, keyword_init: true)
    # One step of a workflow. `each`: the step whose result is a list, for each item of which it runs.
    Step = Struct.new(:name, :depends_on, :only_if, :each, :action, keyword_init: true) do
      def tool = action.is_a?(UseTool) ? action.tool : nil

      # Names of the steps whose results it uses.
      def uses
        value = action.is_a?(UseTool) ? action.params.values : action.prompt
        [*self.each, *Definition.used_by(value)]
      end
    end

    attr_reader :name, :description, :mode, :schedule, :objectives, :steps, :constraints

    # @return [Boolean] whether a value stands for the result of a step
    def self.result?(value) = value.is_a?(Hash) && value.size == 1 && value[RESULT].is_a?(String)

    # @return [Boolean] whether a value stands for the item of a step that runs once per item
    def self.item?(value) = value == { ITEM => true }

    # @return [Array<String>] the steps whose results a value uses
    def self.used_by(value)
      return [value[RESULT]] if result?(value)

      case value
      when Array then value.flat_map { |item| used_by(item) }
      when Hash then value.values.flat_map { |item| used_by(item) }
      else []
      end
    end

    # @param json [String]
    # @return [Definition]
    # @raise [ArgumentError] if it is none
    def self.parse(json) = new(JSON.parse(json))

    # @param hash [Hash] as in `definition.json`
    # @raise [ArgumentError] if it is none
    def initialize(hash)
      @hash = object(hash, "the definition")
      @name = string(@hash, "name")
      @description = optional(@hash, "description")
      @mode = optional(@hash, "mode")
      @schedule = @hash["schedule"]
      @objectives = strings(@hash, "objectives")
      @steps = list(@hash, "steps").map { |step| read_step(object(step, "a step")) }
      @constraints = @hash.key?("constraints") ? object(@hash["constraints"], "constraints") : {}
      check_steps
    end

    # @return [Hash] as it is stored; what is not there is left out
    def to_h = @hash

    # @return [Array<String>] the tools it uses, sorted
    def tools = steps.filter_map(&:tool).uniq.sort

    # @return [Array<String>] the models it asks by name, sorted
    def models = steps.filter_map { |step| step.action.is_a?(Ask) && step.action.model }.uniq.sort

    # @return [Boolean] whether a run may ask a model
    def needs_model? = steps.empty? || steps.any? { |step| step.only_if || step.action.is_a?(Ask) }

    private

    def read_step(step)
      Step.new(name: string(step, "name"), depends_on: strings(step, "dependsOn"), only_if: optional(step, "onlyIf"),
               each: optional(step, "each"), action: read_action(object(step["action"], "the action of a step")))
    end

    def read_action(action)
      kind, said = action.first
      raise ArgumentError, "the action of a step must be useTool or ask" unless action.size == 1 && said.is_a?(Hash)

      case kind
      when "useTool" then use_tool(said)
      when "ask" then ask(said)
      else raise ArgumentError, "the action of a step must be useTool or ask"
      end
    end

    def use_tool(call)
      params = call.key?("params") ? object(call["params"], "params") : {}
      check_value(params)
      UseTool.new(tool: string(call, "tool"), action: optional(call, "action"), params: params)
    end

    def ask(question)
      prompt = question["prompt"]
      good = prompt.is_a?(String) || Definition.result?(prompt) || Definition.item?(prompt)
      raise ArgumentError, "the prompt of a question must be a text, a result or the item" unless good

      Ask.new(prompt: prompt, model: optional(question, "model"))
    end

    # No literal object has a reserved key, so that references cannot be mistaken.
    def check_value(value)
      case value
      when Array then value.each { |item| check_value(item) }
      when Hash
        reference = Definition.result?(value) || Definition.item?(value)
        reserved = value.key?(RESULT) || value.key?(ITEM)
        raise ArgumentError, "an object with the key #{RESULT} or #{ITEM} must hold only it" if reserved && !reference

        value.each_value { |item| check_value(item) } unless reference
      end
    end

    def check_steps
      names = steps.map(&:name)
      raise ArgumentError, "two steps have one name" if names.uniq.size < names.size

      steps.each do |step|
        unknown = (step.depends_on + step.uses - names).first
        raise ArgumentError, "the step '#{step.name}' names the step '#{unknown}', which is not there" if unknown
      end
    end

    def object(value, what)
      return value if value.is_a?(Hash)

      raise ArgumentError, "#{what} must be an object"
    end

    def string(hash, key)
      value = hash[key]
      return value if value.is_a?(String)

      raise ArgumentError, "`#{key}` must be a text"
    end

    def optional(hash, key) = hash[key].nil? ? nil : string(hash, key)

    def list(hash, key)
      value = hash.fetch(key, [])
      return value if value.is_a?(Array)

      raise ArgumentError, "`#{key}` must be a list"
    end

    def strings(hash, key)
      list(hash, key).each { |value| raise ArgumentError, "`#{key}` must hold texts" unless value.is_a?(String) }
    end
  end
end
