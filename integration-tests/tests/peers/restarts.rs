//! Servers that are started again, stopped for a while, or for good, while a run goes on.

use std::time::Duration;

use langop_integration_tests::{
    Agent, FakeLlm, Reply,
    agent::RunningAgent,
    peers::servers::{Kind, McpServer},
    wait,
};

use crate::spy::Spy;

const SOON: Duration = Duration::from_mins(1);
/// Longer than all attempts to send a call that was never written.
const OUTAGE: Duration = Duration::from_secs(20);

/// Two calls of a tool, and a question between them.
fn asks_between(call: &str) -> String {
    format!(
        r#"
  workflow do
    step "Before" do
      use_tool "peer", {call}
    end
    step "Between", depends_on: "Before" do
      ask "Go on?"
    end
    step "After", depends_on: "Between" do
      use_tool "peer", {call}
    end
  end"#
    )
}

const ECHO: &str = r#"action: "echo", params: { message: "x" }"#;

/// An agent that has made the first call, and goes on when the model is released.
struct Between {
    agent: Agent,
    model: FakeLlm,
}

impl Between {
    async fn new(call: &str, url: String) -> Self {
        let model = FakeLlm::start().await.unwrap();
        model.reply(Reply::Hang);
        let agent = Agent::new("caller", &asks_between(call))
            .unwrap()
            .tools(&[("peer", url)])
            .model(model.endpoint());
        Self { agent, model }
    }

    async fn start(&self) -> RunningAgent<'_> {
        let running = self.agent.start().unwrap();
        wait::until("the question", SOON, async || {
            (self.model.count() == 1)
                .then_some(())
                .ok_or(self.agent.log())
        })
        .await
        .unwrap();
        running
    }
}

/// The second step works, and costs one handshake more.
async fn survives_a_restart(kind: Kind, call: impl FnOnce(&McpServer) -> String) {
    let mut server = McpServer::start(kind).await.unwrap();
    let spy = Spy::before(server.url()).await;
    let between = Between::new(&call(&server), spy.url.clone()).await;
    let running = between.start().await;
    assert_eq!(spy.count("initialize"), 1);
    server.stop().await.unwrap();
    server.start_again().await.unwrap();
    between.model.release();
    let ended = running.end().await.unwrap();
    assert_eq!(
        (ended.code, &*ended.line),
        (Some(0), "3 steps done"),
        "{}",
        ended.log
    );
    assert_eq!(spy.count("initialize"), 2, "{}", ended.log);
}

/// Its SDK says 400 of a session that it does not know.
#[tokio::test]
async fn the_reference_server_of_everything_is_started_again() {
    survives_a_restart(Kind::Everything, |_| ECHO.to_owned()).await;
}

/// This one says 404.
#[tokio::test]
async fn a_gateway_in_python_is_started_again() {
    survives_a_restart(Kind::Proxy, |server| {
        let path = server.note();
        let path = path.display();
        format!(r#"action: "read_text_file", params: {{ path: "{path}" }}"#)
    })
    .await;
}

async fn assert_awaited(kind: Kind) {
    let mut server = McpServer::start(kind).await.unwrap();
    let between = Between::new(ECHO, server.url()).await;
    let running = between.start().await;
    server.stop().await.unwrap();
    between.model.release();
    let (ended, ()) = tokio::join!(running.end(), async {
        tokio::time::sleep(OUTAGE).await;
        server.start_again().await.unwrap();
    });
    let ended = ended.unwrap();
    assert_eq!(
        (ended.code, &*ended.line),
        (Some(0), "3 steps done"),
        "{}",
        ended.log
    );
}

#[tokio::test]
async fn a_modern_server_that_is_away_for_a_while_is_awaited() {
    assert_awaited(Kind::Npm).await;
}

#[tokio::test]
async fn a_server_with_sessions_that_is_away_for_a_while_is_awaited() {
    assert_awaited(Kind::Everything).await;
}

#[tokio::test]
async fn a_server_that_stays_away_is_the_cause_by_name() {
    for kind in [Kind::Npm, Kind::Everything] {
        let mut server = McpServer::start(kind).await.unwrap();
        let mut between = Between::new(ECHO, server.url()).await;
        // A tenth of the time that is left is waited.
        between.agent = between.agent.with("AGENT_TIMEOUT", "50s");
        let running = between.start().await;
        server.stop().await.unwrap();
        let began = tokio::time::Instant::now();
        between.model.release();
        let ended = running.end().await.unwrap();
        assert_eq!(ended.code, Some(7), "{kind:?}: {}", ended.log);
        let said = "tool-unavailable in step 'After': the tool 'peer' does not answer";
        assert!(ended.line.starts_with(said), "{kind:?}: {}", ended.line);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(20), "{kind:?}: {took:?}");
    }
}
