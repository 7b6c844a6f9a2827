//! The demo as a person has it: started, edited while it runs, interrupted. In a folder of its own,
//! so that a person's own demo goes on.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use langop_api::LanguageAgent;
use langop_integration_tests::{
    Cluster,
    processes::{all_gone, descendants_of, signal},
    run_dir, wait, workspace_root,
};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

/// Until something must have happened.
const SOON: Duration = Duration::from_mins(2);

/// A running demo, and what it has said so far.
struct Demo {
    child: Child,
    state: PathBuf,
    said: PathBuf,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // For a test that failed. An error says that all of it has ended.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Demo {
    fn start(name: &str, samples: &Path) -> Self {
        let state = run_dir().unwrap().join(name);
        fs::create_dir_all(&state).unwrap();
        let said = state.join("said");
        let out = File::create(&said).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command
            .args(["--state".as_ref(), state.as_os_str()])
            .args(["--samples".as_ref(), samples.as_os_str()])
            // Cargo has built the programs for this test; to build them again would change them
            // under other tests.
            .env_remove("CARGO")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SYNTHESIS_")) {
            command.env_remove(name);
        }
        Self {
            child: command.spawn().unwrap(),
            state,
            said,
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    /// Waits until it says so; what it said is the message of a failure.
    async fn until_it_says(&mut self, text: &str) {
        let said = wait::until(text, SOON, async || {
            let said = self.said();
            let ended = self.child.try_wait().unwrap();
            match (said.contains(text), ended) {
                (true, _) => Ok(Ok(())),
                (false, Some(status)) => Ok(Err(format!("it ended with {status}: {said}"))),
                (false, None) => Err(said),
            }
        });
        if let Err(error) = said.await.unwrap() {
            panic!("{error}");
        }
    }

    /// Ctrl-C. All that belongs to it ends, and it ends well.
    async fn interrupt(mut self) {
        let all = descendants_of(self.child.id());
        assert!(!all.is_empty());
        signal(self.child.id(), Signal::INT).unwrap();
        all_gone(&all, SOON).await.unwrap();
        let status = wait::until("its own end", SOON, async || self.child.try_wait().unwrap());
        assert!(status.await.unwrap().success(), "{}", self.said());
    }
}

/// The shipped samples, and an agent that needs no code.
fn copied_samples() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(workspace_root().unwrap().join("deploy/samples")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let own = "{apiVersion: langop.io/v1alpha1, kind: LanguageAgent, metadata: {name: own, namespace: demo}, spec: {image: 'registry.example/own:1'}}";
    fs::write(copy.path().join("70-agent-own.yaml"), own).unwrap();
    copy
}

/// As editors save: the new text beside the old one, then renamed over it.
fn edit(samples: &Path, file: &str, old: &str, new: &str) {
    let text = fs::read_to_string(samples.join(file)).unwrap();
    assert!(text.contains(old), "{text}");
    let beside = samples.join(".edited.yaml");
    fs::write(&beside, text.replace(old, new)).unwrap();
    fs::rename(&beside, samples.join(file)).unwrap();
}

#[tokio::test]
async fn an_edit_of_a_sample_is_followed_live_and_ctrl_c_leaves_nothing() {
    let samples = copied_samples();
    let mut demo = Demo::start("live", samples.path());
    demo.until_it_says("Ctrl-C ends it").await;
    assert!(demo.said().contains("no code: its own image does the work"));

    let text = fs::read_to_string(demo.state.join("endpoints.json")).unwrap();
    let endpoints: Value = serde_json::from_str(&text).unwrap();
    for (program, metric) in [
        ("operator", "langop_reconcile_duration_seconds"),
        ("synthesizer", "langop_grpc_requests_total"),
    ] {
        let url = |key: &str| endpoints[program][key].as_str().unwrap().to_owned();
        assert!(get(&url("metrics")).await.contains(metric), "{program}");
        get(&url("health")).await;
        assert!(Path::new(&url("log")).is_file(), "{program}");
    }
    let cluster = Cluster::existing(Some(demo.state.join("kubeconfig")), None).unwrap();
    let client = cluster.client().await.unwrap();
    let agents: Api<LanguageAgent> = Api::namespaced(client.clone(), "demo");
    let revision = |agent: &LanguageAgent| {
        let info = agent.status.as_ref()?.synthesis_info.as_ref()?;
        info.revision
    };
    let watcher = agents.get("workspace-watcher").await.unwrap();

    // A save that the API server refuses is told and forgotten; the next one counts.
    let file = "50-agent-daily-report.yaml";
    edit(samples.path(), file, "timeout: 10m", "timeout: soon");
    demo.until_it_says("spec.limits.timeout").await;
    edit(samples.path(), file, "timeout: soon", "timeout: 10m");
    edit(samples.path(), file, "at 9am", "at 10am");
    demo.until_it_says("LanguageAgent daily-report edited and applied")
        .await;
    demo.until_it_says("LanguageAgent daily-report: SynthesisSucceeded")
        .await;
    let report = wait::object(agents.clone(), "daily-report", SOON, |agent| {
        revision(agent) == Some(2)
    });
    let schedule = report.await.unwrap().status.unwrap().schedule;
    assert_eq!(schedule.as_deref(), Some("0 10 * * 1-5 (Europe/Berlin)"));
    let other = agents.get("workspace-watcher").await.unwrap();
    assert_eq!(
        watcher.metadata.resource_version, other.metadata.resource_version,
        "only what depends on the edit changes"
    );
    let code = ListParams::default().labels("langop.io/agent=daily-report");
    let stored: Api<ConfigMap> = Api::namespaced(client, "demo");
    assert_eq!(stored.list(&code).await.unwrap().items.len(), 2);

    demo.interrupt().await;
}

#[tokio::test]
async fn ctrl_c_leaves_nothing_of_a_control_plane_that_is_coming_up() {
    let mut demo = Demo::start("early", &workspace_root().unwrap().join("deploy/samples"));
    demo.until_it_says("starting a control plane").await;
    let pid = demo.child.id();
    wait::until("its first process", SOON, async || {
        (!descendants_of(pid).is_empty()).then_some(())
    })
    .await
    .unwrap();
    demo.interrupt().await;
}

async fn get(url: &str) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.text().await.unwrap()
}
