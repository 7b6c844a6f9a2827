# frozen_string_literal: true

require "helper"

class DslTest < Minitest::Test
  include Together

  FILE = <<~RUBY
    require 'language_operator'

    agent 'monitor' do
      description 'Watches'
      schedule cron: ['0 9 * * 1-5', '30 12 * * *'], time_zone: 'Europe/Berlin', only: 'first MON'
      mode :scheduled
      objectives ['Watch', 'Tell']
      workflow do
        step 'List' do
          use_tool 'files', action: 'list', params: { path: '.', deep: [true, { at: 1 }] }
        end
        step 'Judge', depends_on: 'List', each: result('List') do
          ask item, model: 'claude'
        end
        step 'Send', depends_on: ['Judge'], only_if: 'it is bad' do
          use_tool 'email', action: 'send', params: { body: result('Judge') }
        end
      end
      constraints max_iterations: 10, timeout: '1h30m'
    end
  RUBY

  def load(content)
    path = File.join(@folder, "written.rb")
    File.write(path, content)
    Langop::Dsl.load(path)
  end

  def test_a_file_that_a_person_wrote_gives_the_definition
    assert_equal({
      "name" => "monitor", "description" => "Watches", "mode" => "scheduled", "objectives" => %w[Watch Tell],
      "schedule" => { "cron" => { "expression" => "0 9 * * 1-5", "also" => ["30 12 * * *"], "timeZone" => "Europe/Berlin", "only" => "first MON" } },
      "steps" => [
        { "name" => "List", "action" => { "useTool" => { "tool" => "files", "action" => "list", "params" => { "path" => ".", "deep" => [true, { "at" => 1 }] } } } },
        { "name" => "Judge", "dependsOn" => ["List"], "each" => "List", "action" => { "ask" => { "prompt" => { "$item" => true }, "model" => "claude" } } },
        { "name" => "Send", "dependsOn" => ["Judge"], "onlyIf" => "it is bad",
          "action" => { "useTool" => { "tool" => "email", "action" => "send", "params" => { "body" => { "$result" => "Judge" } } } } }
      ],
      "constraints" => { "maxIterations" => 10, "timeoutSeconds" => 5400 }
    }, load(FILE).to_h)
  end

  def test_it_runs_as_it_is
    definition = Langop::Dsl.agent("greeter") { workflow { step("Greet") { ask "Say hello" } } }
    model = serve_all(says("Hello!"))
    report = Langop::Agent::Executor.new(client: client(models: { "m" => model }), definition: definition).run
    assert_equal "1 step done", report.line
  end

  def test_mounted_code_is_not_evaluated_even_if_asked_for
    marker = File.join(@folder, "marker")
    path = mount({ "name" => "a" }, "File.write(#{marker.inspect}, '')")
    before = ENV.fetch("AGENT_CODE_PATH", nil)
    ENV["AGENT_CODE_PATH"] = path
    assert_match(/never evaluated/, assert_raises(ArgumentError) { Langop::Dsl.load(path) }.message)
    refute_path_exists marker
  ensure
    ENV["AGENT_CODE_PATH"] = before
  end

  def test_what_is_wrong_is_told_with_what_to_write
    {
      "x = 1" => "declares 0 agents", "agent('A') { }" => "invalid agent name", "agent('a') { mode :odd }" => "autonomous or :scheduled",
      "agent('a') { schedule every: 'soon' }" => "such as 5m", "agent('a') { schedule cron: '61 * * * *' }" => "five fields",
      "agent('a') { workflow { step('S') { } } }" => "write use_tool or ask",
      "agent('a') { workflow { step('S') { ask 'a'; ask 'b' } } }" => "does one thing",
      "agent('a') { workflow { step('S', depends_on: 'T') { ask 'a' } } }" => "which is not there"
    }.each { |content, said| assert_match(/#{said}/, assert_raises(ArgumentError, content) { load(content) }.message) }
  end
end
