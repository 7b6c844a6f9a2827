//! Faults that people meet: `why` names the deepest cause, and its advice cures it.

use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use langop_api::{LanguageAgent, names::labels};
use langop_integration_tests::{
    FakeLlm, Reply, Synthesizer,
    env::{MODEL, SOON, TOOL, TestEnv, agent_yaml, code, is},
    wait,
};
use serde_json::{Value, json};

use crate::plugin::{follow, langop, until_fine, until_why, why};

/// The Secret of the model that all these agents use.
const SECRET: &str =
    "{apiVersion: v1, kind: Secret, metadata: {name: brain-key}, stringData: {api-key: x}}";

/// An agent that is Ready, and all that it uses.
async fn well(prefix: &str, agent: &str) -> TestEnv {
    let env = TestEnv::new(prefix).await;
    env.apply(SECRET).await;
    env.with_agent(agent, "work").await;
    until_fine(&env, agent).await;
    env
}

#[tokio::test]
async fn what_is_missing_is_named_one_after_the_other_until_all_is_there() {
    let env = TestEnv::new("why-missing").await;
    env.apply(&agent_yaml("worker", "work")).await;
    let found = until_why(
        &env,
        "worker",
        "references",
        &["tool 'mail' does not exist"],
    )
    .await;
    assert_eq!(found.code, 3);
    assert!(found.object().starts_with("LanguageTool "), "{found:#?}");
    assert_eq!(
        found.diagnosis["also"],
        json!(["model 'brain' does not exist"])
    );

    env.apply(TOOL).await;
    until_why(
        &env,
        "agent/worker",
        "references",
        &["model 'brain' does not exist"],
    )
    .await;
    env.apply(MODEL).await;
    let found = until_why(
        &env,
        "worker",
        "references",
        &["the Secret 'brain-key' does not exist"],
    )
    .await;
    assert!(found.object().starts_with("Secret "), "{found:#?}");
    // The model says the same of itself.
    let model = why(&env, "model/brain").await;
    assert_eq!(
        (model.code, model.cause().contains("brain-key")),
        (3, true),
        "{model:#?}"
    );
    follow(&env, &found.advised("Make it")).await;
    until_fine(&env, "worker").await;
    until_fine(&env, "lmodel/brain").await;
    until_fine(&env, "tool/mail").await;
}

#[tokio::test]
async fn what_a_person_wrote_wrongly_is_told_and_cured_by_writing_it_rightly() {
    let env = well("why-spec", "worker").await;
    env.patch::<LanguageAgent>("worker", json!({"spec": {"schedule": "a b c d e"}}))
        .await;
    let found = until_why(&env, "worker", "object", &["spec.schedule", "minute"]).await;
    assert_eq!((found.code, found.state()), (3, "failing"));
    env.patch::<LanguageAgent>("worker", json!({"spec": {"schedule": null}}))
        .await;
    until_fine(&env, "worker").await;

    langop(&env, "suspend worker").await.fine();
    let found = until_why(&env, "worker", "object", &["suspended"]).await;
    assert_eq!(
        (found.code, found.state()),
        (0, "suspended"),
        "as its spec says"
    );
    follow(&env, &found.advised("Let it run")).await;
    until_fine(&env, "worker").await;

    env.patch::<LanguageAgent>("worker", json!({"spec": {"synthesis": {"revision": 9}}}))
        .await;
    let found = until_why(&env, "worker", "code", &["revision 9 is not stored"]).await;
    follow(&env, &found.advised("Or go back to the newest")).await;
    until_fine(&env, "worker").await;
}

#[tokio::test]
async fn invalid_code_is_named_by_its_first_error_and_written_anew() {
    let env = TestEnv::new("why-code").await;
    env.apply(SECRET).await;
    env.with_tool_and_model().await;
    env.llm.reply_with(|_| {
        Reply::Code(
            "require 'language_operator'\n\nagent 'agent' do\n  objectives [`id`]\nend\n"
                .to_owned(),
        )
    });
    env.apply(&agent_yaml("coder", "write code")).await;
    let found = until_why(
        &env,
        "coder",
        "code",
        &["the generated code is invalid", "4:"],
    )
    .await;
    assert_eq!(found.code, 3);
    env.llm.reply_with(|_| code("well"));
    follow(&env, &found.advised("written anew")).await;
    until_fine(&env, "coder").await;
}

#[tokio::test]
async fn a_synthesizer_that_cannot_be_reached_or_has_no_model_is_named() {
    let llm = FakeLlm::start().await.unwrap();
    let unused = Synthesizer::asking(&llm).start().await.unwrap();
    let env = TestEnv::with("why-unreachable", llm, unused, |operator| {
        operator
            .synthesizer("http://127.0.0.1:9")
            .synthesis_backoff("1s", "4s")
    })
    .await;
    env.apply(SECRET).await;
    env.with_tool_and_model().await;
    env.apply(&agent_yaml("worker", "work")).await;
    let found = until_why(&env, "worker", "synthesis", &["cannot be reached"]).await;
    let advice = found.diagnosis["advice"].to_string();
    assert!(advice.contains("LANGOP_SYNTHESIZER_ENDPOINT"), "{advice}");

    let llm = FakeLlm::start().await.unwrap();
    let disabled = Synthesizer::builder().start().await.unwrap();
    let url = disabled.grpc_url().to_owned();
    let env = TestEnv::with("why-disabled", llm, disabled, |operator| {
        operator.synthesizer(&url)
    })
    .await;
    env.apply(SECRET).await;
    env.with_tool_and_model().await;
    env.apply(&agent_yaml("worker", "work")).await;
    let found = until_why(&env, "worker", "synthesis", &["SYNTHESIS_MODEL"]).await;
    assert_eq!((found.code, found.state()), (3, "failing"));
}

#[tokio::test]
async fn a_quota_is_named_and_room_cures() {
    let env = TestEnv::new("why-quota").await;
    env.apply(SECRET).await;
    env.with_tool_and_model().await;
    env.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: tight}, spec: {hard: {pods: \"0\"}}}").await;
    env.apply(&agent_yaml("hungry", "eat")).await;
    let found = until_why(&env, "hungry", "workload", &["exceeded quota: tight"]).await;
    assert!(found.object().starts_with("Deployment "), "{found:#?}");
    follow(&env, &found.advised("what the quota leaves")).await;
    let quotas = env.ns.api::<k8s_openapi::api::core::v1::ResourceQuota>();
    quotas
        .delete("tight", &DeleteParams::default())
        .await
        .unwrap();
    // The ReplicaSet's controller tries again with growing pauses; a rollout begins at once.
    env.patch::<LanguageAgent>(
        "hungry",
        json!({"spec": {"env": [{"name": "A", "value": "b"}]}}),
    )
    .await;
    until_fine(&env, "hungry").await;
}

#[tokio::test]
async fn pods_that_do_not_start_are_told_of_in_the_kubelet_s_words() {
    let env = well("why-pods", "worker").await;
    let cases = [
        (
            json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"}),
            vec!["cannot be pulled", "not found"],
        ),
        (
            json!({"reason": "CreateContainerConfigError", "message": "couldn't find key password in Secret x/smtp"}),
            vec!["couldn't find key password"],
        ),
    ];
    for (waiting, words) in cases {
        let pod = running_pod(&env, "worker").await;
        say_waiting(&env, &pod, &waiting).await;
        say_event(&env, &pod, "Failed to pull image: not found").await;
        let found = until_why(&env, "worker", "pod", &words).await;
        assert_eq!(
            found.object(),
            format!("Pod {}/{}", env.ns.name(), pod.name_any())
        );
        follow(
            &env,
            &format!("kubectl -n {} delete pod {}", env.ns.name(), pod.name_any()),
        )
        .await;
        until_fine(&env, "worker").await;
    }
}

#[tokio::test]
async fn an_agent_that_no_operator_looks_at_is_told_so() {
    let mut env = well("why-alone", "worker").await;
    env.operator.stop().await.unwrap();
    env.apply(&agent_yaml("alone", "wait")).await;
    let found = why(&env, "alone").await;
    assert_eq!((found.code, found.stage()), (3, "object"), "{found:#?}");
    assert!(
        found.cause().contains("no operator has looked at it yet"),
        "{found:#?}"
    );
    env.instruct("worker", "work more").await;
    let found = why(&env, "worker").await;
    assert!(found.cause().contains("latest change"), "{found:#?}");
    env.operator.start_again().await.unwrap();
    until_fine(&env, "alone").await;
    until_fine(&env, "worker").await;
    assert!(is(&env.until_ready("worker").await, "Ready", "True"));
}

async fn running_pod(env: &TestEnv, agent: &str) -> Pod {
    let of_it = ListParams::default().labels(&format!("{}={agent}", labels::AGENT));
    let running = wait::until("one running pod", SOON, async || {
        let mut pods = env.ns.api::<Pod>().list(&of_it).await.unwrap().items;
        pods.retain(|pod| {
            let status = pod.status.as_ref();
            let phase = status.and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && phase == Some("Running")
        });
        (pods.len() == 1).then(|| pods.remove(0))
    });
    running.await.unwrap()
}

/// What a kubelet would say of its container, where kwok's pods only ever do well.
async fn say_waiting(env: &TestEnv, pod: &Pod, waiting: &Value) {
    let container = &pod.spec.as_ref().unwrap().containers[0];
    let state = json!({
        "name": container.name, "image": container.image, "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": waiting},
    });
    let not_ready = |type_: &str| json!({"type": type_, "status": "False"});
    let status = json!({"status": {
        "containerStatuses": [state],
        "conditions": [not_ready("Ready"), not_ready("ContainersReady"), {"type": "PodScheduled", "status": "True"}],
    }});
    let (pods, patch) = (env.ns.api::<Pod>(), Patch::Merge(status));
    let params = PatchParams::default();
    pods.patch_status(&pod.name_any(), &params, &patch)
        .await
        .unwrap();
}

async fn say_event(env: &TestEnv, pod: &Pod, message: &str) {
    let name = pod.name_any();
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{name}.failed")},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": env.ns.name()},
        "type": "Warning", "reason": "Failed", "message": message,
        "lastTimestamp": k8s_openapi::jiff::Timestamp::now().to_string(),
    });
    env.apply(&event.to_string()).await;
}
