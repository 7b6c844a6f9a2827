//! What survives kill -9, signals and deadlines: nothing is done twice.

use serde_json::json;
use tokio::net::TcpListener;

use super::{
    agent::{Agent, text, until},
    implementation::Implementation,
    model::{Model, says},
    peer::{Habits, Peer},
};

const CHAIN: &str = r#"
  workflow do
    step "A" do
      use_tool "peer", action: "record", params: { text: "a" }
    end
    step "B" do
      use_tool "peer", action: "record", params: { text: "b" }
    end
    step "C" do
      use_tool "slow", action: "record", params: { text: result("A") }
    end
    step "D" do
      use_tool "peer", action: "record", params: { text: "d" }
    end
  end
"#;

fn chain() -> String {
    CHAIN
        .replace(r#"step "C" do"#, r#"step "C", depends_on: ["A", "B"] do"#)
        .replace(r#"step "D" do"#, r#"step "D", depends_on: "C" do"#)
}

/// Kills the agent while C is under way, whose tool has taken the call or not.
#[tokio::test]
async fn a_call_that_may_have_happened_is_not_made_again() {
    let peer = Peer::start(Habits::default()).await;
    let slow = Peer::start(Habits {
        hangs_on: Some("record"),
        ..Habits::default()
    })
    .await;
    let agent = Agent::new(&chain())
        .tools(&[("peer", peer.address), ("slow", slow.address)])
        .with_workspace()
        .with("AGENT_MODE", "autonomous");
    let running = agent.start();
    until("C is called", || slow.effects().len() == 1).await;
    running.kill().await;
    let state = text(&agent.workspace().join(".langop/test-agent/state.json"));
    assert!(state.contains(r#""intents":{"C""#), "{state}");

    let running = agent.start();
    until("the run has ended", || {
        running.log().contains("outcome-unknown")
    })
    .await;
    running.signal("-TERM");
    let left = running.end().await;
    assert_eq!(slow.effects().len(), 1, "not called again");
    assert_eq!(peer.effects(), [json!({"text": "a"}), json!({"text": "b"})]);
    assert!(
        left.log.contains("may or may not have happened"),
        "{}",
        left.log
    );
}

/// What a workspace keeps is the same for all implementations.
#[tokio::test]
async fn one_implementation_goes_on_where_another_was_killed() {
    goes_on(Implementation::Reference, Implementation::Ruby).await;
    goes_on(Implementation::Ruby, Implementation::Reference).await;
}

async fn goes_on(first: Implementation, second: Implementation) {
    let peer = Peer::start(Habits::default()).await;
    let body = r#"
  workflow do
    step "A" do
      use_tool "peer", action: "record", params: { text: "a" }
    end
    step "B", depends_on: "A" do
      ask "Sum it up"
    end
    step "C", depends_on: "B" do
      use_tool "peer", action: "record", params: { text: result("B") }
    end
  end"#;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let agent = Agent::new(body)
        .by(first)
        .tools(&[("peer", peer.address)])
        .model(silent.local_addr().unwrap())
        .with_workspace()
        .with("AGENT_MODE", "autonomous");
    let running = agent.start();
    let _asked = silent.accept().await.unwrap();
    running.kill().await;
    assert_eq!(peer.effects(), [json!({"text": "a"})], "{first:?}");

    let model = Model::start([says("brief")]).await;
    let agent = agent.by(second).model(model.address);
    let running = agent.start();
    until("the run has ended", || {
        running.log().contains("3 steps done")
    })
    .await;
    let log = running.log();
    running.kill().await;
    let done = [json!({"text": "a"}), json!({"text": "brief"})];
    assert_eq!(peer.effects(), done, "{second:?}: {log}");
    assert_eq!(model.requests().len(), 1, "{second:?}: {log}");
}

#[tokio::test]
async fn a_job_starts_anew_and_a_signal_in_a_run_is_143() {
    let peer = Peer::start(Habits::default()).await;
    let slow = Peer::start(Habits {
        hangs_on: Some("record"),
        ..Habits::default()
    })
    .await;
    let agent = Agent::new(&chain())
        .tools(&[("peer", peer.address), ("slow", slow.address)])
        .with_workspace();
    let running = agent.start();
    until("C is called", || slow.effects().len() == 1).await;
    running.kill().await;
    let running = agent.start();
    until("C is called again, by another run", || {
        slow.effects().len() == 2
    })
    .await;
    running.signal("-TERM");
    let left = running.end().await;
    assert_eq!(left.code, Some(143), "{}", left.log);
    assert_eq!(left.json["outcome"], "stopped");
    assert!(left.log.contains("it is abandoned"), "{}", left.log);
}

#[tokio::test]
async fn the_deadline_is_exit_5() {
    let slow = Peer::start(Habits {
        hangs_on: Some("record"),
        ..Habits::default()
    })
    .await;
    let body = "  workflow do\n step 'Slow' do\n use_tool 'slow', action: 'record'\n end\n end";
    let agent = Agent::new(body)
        .tools(&[("slow", slow.address)])
        .with("AGENT_TIMEOUT", "2s");
    let left = agent.run().await;
    assert_eq!(left.code, Some(5), "{}", left.log);
    assert_eq!(left.json["reason"], "time-limit");
    until("the server sees that nobody waits", || slow.left() == 1).await;
}
