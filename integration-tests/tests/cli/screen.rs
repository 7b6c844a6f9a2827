//! `get` of a thousand agents: all of them, in a few calls.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use kube::{Api, api::PostParams};
use langop_api::LanguageAgent;
use langop_integration_tests::{ControlPlane, Filter, TestNamespace, programs, wait};
use serde_json::json;
use tokio::process::Command;

/// Agents of the namespace.
const AGENTS: usize = 1000;

#[tokio::test]
async fn a_thousand_agents_are_listed_in_pages_and_none_is_asked_for_alone() {
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    let ns = TestNamespace::create(cp, "cli-many").await.unwrap();
    let agents: Api<LanguageAgent> = ns.api();
    stream::iter(0..AGENTS)
        .for_each_concurrent(32, |nth| {
            let agents = agents.clone();
            async move {
                let agent = json!({
                    "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
                    "metadata": {"name": format!("agent-{nth:04}")}, "spec": {"instructions": "Wait"},
                });
                let agent = serde_json::from_value(agent).unwrap();
                agents.create(&PostParams::default(), &agent).await.unwrap();
            }
        })
        .await;
    let mark = cp.audit().unwrap().mark().unwrap();
    let output = Command::new(programs::locate("kubectl-langop").unwrap())
        .args(["-n", ns.name(), "get"])
        .env("KUBECONFIG", &cp.ready().kubeconfig)
        .env("NO_COLOR", "1")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("\nagent-0999   -       "),
        "an unseen agent has no phase: {text}"
    );
    assert!(
        text.contains(&format!("{AGENTS} agents: {AGENTS} unknown")),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours in a pipe");

    let of_plugin = Filter::all()
        .namespace(ns.name())
        .user_agent("kubectl-langop");
    let calls = wait::until(
        "the calls to be in the audit log",
        Duration::from_secs(20),
        async || {
            let calls = cp.audit().unwrap().events_since(mark, &of_plugin).unwrap();
            if calls.len() >= 3 {
                Ok(calls)
            } else {
                Err(format!("{calls:#?}"))
            }
        },
    );
    let calls = calls.await.unwrap();
    assert!(calls.iter().all(|call| call.verb == "list"), "{calls:#?}");
    assert!(
        calls.len() <= 4,
        "two pages of agents, one of CronJobs: {calls:#?}"
    );
}
