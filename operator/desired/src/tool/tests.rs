use langop_api::model::ServicePhase;
use serde_json::{Value, json};

use super::*;

fn tool(spec: &Value) -> LanguageTool {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool",
        "metadata": {"name": "email", "namespace": "demo", "uid": "uid-email", "generation": 1, "creationTimestamp": "2026-01-01T00:00:10Z"},
        "spec": spec,
    }))
    .unwrap()
}

fn children(spec: &Value) -> Children<Prepared> {
    let settings = Settings::default();
    build(
        &validate(&tool(spec), &[], &[], &settings).unwrap(),
        &settings,
    )
}

#[test]
fn a_tool_with_a_service_of_its_own() {
    let children = children(&json!({
        "image": "email:1", "port": 9000, "replicas": 2, "env": [{"name": "SMTP", "value": "$(HOST):25"}],
        "egress": [{"cidr": "203.0.113.0/24", "ports": [{"port": 25}]}],
    }));
    let all = json!({"policies": children.network_policies, "deployments": children.deployments, "services": children.services});
    insta::assert_yaml_snapshot!("service", all);
}

#[test]
fn a_policy_exists_exactly_when_egress_is_present() {
    let rules = |spec: &Value| {
        children(spec)
            .network_policies
            .first()
            .map(|policy| policy.spec.clone().unwrap().egress.unwrap().len())
    };
    assert_eq!(rules(&json!({"image": "x"})), None);
    assert_eq!(
        rules(&json!({"image": "x", "egress": []})),
        Some(1),
        "DNS alone"
    );
    assert_eq!(
        rules(
            &json!({"image": "x", "egress": [{"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}]})
        ),
        Some(2)
    );
}

#[test]
fn a_sidecar_has_no_children_and_is_there_at_once() {
    let spec = json!({"image": "x", "deploymentMode": "sidecar", "port": 9000, "egress": [{"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}]});
    let built = children(&spec);
    assert_eq!(built.in_order().len(), 0);
    let status = status(
        &tool(&spec),
        Ok(&built.into_applied()),
        Rollout::default(),
        &Settings::default(),
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(
        (
            status.phase,
            status.endpoint.as_deref(),
            status.ready_replicas
        ),
        (
            Some(ServicePhase::Running),
            Some("http://localhost:9000"),
            None
        )
    );
}

#[test]
fn what_cannot_be_carried_out_is_said() {
    let settings = Settings::default();
    let bad = json!({"image": "x", "egress": [{"podLabels": {"a": "b"}, "ports": [{"port": 1}]}, {"cidr": "10.0.0.0/99", "ports": [{"port": 1}]}]});
    let invalid = validate(&tool(&bad), &[], &[], &settings).unwrap_err();
    assert!(
        invalid.reason == Reason::InvalidSpec && invalid.message.starts_with("egress[1]: "),
        "{invalid}"
    );
    let good = json!({"image": "x"});
    let namesake = |second| Namesake {
        kind: NamedKind::Agent,
        name: "email".into(),
        created: Timestamp::from_second(second).ok(),
    };
    assert_eq!(
        validate(&tool(&good), &[namesake(1)], &[], &settings)
            .unwrap_err()
            .reason,
        Reason::NameConflict
    );
    assert!(
        validate(
            &tool(&good),
            &[namesake(i64::from(i32::MAX))],
            &[],
            &settings
        )
        .is_ok(),
        "it came first"
    );
    let taken = [(ChildKind::Deployment, "email".to_owned())];
    assert_eq!(
        validate(&tool(&good), &[], &taken, &settings)
            .unwrap_err()
            .reason,
        Reason::NameConflict
    );
}

#[test]
fn a_service_waits_for_its_pods() {
    let spec = json!({"image": "x", "path": "/rpc"});
    let status = status(
        &tool(&spec),
        Ok(&children(&spec).into_applied()),
        Rollout::default(),
        &Settings::default(),
        Timestamp::UNIX_EPOCH,
    );
    insta::assert_yaml_snapshot!("status_pending", status);
}

/// What public images of MCP servers need.
#[test]
fn an_image_gets_what_it_needs() {
    let template = |spec: &Value| {
        let deployment = children(spec).deployments.remove(0);
        deployment.spec.unwrap().template.spec.unwrap()
    };
    let pods = template(&json!({
        "image": "node:22", "command": ["npx"], "args": ["server", "--port", "$(PORT)"], "imagePullSecrets": [{"name": "registry"}],
        "writableRootFilesystem": true, "runAsUser": 1000, "writablePaths": ["/home/node", "/var/cache/npm"],
        "caBundle": {"name": "company", "key": "bundle.pem"}, "probe": "none",
        "env": [{"name": "SSL_CERT_FILE", "value": "/own.pem"}], "resources": {"limits": {"ephemeral-storage": "2Gi"}},
    }));
    insta::assert_yaml_snapshot!("needs", pods);
    let plain = template(&json!({"image": "x"}));
    let container = &plain.containers[0];
    assert!(
        container.command.is_none()
            && container.args.is_none()
            && plain.image_pull_secrets.is_none()
    );
    assert!(
        container.readiness_probe.is_some()
            && container.liveness_probe.is_none()
            && container.startup_probe.is_none()
    );
}

#[test]
fn what_the_llm_is_not_told_is_told_to_the_user() {
    let large = json!({"description": "x".repeat(20_000)});
    let spec = json!({"image": "x", "operations": [{"name": "small", "inputSchema": {}}, {"name": "large", "inputSchema": large}]});
    let found = |spec: &Value| {
        let built = children(spec).into_applied();
        let status = status(
            &tool(spec),
            Ok(&built),
            Rollout::default(),
            &Settings::default(),
            Timestamp::UNIX_EPOCH,
        );
        crate::conditions::find(&status.conditions, types::OPERATIONS_OFFERED).cloned()
    };
    let told = found(&spec).unwrap();
    assert_eq!(
        (told.status.as_str(), told.reason.as_str()),
        ("False", "TooLarge")
    );
    assert!(
        told.message.contains("'large' (20018 bytes)") && !told.message.contains("'small'"),
        "{}",
        told.message
    );
    assert_eq!(found(&json!({"image": "x"})), None);
}
