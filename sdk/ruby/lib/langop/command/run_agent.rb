# frozen_string_literal: true

module Langop
  module Command
    # `langop-agent-ruby`: from the process's environment to its exit code.
    class RunAgent
      USAGE = <<~TEXT
        Runs an agent: its definition against its tools and models. All settings are environment variables.

        Usage: langop-agent-ruby [COMMAND]

        Commands:
          run    Run it as the environment says: once, or again and again (default)
          chat   Talk to it on the terminal; an empty line or the end of the input ends it
          check  Check environment and definition, without network; 0 or 3 is the exit code

        Options:
          --help, --version
      TEXT

      # @param arguments [Array<String>] of the command line
      # @return [Integer] the exit code
      def self.call(arguments)
        case arguments
        in [] | ["run"] then new.run
        in ["chat"] then new.chat
        in ["check"] then new.check
        in ["--version"] then say("langop-agent #{VERSION} (ruby)")
        in ["--help"] then say(USAGE)
        else
          warn USAGE
          2
        end
      end

      def self.say(text)
        puts text
        0
      end
      private_class_method :say

      def initialize
        @began = Deadline.now
        @stopping = Agent::Stopping.new
      end

      def run
        log_path = ENV.fetch("LANGOP_TERMINATION_LOG", "/dev/termination-log")
        client = new_client($stdout)
        tell(report(client), log_path, client.log)
      rescue Failure => e
        complain(e)
        tell(Agent::Report.of_failure(e), log_path, Log.none)
      end

      def chat
        @stopping.on_signals
        client = Client::Base.new(log: Log.new(ENV.fetch("LANGOP_LOG", "warn"), output: $stderr))
        executor(client).chat(stopping: @stopping)
        0
      rescue Failure => e
        complain(e)
      end

      def check
        client = Client::Base.new
        code = Agent::Code.load(client.environment)
        code.check_offered(client.environment)
        definition = code.definition
        puts "the code of '#{definition.name}' is good: #{definition.steps.size} steps, #{definition.objectives.size} objectives"
        0
      rescue Failure => e
        complain(e)
      end

      private

      def new_client(output)
        environment = Environment.new
        Client::Base.new(log: Log.new(environment.log, output: output))
      end

      def executor(client)
        Agent::Executor.new(client: client, max_iterations: client.environment.max_iterations)
      end

      # @return [Agent::Report]
      def report(client)
        why = client.environment.due_days&.not_due
        if why
          # Before code, port, tools and models: a day without work needs none of them.
          client.log.info(why, outcome: "skipped")
          return Agent::Report.not_due(why)
        end
        @stopping.on_signals
        server = bind(client)
        serve(client, server)
      ensure
        server&.stop
      end

      def serve(client, server)
        executor = executor(client)
        if client.environment.serve.include?("mcp")
          server.mount("/mcp", MCP::Endpoint, Agent::Asked.new(executor, @stopping),
                       max_body: Agent::Asked::MAX_BODY, log: client.log)
        end
        @is_ready = true
        report = Agent::Resident.new(executor, @stopping, @began).run
        client.tool_client.give_notice
        report
      end

      # `/livez`, `/readyz` (503 before it is ready and once it is to end) and `/metrics`.
      def bind(client)
        port = client.environment.port
        server = HttpServer.new(nil, port)
        server.answer("/readyz") { ready }
        server.answer("/metrics", type: "application/openmetrics-text; version=1.0.0; charset=utf-8") do
          [200, client.metrics.encode]
        end
        server.start
      rescue SystemCallError => e
        raise Failure.new("configuration", "PORT #{port} cannot be used: #{e.message}")
      end

      def ready
        return [503, "stopping\n"] if @stopping.set?

        @is_ready ? [200, "ok\n"] : [503, "starting\n"]
      end

      def tell(report, path, log)
        error = report.write(path)
        log.warn("the termination message could not be written", error: error.message) if error
        report.exit_code
      end

      def complain(failure)
        warn "langop-agent-ruby: #{failure.reason}: #{failure.message}"
        failure.exit_code
      end
    end
  end
end
