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

/// A value that is right more often than not, so that most specs have few faults and many have none.
fn mostly(right: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![12 => prop::sample::select(right).prop_map(str::to_owned), 1 => any_text()]
}

fn maybe(right: &'static [&'static str]) -> impl Strategy<Value = Value> {
    prop::option::of(mostly(right)).prop_map(|text| text.map_or(Value::Null, Value::from))
}

fn egress() -> impl Strategy<Value = Value> {
    let cidr = mostly(&["203.0.113.0/24", "0.0.0.0/0", "::/0"]);
    let rule = (
        cidr,
        maybe(&["store"]),
        prop_oneof![12 => 1..=65535_i32, 1 => any::<i32>()],
    );
    let rule = rule.prop_map(|(cidr, label, port)| match label {
        Value::Null => json!({"cidr": cidr, "ports": [{"port": port}]}),
        label => json!({"podLabels": {"app": label}, "ports": [{"port": port}, {"port": 443}]}),
    });
    prop::collection::vec(rule, 0..3).prop_map(Value::Array)
}

fn spec() -> impl Strategy<Value = Value> {
    let texts = (
        maybe(&["Do it", "$(HOME)$$"]),
        maybe(&["own"]),
        maybe(&["0 9 * * 1-5"]),
        maybe(&["Europe/Berlin"]),
        maybe(&["15m", "1h30m"]),
        maybe(&["200m", "2"]),
        prop::option::of(prop::sample::select(&["autonomous", "scheduled"][..])),
        maybe(&["10Gi", "1"]),
    );
    (texts, refs(), refs(), egress(), any::<u16>()).prop_map(|(texts, tools, models, egress, number)| {
        let (instructions, image, schedule, zone, timeout, cpu, mode, storage) = texts;
        let cpu = if cpu.is_null() { json!({}) } else { json!({"requests": {"cpu": cpu}}) };
        let mut spec = json!({
            "instructions": instructions, "image": image, "schedule": schedule, "timeZone": zone, "executionMode": mode,
            "toolRefs": tools, "modelRefs": models, "egress": egress, "port": i32::from(number % 50),
            "limits": {"timeout": timeout}, "resources": cpu, "suspend": number % 4 == 0,
        });
        if !storage.is_null() {
            spec["workspace"] = json!({"storage": storage, "enabled": number % 2 == 0});
        }
        if number % 7 == 0 {
            spec["replicas"] = json!(number);
            spec["synthesis"] = json!({"revision": number % 3, "revisionHistoryLimit": number});
        }
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

/// Whether a workload was built.
fn try_one(name: &str, spec: &Value, mode: &str, code_seconds: Option<u64>) -> bool {
    let agent = serde_json::from_value::<LanguageAgent>(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "spec": spec,
        "metadata": {"name": name, "namespace": "n", "uid": "u"},
    }));
    let mut world = World::of(SIDECAR_TOOL);
    world.agent = agent.unwrap();
    let tool = |(name, port)| {
        serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": name, "namespace": "n"},
            "spec": {"image": "i", "deploymentMode": mode, "port": port},
        }))
    };
    world.tools = [("t1", 1), ("t2", 2)]
        .map(|named| tool(named).unwrap())
        .into();
    let validated = match world.try_validated() {
        Ok(validated) => validated,
        Err(invalid) => {
            assert!(!invalid.message.is_empty());
            return false;
        }
    };
    if let (Some(seconds), Ok(_)) = (code_seconds, &validated.run) {
        world.store(&json!({"schedule": {"every": {"seconds": seconds}}}));
    }
    let built = world.build();
    check(&built);
    if let Some(fault) = &built.report.fault {
        assert!(
            !fault.message.is_empty()
                && built.children.deployments.is_empty()
                && built.children.cron_jobs.is_empty()
        );
    }
    built.children.deployments.len() + built.children.cron_jobs.len() == 1
}

#[test]
fn any_spec_is_built_or_diagnosed() {
    const CASES: u32 = 384;
    let built = std::cell::Cell::new(0_u32);
    let all = (
        mostly(&["scout"]),
        spec(),
        prop::sample::select(&["service", "sidecar"][..]),
        prop::option::of(1_u64..100_000),
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&all, |(name, spec, mode, seconds)| {
        built.set(built.get() + u32::from(try_one(&name, &spec, mode, seconds)));
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    assert!(
        built.get() > CASES / 10 && built.get() < CASES,
        "only {} of {CASES} specs were built: the test tests little",
        built.get()
    );
}
