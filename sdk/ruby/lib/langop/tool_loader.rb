# frozen_string_literal: true

require "json"

module Langop
  # What a tool says to its caller when it fails: these words reach the model, and nothing else does.
  class ToolError < StandardError; end

  # What a call says of itself.
  #
  # @!attribute run [String, nil] the agent's run
  # @!attribute idempotency_key [String, nil] equal for a call that is made again
  CallContext = Struct.new(:run, :idempotency_key, keyword_init: true)

  # A tool that a person declared.
  class Tool
    # JSON Schema's words for Ruby's.
    TYPES = { string: "string", integer: "integer", number: "number", boolean: "boolean", array: "array",
              object: "object" }.freeze

    # @return [String]
    attr_reader :name

    def initialize(name)
      unless name.is_a?(String) && name.match?(/\A[A-Za-z0-9_.-]{1,128}\z/)
        raise ArgumentError, "invalid tool name '#{name}': write 1 to 128 of A-Z, a-z, 0-9, _, - and ."
      end

      @name = name
      @description = ""
      @properties = {}
      @required = []
      @defaults = {}
      @hints = { "readOnlyHint" => false, "idempotentHint" => false }
    end

    # @!group What `tool … do` says

    # What the tool is for: the model reads it.
    def description(text) = @description = text

    # A parameter. What is said by keywords may also be said in a block, one word a line:
    #
    #     parameter :to do
    #       type :string
    #       required true
    #     end
    #
    # @param name [Symbol, String]
    # @param type [Symbol, nil] a key of {TYPES}; nil: anything
    # @param default [Object] for a caller who leaves it out
    # @param schema [Hash] further words of JSON Schema, such as `maxLength: 200`
    def parameter(name, type: nil, required: false, description: nil, enum: nil, default: nil, **schema, &block)
      said = { type: type, required: required, description: description, enum: enum, default: default, **schema }
      said.update(ParameterBuilder.new(&block).said) if block
      if said[:type] && !TYPES.key?(said[:type].to_sym)
        raise ArgumentError, "the parameter '#{name}' has the unknown type '#{said[:type]}': write one of #{TYPES.keys.join(", ")}"
      end

      add(name.to_s, said)
    end

    # All parameters at once, for a schema that {#parameter} cannot say.
    # @param schema [Hash] JSON Schema of an object
    def input_schema(schema) = @schema = JSON.parse(JSON.generate(schema))

    # The tool changes nothing: it may be called again, and beside others.
    def read_only = @hints.update("readOnlyHint" => true, "idempotentHint" => true)

    # The second call of the same kind changes nothing more.
    def idempotent = @hints.update("idempotentHint" => true)

    # What the tool does.
    # @yield [Hash, CallContext] the arguments, by name as text or symbol; what the call says of itself
    # @yieldreturn [Object] a text as it is; anything else as JSON, in both forms
    def execute(&block) = @execute = block

    # @!endgroup

    # @return [Hash] as `tools/list` shows it
    def to_h
      schema = @schema || { "type" => "object", "properties" => @properties, "required" => @required,
                            "additionalProperties" => false }
      { "name" => @name, "description" => @description, "inputSchema" => schema, "annotations" => @hints }
    end

    # @return [Tool] itself
    # @raise [ArgumentError] if it could not be called
    def check
      return self if @execute

      raise ArgumentError, "the tool '#{@name}' does nothing: write execute { |params| … }"
    end

    # @param arguments [Hash] as they came
    # @return [Hash] the result of `tools/call`
    def call(arguments, context, log: Log.none)
      misfit = Schema.misfit(to_h["inputSchema"], arguments, closed: true)
      return failed("#{@name}: #{misfit}") if misfit

      given(@execute.call(by_name(@defaults.merge(arguments)), context))
    rescue ToolError => e
      failed(e.message)
    rescue StandardError => e
      # What a library says may hold a path or a key: it is for the log.
      log.error("the tool failed: #{e.class}: #{e.message}", operation: @name, at: e.backtrace&.first)
      failed("#{@name} failed unexpectedly; its log says why")
    end

    private

    def add(name, said)
      raise ArgumentError, "the tool '#{@name}' has two parameters '#{name}'" if @properties.key?(name)

      @required << name if said.delete(:required)
      @defaults[name] = said[:default] unless said[:default].nil?
      said[:type] = TYPES.fetch(said[:type].to_sym) if said[:type]
      @properties[name] = JSON.parse(JSON.generate(said.compact))
    end

    # A hash that finds a text by a symbol too.
    def by_name(arguments)
      Hash.new { |hash, key| hash.fetch(key.to_s, nil) if key.is_a?(Symbol) }.update(arguments)
    end

    def given(value)
      return { "content" => [{ "type" => "text", "text" => Quote.utf8(value) }] } if value.nil? || value.is_a?(String)

      { "content" => [{ "type" => "text", "text" => JSON.generate(value) }], "structuredContent" => value }
    end

    def failed(words) = { "content" => [{ "type" => "text", "text" => words }], "isError" => true }

    # The words of a parameter's block: each takes one value.
    class ParameterBuilder
      attr_reader :said

      def initialize(&block)
        @said = {}
        instance_eval(&block)
      end

      %i[type required description enum default minimum maximum minLength maxLength items pattern format].each do |word|
        define_method(word) { |value| @said[word] = value }
      end
    end
    private_constant :ParameterBuilder
  end

  # Tools in Ruby files that people wrote, as a toolbox for {MCP::Endpoint}.
  #
  #     tool "greet" do
  #       description "Greets somebody"
  #       parameter :name, type: :string, required: true
  #       execute { |params| "Hello, #{params[:name]}!" }
  #     end
  class ToolLoader
    # @return [String] by which the server introduces itself
    attr_reader :name

    def initialize(name = "langop-tools", log: Log.none)
      @name = name
      @log = log
      @tools = {}
    end

    # @param paths [Array<String>] files, each of which declares at least one tool
    # @return [ToolLoader] itself
    # @raise [ArgumentError] what is wrong, and what to write instead
    def load(*paths)
      paths.each do |path|
        before = @tools.size
        instance_eval(File.read(path, encoding: Encoding::UTF_8), path)
        raise ArgumentError, "#{path} declares no tool: write `tool \"name\" do`" if @tools.size == before
      end
      self
    end

    # Declares a tool.
    # @param name [String]
    # @return [Tool]
    def tool(name, &block)
      raise ArgumentError, "two tools are called '#{name}'" if @tools.key?(name)

      tool = Tool.new(name)
      tool.instance_eval(&block)
      @tools[name] = tool.check
    end

    # @return [Array<Hash>] as `tools/list` shows them, sorted by name
    def operations = @operations ||= @tools.sort.map { |_, tool| tool.to_h }

    # @return [Hash, nil] the result of `tools/call`; nil if there is no such tool
    def call(name, arguments, meta = {})
      tool = @tools[name] or return
      context = CallContext.new(run: meta["io.langop/run"], idempotency_key: meta["io.langop/idempotency-key"])
      result = tool.call(arguments, context, log: @log)
      @log.info("called", operation: name, run: context.run, is_error: result["isError"] || false,
                          bytes: result["content"].first["text"].bytesize)
      result
    end
  end
end
