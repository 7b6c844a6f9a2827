//! Runs of scheduled agents are counted exactly once, whatever becomes of the operator and of the
//! Jobs, and their ends are told.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::{ResourceExt as _, api::DeleteParams};
use langop_api::{LanguageAgent, agent::AgentPhase};
use langop_integration_tests::{
    env::{SOON, TestEnv, counts},
    wait,
};
use langop_runtime::{outcome::Outcome, termination::Report, tokens::Tokens};
use serde_json::json;

use crate::kubelet;

/// An agent that runs once a year, so that all runs are the test's own.
pub(crate) async fn scheduled(env: &TestEnv, name: &str, more: &str) {
    let yaml = format!(
        "
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {{name: {name}}}
spec: {{instructions: Count what there is, schedule: \"0 0 1 1 *\"{more}}}
"
    );
    env.apply(&yaml).await;
    env.until_ready(name).await;
}

async fn until_job_ended(env: &TestEnv, job: &str) {
    let ended = |job: &Job| {
        let conditions = job.status.iter().flat_map(|status| &status.conditions);
        let mut ends = conditions.flatten().filter(|c| c.status == "True");
        ends.any(|c| c.type_ == "Complete" || c.type_ == "Failed")
    };
    env.until(job, ended).await;
}

async fn delete_job(env: &TestEnv, job: &str) {
    let jobs = env.ns.api::<Job>();
    jobs.delete(job, &DeleteParams::background()).await.unwrap();
    wait::gone(jobs, job, SOON).await.unwrap();
}

/// The counts once the operator has nothing left to write.
async fn settled_counts(env: &TestEnv, agent: &str) -> (i64, i64, i64) {
    env.settled().await;
    counts(&env.get::<LanguageAgent>(agent).await.unwrap())
}

#[tokio::test]
async fn a_run_by_hand_counts_once_whatever_becomes_of_operator_and_job() {
    let mut env = TestEnv::new("counted").await;
    scheduled(&env, "clerk", "").await;
    env.run_now("clerk", "first").await;
    env.until_counted("clerk", (1, 1, 0)).await;

    env.operator.kill().await.unwrap();
    env.operator.start_again().await.unwrap();
    assert_eq!(settled_counts(&env, "clerk").await, (1, 1, 0));
    env.run_now("clerk", "second").await;
    env.until_counted("clerk", (2, 2, 0)).await;
    delete_job(&env, "first").await;
    assert_eq!(settled_counts(&env, "clerk").await, (2, 2, 0));

    // One goes and one comes while nobody looks.
    env.operator.stop().await.unwrap();
    delete_job(&env, "second").await;
    env.run_now("clerk", "third").await;
    until_job_ended(&env, "third").await;
    env.operator.start_again().await.unwrap();
    env.until_counted("clerk", (3, 3, 0)).await;
    env.operator.restart().await.unwrap();
    assert_eq!(settled_counts(&env, "clerk").await, (3, 3, 0));
}

#[tokio::test]
async fn the_last_result_is_the_exit_code_and_the_termination_message() {
    let env = TestEnv::new("results").await;
    // No node takes its pods, so kwok does not end them.
    scheduled(&env, "teller", ", nodeSelector: {tests/room: nowhere}").await;
    for (job, exit_code, message, wanted, result) in [
        (
            "bad",
            3,
            "disk full",
            (1, 0, 1),
            "Failed: exit code 3: disk full",
        ),
        (
            "good",
            0,
            "42 mails sent",
            (2, 1, 1),
            "Succeeded: 42 mails sent",
        ),
    ] {
        env.run_now("teller", job).await;
        let pod = env.pod_of_job(job).await;
        kubelet::ended(&env, &pod, exit_code, message).await;
        let status = env.until_counted("teller", wanted).await.status.unwrap();
        assert_eq!(status.last_execution_result.as_deref(), Some(result));
        assert!(status.last_execution_time.is_some());
    }
    assert_eq!(settled_counts(&env, "teller").await, (2, 1, 1));
}

/// As the runtime ends a run.
pub(crate) fn account(outcome: Outcome, message: &str, tokens: Tokens) -> String {
    let report = Report {
        outcome,
        reason: None,
        message: message.to_owned(),
        step: None,
        run: "r".to_owned(),
        code_hash: String::new(),
        iterations: 1,
        tool_calls: 1,
        tokens,
        duration_ms: 1,
        skipped: Vec::new(),
        resumed: false,
        traceparent: String::new(),
    };
    report.message()
}

/// What the runtime writes is what the operator reads, and the API server keeps.
#[tokio::test]
async fn what_the_runtime_says_of_a_run_is_in_the_status() {
    let env = TestEnv::new("accounts").await;
    scheduled(&env, "payer", ", nodeSelector: {tests/room: nowhere}").await;
    let tokens = Tokens {
        input: 1000,
        output: 50,
        cached_input: 600,
        missing: 1,
    };
    for (nth, job) in ["first", "second"].into_iter().enumerate() {
        env.run_now("payer", job).await;
        let pod = env.pod_of_job(job).await;
        let message = account(Outcome::Succeeded, "42 mails sent", tokens);
        kubelet::ended(&env, &pod, 0, &message).await;
        let times = i64::try_from(nth + 1).unwrap();
        let agent = env.until_counted("payer", (times, times, 0)).await;
        let status = agent.status.unwrap();
        let result = status.last_execution_result.as_deref();
        assert_eq!(result, Some("Succeeded: 42 mails sent"));
        let total = status.usage.unwrap().total;
        let spent = (total.input, total.output, total.cached_input);
        assert_eq!(spent, (1000 * times, 50 * times, 600 * times));
    }
}

#[tokio::test]
async fn a_restart_of_a_long_running_agents_container_is_an_execution() {
    let env = TestEnv::new("restarts").await;
    env.with_agent("runner", "run").await;
    let pod = env.pods("runner").await.remove(0);
    let waiting = json!({"reason": "CrashLoopBackOff"});
    let last = kubelet::terminated(7, "lost the way");
    kubelet::waits(&env, &pod, waiting, Some(last)).await;
    let agent = env.until_counted("runner", (1, 0, 1)).await;
    let result = agent.status.unwrap().last_execution_result;
    assert_eq!(result.as_deref(), Some("Failed: exit code 7: lost the way"));
    assert_eq!(settled_counts(&env, "runner").await, (1, 0, 1));
    assert!(env.pods("runner").await[0].name_any() == pod.name_any());
}

#[tokio::test]
async fn a_suspended_schedule_plans_nothing_and_still_runs_by_hand() {
    let env = TestEnv::new("asleep").await;
    scheduled(&env, "owl", "").await;
    let suspend = async |value: bool| {
        env.patch::<LanguageAgent>("owl", json!({"spec": {"suspend": value}}))
            .await;
        let is = |cron_job: &CronJob| cron_job.spec.suspend == Some(value);
        env.until("owl", is).await;
    };
    let in_phase = |phase: AgentPhase| {
        move |agent: &LanguageAgent| agent.status.as_ref().and_then(|s| s.phase) == Some(phase)
    };
    suspend(true).await;
    env.until("owl", in_phase(AgentPhase::Suspended)).await;
    env.run_now("owl", "by-hand").await;
    let agent = env.until_counted("owl", (1, 1, 0)).await;
    assert!(
        in_phase(AgentPhase::Suspended)(&agent),
        "{:?}",
        agent.status
    );
    suspend(false).await;
    env.until("owl", in_phase(AgentPhase::Succeeded)).await;
    assert_eq!(env.calls().await, (1, 0), "sleep costs no synthesis");
}
