//! A release on a real API server, from its installation to what it leaves behind.

use std::process::Command;

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
        batch::v1::Job,
        core::v1::Secret,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use langop_api::LanguageTool;
use langop_integration_tests::{
    ControlPlane, Helm, Page, Synthesizer, Terminal,
    helm::{NAMESPACE, RELEASE},
    manifests,
    programs::{account_kubeconfig, locate},
    run_dir, wait,
};
use serde_json::json;

use crate::SOON;

async fn allowed(
    client: &Client,
    namespace: Option<&str>,
    group: &str,
    resource: &str,
    verb: &str,
) -> bool {
    let owned = |text: &str| Some(text.to_owned());
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{NAMESPACE}:langop-operator")),
            resource_attributes: Some(ResourceAttributes {
                group: owned(group),
                resource: owned(resource),
                verb: owned(verb),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await.unwrap();
    answer.status.unwrap().allowed
}

async fn deployment(client: &Client, name: &str) -> Deployment {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    api.get(name).await.unwrap()
}

/// What the release's job does, under the release's account for it: kwok runs no programs.
pub(crate) async fn issue(cp: &ControlPlane, client: &Client) -> String {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    account_kubeconfig(cp, NAMESPACE, "langop-certificates", &kubeconfig)
        .await
        .unwrap();
    let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let jobs = jobs.list(&ListParams::default()).await.unwrap().items;
    // An upgrade that changes what it does makes another beside it.
    let job = jobs
        .iter()
        .max_by_key(|job| &job.metadata.creation_timestamp);
    let pod = job.unwrap().spec.clone().unwrap().template.spec.unwrap();
    let mut program = Command::new(locate("langop-certificates").unwrap());
    program.args(pod.containers[0].args.as_ref().unwrap());
    let output = program.env("KUBECONFIG", &kubeconfig).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{:?}", output.stderr);
    said
}

/// They are issued once.
async fn certificates(cp: &ControlPlane, client: &Client) {
    assert_eq!(issue(cp, client).await.matches("issued ").count(), 3);
    let again = issue(cp, client).await;
    assert_eq!(again.matches("kept ").count(), 3, "renewed: {again}");
    they_let_in_whoever_has_one(client).await;
}

/// A synthesizer with the Secret of its own, and its client with that of the operator.
pub(crate) async fn they_let_in_whoever_has_one(client: &Client) {
    let dir = tempfile::tempdir().unwrap();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let mut files = Vec::new();
    for secret in ["langop-synthesizer-tls", "langop-operator-tls"] {
        let data = secrets.get(secret).await.unwrap().data.unwrap();
        for (key, bytes) in data {
            let file = dir.path().join(format!("{secret}-{key}"));
            std::fs::write(&file, bytes.0).unwrap();
            files.push(file.to_str().unwrap().to_owned());
        }
    }
    let [server_ca, cert, key, client_ca, client_cert, client_key] = files.as_slice() else {
        panic!("not three keys each: {files:?}");
    };
    let synthesizer = Synthesizer::template()
        .env("LANGOP_TLS_CERT", cert)
        .env("LANGOP_TLS_KEY", key)
        .env("LANGOP_TLS_CLIENT_CA", server_ca)
        .start()
        .await
        .unwrap();
    let ask = |with_certificate: bool| {
        let mut program = Command::new(locate("langop-synth").unwrap());
        let url = synthesizer.grpc_url().replace("http://", "https://");
        program
            .args(["distill", "--name", "a", "--description", "b", "--endpoint"])
            .arg(url)
            .env("LANGOP_SYNTHESIZER_CA", client_ca)
            .env(
                "LANGOP_SYNTHESIZER_SERVER_NAME",
                format!("langop-synthesizer.{NAMESPACE}.svc"),
            );
        if with_certificate {
            program
                .env("LANGOP_SYNTHESIZER_CERT", client_cert)
                .env("LANGOP_SYNTHESIZER_KEY", client_key);
        }
        program.output().unwrap()
    };
    let answered = ask(true);
    assert!(answered.status.success(), "{:?}", answered.stderr);
    assert!(!ask(false).status.success(), "anybody is let in");
}

/// Kinds of the Prometheus operator, as far as the API server asks what they look like.
const MONITORING: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, plural: podmonitors}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: prometheusrules.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PrometheusRule, plural: prometheusrules}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

async fn types(terminal: &Terminal, page: &str, beginning: &str) -> String {
    let page = Page::read(page).unwrap();
    let block = page.block(beginning).unwrap();
    terminal.types(&[block]).await.unwrap()
}

/// What pages have people type to change a release, typed.
async fn pages_change_it(cp: &ControlPlane, helm: &Helm) {
    let client = cp.client().await.unwrap();
    for kind in manifests::parse(MONITORING).unwrap() {
        manifests::apply(&client, &kind, "").await.unwrap();
    }
    let terminal = helm.typed(Terminal::new().unwrap());
    let terminal = terminal.program("kubectl", &cp.ready().kubectl);

    let page = "docs/observability.md";
    types(&terminal, page, "helm upgrade langop").await;
    let manifest = helm.done(&["get", "manifest", RELEASE]);
    for kind in [
        "kind: PodMonitor",
        "kind: PrometheusRule",
        "grafana_dashboard",
    ] {
        assert!(manifest.contains(kind), "no {kind}");
    }

    let page = "docs/provenance.md";
    types(&terminal, page, "openssl genpkey").await;
    types(
        &terminal,
        page,
        "kubectl -n langop-system create secret generic langop-signing",
    )
    .await;
    let manifest = helm.done(&["get", "manifest", RELEASE]);
    for part in [
        "kind: PodMonitor",
        "secretName: langop-signing",
        "BEGIN PUBLIC KEY",
    ] {
        assert!(manifest.contains(part), "no {part}");
    }

    let page = "docs/upgrading.md";
    types(&terminal, page, "helm upgrade langop").await;
    assert_eq!(helm.done(&["get", "manifest", RELEASE]), manifest);
    let said = types(&terminal, page, "helm rollback langop").await;
    assert!(said.contains("Rollback was a success"), "{said}");
}

/// Whoever scales it, the chart's autoscaler or another, keeps what it scaled.
async fn the_autoscaler_keeps_its_number(client: &Client, helm: &Helm) {
    let terminal = helm.typed(Terminal::new().unwrap());
    types(&terminal, "docs/autoscaling.md", "helm upgrade langop").await;
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let name = "langop-synthesizer";
    // The upgrade took the number away, and the autoscaler has put in the least.
    let is_two = |found: &Deployment| found.spec.as_ref().and_then(|spec| spec.replicas) == Some(2);
    wait::object(api.clone(), name, SOON, is_two).await.unwrap();
    let five = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let chart = helm.chart.to_str().unwrap();
    for changed in [
        "synthesizer.logFormat=text",
        "synthesizer.autoscaling.enabled=false,synthesizer.replicas=null",
        "synthesizer.logFormat=json",
    ] {
        api.patch_scale(name, &PatchParams::default(), &five)
            .await
            .unwrap();
        helm.done(&[
            "upgrade",
            RELEASE,
            chart,
            "--reuse-values",
            "--set",
            changed,
        ]);
        let replicas = deployment(client, name).await.spec.unwrap().replicas;
        assert_eq!(replicas, Some(5), "{changed}");
    }
}

/// Install with nothing set, upgrade, foreign scaling, uninstall.
#[tokio::test]
async fn a_release_lives_and_leaves_what_people_wrote() {
    let state = run_dir().unwrap().join("chart");
    let cp = ControlPlane::start(&state).await.unwrap();
    let client = cp.client().await.unwrap();
    let helm = Helm::of(&cp).await;
    let chart = helm.chart.to_str().unwrap().to_owned();
    let chart = chart.as_str();

    let notes = helm.done(&[
        "install",
        RELEASE,
        chart,
        "--create-namespace",
        "--wait",
        "--timeout",
        "120s",
    ]);
    assert!(notes.contains("kubectl get langop -A"), "{notes}");
    for name in ["langop-operator", "langop-synthesizer"] {
        let ready = deployment(&client, name)
            .await
            .status
            .unwrap()
            .ready_replicas;
        assert_eq!(ready, Some(2), "{name}");
    }
    assert!(
        allowed(
            &client,
            Some("anywhere"),
            "langop.io",
            "languageagents",
            "watch"
        )
        .await
    );
    assert!(
        allowed(
            &client,
            Some(NAMESPACE),
            "coordination.k8s.io",
            "leases",
            "create"
        )
        .await
    );
    assert!(!allowed(&client, Some("anywhere"), "", "secrets", "get").await);
    assert!(
        !allowed(
            &client,
            Some("anywhere"),
            "coordination.k8s.io",
            "leases",
            "create"
        )
        .await
    );

    certificates(&cp, &client).await;

    // A user's object, by the CRDs of the release.
    let tool = manifests::parse(
        "{apiVersion: langop.io/v1alpha1, kind: LanguageTool, metadata: {name: search}, spec: {type: mcp, image: 'example.com/a:1'}}",
    );
    manifests::apply(&client, &tool.unwrap()[0], "default")
        .await
        .unwrap();

    // What changes for one program rolls that one only.
    let before = deployment(&client, "langop-operator").await;
    helm.done(&[
        "upgrade",
        RELEASE,
        chart,
        "--wait",
        "--set",
        "synthesizer.settings.LANGOP_CACHE_TTL=1h",
    ]);
    let after = deployment(&client, "langop-operator").await;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(
        deployment(&client, "langop-synthesizer")
            .await
            .metadata
            .generation,
        Some(2)
    );

    pages_change_it(&cp, &helm).await;

    the_autoscaler_keeps_its_number(&client, &helm).await;

    let terminal = helm.typed(Terminal::new().unwrap());
    types(&terminal, "docs/upgrading.md", "helm uninstall").await;
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    wait::gone(api, "langop-operator", SOON).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let kept = crds.list(&ListParams::default()).await.unwrap().items;
    let kept = kept.iter().filter(|kind| kind.spec.group == "langop.io");
    assert_eq!(kept.count(), 6, "the CRDs went with the release");
    let tools: Api<LanguageTool> = Api::namespaced(client, "default");
    tools.get("search").await.unwrap();
    cp.stop().await.unwrap();
}
