# frozen_string_literal: true

require "helper"

class WorkflowTest < Minitest::Test
  include Together

  Workflow = Langop::Agent::Engine::Workflow
  Event = Workflow::Event

  def workflow(*steps, parallel: 4, limit: 25)
    definition = Langop::Definition.new({ "name" => "a", "steps" => steps })
    Workflow.new(definition.steps, parallel: parallel, limit: limit)
  end

  def started(workflow) = workflow.start_next.map { |start| [workflow.step(start.step).name, start.work] }

  def done(workflow, name, text = "x")
    index = workflow.nodes.index { |node| node.step.name == name }
    workflow.record(index, Event.new(:done, Langop::Agent::Engine::StepResult.new(text)))
  end

  def judged(workflow, name, answer)
    workflow.record(workflow.nodes.index { |node| node.step.name == name }, Event.new(:judged, answer))
  end

  def test_order_is_by_dependency_and_by_text
    all = workflow(ask("A", "?"), ask("B", "?"), ask("C", "?", dependsOn: ["A"]))
    assert_equal [["A", :ask]], started(all)
    done(all, "A")
    assert_equal [["B", :ask], ["C", :ask]], started(all), "B waits for A, and C for nobody else"
  end

  def test_steps_of_one_tool_never_run_at_once
    all = workflow(ask("A", "?"), use_tool("B", "t", "x", dependsOn: ["A"]), use_tool("C", "t", "y", dependsOn: ["A"]),
                   use_tool("D", "u", "z", dependsOn: ["A"]))
    started(all)
    done(all, "A")
    assert_equal [["B", :call], ["D", :call]], started(all)
    done(all, "B")
    assert_equal [["C", :call]], started(all)
  end

  def test_a_condition_runs_skips_or_fails_its_step
    { "YES" => :active, "**No**, it" => :skipped }.each do |answer, state|
      all = workflow(ask("A", "?", onlyIf: "c"))
      assert_equal [["A", :judge]], started(all)
      judged(all, "A", answer)
      started(all)
      assert_equal state, all.nodes.first.state, answer
    end
    all = workflow(ask("A", "?", onlyIf: "c"))
    started(all)
    judged(all, "A", "Maybe")
    assert_equal [["A", :judge_strictly]], started(all)
    judged(all, "A", "")
    assert_equal "undecided", all.end.last.reason
  end

  def test_what_needs_a_skipped_result_is_skipped_and_what_merely_depends_runs
    result = { "$result" => "A" }
    all = workflow(ask("A", "?", onlyIf: "c"), ask("B", result, dependsOn: ["A"]), ask("C", "?", dependsOn: ["A"]))
    started(all)
    judged(all, "A", "no")
    assert_equal [["C", :ask]], started(all)
    assert_equal [nil, nil], (done(all, "C") && all.end)
    assert_equal %i[skipped skipped done], all.nodes.map(&:state)
    assert_predicate all, :nothing_to_do?
  end

  def test_what_waits_for_a_skipped_step_waits_for_all_that_it_would_have_waited_for
    result = { "$result" => "A" }
    all = workflow(ask("A", "?", onlyIf: "c"), ask("B", "?"), ask("C", result, dependsOn: %w[A B]), ask("D", "?", dependsOn: ["C"]))
    started(all)
    judged(all, "A", "no")
    assert_equal [["B", :ask]], started(all)
    done(all, "B")
    assert_equal [["D", :ask]], started(all)
    assert_equal %i[skipped done skipped active], all.nodes.map(&:state)
  end

  def test_the_first_failure_ends_the_run_and_what_runs_is_finished
    all = workflow(ask("A", "?"), ask("B", "?", dependsOn: ["A"]), ask("C", "?", dependsOn: ["A"]), ask("D", "?", dependsOn: ["C"]))
    started(all)
    done(all, "A")
    started(all)
    all.record(1, Event.new(:failed, Langop::Failure.new("tool-error", "no"), false))
    assert_nil all.end
    done(all, "C")
    assert_empty started(all)
    assert_equal ["B", "tool-error"], [all.end.first.name, all.end.last.reason]
    assert_equal %i[done failed done not_run], all.nodes.map(&:state)
  end

  def test_answers_of_models_are_bounded
    all = workflow(ask("A", "?"), ask("B", "?"), limit: 1)
    started(all)
    done(all, "A")
    assert_empty started(all)
    assert_equal "iteration-limit", all.end.last.reason
  end

  def test_a_step_runs_once_per_item
    all = workflow(ask("L", "?"), ask("E", { "$item" => true }, dependsOn: ["L"], each: "L"))
    started(all)
    done(all, "L", "- x\n- y")
    %w[x y].each_with_index do |item, number|
      assert_equal [["E", :ask]], started(all)
      assert_equal [number, item], all.item(1)
      done(all, "E", item.upcase)
    end
    assert_equal [nil, nil], all.end
    assert_equal %w[X Y], all.result("E").value
  end

  def test_lists_are_found_in_what_models_and_servers_write
    items = ->(text) { Langop::Agent::Engine::Items.of_json(text) }
    assert_equal %w[a b], items.call("```json\n[\"a\", \"b\"]\n```")
    assert_equal %w[a b], items.call({ "content" => "1. a\n2) b" })
    assert_equal ["a", "- b"], items.call("a\n- b"), "not all are marked"
    assert_equal [nil], items.call([nil])
    assert_empty items.call("")
    assert_nil items.call(3)
    failure("item-limit") { Langop::Agent::Engine::Items.of("L", Langop::Agent::Engine::StepResult.new("a\nb"), 1) }
  end

  def test_a_run_goes_on_where_it_was
    all = workflow(ask("A", "?"), ask("B", "?", onlyIf: "c"))
    started(all)
    done(all, "A")
    started(all)
    judged(all, "B", "yes")
    again = workflow(ask("A", "?"), ask("B", "?", onlyIf: "c"))
    again.resume(JSON.parse(JSON.generate(all.records)), all.iterations)
    assert_equal [["B", :ask]], started(again)
    assert_equal 2, again.iterations
  end

  def test_results_take_the_form_that_a_parameter_wants
    result = Langop::Agent::Engine::StepResult.new("text", { "a" => 1 })
    bindings = Langop::Agent::Engine::Bindings.new({ "S" => result }, 3)
    params = { "s" => { "$result" => "S" }, "o" => { "$result" => "S" }, "in" => [{ "$result" => "S" }], "i" => { "$item" => true } }
    schema = { "properties" => { "s" => { "type" => "string" }, "i" => { "type" => ["string"] }, "o" => { "type" => %w[string object] } } }
    assert_equal({ "s" => "text", "o" => { "a" => 1 }, "in" => [{ "a" => 1 }], "i" => "3" }, bindings.arguments(params, schema))
  end
end

class ChatLoopTest < Minitest::Test
  include Together

  ChatLoop = Langop::Agent::Engine::ChatLoop
  Functions = Langop::Agent::Engine::Functions

  def setup
    super
    operations = [["read", true], ["record", false]].map { |name, reads| Langop::Client::Operation.named("t", name, read_only: reads) }
    @loop = ChatLoop.new([{ "role" => "user", "content" => "Begin." }], Functions.new(operations), limit: 25, bytes: 10_000)
    @loop.start_next
  end

  def answer(text = nil, *calls)
    @loop.answered(Langop::Client::Completion.read(JSON.generate(says(text, calls: calls))))
    @loop.start_next
  end

  def told = @loop.messages.select { |message| message["role"] == "tool" }.map { |message| message["content"] }

  def test_every_call_gets_one_answer_whatever_is_wrong
    calls = [call("nonsense", "{}", id: "1"), call("t__read", "{", id: "2"), call("t__read", "[]", id: "3"),
             call("t__read", {}, id: "3"), call("finish", "{}", id: "4"), call("t__read", "", id: "")]
    started = answer(nil, *calls)
    assert_equal 2, started.size
    started.each { |planned| @loop.called(planned.id, "read") }
    ids = @loop.messages[1]["tool_calls"].map { |call| call["id"] }
    assert_equal ids, @loop.messages.drop(2).map { |message| message["tool_call_id"] }
    assert_equal ids.uniq, ids
    assert_match(/no function.*no JSON.*must be a JSON object.*read.*finish needs.*read/m, told.join("\n"))
  end

  def test_calls_that_only_read_run_at_once_and_others_in_order
    started = answer(nil, *%w[read read record read].each_with_index.map { |name, at| call("t__#{name}", { at: at }, id: at.to_s) })
    assert_equal %w[0 1], started.map(&:id)
    @loop.called("1", "x")
    assert_empty @loop.start_next
    @loop.called("0", "x")
    assert_equal %w[2], @loop.start_next.map(&:id)
    @loop.called("2", "x")
    assert_equal %w[3], @loop.start_next.map(&:id)
  end

  def test_finish_wins_over_other_calls
    answer(nil, call("t__record", "{}", id: "1"), call("finish", { outcome: "nothing_to_do", summary: "s" }, id: "2"))
    assert_equal [:nothing_to_do, "s"], @loop.end.to_a
    assert_equal ["not run: the run is finished", "finished"], told
  end

  def test_more_calls_than_allowed_are_refused
    started = answer(nil, *(1..17).map { |at| call("t__record", { at: at }, id: at.to_s) })
    assert_equal 1, started.size
    assert_match(/at most 16 calls/, told.last)
  end

  def test_the_same_again_and_again_is_remarked_upon_and_ends_it
    5.times do
      started = answer(nil, call("t__read", "{}", id: ""))
      started.each { |planned| @loop.called(planned.id, "same") }
      @loop.start_next
    end
    assert_equal "no-progress", @loop.end.value.reason
    assert_equal [false, false, true, true, false], told.map { |text| text.include?("gave the same result before") }
  end

  def test_old_results_are_left_out_of_a_long_conversation
    started = answer(nil, call("t__read", "{}", id: "1"))
    @loop.called(started.first.id, "x" * 9_990)
    @loop.start_next
    assert_equal [ChatLoop::REMOVED], told
    @loop.shorten.then { |was_shorter| refute was_shorter, "there is nothing left to leave out" }
  end

  def test_a_loop_goes_on_with_the_calls_that_have_no_answer
    answer(nil, call("t__record", "{}", id: "1"), call("t__record", "{}", id: "2"))
    @loop.called("1", "done")
    again = ChatLoop.new(JSON.parse(JSON.generate(@loop.messages)), @loop.functions, limit: 25, bytes: 10_000)
    assert_equal %w[2], again.start_next.map(&:id)
  end

  def test_names_of_functions_are_legal_and_lead_back
    names = ["read.file", "read file", "x" * 128, "ok"]
    operations = names.map { |name| Langop::Client::Operation.named("my tool", name) }
    functions = Functions.new(operations)
    described = functions.describe.map { |function| function[:name] }
    assert_equal "finish", described.last
    assert(described.all? { |name| name.match?(/\A[A-Za-z0-9_-]{1,64}\z/) }, described.inspect)
    assert_equal names.sort, described.filter_map { |name| functions[name]&.name }.sort
  end
end
