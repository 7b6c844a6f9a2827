# frozen_string_literal: true

require "json"
require "time"

module Langop
  # Logs as JSON lines. Holds sizes, names and reasons, never contents.
  class Log
    LEVELS = %w[trace debug info warn error off].freeze

    # @param level [String] a level, or directives such as `langop=debug`
    # @param output [IO] standard output, as Kubernetes collects it; standard error where a person reads the output
    # @raise [Failure] if the directives cannot be read
    def initialize(level = "info", output: $stdout)
      @least = LEVELS.index(Log.level_of(level))
      @output = output
      @mutex = Mutex.new
    end

    # A log that says nothing.
    # @return [Log]
    def self.none = new("off")

    # Of directives those count that are about everything, or about this program.
    def self.level_of(directives)
      levels = directives.split(",").map do |directive|
        target, level = directive.strip.split("=", 2)
        level ||= target
        level = level.downcase
        raise Failure.new("configuration", ADVICE) unless LEVELS.include?(level)

        level if target.casecmp?(level) || target.start_with?("langop")
      end
      levels.compact.last || "info"
    end

    ADVICE = "LANGOP_LOG cannot be read: write a level such as info, or directives such as langop=debug"
    private_constant :ADVICE

    LEVELS.first(5).each do |level|
      define_method(level) { |message, **fields| write(level, message, fields) }
    end

    private

    def write(level, message, fields)
      return if LEVELS.index(level) < @least

      line = { timestamp: Time.now.utc.iso8601(6), level: level.upcase, message: Quote.utf8(message) }
      line = JSON.generate(line.merge(fields.compact, target: "langop"))
      @mutex.synchronize do
        @output.puts(line)
        @output.flush
      end
    end
  end
end
