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
    ControlPlane, FakeLlm, Helm, Page, Registry, Reply, Terminal, TestNamespace, programs, run_dir,
    wait,
};
use serde_json::json;

const SOON: Duration = Duration::from_mins(3);
/// Of the images, as the chart names them where nothing is set.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the LLM answers: an agent that writes this greeting.
fn code(greeting: &str) -> String {
    format!(
        r#"require 'language_operator'

agent 'greeter' do
  schedule cron: '0 9 * * 1-5'

  workflow do
    step "Write" do
      use_tool "files", action: "write_file", params: {{ path: "greeting.txt", content: "{greeting}" }}
    end
  end
end
"#
    )
}

struct Installed {
    client: Client,
    helm: Helm,
    /// Where the packaged chart is.
    chart: String,
    llm: FakeLlm,
    terminal: Terminal,
}

impl Installed {
    /// Publishes images and chart, and installs it, as the page says, for an LLM beyond the cluster.
    async fn from(cp: &ControlPlane, registry: &Registry) -> Self {
        let helm = Helm::of(cp).await;
        let llm = FakeLlm::start_at(MACHINE).await.unwrap();
        let this = Self {
            client: cp.client().await.unwrap(),
            chart: format!("oci://{REGISTRY}/charts/language-operator"),
            terminal: terminal(cp, registry, &helm, &llm),
            helm,
            llm,
        };
        // What `cargo images` writes, built sooner.
        let components = programs::components(Profile::Quick).await.unwrap();
        let layouts = this.terminal.folder().join("target/images");
        for component in Component::ALL {
            let image = components.image(component, &format!("built:{VERSION}"));
            let layout = layouts.join(component.name());
            image.write_layout(&layout).unwrap();
        }
        this.types("cargo images").await;
        let notes = this.types("kubectl create namespace").await;
        for expected in [
            "helm -n langop-system test langop",
            "agent 'langop-self-test-",
        ] {
            assert!(notes.contains(expected), "no {expected} in {notes}");
        }
        this.publish_chart();
        this
    }

    /// Types the block of the page that begins so.
    async fn types(&self, beginning: &str) -> String {
        let page = Page::read("docs/getting-started.md").unwrap();
        let block = page.block(beginning).unwrap();
        self.terminal.types(&[block]).await.unwrap()
    }

    fn publish_chart(&self) {
        let helm = &self.helm;
        let chart = helm.chart.to_str().unwrap();
        let folder = run_dir().unwrap().to_str().unwrap();
        helm.done(&["package", chart, "--destination", folder]);
        let package = format!("{folder}/language-operator-{VERSION}.tgz");
        let (charts, _) = self.chart.rsplit_once('/').unwrap();
        helm.done(&["push", &package, charts, "--plain-http"]);
    }

    /// Upgrades it to the chart of the registry.
    fn upgrade(&self, set: &str) {
        let args = [
            "upgrade",
            RELEASE,
            &self.chart,
            "--plain-http",
            "--reuse-values",
        ];
        let waiting = ["--wait", "--timeout", "240s", "--set", set];
        self.helm.done(&[&args[..], &waiting].concat());
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

/// Where the page is typed: the registry and the LLM have addresses of this machine, and building is
/// somebody else's.
fn terminal(cp: &ControlPlane, registry: &Registry, helm: &Helm, llm: &FakeLlm) -> Terminal {
    let namespace = "kubectl create namespace langop-system";
    let restricted = "pod-security.kubernetes.io/enforce=restricted";
    let key = "synthesizer.apiKey.existingSecret=llm";
    let endpoint = format!("--set synthesizer.endpoint={}", llm.endpoint());
    // The link has two ends, and both are this machine's.
    let plaintext = "--set synthesizer.settings.SYNTHESIS_ALLOW_PLAINTEXT=true";
    let terminal = helm.typed(Terminal::new().unwrap());
    terminal
        .program("kubectl", &cp.ready().kubectl)
        .line(&registry.crane_function())
        .line("cargo() { [ \"$*\" = images ]; }")
        .line("go() { [ \"$1\" = install ]; }")
        .env("ANTHROPIC_API_KEY", "not-a-real-key")
        .replacing("registry.example.com", REGISTRY)
        .replacing(key, &format!("{key} {endpoint} {plaintext}"))
        .replacing(
            namespace,
            &format!("{namespace}\nkubectl label namespace langop-system {restricted}"),
        )
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
    let patched = agents
        .patch("greeter", &PatchParams::default(), &patch)
        .await;
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
    let agents: Api<LanguageAgent> = Api::all(installed.client.clone());
    let left = async || {
        let agents = agents.list(&ListParams::default()).await.unwrap().items;
        agents.is_empty().then_some(())
    };
    wait::until("no agent", SOON, left).await.unwrap();

    // A user's agent, whose image comes from the same registry without a word.
    installed.llm.reply(Reply::Code(code("Good morning")));
    let printed = installed.types("sed 's/ghcr.io/").await;
    assert!(printed.contains("use_tool \"files\""), "{printed}");
    let printed = installed.types("kubectl create job").await;
    assert!(printed.contains("greeter"), "{printed}");
    let agents: Api<LanguageAgent> = Api::default_namespaced(installed.client.clone());
    let counted = wait::object(agents.clone(), "greeter", SOON, |agent: &LanguageAgent| {
        let status = agent.status.as_ref().unwrap();
        status.successful_executions == Some(1) || status.failed_executions == Some(1)
    });
    let status = counted.await.unwrap().status.unwrap();
    let result = status.last_execution_result.as_deref();
    assert_eq!(result, Some("Succeeded: 1 step done"));

    let team = TestNamespace::create(cp, "team").await.unwrap();
    only_the_operator_may_call_the_synthesizer(cp, &team, &installed).await;
    certificates_are_renewed_while_it_works(cp, &installed, &agents).await;

    // The synthesizer is scaled on its own.
    let operators = installed.pods("operator").await;
    installed.upgrade("synthesizer.replicas=3");
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
    agents.get("greeter").await.unwrap();
    let cron_jobs: Api<CronJob> = Api::default_namespaced(installed.client.clone());
    cron_jobs.get("greeter").await.unwrap();
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
    installed.llm.reply(Reply::Code(code("Good day")));
    instruct(agents, "Every weekday at 9am, write another greeting").await;
    let ready = wait::object(agents.clone(), "greeter", SOON, |agent| {
        is_ready_with(agent, 2)
    });
    ready.await.unwrap();
    assert_eq!(installed.running().await, before);
}
