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

/// A LanguageCluster that lets tenants declare egress.
fn open() -> ClusterView {
    ClusterView {
        name: "demo".into(),
        agent_egress: Some(langop_api::cluster::AgentEgress::Allow),
        pods: None,
        allowed_egress: vec![],
        model_egress: None,
        ingress_from: vec![],
        ..ClusterView::default()
    }
}

fn children(spec: &Value) -> Children<Prepared> {
    let settings = Settings::default();
    build(
        &validate(&tool(spec), &[], Some(&open()), &settings).unwrap(),
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

/// Whatever the image: it gets the adapter, which runs its command.
#[test]
fn a_tool_that_speaks_over_its_standard_input_and_output() {
    let children = children(&json!({
        "image": "files:1", "transport": "stdio", "path": "/files", "command": ["mcp-files"], "args": ["/data"],
    }));
    let template = children.deployments[0].spec.clone().unwrap().template;
    let pod = template.spec.unwrap();
    let container = &pod.containers[0];
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default().join(" ");
    assert_eq!(
        words(&container.command),
        "/langop/langop-tool -- mcp-files"
    );
    assert_eq!(words(&container.args), "/data");
    let env = container.env.as_ref().unwrap();
    let path = env.iter().find(|one| one.name == "MCP_PATH").unwrap();
    assert_eq!(path.value.as_deref(), Some("/files"));
    insta::assert_yaml_snapshot!(
        "stdio_adapter",
        json!({
            "initContainers": pod.init_containers,
            "mounts": container.volume_mounts,
            "volumes": pod.volumes,
        })
    );
}

#[test]
fn a_client_of_several_pods_comes_back_to_the_one_it_began_with() {
    let affinity = |spec: &Value| {
        let service = children(spec).services.remove(0);
        service.spec.unwrap().session_affinity
    };
    for (replicas, expected) in [
        (json!(1), None),
        (json!(0), None),
        (json!(2), Some("ClientIP")),
        (Value::Null, Some("ClientIP")),
    ] {
        let spec = json!({"image": "x", "replicas": replicas});
        assert_eq!(affinity(&spec).as_deref(), expected, "{replicas}");
    }
}

#[test]
fn what_is_not_named_is_closed() {
    let rules = |spec: &Value| {
        let policy = children(spec).network_policies.remove(0);
        policy.spec.unwrap().egress.unwrap().len()
    };
    assert_eq!(rules(&json!({"image": "x"})), 1, "DNS alone");
    assert_eq!(rules(&json!({"image": "x", "egress": []})), 1);
    assert_eq!(
        rules(
            &json!({"image": "x", "egress": [{"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}]})
        ),
        2
    );
}

#[test]
fn egress_that_the_cluster_forbids_is_closed_and_told() {
    let mut cluster = open();
    cluster.agent_egress = Some(langop_api::cluster::AgentEgress::Deny);
    let settings = Settings::default();
    let spec = json!({"image": "x", "egress": [
        {"cidr": "203.0.113.7/32", "ports": [{"port": 25}]}, {"cidr": "0.0.0.0/0", "ports": [{"port": 25}]},
    ]});
    let rules = |cluster: Option<&ClusterView>| {
        let tool = validate(&tool(&spec), &[], cluster, &settings).unwrap();
        let denied = tool.denied().cloned();
        let policy = build(&tool, &settings).network_policies.remove(0);
        (policy.spec.unwrap().egress.unwrap().len(), denied)
    };
    let (open, denied) = rules(Some(&cluster));
    let denied = denied.unwrap();
    assert!(
        open == 1
            && denied.reason == Reason::EgressDenied
            && denied.message.contains("spec.egress[0], spec.egress[1]"),
        "{denied}"
    );
    let status = status(
        &tool(&spec),
        Err(Summary::Ready(Reason::AsDesired, String::new())),
        Some(&denied),
        Rollout::default(),
        &settings,
        Timestamp::UNIX_EPOCH,
    );
    assert_eq!(status.phase, Some(ServicePhase::Running), "{status:?}");
    assert_eq!(rules(None).0, 1, "closed, too, where there is no cluster");
    cluster.allowed_egress = vec![
        serde_json::from_value(
            json!({"cidr": "203.0.113.0/24", "ports": [{"port": 25}, {"port": 587}]}),
        )
        .unwrap(),
    ];
    let (open, denied) = rules(Some(&cluster));
    assert_eq!(open, 2, "what the administrator allows");
    assert!(denied.unwrap().message.contains("closed: spec.egress[1];"));
}

/// A range that nobody means by a wider one is open by leave of a rule that names it, whatever else
/// the administrator allows.
#[test]
fn of_several_rules_that_allow_one_the_closest_counts() {
    let wide = json!({"cidr": "0.0.0.0/0", "ports": [{"port": 80}]});
    let close = json!({"cidr": "169.254.169.254/32", "ports": [{"port": 80}]});
    let tool = tool(&json!({"image": "email:1", "egress": [close]}));
    let settings = Settings::default();
    for allowed in [json!([close, wide]), json!([wide, close])] {
        let cluster = ClusterView {
            agent_egress: Some(langop_api::cluster::AgentEgress::Deny),
            allowed_egress: serde_json::from_value(allowed).unwrap(),
            ..open()
        };
        let valid = validate(&tool, &[], Some(&cluster), &settings).unwrap();
        let policies = json!(build(&valid, &settings).network_policies).to_string();
        assert!(policies.contains("169.254.169.254/32"), "{policies}");
    }
}

#[test]
fn a_sidecar_has_no_children_and_is_there_at_once() {
    let spec = json!({"image": "x", "deploymentMode": "sidecar", "port": 9000, "egress": [{"podLabels": {"app": "db"}, "ports": [{"port": 5432}]}]});
    let built = children(&spec);
    assert_eq!(built.in_order().len(), 0);
    let status = status(
        &tool(&spec),
        Ok(&built.into_applied()),
        None,
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
    let invalid = validate(&tool(&bad), &[], Some(&open()), &settings).unwrap_err();
    assert!(
        invalid.reason == Reason::InvalidSpec && invalid.message.starts_with("spec.egress[1]: "),
        "{invalid}"
    );
    let good = json!({"image": "x"});
    let collision = |second| NameCollision {
        kind: NamedKind::Agent,
        name: "email".into(),
        created: Timestamp::from_second(second).ok(),
    };
    assert_eq!(
        validate(&tool(&good), &[collision(1)], None, &settings)
            .unwrap_err()
            .reason,
        Reason::NameConflict
    );
    assert!(
        validate(
            &tool(&good),
            &[collision(i64::from(i32::MAX))],
            None,
            &settings
        )
        .is_ok(),
        "it came first"
    );
}

#[test]
fn a_service_waits_for_its_pods() {
    let spec = json!({"image": "x", "path": "/rpc"});
    let status = status(
        &tool(&spec),
        Ok(&children(&spec).into_applied()),
        None,
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
            None,
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
