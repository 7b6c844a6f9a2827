# frozen_string_literal: true

require "helper"

class ModelsTest < Minitest::Test
  include Together

  def ask(*answers, **options)
    @model = serve_all(*answers)
    client = client(models: { "m" => @model }, **options)
    client.model_client.stub(:sleep, nil) { client.ask("?") }
  end

  def test_what_may_get_better_is_asked_again
    assert_equal "yes", ask([429, { "retry-after" => "0" }, "slow"], [200, {}, "<html>"], [500, {}, ""], says(" yes "))
    assert_equal 4, @model.seen.size
  end

  def test_what_does_not_get_better_ends_it
    error = failure("model-unavailable") { ask([500, {}, '{"error":{"message":"down"}}']) }
    assert_equal [4, "the model 'm' does not answer: 500 Words: down"], [@model.seen.size, error.message]
    failure("model-unavailable") { ask([200, {}, "x" * ((8 << 20) + 1)]) }
    [400, 401, 403, 404, 422].each do |status|
      failure("model-refused") { ask([status, {}, '{"error":"no"}']) }
      assert_equal 1, @model.seen.size
    end
  end

  def test_what_servers_leave_out_or_write_otherwise_is_accepted
    body = { choices: [{ message: { content: nil, tool_calls: [{ id: 1, function: { name: "f", arguments: { a: 1 } } }] } }] }
    completion = Langop::Client::Completion.read(JSON.generate(body))
    assert_equal "", completion.text
    assert_equal [{ id: "1", name: "f", arguments: '{"a":1}' }], completion.calls
    assert_equal [0, 0, 0, 1], completion.tokens.to_a
    parts = says([{ type: "text", text: "hi" }], usage: { prompt_tokens: 9, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } })
    completion = Langop::Client::Completion.read(JSON.generate(parts))
    assert_equal ["hi", [9, 3, 4, 0]], [completion.text, completion.tokens.to_a]
    ["{}", "[]", "<html>", '{"choices":[]}', '{"choices":[1]}'].each { |garbage| assert_nil Langop::Client::Completion.read(garbage) }
  end

  def test_no_answer_is_a_refusal
    [says(""), says(nil), says("x", finish: "content_filter")].each { |answer| failure("model-refused") { ask(answer) } }
  end

  def test_only_the_default_model_has_a_stand_in
    down = serve { [500, { "retry-after" => "0" }, ""] }
    good = serve_all(says("stand-in"))
    client = client(models: { "first" => down, "second" => good })
    client.model_client.stub(:sleep, nil) do
      assert_equal "stand-in", client.ask("?")
      failure("model-unavailable") { client.ask("?", model: "first") }
    end
    failure("not-offered") { client.ask("?", model: "third") }
  end

  def test_tokens_are_bounded_before_each_question
    model = serve_all(says("x"))
    client = client(models: { "m" => model }, LANGOP_AGENT_MAX_TOKENS: "12")
    usage = Langop::Client::Models::Usage.new
    chat = Langop::Client::Models::Chat.new(messages: [])
    client.model_client.ask(chat, usage: usage)
    failure("token-limit") { client.model_client.ask(chat, usage: usage) }
    assert_equal 1, model.seen.size
  end
end
