use langop_api::{LanguageModel, LanguageTool, model::ServicePhase};
use serde_json::{Value, json};

use super::*;
use crate::{
    observed::{ChildKind, CompactMap, DeploymentState, Observed, ObservedState},
    references::ModelView,
};

fn client(spec: &Value) -> LanguageClient {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageClient",
        "metadata": {"name": "chat", "namespace": "demo", "uid": "uid-chat", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    }))
    .unwrap()
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "langop.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "demo"}, "spec": spec})
}

fn references() -> References {
    let settings = Settings::default();
    let tool = |name: &str, mode: &str| {
        let tool: LanguageTool = serde_json::from_value(object(
            "LanguageTool",
            name,
            &json!({"image": "x", "deploymentMode": mode}),
        ))
        .unwrap();
        ToolView::new(&tool, &settings)
    };
    let model: LanguageModel = serde_json::from_value(object(
        "LanguageModel",
        "claude",
        &json!({"provider": "anthropic", "model": "claude-sonnet-4-5"}),
    ))
    .unwrap();
    References {
        tools: vec![tool("files", "sidecar"), tool("email", "service")],
        models: vec![ModelView::new(&model, &settings)],
        persona: None,
        unresolved: vec!["model 'gone' does not exist".into()],
        unreadable: false,
    }
}

#[test]
fn the_children_of_a_client() {
    let settings = Settings::default();
    let spec = json!({"image": "chat:1", "ingressFrom": [{"namespaceLabels": {"team": "web"}}], "env": [{"name": "TITLE", "value": "Chat"}]});
    let client = validate(
        &client(&spec),
        Usable::from(references()),
        &[],
        None,
        &settings,
    )
    .unwrap();
    let children = build(&client, &settings);
    let all = json!({"policies": children.network_policies, "deployments": children.deployments, "services": children.services});
    insta::assert_yaml_snapshot!("full", all);
}

#[test]
fn who_may_come_in() {
    let ingress_in = |cluster: Option<&ClusterView>, spec: &Value| {
        let settings = Settings::default();
        let client = validate(&client(spec), Usable::default(), &[], cluster, &settings).unwrap();
        json!(
            build(&client, &Settings::default()).network_policies[0]
                .spec
                .clone()
                .unwrap()
                .ingress
        )
    };
    let ingress = |spec: &Value| ingress_in(None, spec);
    let port = json!([{"port": 8080, "protocol": "TCP"}]);
    assert_eq!(
        ingress(&json!({"image": "x"})),
        json!([{"from": [{"podSelector": {}}], "ports": port}]),
        "its own namespace"
    );
    let cluster = ClusterView {
        name: "demo".into(),
        agent_egress: None,
        pods: None,
        allowed_egress: vec![],
        model_egress: None,
        ingress_from: serde_json::from_value(json!([{"namespaceLabels": {"team": "web"}}]))
            .unwrap(),
        ..ClusterView::default()
    };
    assert_eq!(
        ingress_in(Some(&cluster), &json!({"image": "x"})),
        json!([{"from": [{"podSelector": {}}, {"namespaceSelector": {"matchLabels": {"team": "web"}}}], "ports": port}]),
        "and whom its LanguageCluster lets in"
    );
    assert_eq!(
        ingress(&json!({"image": "x", "ingressFrom": []})),
        json!([]),
        "nobody"
    );
    let named = json!({"image": "x", "ingressFrom": [{"namespaceLabels": {"a": "b"}}]});
    assert_eq!(
        ingress(&named),
        json!([{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}], "ports": port}])
    );
}

#[test]
fn a_sidecar_cannot_be_used() {
    let Usable(usable) = Usable::from(references());
    assert_eq!(
        usable
            .tools
            .iter()
            .map(|tool| tool.name.as_str())
            .collect::<Vec<_>>(),
        ["email"]
    );
    assert!(
        usable.unresolved[1].contains("tool 'files' is a sidecar"),
        "{:?}",
        usable.unresolved
    );
}

#[test]
fn the_name_of_an_older_agent_is_not_ours() {
    let older = NameCollision {
        kind: NamedKind::Agent,
        name: "chat".into(),
        created: Timestamp::from_second(1).ok(),
    };
    let invalid = validate(
        &client(&json!({"image": "x"})),
        Usable::default(),
        &[older],
        None,
        &Settings::default(),
    )
    .unwrap_err();
    assert_eq!(invalid.reason, Reason::NameConflict);
}

#[test]
fn ready_needs_pods_and_references() {
    let state = DeploymentState {
        desired: 1,
        replicas: 1,
        updated: 1,
        ready: 1,
        ..DeploymentState::default()
    };
    let live = Observed {
        kind: ChildKind::Deployment,
        name: "chat".into(),
        namespace: "demo".into(),
        uid: "d".into(),
        controller: None,
        labels: CompactMap::default(),
        annotations: CompactMap::default(),
        created: String::new(),
        deleting: false,
        owned_digest: String::new(),
        state: ObservedState::Deployment(state),
    };
    let applied = Children::default().into_applied();
    let of = |references: &Usable, deployment: Option<&Observed>| {
        let rollout = Rollout {
            deployment,
            pods: &[],
        };
        status(
            &client(&json!({"image": "x"})),
            references,
            Ok(&applied),
            rollout,
            &Settings::default(),
            Timestamp::UNIX_EPOCH,
        )
    };
    assert_eq!(
        of(&Usable::default(), Some(&live)).phase,
        Some(ServicePhase::Running)
    );
    assert_eq!(
        of(&Usable::default(), None).phase,
        Some(ServicePhase::Pending)
    );
    insta::assert_yaml_snapshot!(
        "status_unresolved",
        of(&Usable::from(references()), Some(&live))
    );
}

#[test]
fn a_client_is_left_as_it_is_while_a_reference_cannot_be_read() {
    let usable = Usable::from(references());
    assert_eq!(held(&usable), None, "what is gone closes its rule");
    let usable = Usable::from(References {
        unreadable: true,
        ..references()
    });
    let Some(Summary::Progressing(Reason::ReferenceNotFound, message)) = held(&usable) else {
        panic!("it is changed");
    };
    assert!(message.contains("model 'gone'"), "{message}");
}
