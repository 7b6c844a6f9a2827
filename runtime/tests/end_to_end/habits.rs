//! One workflow against servers of every habit that was met: the same result, and nothing done
//! twice.

use serde_json::json;

use super::{
    agent::Agent,
    peer::{Era, Habits, Lost, Peer, Unknown},
};

const TWICE: &str = r#"
  workflow do
    step "Read" do
      use_tool "peer", action: "read"
    end
    step "First", depends_on: "Read" do
      use_tool "peer", action: "record", params: { text: result("Read"), any: result("Read") }
    end
    step "Second", depends_on: "First" do
      use_tool "peer", action: "record", params: { text: "second" }
    end
  end
"#;

#[tokio::test]
async fn every_era_gives_the_same() {
    for era in [
        Era::Modern,
        Era::LegacyTypeScript,
        Era::LegacyPython,
        Era::LegacyGateway,
        Era::DiscoversLegacy,
        Era::AnswersAnything,
    ] {
        let peer = Peer::start(Habits {
            era,
            ..Habits::default()
        })
        .await;
        let left = Agent::new(TWICE)
            .tools(&[("peer", peer.address)])
            .run()
            .await;
        assert_eq!(left.code, Some(0), "{era:?}: {}", left.log);
        // A string parameter takes the text form, anything else the structure.
        let first = json!({"text": "plain", "any": {"content": "plain"}});
        assert_eq!(
            peer.effects(),
            [first, json!({"text": "second"})],
            "{era:?}"
        );
        let said = "is taken as it is: `content` must be an integer, not a string";
        assert_eq!(left.log.matches(said).count(), 1, "{era:?}: {}", left.log);
        let has_initialized = peer.methods().iter().any(|method| method == "initialize");
        assert_eq!(has_initialized, era != Era::Modern, "{era:?}");
    }
}

#[tokio::test]
async fn a_lost_session_costs_one_handshake_and_no_effect() {
    for lost_session in [Lost::NotFound, Lost::BadRequest] {
        let peer = Peer::start(Habits {
            era: Era::LegacyTypeScript,
            lost_session,
            calls_per_session: 2,
            ..Habits::default()
        })
        .await;
        let left = Agent::new(TWICE)
            .tools(&[("peer", peer.address)])
            .run()
            .await;
        assert_eq!(left.code, Some(0), "{lost_session:?}: {}", left.log);
        assert_eq!(peer.effects().len(), 2, "{lost_session:?}");
        let methods = peer.methods();
        let handshakes = methods
            .iter()
            .filter(|method| *method == "initialize")
            .count();
        assert_eq!(handshakes, 2, "{lost_session:?}: {methods:?}");
    }
}

#[tokio::test]
async fn an_unknown_operation_is_the_same_failure_in_both_forms() {
    let body = r#"
  workflow do
    step "Gone" do
      use_tool "peer", action: "vanished"
    end
  end"#;
    for (unknown_tool, reason) in [
        (Unknown::InvalidParams, "unknown-operation"),
        (Unknown::IsError, "tool-error"),
    ] {
        let peer = Peer::start(Habits {
            unknown_tool,
            ..Habits::default()
        })
        .await;
        let left = Agent::new(body)
            .tools(&[("peer", peer.address)])
            .run()
            .await;
        assert_eq!(left.json["reason"], reason, "{}", left.log);
        assert!(
            left.line.contains("Unknown tool: vanished"),
            "{}",
            left.line
        );
    }
    let peer = Peer::start(Habits::default()).await;
    let body = body.replace("vanished", "never_there");
    let left = Agent::new(&body)
        .tools(&[("peer", peer.address)])
        .run()
        .await;
    assert_eq!(left.code, Some(7), "{}", left.log);
    assert!(
        left.line.contains("it has record, read, fail"),
        "{}",
        left.line
    );
}

#[tokio::test]
async fn each_request_says_who_asks_and_calls_can_be_recognised() {
    let peer = Peer::start(Habits::default()).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let agent = Agent::new(TWICE)
        .tools(&[("peer", peer.address)])
        .with("TRACEPARENT", trace);
    let left = agent.run().await;
    assert_eq!(left.code, Some(0), "{}", left.log);
    let seen = peer.seen();
    let calls: Vec<_> = seen
        .iter()
        .filter(|message| message["method"] == "tools/call")
        .collect();
    let mut keys = std::collections::BTreeSet::new();
    for call in &calls {
        let meta = &call["params"]["_meta"];
        assert_eq!(meta["io.langop/run"], left.json["run"]);
        assert_eq!(meta["io.langop/path"], json!(["demo/test-agent"]));
        assert_eq!(meta["traceparent"], trace);
        assert_eq!(
            meta["io.modelcontextprotocol/clientCapabilities"],
            json!({})
        );
        assert!(meta["progressToken"].is_number(), "{meta}");
        keys.insert(meta["io.langop/idempotency-key"].to_string());
    }
    assert_eq!((calls.len(), keys.len()), (3, 3));
}
