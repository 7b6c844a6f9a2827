//! A run whose time is over tells the tool that nobody waits for it any more, as its era has it.

use std::time::Duration;

use langop_integration_tests::{
    Agent,
    peers::servers::{Kind, McpServer},
    wait,
};

use crate::spy::Spy;

const AT_ONCE: Duration = Duration::from_secs(2);

async fn runs_out_of_time(url: String, call: &str) {
    let body = format!("  workflow do\n    step 'Slow' do\n      {call}\n    end\n  end");
    let agent = Agent::new("waiter", &body)
        .unwrap()
        .tools(&[("peer", url)])
        .with("AGENT_TIMEOUT", "10s");
    let ended = agent.run().await.unwrap();
    assert_eq!(ended.code, Some(5), "{}", ended.log);
    assert_eq!(ended.account["reason"], "time-limit");
}

/// The stream is closed.
#[tokio::test]
async fn a_modern_server_stops_its_work() {
    let server = McpServer::start(Kind::Python).await.unwrap();
    let call = "use_tool 'peer', action: 'slow', params: { seconds: 60 }";
    runs_out_of_time(server.url(), call).await;
    wait::until("the end of its work", AT_ONCE, async || {
        let said = server.output().unwrap();
        said.contains("slow: cancelled").then_some(()).ok_or(said)
    })
    .await
    .unwrap();
}

/// Leaving means nothing, and a notification is sent.
#[tokio::test]
async fn a_server_with_sessions_is_told() {
    let server = McpServer::start(Kind::Everything).await.unwrap();
    let spy = Spy::before(server.url()).await;
    let call = "use_tool 'peer', action: 'trigger-long-running-operation', params: { duration: 60, steps: 60 }";
    runs_out_of_time(spy.url.clone(), call).await;
    wait::until("the notification", AT_ONCE, async || {
        (spy.count("notifications/cancelled") >= 1).then_some(())
    })
    .await
    .unwrap();
}
