//! Agents with objectives: the loop of a model with tools, on a model that misbehaves.

use serde_json::{Value as Json, json};

use super::{
    agent::{Agent, nobody, text},
    model::{Model, Reply, says},
    peer::{self, Habits, Peer},
};

fn calls(calls: &[(&str, &str, Json)]) -> Reply {
    let calls: Vec<Json> = calls
        .iter()
        .map(|(id, name, arguments)| {
            json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
        })
        .collect();
    Reply::Message(json!({"role": "assistant", "content": null, "tool_calls": calls}))
}

fn finish(outcome: &str, summary: &str) -> Reply {
    let arguments = json!({"outcome": outcome, "summary": summary}).to_string();
    calls(&[("end", "finish", arguments.into())])
}

/// The answers to calls in the last request.
fn answers(model: &Model) -> Vec<String> {
    let requests = model.requests();
    let messages = requests.last().unwrap()["messages"]
        .as_array()
        .unwrap()
        .clone();
    messages
        .iter()
        .filter(|message| message["role"] == "tool")
        .map(|message| message["content"].as_str().unwrap().to_owned())
        .collect()
}

const BODY: &str = "  objectives ['Write what there is into a.txt']";

#[tokio::test]
async fn a_model_that_misbehaves_is_told_so_and_gets_there() {
    let agent = Agent::new(BODY).with_workspace();
    let write = json!({"path": "a.txt", "content": "done"});
    let model = Model::start([
        calls(&[
            ("1", "nonsense", "{}".into()),
            ("2", "files__list_files", "{".into()),
            ("3", "files__list_files", "[]".into()),
            ("3", "files__list_files", json!({"path": "."})),
            ("", "files__read_file", r#"{"path": "../x"}"#.into()),
        ]),
        calls(&[("4", "files__write_file", write.to_string().into())]),
        finish("achieved", "It is written."),
    ])
    .await;
    let files = peer::filesystem(&agent.workspace()).await;
    let agent = agent.tools(&[("files", files)]).model(model.address);
    let left = agent.run().await;
    assert_eq!(left.code, Some(0), "{}", left.log);
    assert_eq!(left.line, "It is written.");
    assert_eq!(text(&agent.workspace().join("a.txt")), "done");
    let told = answers(&model);
    assert_eq!(told.len(), 6, "each call has one answer: {told:?}");
    assert!(told[0].contains("no function 'nonsense'"), "{told:?}");
    assert!(told[1].contains("no JSON"), "{told:?}");
    assert!(told[2].contains("must be a JSON object"), "{told:?}");
    assert!(told[4].contains("must not hold `..`"), "{told:?}");
    let request = &model.requests()[0];
    let names: Vec<_> = request["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["function"]["name"])
        .collect();
    assert_eq!(names.len(), 6);
    assert_eq!(names[0], "files__delete_file");
    let system = request["messages"][0]["content"].as_str().unwrap();
    assert!(system.contains("Write what there is"), "{system}");
    assert_eq!(left.json["iterations"], 3);
}

#[tokio::test]
async fn ends_of_every_kind() {
    for (replies, code, said) in [
        (vec![says("All is well.")], 0, "All is well."),
        (
            vec![finish("nothing_to_do", "No files.")],
            0,
            "nothing to do: No files.",
        ),
        (
            vec![finish("impossible", "No way.")],
            1,
            "impossible: No way.",
        ),
        (
            vec![says("")],
            1,
            "model-refused: the model answered nothing",
        ),
        (
            vec![Reply::Raw(
                400,
                vec![],
                r#"{"error":{"message":"bad model"}}"#.to_owned(),
            )],
            1,
            "model-refused: the model 'claude' refuses: 400 Bad Request bad model",
        ),
    ] {
        let model = Model::start(replies).await;
        let left = Agent::new(BODY).model(model.address).run().await;
        assert_eq!(left.code, Some(code), "{said}: {}", left.log);
        assert_eq!(left.line, said);
    }
}

#[tokio::test]
async fn iterations_and_progress_are_bounded() {
    let peer = Peer::start(Habits::default()).await;
    let read = calls(&[("", "peer__read", "{}".into())]);
    let model = Model::start(vec![read; 30]).await;
    let agent = Agent::new(BODY)
        .tools(&[("peer", peer.address)])
        .model(model.address);
    let left = agent.run().await;
    assert_eq!(left.code, Some(1), "{}", left.log);
    assert_eq!(left.json["reason"], "no-progress");
    assert_eq!(left.json["iterations"], 5);
    let turn = |n: usize| calls(&[("", "peer__record", json!({"text": n.to_string()}))]);
    let model = Model::start((0..30).map(turn)).await;
    let agent = agent.model(model.address).with("AGENT_MAX_ITERATIONS", 3);
    let left = agent.run().await;
    assert_eq!(left.code, Some(4), "{}", left.log);
    assert_eq!(left.json["reason"], "iteration-limit");
    let model = Model::start((0..30).map(turn)).await;
    let agent = agent
        .model(model.address)
        .with("AGENT_MAX_ITERATIONS", 25)
        .with("LANGOP_AGENT_MAX_TOKENS", 30);
    let left = agent.run().await;
    assert_eq!(left.code, Some(4), "{}", left.log);
    assert_eq!(left.json["reason"], "token-limit");
    assert_eq!(model.requests().len(), 3, "12 tokens each");
}

#[tokio::test]
async fn a_dead_tool_is_left_out_and_the_model_is_told() {
    let peer = Peer::start(Habits::default()).await;
    let (_silent, nobody) = nobody();
    let model = Model::start([finish("achieved", "x")]).await;
    let agent = Agent::new(BODY)
        .tools(&[("dead", nobody), ("peer", peer.address)])
        .model(model.address)
        .with("AGENT_TIMEOUT", "20s");
    let left = agent.run().await;
    assert_eq!(left.code, Some(0), "{}", left.log);
    let request = &model.requests()[0];
    let said = request["messages"].to_string();
    assert!(
        said.contains("do not answer at the moment") && said.contains("dead"),
        "{said}"
    );
    let functions = request["tools"].to_string();
    assert!(
        functions.contains("peer__read") && !functions.contains("dead__"),
        "{functions}"
    );
}
