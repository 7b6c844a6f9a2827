//! Bad input that people really send: each gets a message that says what to write instead, and
//! nothing is lost.

use std::path::Path;

use langop_api::LanguageAgent;
use langop_integration_tests::{
    ControlPlane, TestNamespace,
    env::{MODEL, TOOL, TestEnv, agent_yaml, condition, is},
    manifests, workspace_root,
};
use serde_json::json;

fn fixtures(folder: &str) -> Vec<(String, String)> {
    let folder = workspace_root()
        .unwrap()
        .join("integration-tests/fixtures/admission")
        .join(folder);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .map(|path| (name(path), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[tokio::test]
async fn the_api_server_accepts_what_is_right_and_says_of_the_rest_what_to_write() {
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    let ns = TestNamespace::create(cp, "admission").await.unwrap();
    let mut failures = Vec::new();
    for (file, text) in fixtures("accepted") {
        for object in manifests::parse(&text).unwrap() {
            // As it stands at its turn: some are changes of one before.
            match manifests::warnings(&ns.client(), &object, ns.name()).await {
                Ok(warnings) => failures.extend(warnings),
                Err(error) => failures.push(format!("{file}: {error:#}")),
            }
            if let Err(error) = manifests::apply(&ns.client(), &object, ns.name()).await {
                failures.push(format!("{file}: refused: {error:#}"));
            }
        }
    }
    let rejected = fixtures("rejected");
    assert!(rejected.len() >= 12, "the table of bad input was not found");
    for (file, text) in rejected {
        let expected = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("# expect: ")
            .expect("a first line '# expect: …'")
            .to_owned();
        let mut said = "accepted".to_owned();
        for object in manifests::parse(&text).unwrap() {
            if let Err(error) = manifests::apply(&ns.client(), &object, ns.name()).await {
                said = format!("{error:#}");
            }
        }
        if !said.contains(&expected) {
            failures.push(format!(
                "{file}: expected {expected:?}, the server said: {said}"
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn the_api_server_takes_our_definitions_without_a_warning() {
    let cp = ControlPlane::shared().await;
    cp.install_crds().await.unwrap();
    let client = cp.client().await.unwrap();
    let text = std::fs::read_to_string(workspace_root().unwrap().join("deploy/crds.yaml")).unwrap();
    let warnings = async |text: &str| {
        let mut warnings = Vec::new();
        for definition in manifests::parse(text).unwrap() {
            let said = manifests::warnings(&client, &definition, "default").await;
            warnings.extend(said.unwrap());
        }
        warnings
    };
    assert_eq!(warnings(&text).await, [""; 0]);
    let worse = text.replace("format: int32", "format: int31");
    assert!(
        !warnings(&worse).await.is_empty(),
        "an unknown format is a thing that it warns of, so no warning means something"
    );
}

#[tokio::test]
async fn what_only_the_operator_can_see_becomes_a_condition() {
    let env = TestEnv::new("conditions").await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    // (name, spec patch, condition, reason, what the message must hold)
    let cases = [
        (
            "no-cron",
            json!({"schedule": "a b c d e"}),
            "Stalled",
            "InvalidSpec",
            "minute",
        ),
        (
            "never",
            json!({"schedule": "0 0 31 2 *"}),
            "Stalled",
            "InvalidSpec",
            "31 2",
        ),
        (
            "step",
            json!({"schedule": "*/90 * * * *"}),
            "Stalled",
            "InvalidSpec",
            "90",
        ),
        (
            "zone",
            json!({"schedule": "0 9 * * *", "timeZone": "Mars/Olympus"}),
            "Stalled",
            "InvalidSpec",
            "Mars/Olympus",
        ),
        (
            "no-tool",
            json!({"toolRefs": [{"name": "absent"}]}),
            "ReferencesResolved",
            "ReferenceNotFound",
            "absent",
        ),
        (
            "timeless",
            json!({"executionMode": "scheduled"}),
            "Stalled",
            "InvalidSpec",
            "schedule",
        ),
    ];
    for (name, spec, type_, reason, text) in &cases {
        env.apply(&agent_yaml(name, "do it")).await;
        env.patch::<LanguageAgent>(name, json!({"spec": spec}))
            .await;
        let agent = env
            .until(name, |a: &LanguageAgent| {
                condition(a, type_).is_some_and(|c| c.reason == *reason)
            })
            .await;
        let message = &condition(&agent, type_).unwrap().message;
        assert!(message.contains(text), "{name}: {message}");
    }
}

#[tokio::test]
async fn two_listeners_on_one_port_of_a_pod_are_a_conflict() {
    let env = TestEnv::new("ports").await;
    env.apply(MODEL).await;
    env.apply(&TOOL.replace("spec:", "spec:\n  deploymentMode: sidecar\n  port: 8088"))
        .await;
    env.apply(&agent_yaml("clash", "clash")).await;
    let agent = env
        .until("clash", |a: &LanguageAgent| is(a, "Stalled", "True"))
        .await;
    let stalled = condition(&agent, "Stalled").unwrap();
    assert_eq!(stalled.reason, "PortConflict");
    assert!(
        stalled.message.contains("8088") && stalled.message.contains("mail"),
        "{}",
        stalled.message
    );
}

#[tokio::test]
async fn a_quota_that_refuses_the_pod_is_named() {
    let env = TestEnv::new("quota").await;
    env.apply(
        "
apiVersion: v1
kind: ResourceQuota
metadata: {name: tight}
spec: {hard: {limits.memory: 1Mi}}
",
    )
    .await;
    env.apply(TOOL).await;
    env.apply(MODEL).await;
    env.apply(&agent_yaml("hungry", "eat")).await;
    let agent = env
        .until("hungry", |a: &LanguageAgent| {
            condition(a, "Ready").is_some_and(|c| c.reason == "PodsRefused")
        })
        .await;
    let ready = condition(&agent, "Ready").unwrap();
    assert_eq!(ready.status, "False");
    assert!(
        ready.message.contains("exceeded quota: tight"),
        "{}",
        ready.message
    );
}
