//! The children, whole, and every rule about them.

use serde_json::json;

use super::*;
use crate::{
    agent::build::WorkloadAction,
    children::{Children, Prepared},
    policy::evaluate::{Party, address, allows, neighbour, stranger},
    settings::Telemetry,
};
use k8s_openapi::{
    api::{
        batch::v1::CronJob,
        core::v1::{Container, EnvVar, PodSpec},
    },
    apimachinery::pkg::util::intstr::IntOrString,
};

fn pod_spec(children: &Children<Prepared>) -> PodSpec {
    let of_deployment = children
        .deployments
        .first()
        .map(|deployment| deployment.spec.clone().unwrap().template);
    let of_cron_job = children
        .cron_jobs
        .first()
        .map(|job| job.spec.job_template.spec.clone().unwrap().template);
    of_deployment.or(of_cron_job).unwrap().spec.unwrap()
}

fn agent_container(children: &Children<Prepared>) -> Container {
    pod_spec(children).containers.remove(0)
}

fn variable(children: &Children<Prepared>, name: &str) -> Option<EnvVar> {
    agent_container(children)
        .env
        .unwrap()
        .into_iter()
        .find(|variable| variable.name == name)
}

fn text(children: &Children<Prepared>, name: &str) -> Option<String> {
    variable(children, name).map(|variable| variable.value.unwrap())
}

#[test]
fn a_service_tool_agent_is_exactly_this() {
    let mut world = World::of(SERVICE_TOOL);
    let new = world.new_code(&json!({"constraints": {"maxIterations": 9, "timeoutSeconds": 600}}));
    insta::assert_yaml_snapshot!(
        "service_tool_code",
        build_code_config_map(&world.validated(), &new, 1)
    );
    world.store(&json!({"constraints": {"maxIterations": 9, "timeoutSeconds": 600}}));
    let built = world.build();
    assert_eq!((built.report.fault, built.report.warnings), (None, vec![]));
    let children = built.children;
    insta::assert_yaml_snapshot!("service_tool_network_policy", children.network_policies);
    insta::assert_yaml_snapshot!("service_tool_deployment", children.deployments);
    insta::assert_yaml_snapshot!("service_tool_claim", children.claims);
    assert!(
        children.cron_jobs.is_empty()
            && children.config_maps.is_empty()
            && children.services.is_empty()
    );
}

#[test]
fn a_sidecar_tool_agent_is_exactly_this() {
    let mut world = World::of(SIDECAR_TOOL);
    let schedule =
        json!({"schedule": {"cron": {"expression": "30 18 * * *", "timeZone": "Asia/Tokyo"}}});
    insta::assert_yaml_snapshot!(
        "sidecar_tool_code",
        build_code_config_map(&world.validated(), &world.new_code(&schedule), 1)
    );
    world.store(&schedule);
    let built = world.build();
    let children = built.children;
    insta::assert_yaml_snapshot!("sidecar_tool_network_policy", children.network_policies);
    insta::assert_yaml_snapshot!("sidecar_tool_cron_job", children.cron_jobs);
    insta::assert_yaml_snapshot!("sidecar_tool_claim", children.claims);
    assert!(children.deployments.is_empty());
}

#[test]
fn what_is_not_named_is_closed() {
    let world = World::of(SERVICE_TOOL);
    let policy = world.build().children.network_policies.remove(0);
    assert_eq!(
        policy
            .spec
            .as_ref()
            .unwrap()
            .pod_selector
            .as_ref()
            .unwrap()
            .match_labels,
        Some([("langop.io/agent".into(), "night-clerk".into())].into())
    );
    let system = [("kubernetes.io/metadata.name", "kube-system")];
    let archive = [("team", "archive")];
    let open: [(Party, &str, i32); 7] = [
        (stranger(&system, &[("k8s-app", "kube-dns")]), "UDP", 53),
        (stranger(&system, &[("k8s-app", "kube-dns")]), "TCP", 53),
        (neighbour(&[("langop.io/tool", "post-office")]), "TCP", 7070),
        (neighbour(&[("langop.io/model", "oracle")]), "TCP", 8000),
        (address("203.0.113.9"), "TCP", 443),
        (stranger(&archive, &[("app", "store")]), "TCP", 5432),
        (stranger(&archive, &[("app", "store")]), "UDP", 53),
    ];
    for (to, protocol, port) in &open {
        assert!(
            allows(&policy, to, protocol, *port),
            "{to:?} {protocol} {port}"
        );
    }
    let all = [
        neighbour(&[]),
        neighbour(&[("langop.io/tool", "post-office")]),
        neighbour(&[("langop.io/tool", "other")]),
        neighbour(&[("langop.io/model", "oracle")]),
        neighbour(&[("langop.io/model", "other")]),
        neighbour(&[("langop.io/agent", "night-clerk")]),
        neighbour(&[("app", "store")]),
        stranger(&[], &[]),
        stranger(&[], &[("langop.io/tool", "post-office")]),
        stranger(&[], &[("langop.io/model", "oracle")]),
        stranger(&system, &[]),
        stranger(&system, &[("k8s-app", "kube-dns")]),
        stranger(&archive, &[]),
        stranger(&archive, &[("app", "store")]),
        address("203.0.113.9"),
        address("198.51.100.1"),
        address("169.254.169.254"),
        address("10.96.0.1"),
        address("2001:db8::1"),
        address("::1"),
    ];
    let ports = [
        1, 22, 25, 53, 80, 443, 2049, 5432, 7070, 8000, 8080, 8088, 65535,
    ];
    let mut counted = 0;
    for to in &all {
        for protocol in ["TCP", "UDP", "SCTP"] {
            for port in ports {
                counted += usize::from(allows(&policy, to, protocol, port));
            }
        }
    }
    assert_eq!(counted, open.len(), "nothing beside what is named");
}

#[test]
fn a_sidecars_egress_is_the_agents_and_a_reference_that_is_gone_closes_its_rule() {
    let world = World::of(SIDECAR_TOOL);
    let open = |world: &World, to: &str, port| {
        allows(
            &world.build().children.network_policies[0],
            &address(to),
            "TCP",
            port,
        )
    };
    assert!(open(&world, "192.0.2.10", 2049) && !open(&world, "192.0.2.11", 2049));
    assert_eq!(world.validated().sidecar_egress, ["shelf"]);

    let mut world = World::of(SERVICE_TOOL);
    let reach = |world: &World, label, name, port| {
        allows(
            &world.build().children.network_policies[0],
            &neighbour(&[(label, name)]),
            "TCP",
            port,
        )
    };
    assert!(
        reach(&world, "langop.io/tool", "post-office", 7070)
            && reach(&world, "langop.io/model", "oracle", 8000)
    );
    assert!(
        !allows(
            &world.build().children.network_policies[0],
            &address("203.0.113.1"),
            "TCP",
            25
        ),
        "a service tool's egress is its own"
    );
    world.store(&json!({}));
    world.tools.clear();
    assert!(
        !reach(&world, "langop.io/tool", "post-office", 7070)
            && reach(&world, "langop.io/model", "oracle", 8000)
    );
    world.models.clear();
    assert!(!reach(&world, "langop.io/model", "oracle", 8000));
    assert_eq!(
        text(&world.build().children, "MCP_SERVERS").as_deref(),
        Some("[]")
    );
}

#[test]
fn agents_are_told_of_a_collector_and_may_reach_it_and_a_users_own_word_wins() {
    let mut world = World::of_spec(&json!({"instructions": "Look"}));
    world.store(&json!({}));
    assert_eq!(text(&world.build().children, "OTEL_SERVICE_NAME"), None);
    world.settings.agent_telemetry = Some(Telemetry {
        endpoint: "http://otel.observability.svc:4318".into(),
        protocol: "http/protobuf".into(),
        namespace_labels: [("team".into(), "watch".into())].into(),
        pod_labels: [("app".into(), "otel".into())].into(),
        cidrs: vec!["203.0.113.7/32".into()],
        port: 4318,
    });
    let children = world.build().children;
    for (name, expected) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://otel.observability.svc:4318",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_SERVICE_NAME", "scout"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "k8s.namespace.name=wood,service.namespace=wood",
        ),
        (
            "LANGOP_SYNTHESIS_TRACEPARENT",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
    ] {
        assert_eq!(text(&children, name).as_deref(), Some(expected));
    }
    let opens = |to: &str, port| allows(&children.network_policies[0], &address(to), "TCP", port);
    assert!(opens("203.0.113.7", 4318));
    assert!(!opens("203.0.113.7", 4317) && !opens("203.0.113.8", 4318));

    world.patch(&json!({"env": [{"name": "OTEL_SERVICE_NAME", "value": "mine"}]}));
    let children = world.build().children;
    let env = agent_container(&children).env.unwrap();
    let mut named = env.iter().filter(|one| one.name == "OTEL_SERVICE_NAME");
    assert_eq!(named.next().unwrap().value.as_deref(), Some("mine"));
    assert!(named.next().is_none());
}

#[test]
fn the_policy_follows_the_references_even_where_the_workload_is_kept() {
    let mut world = World::of(SERVICE_TOOL);
    world.patch(&json!({"synthesis": {"revision": 7}}));
    let reach = |world: &World| {
        let built = world.build();
        assert_eq!(built.report.action, WorkloadAction::Keep);
        assert!(
            built.children.deployments.is_empty()
                && built.children.cron_jobs.is_empty()
                && built.children.claims.is_empty()
        );
        allows(
            &built.children.network_policies[0],
            &neighbour(&[("langop.io/tool", "post-office")]),
            "TCP",
            7070,
        )
    };
    assert!(reach(&world));
    world.tools.clear();
    assert!(!reach(&world));
    // Nor does a fault of the spec keep the policy from following.
    world.patch(&json!({"timeZone": "Mars/Olympus"}));
    assert!(!reach(&world));
}

#[test]
fn instructions_come_from_the_active_revision_else_from_spec() {
    let mut world = World::of_spec(&json!({"instructions": "Old $(X)"}));
    let stored = world.store(&json!({}));
    world.patch(&json!({"instructions": "New"}));
    let source = variable(&world.build().children, "INSTRUCTIONS")
        .unwrap()
        .value_from
        .unwrap()
        .config_map_key_ref
        .unwrap();
    assert_eq!(
        (source.name, source.key.as_str()),
        (stored.name.clone(), "instructions.txt")
    );

    let mut alone = World::of_spec(&json!({"instructions": "It costs $(X)", "image": "own"}));
    alone.info.last_failure_reason = Some("SynthesisDisabled".into());
    let children = alone.build().children;
    assert_eq!(
        text(&children, "INSTRUCTIONS").as_deref(),
        Some("It costs $$(X)")
    );
    assert_eq!(
        (
            text(&children, "AGENT_CODE_PATH"),
            agent_container(&children).image.as_deref()
        ),
        (None, Some("own"))
    );

    alone.patch(&json!({"instructions": null}));
    let children = alone.build().children;
    assert!(variable(&children, "INSTRUCTIONS").is_none());
    assert!(
        pod_spec(&children)
            .volumes
            .unwrap()
            .iter()
            .all(|volume| volume.config_map.is_none()),
        "no code mounted"
    );
}

#[test]
fn limits_of_the_spec_win_over_the_codes() {
    let constraints = json!({"constraints": {"maxIterations": 9, "timeoutSeconds": 5400}, "schedule": {"every": {"seconds": 900}}});
    for (spec, iterations, timeout, deadline) in [
        (json!({"instructions": "x"}), "9", "1h30m", 5400),
        (
            json!({"instructions": "x", "limits": {"maxIterations": 3, "timeout": "90s"}}),
            "3",
            "90s",
            90,
        ),
    ] {
        let mut world = World::of_spec(&spec);
        world.store(&constraints);
        let children = world.build().children;
        assert_eq!(
            text(&children, "AGENT_MAX_ITERATIONS").as_deref(),
            Some(iterations)
        );
        assert_eq!(text(&children, "AGENT_TIMEOUT").as_deref(), Some(timeout));
        let job = children.cron_jobs[0]
            .spec
            .job_template
            .spec
            .as_ref()
            .unwrap();
        assert_eq!(job.active_deadline_seconds, Some(deadline));
    }
    let mut world = World::of_spec(&json!({"instructions": "x"}));
    world.store(&json!({}));
    let children = world.build().children;
    assert_eq!(
        (
            text(&children, "AGENT_MAX_ITERATIONS"),
            text(&children, "AGENT_TIMEOUT")
        ),
        (None, None)
    );
}

#[test]
fn an_agent_that_no_cron_describes_keeps_time_itself() {
    let mut world = World::of_spec(&json!({"instructions": "x"}));
    world.store(&json!({"schedule": {"every": {"seconds": 5400}}}));
    let children = world.build().children;
    assert_eq!(children.deployments.len(), 1);
    assert_eq!(text(&children, "AGENT_MODE").as_deref(), Some("scheduled"));
    assert_eq!(
        text(&children, "AGENT_SCHEDULE").as_deref(),
        Some("every 90m")
    );
}

#[test]
fn each_cron_of_the_code_is_a_cron_job_that_differs_in_its_time_only() {
    let mut world = World::of_spec(&json!({"instructions": "x", "suspend": true}));
    let crons = json!({"expression": "15 8 * * 1-5", "also": ["45 12 * * 1-5"], "timeZone": "UTC"});
    world.store(&json!({"schedule": {"cron": crons}}));
    let children = world.build().children;
    let named = |number: usize| {
        let mut cron_job = children.cron_jobs[number].clone();
        let name = cron_job.metadata.name.take().unwrap();
        (name, std::mem::take(&mut cron_job.spec.schedule), cron_job)
    };
    let ((first, eight, mut one), (second, noon, other)) = (named(0), named(1));
    assert_eq!((first.as_str(), second.as_str()), ("scout", "scout-2"));
    assert_eq!(
        (eight.as_str(), noon.as_str()),
        ("15 8 * * 1-5", "45 12 * * 1-5")
    );
    assert_eq!(other.spec.time_zone.as_deref(), Some("UTC"));
    assert_eq!(other.spec.suspend, Some(true));
    let schedule_of = |cron_job: &CronJob| {
        let pods = cron_job.spec.job_template.spec.as_ref().unwrap();
        let env = pods.template.spec.as_ref().unwrap().containers[0]
            .env
            .clone();
        let found = env
            .unwrap()
            .into_iter()
            .find(|one| one.name == "AGENT_SCHEDULE");
        found.unwrap().value.unwrap()
    };
    assert_eq!((schedule_of(&one), schedule_of(&other)), (eight, noon));
    // Whoever looks for the pods of one and the other finds both by the agent's name.
    assert_eq!(one.metadata.labels, other.metadata.labels);
    one.spec.job_template = other.spec.job_template.clone();
    assert_eq!(one, other);
    assert_eq!(children.deployments.len(), 0);
}

#[test]
fn the_days_of_the_code_and_their_zone_are_in_the_environment() {
    let cron = |only: &Value| json!({"schedule": {"cron": {"expression": "0 9 * * *", "timeZone": "UTC", "only": only}}});
    for (only, zone) in [(Some("first MON"), Some("Asia/Tokyo")), (None, None)] {
        let mut world = World::of_spec(&json!({"instructions": "x", "timeZone": "Asia/Tokyo"}));
        world.store(&cron(&json!(only)));
        let children = world.build().children;
        assert_eq!(text(&children, "AGENT_SCHEDULE_ONLY").as_deref(), only);
        assert_eq!(text(&children, "AGENT_TIME_ZONE").as_deref(), zone);
    }
}

#[test]
fn replicas_are_written_only_when_set_or_suspended() {
    for (spec, replicas) in [
        (json!({"image": "own"}), None),
        (json!({"image": "own", "replicas": 3}), Some(3)),
        (json!({"image": "own", "suspend": false}), None),
        (
            json!({"image": "own", "replicas": 3, "suspend": true}),
            Some(0),
        ),
    ] {
        let children = World::of_spec(&spec).build().children;
        assert_eq!(
            children.deployments[0].spec.as_ref().unwrap().replicas,
            replicas,
            "{spec}"
        );
    }
    let suspended =
        World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *", "suspend": true}))
            .build()
            .children;
    assert_eq!(suspended.cron_jobs[0].spec.suspend, Some(true));
}

#[test]
fn the_strategy_is_written_in_full_and_a_new_pod_runs_for_a_while_before_the_old_one_ends() {
    for (workspace, type_, has_parameters, min_ready_seconds) in [
        (json!(null), "RollingUpdate", true, Some(10)),
        (json!({"enabled": false}), "RollingUpdate", true, Some(10)),
        (
            json!({"accessMode": "ReadWriteMany"}),
            "RollingUpdate",
            true,
            Some(10),
        ),
        (json!({}), "Recreate", false, None),
    ] {
        let mut world = World::of_spec(&json!({"image": "own", "workspace": workspace}));
        let spec = |world: &World| world.build().children.deployments[0].spec.clone().unwrap();
        let deployment = spec(&world);
        let strategy = deployment.strategy.unwrap();
        assert_eq!(
            (strategy.type_.as_deref(), strategy.rolling_update.is_some()),
            (Some(type_), has_parameters),
            "{workspace}"
        );
        assert_eq!(deployment.min_ready_seconds, min_ready_seconds);
        let unavailable = strategy.rolling_update.and_then(|u| u.max_unavailable);
        assert!(unavailable.is_none_or(|pods| pods == IntOrString::Int(0)));
        // What the API server leaves out when it is zero must not be asked for.
        world.settings.min_ready_seconds = 0;
        assert_eq!(spec(&world).min_ready_seconds, None);
    }
}

/// A spec, what is there, and the fate: `None` is written, `Some` is switching and what is deleted.
type Switch<'a> = (&'a Value, Vec<Arc<Observed>>, Option<Option<ChildKind>>);

#[test]
fn a_mode_switch_waits_for_the_old_workload_and_its_pods_both_ways() {
    let running = || PodState {
        phase: "Running".into(),
        ..PodState::default()
    };
    let ended = || PodState {
        phase: "Succeeded".into(),
        ..PodState::default()
    };
    let to_cron = json!({"image": "own", "schedule": "0 9 * * *"});
    let to_deployment = json!({"image": "own"});
    let rows: Vec<Switch<'_>> = vec![
        (
            &to_cron,
            vec![deployment(1)],
            Some(Some(ChildKind::Deployment)),
        ),
        (
            &to_cron,
            vec![deployment(1), pod("ReplicaSet", running())],
            Some(Some(ChildKind::Deployment)),
        ),
        (&to_cron, vec![pod("ReplicaSet", running())], Some(None)),
        (&to_cron, vec![pod("ReplicaSet", ended())], None),
        (&to_cron, vec![pod("Job", running()), cron_job(1)], None),
        (
            &to_deployment,
            vec![cron_job(0)],
            Some(Some(ChildKind::CronJob)),
        ),
        (&to_deployment, vec![pod("Job", running())], Some(None)),
        (&to_deployment, vec![pod("Job", ended())], None),
        (
            &to_deployment,
            vec![pod("ReplicaSet", running()), deployment(1)],
            None,
        ),
    ];
    for (spec, there, action) in rows {
        let mut world = World::of_spec(spec);
        for object in there {
            match object.kind {
                ChildKind::Deployment => world.observed.deployment = Some(object),
                ChildKind::CronJob => world.observed.cron_jobs = vec![object],
                _ => world.observed.pods.push(object),
            }
        }
        let built = world.build();
        let written = built.children.deployments.len() + built.children.cron_jobs.len();
        match (built.report.action, action) {
            (WorkloadAction::Apply(_), None) => assert_eq!(written, 1),
            (WorkloadAction::Switch { delete, .. }, Some(expected)) => {
                assert_eq!((delete, written), (expected, 0));
            }
            (got, expected) => panic!("{spec}: {got:?}, not {expected:?}"),
        }
        assert_eq!(built.children.network_policies.len(), 1);
    }
}

#[test]
fn a_pod_label_never_takes_the_place_of_one_that_policies_select_by() {
    let mut world = World::of_spec(
        &json!({"image": "own", "podLabels": {"langop.io/agent": "other", "team": "x"}}),
    );
    // Even if an administrator allowed it.
    world.settings.pod_label_prefixes.push("langop.io/".into());
    let template = world.build().children.deployments[0]
        .spec
        .clone()
        .unwrap()
        .template;
    let labels = template.metadata.unwrap().labels.unwrap();
    assert_eq!(
        (labels["langop.io/agent"].as_str(), labels["team"].as_str()),
        ("scout", "x")
    );
}

/// Its command is the image's own; one adapter serves all sidecars that need it.
#[test]
fn sidecars_that_speak_over_standard_input_and_output_share_an_adapter() {
    let mut world = World::of_spec(
        &json!({"image": "own", "toolRefs": [{"name": "one"}, {"name": "two"}, {"name": "three"}]}),
    );
    let sidecar = |name: &str, port: u16, transport: &str| {
        let tool = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": name, "namespace": "wood"},
            "spec": {"image": name, "deploymentMode": "sidecar", "port": port, "transport": transport, "command": ["serve"]},
        });
        serde_json::from_value(tool).unwrap()
    };
    world.tools = vec![
        sidecar("one", 8081, "stdio"),
        sidecar("two", 8082, "stdio"),
        sidecar("three", 8083, "http"),
    ];
    let pod = pod_spec(&world.build().children);
    let containers = pod.init_containers.unwrap();
    let commands: Vec<_> = containers
        .iter()
        .map(|one| {
            let command = one.command.clone().unwrap_or_default().join(" ");
            (one.name.as_str(), command)
        })
        .collect();
    let adapted = || "/langop/langop-tool -- serve".to_owned();
    let expected = [
        ("stdio-adapter", String::new()),
        ("tool-one", adapted()),
        ("tool-two", adapted()),
        ("tool-three", "serve".to_owned()),
    ];
    assert_eq!(commands, expected);
    let volumes = pod.volumes.unwrap();
    let adapters = volumes
        .iter()
        .filter(|volume| volume.name == "stdio-adapter");
    assert_eq!(adapters.count(), 1);
    // It ends before the others begin.
    assert_eq!(containers[0].restart_policy, None);
}

/// The kubelet asks from outside of the container, and many servers listen at localhost only.
#[test]
fn no_probe_ends_a_sidecar() {
    for probe in [json!(null), json!("tcp"), json!("none")] {
        let mut world = World::of_spec(&json!({"image": "own", "toolRefs": [{"name": "files"}]}));
        world.tools = vec![serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": "files", "namespace": "wood"},
            "spec": {"image": "i", "deploymentMode": "sidecar", "probe": probe, "runAsUser": 1000, "imagePullSecrets": [{"name": "registry"}],
                "caBundle": {"name": "company"}, "writablePaths": ["/var/cache"]},
        }))
        .unwrap()];
        let pods = pod_spec(&world.build().children);
        let sidecar = &pods.init_containers.as_ref().unwrap()[0];
        assert!(
            sidecar.liveness_probe.is_none() && sidecar.startup_probe.is_none(),
            "{probe}"
        );
        assert_eq!(sidecar.readiness_probe.is_some(), probe == "tcp");
        assert_eq!(
            sidecar.security_context.as_ref().unwrap().run_as_user,
            Some(1000)
        );
        assert_eq!(
            pods.security_context.as_ref().unwrap().run_as_user,
            Some(65532)
        );
        let names = |pods: &PodSpec| {
            pods.volumes
                .iter()
                .flatten()
                .map(|volume| volume.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&pods),
            [
                "ca-tool-files",
                "tmp-tool-files",
                "w0-tool-files",
                "tmp-agent"
            ]
        );
        assert_eq!(pods.image_pull_secrets.unwrap()[0].name, "registry");
    }
}

#[test]
fn a_workspace_without_class_asks_for_none() {
    let world = World::of_spec(&json!({"image": "own", "workspace": {"storageClassName": ""}}));
    let claim = world.build().children.claims.remove(0);
    assert_eq!(
        serde_json::to_value(claim.spec).unwrap()["storageClassName"],
        ""
    );
}
