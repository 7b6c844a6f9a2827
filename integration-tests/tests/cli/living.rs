//! Living with an agent: its code, its revisions, its runs.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::api::ListParams;
use langop_api::LanguageAgent;
use langop_integration_tests::{
    env::{TestEnv, counts, revision},
    signing::{Files, key},
};
use serde_json::{Value, json};

use crate::plugin::{langop, shell};

const AGENT: &str = "daily-report";

/// An agent with two revisions.
async fn with_two_revisions(prefix: &str) -> TestEnv {
    let env = TestEnv::new(prefix).await;
    env.with_two_revisions(AGENT).await;
    env
}

fn active(agent: &LanguageAgent) -> Option<i64> {
    agent.status.as_ref()?.synthesis_info.as_ref()?.revision
}

#[tokio::test]
async fn code_is_shown_compared_pinned_and_let_go() {
    let env = with_two_revisions("cli-code").await;
    let shown = langop(&env, &format!("code {AGENT}")).await;
    assert!(
        shown.err.contains("revision 2, active, by fake-model"),
        "{shown:?}"
    );
    assert!(shown.fine().contains("\"second\""));
    let first = langop(&env, &format!("code {AGENT} --revision 1"))
        .await
        .fine();
    assert!(first.contains("\"first\""), "{first}");

    let list = langop(&env, &format!("revisions {AGENT} -o json"))
        .await
        .fine();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["number"], 2);
    assert_eq!(
        (&list[0]["isActive"], &list[1]["isActive"]),
        (&json!(true), &json!(false))
    );

    let diff = langop(&env, &format!("diff {AGENT} 1 2")).await.fine();
    assert!(diff.contains("-    \"first\"\n+    \"second\""), "{diff}");
    assert!(diff.contains("What it may do:\n  the same"), "{diff}");

    let missing = langop(&env, &format!("pin {AGENT} 7")).await;
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("stored: 2, 1"), "{missing:?}");
    langop(&env, &format!("pin {AGENT} 1")).await.fine();
    env.until(AGENT, |agent: &LanguageAgent| active(agent) == Some(1))
        .await;
    let pinned = langop(&env, &format!("revisions {AGENT}")).await.fine();
    assert!(pinned.contains("pinned"), "{pinned}");
    langop(&env, &format!("unpin {AGENT}")).await.fine();
    env.until(AGENT, |agent: &LanguageAgent| active(agent) == Some(2))
        .await;
    let newest = env.revisions(AGENT).await.iter().map(revision).max();
    assert_eq!(newest, Some(2), "nothing was made anew");

    // As a shell asks kubectl, and kubectl its plugin.
    let complete = async |words: &str| {
        shell(&env, &format!("kubectl __complete langop {words}"))
            .await
            .fine()
    };
    assert!(complete("wh").await.starts_with("why\t"));
    let names = complete(&format!("-n {} why dai", env.ns.name())).await;
    assert!(names.starts_with(&format!("{AGENT}\n")), "{names}");
}

#[tokio::test]
async fn a_scheduled_agent_is_run_by_hand_and_its_history_told() {
    let env = TestEnv::new("cli-run").await;
    env.with_agent(AGENT, "report").await;
    let all_the_time = langop(&env, &format!("run {AGENT}")).await;
    assert_eq!(all_the_time.code, 1);
    assert!(
        all_the_time.err.contains("has no CronJob"),
        "{all_the_time:?}"
    );

    let schedule = json!({"spec": {"schedule": "0 0 1 1 *"}});
    env.patch::<LanguageAgent>(AGENT, schedule).await;
    let _: CronJob = env.until(AGENT, |_| true).await;
    env.until_ready(AGENT).await;
    let none = langop(&env, &format!("history {AGENT}")).await;
    assert!(
        none.out.is_empty() && none.err.contains("has not run yet"),
        "{none:?}"
    );

    let began = langop(&env, &format!("run {AGENT}")).await.fine();
    assert!(began.starts_with("job.batch/daily-report-"), "{began}");
    env.until(AGENT, |agent: &LanguageAgent| counts(agent) == (1, 1, 0))
        .await;
    let history = langop(&env, &format!("history {AGENT}")).await;
    assert!(
        history.err.contains("1 run in all: 1 succeeded, - failed"),
        "{history:?}"
    );
    let history = history.fine();
    assert!(
        history.contains("(by hand)") && history.contains("Succeeded"),
        "{history}"
    );
    let jobs = env
        .ns
        .api::<Job>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(jobs.items.len(), 1);

    let cost = langop(&env, "cost -o json").await.fine();
    let cost: Value = serde_json::from_str(&cost).unwrap();
    assert!(
        cost[0]["synthesis"]["input"].as_i64().unwrap() > 0,
        "{cost}"
    );
    assert_eq!(
        cost[0].get("runs"),
        None,
        "kwok's pods report nothing, which is no zero"
    );
}

#[tokio::test]
async fn code_is_verified_with_the_public_keys_at_hand() {
    let files = Files::new();
    let env = files.env("cli-verify").await;
    env.with_agent(AGENT, "report").await;
    let keys = files.trusted();
    let keys = keys.to_str().unwrap();
    let verify = format!("verify {AGENT} --keys {keys}");
    let said = langop(&env, &verify).await.fine();
    assert!(said.contains(&key(0).id()[..12]), "{said}");

    // Another's key.
    files.trust(&[1]);
    let other = langop(&env, &verify).await;
    assert_eq!(other.code, 3, "{other:?}");
    assert!(
        other.out.contains("is not among the public keys given"),
        "{other:?}"
    );
    // Without keys everything but the signature is checked, which it says.
    let none = langop(&env, &format!("verify {AGENT}")).await;
    assert!(none.out.contains("--keys"), "{none:?}");
}
