//! Every input that cannot be carried out, and what its author is told.

use langop_api::{cluster::AgentEgress, condition::Reason};
use serde_json::json;

use super::*;
use crate::{agent::build::WorkloadAction, name_conflict::NamedKind};

#[test]
fn faults_of_the_spec_say_what_to_write_instead() {
    for (spec, reason, says) in [
        (
            json!({"schedule": "every day at nine"}),
            Reason::InvalidSpec,
            "spec.schedule: ",
        ),
        (
            json!({"schedule": "every day at 9 o"}),
            Reason::InvalidSpec,
            "spec.schedule: ",
        ),
        (
            json!({"schedule": "0 0 31 2 *"}),
            Reason::InvalidSpec,
            "31 2",
        ),
        (
            json!({"schedule": "*/90 * * * *"}),
            Reason::InvalidSpec,
            "90",
        ),
        (
            json!({"schedule": "0 9 * * *", "timeZone": "Mars/Olympus"}),
            Reason::InvalidSpec,
            "spec.timeZone: ",
        ),
        (
            json!({"timeZone": "Mars/Olympus"}),
            Reason::InvalidSpec,
            "Mars/Olympus",
        ),
        (
            json!({"schedule": "0 9 * * *", "executionMode": "autonomous"}),
            Reason::InvalidSpec,
            "executionMode scheduled",
        ),
        (
            json!({"limits": {"timeout": "ten minutes"}}),
            Reason::InvalidSpec,
            "spec.limits.timeout: ",
        ),
        (
            json!({"limits": {"timeout": "400d"}}),
            Reason::InvalidSpec,
            "366",
        ),
        (
            json!({"resources": {"requests": {"cpu": "much"}}}),
            Reason::InvalidSpec,
            "spec.resources: cpu",
        ),
        (
            json!({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}),
            Reason::InvalidSpec,
            "raise the limit",
        ),
        (
            json!({"workspace": {"storage": "big"}}),
            Reason::InvalidSpec,
            "spec.workspace.storage: ",
        ),
        (
            json!({"workspace": {"storage": "0"}}),
            Reason::InvalidSpec,
            "more than 0",
        ),
        (
            json!({"egress": [{"cidr": "203.0.113.0/24"}]}),
            Reason::InvalidSpec,
            "spec.egress[0]: an egress rule must name its ports",
        ),
        (
            json!({"egress": [{"cidr": "999.0.113.0/24", "ports": [{"port": 1}]}]}),
            Reason::InvalidSpec,
            "invalid address range",
        ),
    ] {
        let mut all = json!({"image": "own"});
        merge(&mut all, &spec);
        let world = World::of_spec(&all);
        let fault = world.validated().run.unwrap_err();
        assert_eq!(fault.reason, reason, "{spec}");
        assert!(fault.message.contains(says), "{spec}: {}", fault.message);
        assert_eq!(
            world.decide(),
            Decision::Invalid,
            "nothing is made of it: {spec}"
        );
    }
}

#[test]
fn scheduled_without_a_schedule_anywhere_is_invalid_once_the_code_is_known() {
    let mut world = World::of_spec(&json!({"instructions": "x", "executionMode": "scheduled"}));
    assert!(
        matches!(world.decide(), Decision::Synthesize { .. }),
        "the code may say when"
    );
    world.store(&json!({}));
    let report = world.build().report;
    assert!(report.fault.unwrap().message.contains("set spec.schedule"));
    assert_eq!(report.action, WorkloadAction::Keep);
}

#[test]
fn all_faults_are_told_at_once() {
    let world =
        World::of_spec(&json!({"image": "own", "timeZone": "X/Y", "limits": {"timeout": "z"}}));
    let message = world.validated().run.unwrap_err().message;
    assert!(
        message.contains("spec.timeZone") && message.contains("spec.limits.timeout"),
        "{message}"
    );
}

#[test]
fn two_listeners_on_one_port_of_a_pod_are_a_conflict() {
    let mut world = World::of(SIDECAR_TOOL);
    world.tools[0].spec.port = 8088;
    let fault = world.validated().run.unwrap_err();
    assert_eq!(fault.reason, Reason::PortConflict);
    assert!(
        fault.message.contains("8088")
            && fault.message.contains("'shelf'")
            && fault.message.contains("spec.port"),
        "{}",
        fault.message
    );

    let mut second = world.tools[0].clone();
    second.metadata.name = Some("drawer".into());
    (world.tools[0].spec.port, second.spec.port) = (9000, 9000);
    world.tools.push(second);
    world.patch(&json!({"toolRefs": [{"name": "shelf"}, {"name": "drawer"}]}));
    let fault = world.validated().run.unwrap_err();
    assert!(
        fault.message.contains("'shelf'") && fault.message.contains("'drawer'"),
        "{}",
        fault.message
    );

    // A tool with pods of its own shares no port with the agent.
    world.tools[1].spec.deployment_mode = langop_api::tool::DeploymentMode::Service;
    assert!(world.validated().run.is_ok());
}

#[test]
fn a_sidecar_that_cannot_be_built_is_named() {
    let mut world = World::of(SIDECAR_TOOL);
    world.tools[0].spec.egress.as_mut().unwrap()[0]
        .ports
        .clear();
    let fault = world.validated().run.unwrap_err();
    assert!(
        fault
            .message
            .contains("egress[0] of the sidecar tool 'shelf'"),
        "{}",
        fault.message
    );
    let mut world = World::of(SIDECAR_TOOL);
    world.tools[0]
        .spec
        .resources
        .as_mut()
        .unwrap()
        .limits
        .insert("cpu".into(), "x".into());
    assert!(
        world
            .validated()
            .run
            .unwrap_err()
            .message
            .contains("sidecar tool 'shelf'")
    );
}

#[test]
fn egress_that_the_cluster_forbids_is_closed_and_told_but_stops_nothing() {
    let mut world = World::of(SERVICE_TOOL);
    world.store(&json!({}));
    let rules = |world: &World| world.validated().egress.len();
    let open = rules(&world);
    for (agent_egress, denied) in [
        (Some(AgentEgress::Allow), false),
        (Some(AgentEgress::Deny), true),
        (None, true),
    ] {
        world.cluster = Some(ClusterView {
            name: "parish".into(),
            agent_egress,
            pods: None,
            allowed_egress: vec![],
            model_egress: None,
            ingress_from: vec![],
            ..ClusterView::default()
        });
        let built = world.build();
        assert_eq!(
            built
                .report
                .warnings
                .iter()
                .any(|warning| warning.reason == Reason::EgressDenied
                    && warning.message.contains("'parish'")),
            denied
        );
        assert_eq!(open - rules(&world), if denied { 2 } else { 0 });
        // Of a cluster that cannot be read nobody knows what pods may ask for: what runs goes on,
        // and nothing new is written.
        let written = usize::from(agent_egress.is_some());
        assert_eq!(built.children.deployments.len(), written);
        assert_eq!(built.report.fault.is_none(), agent_egress.is_some());
    }
    world.patch(&json!({"egress": null}));
    assert_eq!(world.validated().warnings, []);
}

#[test]
fn a_pod_label_that_no_administrator_knows_stops_the_change_and_nothing_that_runs() {
    let mut world = World::of_spec(
        &json!({"image": "own", "podLabels": {"app": "db", "example.com/use": "x", "app.kubernetes.io/version": "1"}}),
    );
    let invalid = world.validated().run.unwrap_err();
    assert_eq!(invalid.reason, Reason::PodNotAllowed);
    for text in [
        "'app', 'example.com/use' may not be set",
        "LANGOP_POD_LABEL_PREFIXES",
        "app.kubernetes.io/version",
    ] {
        assert!(invalid.message.contains(text), "{invalid}");
    }
    let built = world.build();
    assert_eq!(
        (built.report.action, built.children.deployments.len()),
        (WorkloadAction::Keep, 0)
    );
    assert_eq!(
        built.children.network_policies.len(),
        1,
        "its policy goes on"
    );
    world.settings.pod_label_prefixes = vec![
        "example.com/".into(),
        "app".into(),
        "app.kubernetes.io/version".into(),
    ];
    assert!(world.validated().run.is_ok());
    world.settings.pod_label_prefixes = Vec::new();
    assert!(
        world
            .validated()
            .run
            .unwrap_err()
            .message
            .ends_with("now allows none")
    );
}

#[test]
fn a_value_that_asks_for_a_new_synthesis_is_bounded() {
    let mut world = World::of_spec(&json!({"instructions": "do"}));
    world.annotate("langop.io/resynthesize", &"x".repeat(256));
    assert_eq!(
        world.validated().resynthesize.map(|value| value.len()),
        Some(256)
    );
    world.annotate("langop.io/resynthesize", &"x".repeat(257));
    let agent = world.validated();
    assert_eq!(agent.resynthesize, None);
    assert!(
        agent.warnings[0].message.contains("longer than 256 bytes"),
        "{:?}",
        agent.warnings
    );
}

#[test]
fn the_environment_of_all_sidecars_fits_into_one_pod() {
    let names: Vec<_> = (0..8).map(|n| json!({"name": format!("t{n}")})).collect();
    let mut world = World::of_spec(&json!({"image": "own", "toolRefs": names}));
    let env: Vec<_> = (0..5)
        .map(|n| json!({"name": format!("V{n}"), "value": "v".repeat(16_384)}))
        .collect();
    world.tools = (0..8)
        .map(|n| {
            serde_json::from_value(json!({
                "apiVersion": "langop.io/v1alpha1", "kind": "LanguageTool", "metadata": {"name": format!("t{n}"), "namespace": "wood"},
                "spec": {"image": "i", "deploymentMode": "sidecar", "port": 9000 + n, "env": env},
            }))
            .unwrap()
        })
        .collect();
    let refused = world.validated().run.unwrap_err();
    assert!(
        refused
            .message
            .contains("more than the 524288 that fit into a pod"),
        "{refused}"
    );
    world.tools.truncate(6);
    assert!(world.validated().run.is_ok());
}

#[test]
fn a_pod_is_held_to_its_clusters_frame() {
    let mut world = World::of_spec(
        &json!({"image": "own", "schedule": "0 9 * * *", "tolerations": [{"operator": "Exists"}]}),
    );
    let mut view = ClusterView {
        name: "parish".into(),
        agent_egress: Some(AgentEgress::Deny),
        allowed_egress: vec![],
        model_egress: None,
        ingress_from: vec![],
        pods: serde_json::from_value(json!({"runtimeClassName": "gvisor", "maxRunSeconds": 600}))
            .unwrap(),
        ..ClusterView::default()
    };
    world.cluster = Some(view.clone());
    let built = world.build();
    let job = built.children.cron_jobs[0]
        .spec
        .job_template
        .spec
        .clone()
        .unwrap();
    assert_eq!(job.active_deadline_seconds, Some(600));
    assert_eq!(
        job.template.spec.unwrap().runtime_class_name.as_deref(),
        Some("gvisor")
    );
    view.pods = serde_json::from_value(json!({"tolerationKeys": ["gpu"]})).unwrap();
    world.cluster = Some(view);
    let built = world.build();
    assert_eq!(
        (built.report.action, built.children.cron_jobs.len()),
        (WorkloadAction::Keep, 0)
    );
    assert!(
        built
            .report
            .fault
            .unwrap()
            .message
            .contains("'parish' does not allow this: a toleration of all taints")
    );
}

#[test]
fn a_name_that_is_somebody_elses_is_a_conflict_and_nothing_is_written() {
    let mut world = World::of_spec(&json!({"image": "own"}));
    let created = |day: u8| format!("2026-01-{day:02}T00:00:00Z").parse().ok();
    world.same_name.push(NameCollision {
        kind: NamedKind::Tool,
        name: "scout".into(),
        created: created(2),
    });
    assert!(world.try_validated().is_ok(), "the tool came later");
    world.agent.metadata.creation_timestamp =
        created(3).map(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time);
    let conflict = world.try_validated().unwrap_err();
    assert_eq!(conflict.reason, Reason::NameConflict);
    assert!(
        conflict.message.contains("LanguageTool 'scout'"),
        "{}",
        conflict.message
    );
}

#[test]
fn a_workspace_is_reused_only_with_our_label_and_without_controller() {
    let claim = |controller: Option<&str>, label: Option<&str>| {
        let mut claim = child(
            ChildKind::PersistentVolumeClaim,
            "scout-workspace",
            ObservedState::Claim {
                bound: true,
                storage: "1Gi".into(),
            },
        );
        claim.controller = controller.map(|uid| Controller {
            kind: "LanguageAgent".into(),
            name: "scout".into(),
            uid: uid.into(),
        });
        claim.labels = label
            .map(|name| ("langop.io/agent".to_owned(), name.to_owned()))
            .into_iter()
            .collect();
        let mut world = World::of_spec(&json!({"image": "own", "workspace": {}}));
        world.observed.claim = Some(Arc::new(claim));
        world
    };
    for (controller, label, usable) in [
        (Some("uid-scout"), Some("scout"), true),
        (None, Some("scout"), true),
        (None, None, false),
        (None, Some("other"), false),
        (Some("uid-of-a-former-scout"), Some("scout"), false),
    ] {
        let mut world = claim(controller, label);
        let result = world.try_validated();
        assert_eq!(result.is_ok(), usable, "{controller:?} {label:?}");
        if let Err(conflict) = result {
            assert_eq!(conflict.reason, Reason::WorkspaceConflict);
        }
        world.patch(&json!({"workspace": {"enabled": false}}));
        assert!(
            world.try_validated().is_ok(),
            "without a workspace it does not matter"
        );
    }
}

#[test]
fn an_object_that_never_was_in_an_api_server_is_refused() {
    for break_it in [
        (|agent: &mut LanguageAgent| agent.metadata.uid = None) as fn(&mut LanguageAgent),
        |agent| agent.metadata.namespace = None,
        |agent| agent.metadata.name = Some("Not_Legal".into()),
    ] {
        let mut world = World::of_spec(&json!({"image": "own"}));
        break_it(&mut world.agent);
        assert_eq!(
            world.try_validated().unwrap_err().reason,
            Reason::InvalidSpec
        );
    }
}

#[test]
fn blank_instructions_are_none_and_line_ends_do_not_matter() {
    let of = |text: &str| {
        World::of_spec(&json!({"instructions": text}))
            .validated()
            .instructions
    };
    assert_eq!(of(" \n\t"), None);
    assert_eq!(of("a\r\nb"), of("a\nb"));
    assert_ne!(of("a\nb"), of("a b"));
}
