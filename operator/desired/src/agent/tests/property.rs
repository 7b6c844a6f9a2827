//! Any spec at all is built or diagnosed: never a panic, never an illegal name, never an open policy.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,20}",
        "\\PC{0,30}",
        Just(String::new()),
        Just("0 9 * * 1-5".to_owned()),
        Just("$(HOME)$$".to_owned()),
        Just("10Gi".to_owned()),
        Just("Europe/Berlin".to_owned()),
        Just("203.0.113.0/24".to_owned()),
        Just("0.0.0.0/0".to_owned()),
        Just("15m".to_owned()),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]([-a-z0-9]{0,50}[a-z0-9])?", any_text()]
}

fn refs() -> impl Strategy<Value = Value> {
    prop::collection::vec(
        prop_oneof![Just("t1".to_owned()), Just("t2".to_owned()), any_text()],
        0..4,
    )
    .prop_map(|names| {
        names
            .into_iter()
            .map(|name| json!({"name": name}))
            .collect()
    })
}

fn egress() -> impl Strategy<Value = Value> {
    let rule = (
        any_text(),
        any_text(),
        prop::option::of(any_text()),
        any::<bool>(),
        any::<i32>(),
    );
    let rule = rule.prop_map(|(cidr, except, label, with_ports, port)| {
        let ports = if with_ports {
            json!([{"port": port}, {"port": 443}])
        } else {
            json!([])
        };
        match label {
            Some(label) => json!({"podLabels": {"app": label}, "ports": ports}),
            None => json!({"cidr": cidr, "except": [except], "ports": ports}),
        }
    });
    prop::collection::vec(rule, 0..3).prop_map(Value::Array)
}

fn spec() -> impl Strategy<Value = Value> {
    let texts = (
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
        prop::option::of(any_text()),
    );
    let rest = (
        refs(),
        refs(),
        egress(),
        prop::option::of(prop_oneof![Just("autonomous"), Just("scheduled")]),
        any::<i32>(),
        prop::option::of((any_text(), any::<bool>())),
    );
    (texts, rest).prop_map(|((instructions, image, schedule, zone, timeout), (tools, models, egress, mode, number, workspace))| {
        let mut spec = json!({"toolRefs": tools, "modelRefs": models, "egress": egress, "port": number, "resources": {"requests": {"cpu": zone.clone().unwrap_or_default()}}});
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                spec[key] = value;
            }
        };
        set("instructions", instructions.map(Value::from));
        set("image", image.map(Value::from));
        set("schedule", schedule.map(Value::from));
        set("timeZone", zone.map(Value::from));
        set("executionMode", mode.map(Value::from));
        set("replicas", (number % 3 == 0).then(|| json!(number)));
        set("limits", timeout.map(|timeout| json!({"timeout": timeout})));
        set("synthesis", (number % 5 == 0).then(|| json!({"revision": number, "revisionHistoryLimit": number})));
        set("workspace", workspace.map(|(storage, enabled)| json!({"storage": storage, "enabled": enabled, "mountPath": storage})));
        spec
    })
}

fn is_label(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 63
        && edge(name.chars().next())
        && edge(name.chars().last())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn check(built: &Built) {
    let children = &built.children;
    let names = children.network_policies.iter().map(|o| &o.metadata);
    let names = names.chain(children.claims.iter().map(|o| &o.metadata));
    let names = names.chain(children.deployments.iter().map(|o| &o.metadata));
    for metadata in names.chain(children.cron_jobs.iter().map(|o| &o.metadata)) {
        assert!(is_label(metadata.name.as_deref().unwrap()), "{metadata:?}");
    }
    assert!(
        children
            .cron_jobs
            .iter()
            .all(|job| job.metadata.name.as_deref().unwrap().len() <= 52)
    );
    assert!(children.deployments.len() + children.cron_jobs.len() <= 1);
    let policy = children.network_policies[0].spec.as_ref().unwrap();
    assert_eq!(
        policy.policy_types.as_deref(),
        Some(&["Egress".to_owned()][..])
    );
    for rule in policy.egress.iter().flatten() {
        assert!(
            rule.to.as_ref().is_some_and(|peers| !peers.is_empty())
                && rule.ports.as_ref().is_some_and(|ports| !ports.is_empty())
        );
    }
    for deployment in &children.deployments {
        let pod = deployment
            .spec
            .as_ref()
            .unwrap()
            .template
            .spec
            .as_ref()
            .unwrap();
        let all: Vec<_> = pod
            .containers
            .iter()
            .chain(pod.init_containers.iter().flatten())
            .collect();
        let unique: std::collections::BTreeSet<_> =
            all.iter().map(|container| &container.name).collect();
        assert!(unique.len() == all.len() && all.iter().all(|container| is_label(&container.name)));
        assert!(
            pod.volumes
                .iter()
                .flatten()
                .all(|volume| is_label(&volume.name))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_spec_is_built_or_diagnosed(name in name(), spec in spec(), sidecar in any::<bool>(), has_code in any::<bool>(), seconds in 1_u64..100_000) {
        let Ok(agent) = serde_json::from_value::<LanguageAgent>(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "spec": spec,
            "metadata": {"name": name, "namespace": "n", "uid": "u"},
        })) else { return Ok(()) };
        let mut world = World::of(SIDECAR_TOOL);
        world.agent = agent;
        let mode = if sidecar { "sidecar" } else { "service" };
        world.tools = ["t1", "t2"].map(|tool| serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": tool, "namespace": "n"},
            "spec": {"image": "i", "deploymentMode": mode, "port": if tool == "t1" { 1 } else { 2 }},
        })).unwrap()).into();
        match world.try_validated() {
            Err(invalid) => prop_assert!(!invalid.message.is_empty()),
            Ok(validated) => {
                if has_code && validated.run.is_ok() {
                    world.store(&json!({"schedule": {"every": {"seconds": seconds}}}));
                }
                let built = world.build();
                check(&built);
                if let Some(fault) = &built.report.fault {
                    prop_assert!(!fault.message.is_empty());
                }
            }
        }
    }
}
