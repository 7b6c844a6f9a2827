# frozen_string_literal: true

module Langop
  # Counts of an agent, in the text format of Prometheus. Labels come from fixed words and from the
  # names in the environment only, so their number is bounded.
  class Metrics
    # Upper bounds in seconds of a run.
    BUCKETS = [0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0].freeze
    # Name and what is counted.
    COUNTERS = {
      "runs" => "Runs that ended",
      "steps" => "Steps that ended",
      "iterations" => "Answers of models by purpose",
      "model_requests" => "Questions to models, repeats not counted",
      "tool_calls" => "Calls of tools, repeats not counted",
      "output_mismatches" => "Results that were not as the tool's output schema says",
      "tokens" => "Tokens that models used",
      "checkpoint_errors" => "Checkpoints that could not be written"
    }.freeze

    def initialize
      @mutex = Mutex.new
      @counts = COUNTERS.keys.to_h { |name| [name, Hash.new(0)] }
      @buckets = Array.new(BUCKETS.size, 0)
      @sum = 0.0
      @count = 0
    end

    def run(outcome, reason, seconds)
      count("runs", outcome: outcome, reason: reason)
      @mutex.synchronize do
        BUCKETS.each_with_index { |most, index| @buckets[index] += 1 if seconds <= most }
        @sum += seconds
        @count += 1
      end
    end

    def step(outcome) = count("steps", outcome: outcome)
    def iteration(purpose) = count("iterations", purpose: purpose)
    def model_request(model, outcome) = count("model_requests", model: model, outcome: outcome)
    def tool_call(tool, outcome) = count("tool_calls", tool: tool, outcome: outcome)
    def output_mismatch(tool) = count("output_mismatches", tool: tool)
    def checkpoint_error = count("checkpoint_errors")

    # @param tokens [Client::Tokens]
    def tokens(model, tokens)
      tokens.each_pair { |type, number| count("tokens", by: number, model: model, type: type) if number.positive? }
    end

    # @return [String] all of them
    def encode
      @mutex.synchronize { [*COUNTERS.flat_map { |name, help| counter(name, help) }, *histogram, "# EOF", ""].join("\n") }
    end

    private

    def count(name, by: 1, **labels)
      @mutex.synchronize { @counts[name][labels] += by }
    end

    def counter(name, help)
      name_of = "langop_agent_#{name}"
      ["# HELP #{name_of} #{help}.", "# TYPE #{name_of} counter"] +
        @counts[name].map { |labels, number| "#{name_of}_total#{braces(labels)} #{number}" }
    end

    def histogram
      name = "langop_agent_run_duration_seconds"
      ["# HELP #{name} How long runs took.", "# TYPE #{name} histogram", "#{name}_sum #{@sum}", "#{name}_count #{@count}",
       *BUCKETS.zip(@buckets).map { |most, number| "#{name}_bucket{le=\"#{most}\"} #{number}" },
       "#{name}_bucket{le=\"+Inf\"} #{@count}"]
    end

    def braces(labels)
      return "" if labels.empty?

      pairs = labels.map { |label, value| "#{label}=\"#{value.to_s.gsub(/[\\"\n]/) { |c| c == "\n" ? '\n' : "\\#{c}" }}\"" }
      "{#{pairs.join(",")}}"
    end
  end
end
