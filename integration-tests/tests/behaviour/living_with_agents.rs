//! What pages say that plain kubectl does, done: each command of "Living with agents" and those of
//! "Powers" and "Where code comes from", word for word.

use std::{fs, iter};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob, core::v1::ConfigMap};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, names::CODE_KEY};
use langop_integration_tests::{
    Page,
    env::{TestEnv, code, mounted_code},
    manifests, run_dir, workspace_root,
};
use serde_json::{Value, json};
use tokio::process::Command;

const AGENT: &str = "daily-report";

/// The lines of the page's shell block that are not comments.
fn commands() -> Vec<String> {
    let page = Page::read("docs/living-with-agents.md").unwrap();
    let block = page.block("kubectl get lagent").unwrap();
    let mut lines: Vec<_> = block.text.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty() && !line.starts_with('#'));
    lines
}

/// What a person sees who types these lines: bash with the namespace as its context's default, and
/// the control plane's own kubectl, not one of the machine's.
async fn types<'a>(env: &TestEnv, lines: impl IntoIterator<Item = &'a str>) -> String {
    let kubectl = r#"kubectl() { "$KUBECTL" --cache-dir "$CACHE" --namespace "$NAMESPACE" "$@"; }"#;
    let script: Vec<_> = iter::once(kubectl).chain(lines).collect();
    let ready = env.cp.ready();
    let output = Command::new("bash")
        .args(["-c", &script.join("\n")])
        .env("A", AGENT)
        .env("KUBECTL", &ready.kubectl)
        .env("KUBECONFIG", &ready.kubeconfig)
        .env("CACHE", run_dir().unwrap().join("kubectl-cache"))
        .env("NAMESPACE", env.ns.name())
        .output()
        .await
        .unwrap();
    // With 1, diff says that there is something to show.
    assert!(
        output.stderr.is_empty() && matches!(output.status.code(), Some(0 | 1)),
        "{script:#?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The code of each stored revision, oldest first.
async fn codes(env: &TestEnv) -> Vec<String> {
    let revisions = env.revisions(AGENT).await;
    let code = |map: &ConfigMap| map.data.as_ref().unwrap()[CODE_KEY].clone();
    revisions.iter().map(code).collect()
}

/// Waits until the agent's pods mount this one of the stored revisions.
async fn until_mounted(env: &TestEnv, nth: usize) {
    let name = env.revisions(AGENT).await[nth].name_any();
    let is_mounted = |d: &Deployment| mounted_code(d).as_ref() == Some(&name);
    env.until(AGENT, is_mounted).await;
}

async fn until_replicas(env: &TestEnv, wanted: i32) {
    let has = |d: &Deployment| d.spec.as_ref().unwrap().replicas == Some(wanted);
    env.until(AGENT, has).await;
}

#[tokio::test]
async fn every_command_of_living_with_agents_does_what_the_page_says() {
    let env = TestEnv::new("living").await;
    env.with_two_revisions(AGENT).await;

    let lines = commands();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let [
        why,
        active,
        revisions,
        function,
        diff,
        pin,
        unpin,
        anew,
        suspend,
        resume,
        run,
    ] = lines[..]
    else {
        panic!("other commands than this test knows: {lines:#?}");
    };
    looks_closely(&env, why, active, revisions).await;
    other_pages_are_right(&env).await;
    let shown = types(&env, [function, diff]).await;
    assert!(
        shown.contains("<     \"first\"") && shown.contains(">     \"second\""),
        "{shown}"
    );
    chooses_code(&env, [pin, unpin, anew]).await;
    sleeps_and_wakes(&env, suspend, resume).await;

    let schedule = json!({"spec": {"schedule": "0 0 1 1 *"}});
    env.patch::<LanguageAgent>(AGENT, schedule).await;
    let _: CronJob = env.until(AGENT, |_| true).await;
    env.until_ready(AGENT).await;
    let newest = codes(&env).await.pop();
    assert_eq!(Some(types(&env, [active]).await), newest, "of a CronJob");
    types(&env, [run]).await;
    let has_run = |agent: &LanguageAgent| {
        let status = agent.status.as_ref();
        status.and_then(|status| status.execution_count) == Some(1)
    };
    env.until(AGENT, has_run).await;
}

async fn looks_closely(env: &TestEnv, why: &str, active: &str, revisions: &str) {
    let shown = types(env, [why]).await;
    for expected in [
        "Ready=True AsDesired: 1 of 1 pods are ready\n",
        "Synthesized=True SynthesisSucceeded: ",
        "synthesized revision 2",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in:\n{shown}");
    }
    let codes = codes(env).await;
    assert_eq!(types(env, [active]).await, codes[1]);

    let shown = types(env, [revisions]).await;
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["REVISION", "INSTRUCTIONS", "MODEL", "NAME"]);
    let stored = env.revisions(AGENT).await;
    assert_eq!(rows.len(), 1 + stored.len(), "{shown}");
    for (row, (map, number)) in rows[1..].iter().zip(stored.iter().zip(["1", "2"])) {
        assert_eq!((row[0], row[3]), (number, map.name_any().as_str()));
        assert!(!row.contains(&"<none>"), "{shown}");
    }
}

/// What other pages have people ask of an agent's code and conditions.
async fn other_pages_are_right(env: &TestEnv) {
    let page = Page::read("docs/powers.md").unwrap();
    let powers = page.block("kubectl get configmap").unwrap();
    let shown = types(env, [powers.text.as_str()]).await;
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), 2, "one for each revision: {shown}");
    for line in lines {
        let powers: Value = serde_json::from_str(line).unwrap();
        assert_eq!(powers["models"][0], "brain", "{powers}");
    }

    let page = Page::read("docs/provenance.md").unwrap();
    let conditions = page.block("kubectl get lagent").unwrap();
    let shown = types(env, [conditions.text.as_str()]).await;
    let is_ours = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words == [env.ns.name(), AGENT, "<none>"]
    };
    assert!(shown.lines().any(is_ours), "without keys: {shown}");
}

async fn chooses_code(env: &TestEnv, [pin, unpin, anew]: [&str; 3]) {
    types(env, [pin]).await;
    until_mounted(env, 0).await;
    env.instruct(AGENT, "report most").await;
    env.settled().await;
    assert_eq!(env.calls().await, (2, 0), "nothing is made meanwhile");
    env.instruct(AGENT, "report more").await;
    types(env, [unpin]).await;
    until_mounted(env, 1).await;
    assert_eq!(env.calls().await, (2, 0));

    env.llm.reply(code("third"));
    types(env, [anew]).await;
    let is_third = |agent: &LanguageAgent| {
        let info = agent
            .status
            .as_ref()
            .and_then(|s| s.synthesis_info.as_ref());
        info.and_then(|info| info.revision) == Some(3)
    };
    env.until(AGENT, is_third).await;
    until_mounted(env, 2).await;
    assert_eq!(env.calls().await, (3, 0));
}

async fn sleeps_and_wakes(env: &TestEnv, suspend: &str, resume: &str) {
    types(env, [suspend]).await;
    until_replicas(env, 0).await;
    assert_eq!(codes(env).await.len(), 3, "everything else is kept");
    types(env, [resume]).await;
    until_replicas(env, 1).await;
    env.until_ready(AGENT).await;
}

/// A key of a person's own would be overwritten each time the folder is applied.
#[test]
fn the_samples_hold_no_secret() {
    let folder = workspace_root().unwrap().join("deploy/samples");
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        let objects = manifests::read(&file.path()).unwrap();
        let kinds = objects.iter().filter_map(|object| object.types.as_ref());
        for types in kinds {
            assert_ne!(types.kind, "Secret", "{}", file.path().display());
        }
    }
}
