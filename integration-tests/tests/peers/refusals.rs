//! What servers refuse, and what they ask that nobody can answer.

use std::time::Duration;

use langop_integration_tests::{
    Agent,
    agent::Ended,
    peers::servers::{Kind, McpServer},
};
use tokio::time::Instant;

async fn call(server: &McpServer, operation: &str) -> Ended {
    let body = format!(
        "  workflow do\n    step 'Call' do\n      use_tool 'peer', action: '{operation}'\n    end\n  end"
    );
    let agent = Agent::new("caller", &body)
        .unwrap()
        .tools(&[("peer", server.url())]);
    agent.run().await.unwrap()
}

/// One SDK answers with a result that is an error, another with an error of the protocol.
#[tokio::test]
async fn an_operation_that_is_not_there_is_one_failure_whoever_says_so() {
    for kind in [Kind::Everything, Kind::Npm, Kind::Python] {
        let server = McpServer::start(kind).await.unwrap();
        let ended = call(&server, "never_there").await;
        assert_eq!(ended.code, Some(7), "{kind:?}: {}", ended.log);
        assert_eq!(ended.account["reason"], "unknown-operation", "{kind:?}");
        let said =
            "unknown-operation in step 'Call': the tool 'peer' has no operation 'never_there'";
        assert!(ended.line.starts_with(said), "{kind:?}: {}", ended.line);
        assert!(
            ended.line.contains("echo"),
            "{kind:?}: what there is: {}",
            ended.line
        );
    }
}

/// It asks a person although this client said that it cannot ask anybody.
#[tokio::test]
async fn a_server_that_asks_a_person_uninvited_is_declined_at_once() {
    let server = McpServer::start(Kind::OldPython).await.unwrap();
    let began = Instant::now();
    let ended = call(&server, "asks").await;
    let took = began.elapsed();
    let said = server.output().unwrap();
    assert!(said.contains("asks: decline"), "{said}");
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// The SDK of this era knows that nobody can be asked.
#[tokio::test]
async fn a_modern_server_that_needs_a_person_is_the_end_of_the_run() {
    let server = McpServer::start(Kind::Python).await.unwrap();
    let ended = call(&server, "asks").await;
    assert_eq!(ended.code, Some(1), "{}", ended.log);
    assert_eq!(ended.account["reason"], "needs-person", "{}", ended.line);

    // Asked as servers of old did, it finds that there is no way to ask.
    let ended = call(&server, "asks_as_of_old").await;
    assert_eq!(ended.code, Some(7), "{}", ended.log);
    let said = "tool-protocol in step 'Call': the tool 'peer' refuses the request or answers wrongly: Cannot send 'elicitation/create'";
    assert!(ended.line.starts_with(said), "{}", ended.line);
}
