//! Numbers that must not creep up: what one agent costs the API server, and what hanging syntheses
//! keep from others.

use k8s_openapi::api::apps::v1::Deployment;
use langop_api::LanguageTool;
use langop_integration_tests::{
    AuditEvent, FakeLlm, Reply, Synthesizer, audit,
    env::{MODEL, SOON, TOOL, TestEnv, agent_yaml, env_value},
    metrics::metric_value,
    wait,
};
use serde_json::json;

/// Writes of the operator until one more agent is Ready and all is silent: children, statuses and
/// events, Leases aside.
async fn writes_of(env: &TestEnv, name: &str, more: &str) -> Vec<AuditEvent> {
    let mark = env.settled().await;
    env.apply(&(agent_yaml(name, &format!("be {name}")) + more))
        .await;
    env.until_ready(name).await;
    env.summary_since(mark).await.writes
}

fn told(writes: &[AuditEvent]) -> String {
    format!("{} writes:\n{}", writes.len(), audit::pretty(writes))
}

/// An environment in which what agents refer to is up and done with.
async fn furnished(prefix: &str) -> TestEnv {
    let env = TestEnv::new(prefix).await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    for name in ["mail", "brain-proxy"] {
        let ready = |d: &Deployment| {
            d.status
                .as_ref()
                .is_some_and(|s| s.ready_replicas == Some(1))
        };
        env.until(name, ready).await;
    }
    env
}

#[tokio::test]
async fn bringing_up_an_agent_takes_at_most_ten_writes() {
    let env = furnished("writes").await;
    let writes = writes_of(&env, "plain", "").await;
    assert!(writes.len() <= 10, "{}", told(&writes));
}

#[tokio::test]
async fn a_workspace_costs_one_write_more() {
    let env = furnished("housed").await;
    let writes = writes_of(&env, "housed", "  workspace: {storage: 1Gi}\n").await;
    assert!(writes.len() <= 11, "{}", told(&writes));
}

#[tokio::test]
async fn a_tools_port_lands_in_its_agents_while_64_syntheses_hang() {
    const HANGING: usize = 64;
    // One namespace never holds the last quarter of the places.
    const PLACES: &str = "96";
    let llm = FakeLlm::start().await.unwrap();
    let synthesizer = Synthesizer::asking(&llm).env("LANGOP_MAX_LLM_REQUESTS", PLACES);
    let synthesizer = synthesizer.start().await.unwrap();
    let url = synthesizer.grpc_url().to_owned();
    let env = TestEnv::with("hanging", llm, synthesizer, |operator| {
        operator
            .synthesizer(&url)
            .env("LANGOP_SYNTHESIS_CONCURRENCY", PLACES)
    })
    .await;
    let users = ["user-1", "user-2", "user-3"];
    for user in users {
        env.with_agent(user, &format!("be {user}")).await;
    }
    env.llm.reply_with(|_| Reply::Hang);
    for n in 0..HANGING {
        let yaml = format!(
            "{{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {{name: slow-{n}}}, spec: {{instructions: be number {n}}}}}"
        );
        env.apply(&yaml).await;
    }
    wait::until("64 calls that hang", SOON, async || {
        let under_way = env.llm.count() - users.len();
        if under_way == HANGING {
            Ok(())
        } else {
            Err(under_way)
        }
    })
    .await
    .unwrap();

    env.patch::<LanguageTool>("mail", json!({"spec": {"port": 9191}}))
        .await;
    for user in users {
        let has_port = |deployment: &Deployment| {
            env_value(deployment, "MCP_SERVERS").is_some_and(|servers| servers.contains(":9191"))
        };
        env.until(user, has_port).await;
    }
    let metrics = env.operator.metrics().await.unwrap();
    let in_flight = metric_value(&metrics, "langop_synthesis_in_flight", &[]);
    assert_eq!(in_flight, Some(64.0), "they hang still");
    assert_eq!(env.llm.count(), HANGING + users.len());
    env.llm.release();
}
