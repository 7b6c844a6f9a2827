//! What README.md says that plain kubectl does, done: each command of "Living with agents", word for word.

use std::{fs, iter};

use k8s_openapi::api::{apps::v1::Deployment, batch::v1::CronJob, core::v1::ConfigMap};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, names::CODE_KEY};
use langop_integration_tests::{run_dir, workspace_root};
use serde_json::json;
use tokio::process::Command;

use crate::world::{World, code, mounted_code};

const AGENT: &str = "daily-report";

/// The lines of the section's shell block that are not comments.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(workspace_root().unwrap().join("README.md")).unwrap();
    let (_, section) = readme
        .split_once("\n## Living with agents\n")
        .expect("the section");
    let (_, block) = section.split_once("\n```sh\n").expect("its shell block");
    let (block, _) = block.split_once("\n```\n").expect("the block's end");
    let mut lines: Vec<_> = block.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.is_empty() && !line.starts_with('#'));
    lines
}

impl World {
    /// What a person sees who types these lines: bash with the namespace as its context's default, and the control plane's own kubectl,
    /// not one of the machine's.
    async fn types<'a>(&self, lines: impl IntoIterator<Item = &'a str>) -> String {
        let kubectl =
            r#"kubectl() { "$KUBECTL" --cache-dir "$CACHE" --namespace "$NAMESPACE" "$@"; }"#;
        let script: Vec<_> = iter::once(kubectl).chain(lines).collect();
        let ready = self.cp.ready();
        let output = Command::new("bash")
            .args(["-c", &script.join("\n")])
            .env("A", AGENT)
            .env("KUBECTL", &ready.kubectl)
            .env("KUBECONFIG", &ready.kubeconfig)
            .env("CACHE", run_dir().unwrap().join("kubectl-cache"))
            .env("NAMESPACE", self.ns.name())
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
    async fn codes(&self) -> Vec<String> {
        let revisions = self.revisions(AGENT).await;
        let code = |map: &ConfigMap| map.data.as_ref().unwrap()[CODE_KEY].clone();
        revisions.iter().map(code).collect()
    }

    /// Waits until the agent's pods mount this one of the stored revisions.
    async fn until_mounted(&self, nth: usize) {
        let name = self.revisions(AGENT).await[nth].name_any();
        let is_mounted = |d: &Deployment| mounted_code(d).as_ref() == Some(&name);
        self.until(AGENT, is_mounted).await;
    }

    async fn until_replicas(&self, wanted: i32) {
        let has = |d: &Deployment| d.spec.as_ref().unwrap().replicas == Some(wanted);
        self.until(AGENT, has).await;
    }
}

#[tokio::test]
async fn every_command_of_living_with_agents_does_what_the_readme_says() {
    let world = World::new("readme").await;
    world.llm.reply(code("first"));
    world.with_agent(AGENT, "report").await;
    world.llm.reply(code("second"));
    world.instruct(AGENT, "report more").await;
    world.until_ready(AGENT).await;
    world.settled().await;

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
    looks_closely(&world, why, active, revisions).await;
    let shown = world.types([function, diff]).await;
    assert!(
        shown.contains("<     \"first\"") && shown.contains(">     \"second\""),
        "{shown}"
    );
    chooses_code(&world, [pin, unpin, anew]).await;
    sleeps_and_wakes(&world, suspend, resume).await;

    let schedule = json!({"spec": {"schedule": "0 0 1 1 *"}});
    world.patch::<LanguageAgent>(AGENT, schedule).await;
    let _: CronJob = world.until(AGENT, |_| true).await;
    world.until_ready(AGENT).await;
    let newest = world.codes().await.pop();
    assert_eq!(Some(world.types([active]).await), newest, "of a CronJob");
    world.types([run]).await;
    let has_run = |agent: &LanguageAgent| {
        let status = agent.status.as_ref();
        status.and_then(|status| status.execution_count) == Some(1)
    };
    world.until(AGENT, has_run).await;
}

async fn looks_closely(world: &World, why: &str, active: &str, revisions: &str) {
    let shown = world.types([why]).await;
    for expected in [
        "Ready=True AsDesired: 1 of 1 pods are ready\n",
        "Synthesized=True SynthesisSucceeded: ",
        "synthesized revision 2",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in:\n{shown}");
    }
    let codes = world.codes().await;
    assert_eq!(world.types([active]).await, codes[1]);

    let shown = world.types([revisions]).await;
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["REVISION", "INSTRUCTIONS", "MODEL", "NAME"]);
    let stored = world.revisions(AGENT).await;
    assert_eq!(rows.len(), 1 + stored.len(), "{shown}");
    for (row, (map, number)) in rows[1..].iter().zip(stored.iter().zip(["1", "2"])) {
        assert_eq!((row[0], row[3]), (number, map.name_any().as_str()));
        assert!(!row.contains(&"<none>"), "{shown}");
    }
}

async fn chooses_code(world: &World, [pin, unpin, anew]: [&str; 3]) {
    world.types([pin]).await;
    world.until_mounted(0).await;
    world.instruct(AGENT, "report most").await;
    world.settled().await;
    assert_eq!(world.calls().await, (2, 0), "nothing is made meanwhile");
    world.instruct(AGENT, "report more").await;
    world.types([unpin]).await;
    world.until_mounted(1).await;
    assert_eq!(world.calls().await, (2, 0));

    world.llm.reply(code("third"));
    world.types([anew]).await;
    let is_third = |agent: &LanguageAgent| {
        let info = agent
            .status
            .as_ref()
            .and_then(|s| s.synthesis_info.as_ref());
        info.and_then(|info| info.revision) == Some(3)
    };
    world.until(AGENT, is_third).await;
    world.until_mounted(2).await;
    assert_eq!(world.calls().await, (3, 0));
}

async fn sleeps_and_wakes(world: &World, suspend: &str, resume: &str) {
    world.types([suspend]).await;
    world.until_replicas(0).await;
    assert_eq!(world.codes().await.len(), 3, "everything else is kept");
    world.types([resume]).await;
    world.until_replicas(1).await;
    world.until_ready(AGENT).await;
}
