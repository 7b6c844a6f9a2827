//! What planning costs: the same task as a workflow, whose steps the code names, and as objectives, where a
//! model decides each step. The model is scripted, so its tokens are counted from bytes, at four each; a real
//! one's differ by tokenizer, not by kind.

use anyhow::{Result, ensure};
use langop_integration_tests::{FakeLlm, Reply, fake_llm::LlmRequest};
use serde_json::{Value, json};

use crate::{
    figures::{Figures, progress},
    peers::Peers,
};

const WORKFLOW: &str = "require 'language_operator'

agent 'agent' do
  workflow do
    step 'Note' do
      use_tool 'files', action: 'write_file', params: { path: 'note.txt', content: 'checked' }
    end
    step 'List' do
      use_tool 'files', action: 'list_files', params: { path: '.' }
    end
    step 'Read' do
      use_tool 'files', action: 'read_file', params: { path: 'note.txt' }
    end
  end
end
";

const OBJECTIVES: &str = "require 'language_operator'

agent 'agent' do
  objectives [
    'Write checked into note.txt, list the files, and read note.txt'
  ]
end
";

/// Bytes of a token.
const TOKEN: usize = 4;

pub(crate) async fn measure(peers: &Peers, url: &str, figures: &mut Figures) -> Result<()> {
    progress("planning: a workflow, and the same as objectives");
    figures.workflow_planning_tokens = tokens(peers, url, "workflow.rb", WORKFLOW).await?;
    figures.objectives_planning_tokens = tokens(peers, url, "objectives.rb", OBJECTIVES).await?;
    Ok(())
}

async fn tokens(peers: &Peers, url: &str, name: &str, code: &str) -> Result<usize> {
    let model = FakeLlm::start().await?;
    model.reply_with(next);
    let code = peers.write(name, code)?;
    let run = peers.start_with_model(&code, url, model.endpoint())?;
    run.end().await?;
    let account = peers.account()?;
    let calls = account["toolCalls"].as_u64();
    ensure!(calls == Some(3), "{name} made {calls:?} calls of tools");
    let asked = model.requests();
    let bytes = asked.iter().map(|request| request.body.to_string().len());
    Ok(bytes.sum::<usize>() / TOKEN)
}

/// One call a turn, as models that are careful do.
fn next(request: &LlmRequest) -> Reply {
    let messages = request.body["messages"].as_array();
    let results = messages.into_iter().flatten();
    let results = results.filter(|message| message["role"] == "tool").count();
    let calls = [
        (
            "files__write_file",
            json!({"path": "note.txt", "content": "checked"}),
        ),
        ("files__list_files", json!({"path": "."})),
        ("files__read_file", json!({"path": "note.txt"})),
    ];
    let done = ("finish", json!({"outcome": "achieved", "summary": "done"}));
    let (function, arguments) = calls.get(results).unwrap_or(&done);
    Reply::Json {
        code: 200,
        retry_after: None,
        body: completion(results, function, arguments),
    }
}

fn completion(nth: usize, function: &str, arguments: &Value) -> Value {
    let call = json!({"id": format!("call_{nth}"), "type": "function", "function": {"name": function, "arguments": arguments.to_string()}});
    json!({
        "id": "c", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [call]}}],
    })
}
