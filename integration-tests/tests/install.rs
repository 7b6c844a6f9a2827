//! The product as a platform team gets it: the chart and its images from a registry, on a real node. The
//! operator and the synthesizer are the chart's pods, and what is shown is shown by them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::too_many_lines,
    reason = "helpers of tests are tests, too"
)]

use std::time::Duration;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::{CronJob, Job},
    core::v1::{Pod, Secret},
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use langop_api::LanguageAgent;
use langop_images::{Component, Profile};
use langop_integration_tests::control_plane::node::{MACHINE, REGISTRY};
use langop_integration_tests::helm::{NAMESPACE, RELEASE};
use langop_integration_tests::pods::{exit, probe};
use langop_integration_tests::{
    ControlPlane, FakeLlm, Helm, Registry, Reply, TestNamespace, manifests, programs, run_dir, wait,
};
use serde_json::json;

const SOON: Duration = Duration::from_mins(3);
/// Of the images, as the chart names them where nothing is set.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const RESTRICTED: (&str, &str) = ("pod-security.kubernetes.io/enforce", "restricted");

/// What a user applies: a tool, and an agent that uses it once a year, or when it is told to.
const NOTES: &str = "
apiVersion: langop.io/v1alpha1
kind: LanguageTool
metadata: {name: files}
spec:
  image: 10.254.99.1:5000/language-operator/tool-filesystem:0.1.0
  deploymentMode: sidecar
  port: 8081
---
apiVersion: langop.io/v1alpha1
kind: LanguageAgent
metadata: {name: clerk}
spec:
  instructions: Keep a note
  schedule: '0 0 1 1 *'
  toolRefs: [{name: files}]
  workspace: {storage: 1Mi}
";

/// What the LLM answers: an agent that writes this note and reads it again.
fn code(note: &str) -> String {
    format!(
        r#"require 'language_operator'

agent 'clerk' do
  workflow do
    step "Write" do
      use_tool "files", action: "write_file", params: {{ path: "note.txt", content: "{note}" }}
    end

    step "Read" do
      use_tool "files", action: "read_file", params: {{ path: "note.txt" }}
    end
  end
end
"#
    )
}

struct Installed {
    client: Client,
    helm: Helm,
    /// Where the chart is.
    chart: String,
    llm: FakeLlm,
    _namespace: TestNamespace,
}

impl Installed {
    /// Publishes images and chart, and installs it for an OpenAI-compatible server beyond the cluster.
    async fn from(cp: &ControlPlane, registry: &Registry) -> Self {
        let components = programs::components(Profile::Quick).await.unwrap();
        for component in [
            Component::Operator,
            Component::Synthesizer,
            Component::Certificates,
            Component::Agent,
            Component::ToolFilesystem,
        ] {
            let name = format!(
                "{REGISTRY}/language-operator/{}:{VERSION}",
                component.name()
            );
            let image = components.image(component, &name);
            registry.push(&image).await.unwrap();
        }
        let client = cp.client().await.unwrap();
        let helm = Helm::of(cp).await;
        let folder = run_dir().unwrap().to_str().unwrap();
        helm.done(&[
            "package",
            helm.chart.to_str().unwrap(),
            "--destination",
            folder,
        ]);
        let package = format!("{folder}/language-operator-{VERSION}.tgz");
        let charts = format!("oci://{REGISTRY}/charts");
        helm.done(&["push", &package, &charts, "--plain-http"]);

        let llm = FakeLlm::start_at(MACHINE).await.unwrap();
        let namespace = TestNamespace::create_with(cp, NAMESPACE, &[RESTRICTED])
            .await
            .unwrap();
        let secrets: Api<Secret> = namespace.api();
        let key = json!({"metadata": {"name": "llm"}, "stringData": {"api-key": "not-a-real-key"}});
        let key = serde_json::from_value(key).unwrap();
        secrets.create(&PostParams::default(), &key).await.unwrap();
        let this = Self {
            client,
            helm,
            chart: format!("{charts}/language-operator"),
            llm,
            _namespace: namespace,
        };
        let notes = this.helm("install", &[]);
        assert!(
            notes.contains("helm -n langop-system test langop"),
            "{notes}"
        );
        this
    }

    fn helm(&self, verb: &str, set: &[&str]) -> String {
        let endpoint = format!("synthesizer.endpoint={}", self.llm.endpoint());
        let registry = format!("imageRegistry={REGISTRY}");
        let mut args = vec![verb, RELEASE, &self.chart, "--plain-http", "--wait"];
        args.extend(["--timeout", "240s"]);
        let values = [
            &registry,
            "synthesizer.provider=openai",
            "synthesizer.model=fake-model",
            &endpoint,
            "synthesizer.apiKey.existingSecret=llm",
            // The link has two ends, and both are this machine's.
            "synthesizer.settings.SYNTHESIS_ALLOW_PLAINTEXT=true",
        ];
        for value in values.iter().chain(set) {
            args.extend(["--set", value]);
        }
        self.helm.done(&args)
    }

    /// The release's pods of a program.
    async fn pods(&self, program: &str) -> Vec<Pod> {
        let of_it = format!("app.kubernetes.io/name=langop-{program}");
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut pods = pods
            .list(&ListParams::default().labels(&of_it))
            .await
            .unwrap()
            .items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// Names of the pods, and how often their containers were started anew.
    async fn running(&self) -> Vec<(String, i32)> {
        let mut running = Vec::new();
        for program in ["operator", "synthesizer"] {
            for pod in self.pods(program).await {
                let statuses = pod.status.clone().unwrap().container_statuses;
                let restarts = statuses.into_iter().flatten().map(|one| one.restart_count);
                running.push((pod.name_any(), restarts.sum()));
            }
        }
        running.sort();
        running
    }
}

fn is_ready_with(agent: &LanguageAgent, revision: i64) -> bool {
    let Some(status) = &agent.status else {
        return false;
    };
    let ready = status
        .conditions
        .iter()
        .any(|one| one.type_ == "Ready" && one.status == "True");
    let active = status
        .synthesis_info
        .as_ref()
        .and_then(|info| info.revision);
    ready && active == Some(revision)
}

async fn instruct(agents: &Api<LanguageAgent>, instructions: &str) {
    let patch = Patch::Merge(json!({"spec": {"instructions": instructions}}));
    let patched = agents.patch("clerk", &PatchParams::default(), &patch).await;
    patched.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_team_installs_it_and_an_agent_works() {
    let Some(cp) = ControlPlane::shared_with_real_node().await else {
        return;
    };
    let registry = Registry::start(cp).await.unwrap();
    let installed = Installed::from(cp, &registry).await;
    for program in ["operator", "synthesizer"] {
        assert_eq!(installed.pods(program).await.len(), 2, "{program}");
    }

    // The self-test leaves nothing behind.
    let tested = installed.helm.done(&["test", RELEASE, "--logs"]);
    assert!(tested.contains("agent 'langop-self-test-"), "{tested}");
    let agents: Api<LanguageAgent> = Api::all(installed.client.clone());
    let left = async || {
        let agents = agents.list(&ListParams::default()).await.unwrap().items;
        agents.is_empty().then_some(())
    };
    wait::until("no agent", SOON, left).await.unwrap();

    // A user's agent, whose image comes from the same registry without a word.
    let team = TestNamespace::create(cp, "team").await.unwrap();
    installed.llm.reply(Reply::Code(code("kept")));
    for object in manifests::parse(NOTES).unwrap() {
        let applied = manifests::apply(&installed.client, &object, team.name()).await;
        applied.unwrap();
    }
    let agents: Api<LanguageAgent> = team.api();
    let ready = wait::object(agents.clone(), "clerk", SOON, |agent| {
        is_ready_with(agent, 1)
    });
    ready.await.unwrap();
    cp.run_now(team.name(), "clerk", "first").await.unwrap();
    let counted = wait::object(agents.clone(), "clerk", SOON, |agent: &LanguageAgent| {
        let status = agent.status.as_ref().unwrap();
        status.successful_executions == Some(1) || status.failed_executions == Some(1)
    });
    let status = counted.await.unwrap().status.unwrap();
    let result = status.last_execution_result.as_deref();
    assert_eq!(result, Some("Succeeded: 2 steps done"));

    only_the_operator_may_call_the_synthesizer(cp, &team, &installed).await;
    certificates_are_renewed_while_it_works(cp, &installed, &agents).await;

    // The synthesizer is scaled on its own.
    let operators = installed.pods("operator").await;
    installed.helm("upgrade", &["synthesizer.replicas=3"]);
    assert_eq!(installed.pods("synthesizer").await.len(), 3);
    let names = |pods: &[Pod]| {
        pods.iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&installed.pods("operator").await), names(&operators));

    // What people wrote, and what runs for them, stays.
    installed.helm.done(&["uninstall", RELEASE, "--wait"]);
    let deployments: Api<Deployment> = Api::namespaced(installed.client.clone(), NAMESPACE);
    wait::gone(deployments, "langop-operator", SOON)
        .await
        .unwrap();
    agents.get("clerk").await.unwrap();
    team.api::<CronJob>().get("clerk").await.unwrap();
}

/// By packets: the port of the metrics answers everybody, so what closes the other one is its policy.
async fn only_the_operator_may_call_the_synthesizer(
    cp: &ControlPlane,
    team: &TestNamespace,
    installed: &Installed,
) {
    let outsider = serde_json::from_value(probe("outsider", &["wait"])).unwrap();
    let pods: Api<Pod> = team.api();
    pods.create(&PostParams::default(), &outsider)
        .await
        .unwrap();
    let is_running = |pod: &Pod| {
        let status = pod.status.as_ref();
        status.and_then(|status| status.phase.as_deref()) == Some("Running")
    };
    wait::object(pods, "outsider", SOON, is_running)
        .await
        .unwrap();
    let synthesizer = &installed.pods("synthesizer").await[0];
    let address = synthesizer
        .status
        .as_ref()
        .unwrap()
        .pod_ip
        .as_ref()
        .unwrap();
    for (port, expected) in [(8081, exit::ANSWERED), (50051, exit::TIMED_OUT)] {
        let to = format!("{address}:{port}");
        let dialled = cp
            .exec(team.name(), "outsider", &["/probe", "dial", "tcp", &to])
            .await;
        let dialled = dialled.unwrap();
        assert_eq!(dialled.code, expected, "{to}: {}", dialled.output);
    }
}

/// Both certificates are lost and issued again: no pod is restarted, and the next call is made by them.
async fn certificates_are_renewed_while_it_works(
    cp: &ControlPlane,
    installed: &Installed,
    agents: &Api<LanguageAgent>,
) {
    let before = installed.running().await;
    let secrets: Api<Secret> = Api::namespaced(installed.client.clone(), NAMESPACE);
    for name in ["langop-operator-tls", "langop-synthesizer-tls"] {
        let deleted = secrets.delete(name, &DeleteParams::default()).await;
        deleted.unwrap();
    }
    cp.run_now(NAMESPACE, "langop-certificates", "again")
        .await
        .unwrap();
    let jobs: Api<Job> = Api::namespaced(installed.client.clone(), NAMESPACE);
    let succeeded = |job: &Job| {
        let status = job.status.as_ref();
        status.and_then(|status| status.succeeded) == Some(1)
    };
    wait::object(jobs, "again", SOON, succeeded).await.unwrap();
    installed.llm.reply(Reply::Code(code("kept again")));
    instruct(agents, "Keep another note").await;
    let ready = wait::object(agents.clone(), "clerk", SOON, |agent| {
        is_ready_with(agent, 2)
    });
    ready.await.unwrap();
    assert_eq!(installed.running().await, before);
}
