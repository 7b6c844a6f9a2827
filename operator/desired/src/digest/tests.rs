//! Against objects that a real kube-apiserver (1.37) returned: `NAME.applied.json` was applied by
//! the manager `langop-operator`, then `NAME.live.json` was read. `drift/*.json` is the Deployment
//! after somebody else did what the file's name says.

use std::{fs, path::PathBuf};

use k8s_openapi::{
    api::apps::v1::Deployment, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
    jiff::Timestamp,
};
use kube::core::DynamicObject;
use langop_api::names::managers;
use langop_dsl::Mode;
use serde_json::{Value, json};

use super::*;
use crate::observed::{ChildKind, ObservedState, PodState};

fn fixture(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("src/digest/fixtures")
        .join(name);
    serde_json::from_str(
        &fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

fn observe(kind: ChildKind, live: Value) -> Observed {
    reduce(kind, live).unwrap()
}

const KINDS: &[(&str, ChildKind)] = &[
    ("claim", ChildKind::PersistentVolumeClaim),
    ("config_map", ChildKind::ConfigMap),
    ("cron_job", ChildKind::CronJob),
    ("deployment", ChildKind::Deployment),
    ("limit_range", ChildKind::LimitRange),
    ("namespace", ChildKind::Namespace),
    ("network_policy", ChildKind::NetworkPolicy),
    ("network_policy_closed", ChildKind::NetworkPolicy),
    ("resource_quota", ChildKind::ResourceQuota),
    ("role_binding", ChildKind::RoleBinding),
    ("role_binding_empty", ChildKind::RoleBinding),
    ("service", ChildKind::Service),
];

#[test]
fn what_was_applied_and_left_alone_is_recognised() {
    for (name, kind) in KINDS {
        let applied = fixture(&format!("{name}.applied.json"));
        let observed = observe(*kind, fixture(&format!("{name}.live.json")));
        assert_eq!(observed.owned_digest, owned_digest(&applied), "{name}");
    }
}

#[test]
fn all_ways_in_give_the_same() {
    for (name, kind) in KINDS {
        let live = fixture(&format!("{name}.live.json"));
        let object: DynamicObject = serde_json::from_value(live.clone()).unwrap();
        let managed = object.metadata.managed_fields.clone().unwrap();
        let observed = observe(*kind, live.clone());
        assert_eq!(
            observed.owned_digest,
            owned_live(&live, &managed, managers::CHILDREN),
            "{name}"
        );
        assert_eq!(reduce_object(*kind, object).unwrap(), observed, "{name}");
    }
}

#[test]
fn every_drift_of_our_fields_is_found_and_no_other() {
    let wanted = owned_digest(&fixture("deployment.applied.json"));
    let foreign = ["add_label", "restart"];
    let ours = [
        "add_container",
        "add_env",
        "add_limit",
        "add_toleration",
        "extend_volume",
        "fill_env",
        "remove_env",
        "remove_label",
        "remove_owner",
        "remove_probe",
        "reorder_env",
        "scale",
        "set_args",
        "set_env",
        "set_image",
        "set_limit",
        "swap_volume",
        // Another manager forced the same object: what it says in other words than the server keeps
        // (`1024Mi`) is now its alone.
        "taken_by_force",
    ];
    let found = |name: &&str| {
        let observed = observe(
            ChildKind::Deployment,
            fixture(&format!("drift/{name}.json")),
        );
        observed.owned_digest != wanted
    };
    assert_eq!(
        foreign
            .iter()
            .filter(|name| found(name))
            .collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "beside our fields"
    );
    assert_eq!(
        ours.iter().filter(|name| !found(name)).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "of our fields"
    );
}

#[test]
fn what_others_add_where_only_we_write_becomes_ours_and_nothing_else_moves() {
    let body = fixture("deployment.applied.json");
    for (name, is_added) in [
        ("add_container", true),
        ("add_env", true),
        ("add_limit", true),
        ("fill_env", true),
        ("set_image", false),
        ("set_env", true),
        ("add_label", false),
        ("restart", false),
        ("scale", false),
    ] {
        let live: DynamicObject =
            serde_json::from_value(fixture(&format!("drift/{name}.json"))).unwrap();
        let managed = live.metadata.managed_fields.clone().unwrap();
        let kind = ChildKind::Deployment;
        assert_eq!(is_beside(kind, &managed, &body), is_added, "{name}");
        let shared = is_shared(&reduce_object(kind, live.clone()).unwrap());
        let Some(next) = reclaimed(kind, &managed) else {
            assert!(!is_added && !shared, "{name}");
            continue;
        };
        assert!(shared, "{name}");
        assert_eq!(reclaimed(kind, &next), None, "{name}: once is enough");
        let mut all = [paths(&managed), paths(&next)];
        for paths in &mut all {
            paths.dedup();
        }
        assert_eq!(all[0], all[1], "{name}: owned by somebody as before");
        let of_controllers = |managed: &[ManagedFieldsEntry]| {
            let is_status = |entry: &&ManagedFieldsEntry| entry.subresource.is_some();
            managed
                .iter()
                .filter(is_status)
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(of_controllers(&managed), of_controllers(&next), "{name}");
        let mut reclaimed = live;
        reclaimed.metadata.managed_fields = Some(next);
        assert!(
            !is_shared(&reduce_object(kind, reclaimed).unwrap()),
            "{name}"
        );
    }
}

/// All paths that somebody owns, sorted.
fn paths(managed: &[ManagedFieldsEntry]) -> Vec<String> {
    fn walk(node: &Value, path: &str, all: &mut Vec<String>) {
        for (name, below) in node.as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            walk(below, &path, all);
            if name != "." && below.as_object().is_some_and(serde_json::Map::is_empty) {
                all.push(path);
            }
        }
    }
    let mut all = Vec::new();
    for fields in managed.iter().filter_map(|entry| entry.fields_v1.as_ref()) {
        walk(&fields.0, "", &mut all);
    }
    all.sort_unstable();
    all
}

#[test]
fn a_type_of_others_takes_its_defaults_along() {
    let entry = |manager: &str, operation: &str, fields: Value| -> ManagedFieldsEntry {
        serde_json::from_value(
            json!({"manager": manager, "operation": operation, "fieldsV1": fields}),
        )
        .unwrap()
    };
    let managed = [
        entry(
            managers::CHILDREN,
            "Apply",
            json!({"f:spec": {"f:template": {}}}),
        ),
        entry(
            "someone",
            "Apply",
            json!({"f:spec": {"f:strategy": {"f:type": {}}}}),
        ),
    ];
    let next = reclaimed(ChildKind::Deployment, &managed).unwrap();
    assert_eq!(next.len(), 1, "nothing is left of the other");
    let ours = &next[0].fields_v1.as_ref().unwrap().0;
    assert_eq!(
        ours["f:spec"]["f:strategy"],
        json!({"f:type": {}, "f:rollingUpdate": {"f:maxSurge": {}, "f:maxUnavailable": {}}})
    );
    assert_eq!(reclaimed(ChildKind::PersistentVolumeClaim, &managed), None);
    assert_eq!(
        reclaimed(ChildKind::Deployment, &managed[1..]),
        None,
        "never applied by us"
    );
}

#[test]
fn a_new_order_of_ours_arrives_in_order() {
    let mut applied = fixture("deployment.applied.json");
    applied["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .reverse();
    let observed = observe(ChildKind::Deployment, fixture("drift/reordered_by_us.json"));
    // Others have written beside it.
    let own = observed.owned_digest.split(SHARED).next();
    assert_eq!(own, Some(&*owned_digest(&applied)));
}

#[test]
fn current_needs_both_the_hash_and_the_fields() {
    let object: Deployment = serde_json::from_value(fixture("deployment.applied.json")).unwrap();
    let desired = desired(&object);
    assert_eq!(
        desired.body["metadata"]["annotations"][annotations::DESIRED_HASH],
        json!(desired.hash)
    );
    let mut observed = observe(ChildKind::Deployment, fixture("deployment.live.json"));
    observed.owned_digest.clone_from(&desired.owned_digest);
    assert!(!is_current(&observed, &desired), "another hash");
    let hash = (annotations::DESIRED_HASH, desired.hash.as_str());
    observed.annotations = [hash].into_iter().collect();
    assert!(is_current(&observed, &desired));
    observed.owned_digest = String::new();
    assert!(!is_current(&observed, &desired), "we own nothing of it");
}

#[test]
fn an_object_of_somebody_else_has_no_digest() {
    let mut live = fixture("deployment.live.json");
    for entry in live["metadata"]["managedFields"].as_array_mut().unwrap() {
        entry["manager"] = json!("kubectl");
    }
    assert_eq!(observe(ChildKind::Deployment, live).owned_digest, "");
}

#[test]
fn what_is_kept_of_a_live_object() {
    let mut live = fixture("deployment.live.json");
    // The recording's owner is not of ours.
    live["metadata"]["ownerReferences"][0]["kind"] = json!("LanguageAgent");
    let deployment = observe(ChildKind::Deployment, live);
    assert_eq!(
        deployment.labels,
        [("langop.io/agent", "mail")].into_iter().collect()
    );
    assert_eq!(deployment.annotations.iter().count(), 1);
    assert_eq!(
        deployment
            .controller
            .as_ref()
            .map(|controller| controller.name.as_str()),
        Some("owner")
    );
    assert!(deployment.created.ends_with('Z') && !deployment.deleting);
    let ObservedState::Deployment(state) = deployment.state else {
        panic!("{:?}", deployment.state)
    };
    assert_eq!(
        (
            state.generation,
            state.observed_generation,
            state.desired,
            state.replicas,
            state.ready
        ),
        (1, 1, 1, 1, 0)
    );
    let claim = observe(ChildKind::PersistentVolumeClaim, fixture("claim.live.json"));
    assert_eq!(
        claim.state,
        ObservedState::Claim {
            bound: false,
            storage: "10Gi".into()
        }
    );
    let namespace = observe(ChildKind::Namespace, fixture("namespace.live.json"));
    assert_eq!(
        namespace.state,
        ObservedState::Namespace {
            terminating: false,
            foreign_pod_security: false
        }
    );
    assert_eq!(namespace.labels.iter().count(), 2, "{:?}", namespace.labels);
    // Its owner made it with `kubectl create` and chose the level with `kubectl label`.
    let labelled = observe(
        ChildKind::Namespace,
        fixture("namespace_labelled.live.json"),
    );
    assert_eq!(
        labelled.state,
        ObservedState::Namespace {
            terminating: false,
            foreign_pod_security: true
        }
    );
}

#[test]
fn the_ends_of_jobs() {
    let job = |condition: Value| {
        let status = json!({"completionTime": "2026-01-01T00:00:00Z", "conditions": [condition]});
        let live = json!({"metadata": {"name": "j", "uid": "u"}, "status": status});
        match observe(ChildKind::Job, live).state {
            ObservedState::Job(state) => (state.succeeded, state.ended, state.message),
            other => panic!("{other:?}"),
        }
    };
    let ended = "2026-01-02T00:00:00Z";
    let complete = json!({"type": "Complete", "status": "True", "lastTransitionTime": ended});
    assert_eq!(
        job(complete),
        (Some(true), Some("2026-01-01T00:00:00Z".into()), None)
    );
    let failed = json!({"type": "Failed", "status": "True", "lastTransitionTime": ended, "reason": "DeadlineExceeded"});
    assert_eq!(
        job(failed),
        (
            Some(false),
            Some(ended.into()),
            Some("DeadlineExceeded".into())
        )
    );
    let wordy =
        json!({"type": "Failed", "status": "True", "message": "x".to_owned() + &"ä".repeat(200)});
    assert_eq!(job(wordy).2.map(|message| message.len()), Some(255));
    assert_eq!(
        job(json!({"type": "Suspended", "status": "True"})),
        (None, None, None)
    );
}

#[test]
fn whether_a_job_ever_had_a_pod() {
    for (status, expected) in [
        (json!({}), false),
        (
            json!({"startTime": "2026-01-01T00:00:00Z", "active": 0, "ready": 0}),
            false,
        ),
        (json!({"active": 1}), true),
        (json!({"active": 0, "terminating": 1}), true),
        (json!({"failed": 1}), true),
        (
            json!({"conditions": [{"type": "Complete", "status": "True"}]}),
            true,
        ),
    ] {
        let live = json!({"metadata": {"name": "j", "uid": "u"}, "status": status});
        let ObservedState::Job(state) = observe(ChildKind::Job, live).state else {
            panic!("no Job")
        };
        assert_eq!(state.had_pod, expected, "{status}");
    }
}

#[test]
fn the_troubles_of_pods() {
    let pod = |status: Value| {
        let spec = json!({"containers": [{"name": "agent"}]});
        let live = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status});
        match observe(ChildKind::Pod, live).state {
            ObservedState::Pod(state) => state,
            other => panic!("{other:?}"),
        }
    };
    let container = |state: Value| {
        json!({"containerStatuses": [{"name": "agent", "image": "x:1", "state": state, "restartCount": 3,
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:00Z"}}}]})
    };
    let first_end = |code: i32| json!({"containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": code}}, "restartCount": 0}]});
    let waiting =
        |reason: &str| container(json!({"waiting": {"reason": reason, "message": "back-off 10s"}}));
    for (status, problem) in [
        (
            json!({"containerStatuses": [{"name": "agent", "state": {"waiting": {"reason": "ContainerCreating"}}}]}),
            None,
        ),
        (
            waiting("ContainerCreating"),
            Some("container 'agent' keeps crashing (exit code 137, OOMKilled)"),
        ),
        (
            waiting("ErrImagePull"),
            Some("container 'agent': the image 'x:1' cannot be pulled"),
        ),
        (
            waiting("ImagePullBackOff"),
            Some("container 'agent': the image 'x:1' cannot be pulled"),
        ),
        (
            waiting("CrashLoopBackOff"),
            Some("container 'agent' keeps crashing (exit code 137, OOMKilled)"),
        ),
        (
            waiting("CreateContainerConfigError"),
            Some("container 'agent': CreateContainerConfigError: back-off 10s"),
        ),
        (
            container(json!({"terminated": {"exitCode": 1}})),
            Some("container 'agent' keeps crashing (exit code 1, Error)"),
        ),
        (
            container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
            Some("container 'agent' keeps ending (exit code 0, Completed)"),
        ),
        (
            first_end(1),
            Some("container 'agent' ended (exit code 1, Error)"),
        ),
        (first_end(0), None),
        (
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes"}]}),
            Some("the pod cannot be scheduled: 0/1 nodes"),
        ),
        (
            json!({"phase": "Failed", "reason": "Evicted"}),
            Some("the pod failed: Evicted"),
        ),
        (
            json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            None,
        ),
    ] {
        let told = pod(status.clone()).problem.map(|problem| problem.cause);
        assert_eq!(told.as_deref(), problem, "{status}");
    }
    let state = pod(waiting("CrashLoopBackOff"));
    let last = state.last_termination.unwrap();
    assert_eq!(
        (state.restarts, last.exit_code, last.message.as_deref()),
        (3, 137, Some("OOMKilled"))
    );
}

/// A container that was started again at 12:10:00, after a run that began at 12:00:00 and lasted so
/// many seconds.
fn restarted(ran: i64, restarts: i32, exit_code: i32) -> PodState {
    let at = |second| Timestamp::from_second(second).unwrap().to_string();
    let begin = "2026-01-01T12:00:00Z".parse::<Timestamp>().unwrap();
    let last = json!({"exitCode": exit_code, "reason": "Error", "startedAt": begin.to_string(), "finishedAt": at(begin.as_second() + ran)});
    let status = json!({
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "agent", "restartCount": restarts, "state": {"running": {"startedAt": at(begin.as_second() + 600)}},
            "lastState": {"terminated": last}}],
    });
    let live = json!({"metadata": {"name": "p", "uid": "u"}, "status": status});
    let ObservedState::Pod(state) = observe(ChildKind::Pod, live).state else {
        panic!("no Pod")
    };
    *state
}

#[test]
fn a_container_that_ended_is_trusted_again_when_it_has_run_longer_than_before() {
    for (ran, trusted) in [
        (0, Some("12:10:10")),
        (4, Some("12:10:10")),
        (60, Some("12:12:00")),
        (400, Some("12:20:00")),
        (600, None),
    ] {
        let problem = restarted(ran, 2, 3).problem;
        let until = problem.map(|problem| problem.until.unwrap().to_string());
        let expected = trusted.map(|time| format!("2026-01-01T{time}Z"));
        assert_eq!(until, expected, "after {ran} s");
    }
    for (restarts, exit_code, happens) in [
        (1, 3, "ended (exit code 3, Error)"),
        (2, 3, "keeps crashing (exit code 3, Error)"),
        (2, 0, "keeps ending (exit code 0, Error)"),
    ] {
        let cause = restarted(5, restarts, exit_code).problem.unwrap().cause;
        assert_eq!(cause, format!("container 'agent' {happens}"));
    }
}

#[test]
fn trouble_counts_in_its_time() {
    let state = restarted(4, 2, 3);
    let at = |time: &str| time.parse().unwrap();
    assert!(state.problem_at(at("2026-01-01T12:10:09Z")).is_some());
    assert_eq!(state.problem_at(at("2026-01-01T12:10:10Z")), None);
    let live = json!({"metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "unbound claims"}]}});
    let ObservedState::Pod(state) = observe(ChildKind::Pod, live).state else {
        panic!("no Pod")
    };
    assert_eq!(
        state.problem_at(at("2026-01-01T12:00:04Z")),
        None,
        "it may pass"
    );
    assert!(state.problem_at(at("2026-01-01T12:00:05Z")).is_some());
}

#[test]
fn a_code_config_map_is_read() {
    let live = json!({
        "metadata": {"name": "mail-code-1", "uid": "u", "labels": {"langop.io/agent": "mail"},
            "ownerReferences": [{"kind": "LanguageAgent", "name": "mail", "uid": "a", "controller": true}], "annotations": {
            "langop.io/revision": "3", "langop.io/instructions-hash": "ih", "langop.io/code-hash": "ch",
            "langop.io/offered": "{\"tools\":[\"email\"],\"models\":[]}", "langop.io/tools-hash": "th", "langop.io/powers": "{}", "langop.io/powers-hash": "ph", "langop.io/mine": "no", "other/a": "b"}},
        "data": {"agent.rb": "…", "definition.json": "{\"name\":\"mail\",\"schedule\":{\"every\":{\"seconds\":60}}}"},
    });
    let observed = observe(ChildKind::ConfigMap, live.clone());
    assert_eq!(
        observed
            .annotations
            .iter()
            .map(|(key, _)| key)
            .collect::<Vec<_>>(),
        [
            "langop.io/code-hash",
            "langop.io/instructions-hash",
            "langop.io/powers-hash",
            "langop.io/revision",
            "langop.io/tools-hash"
        ]
    );
    let ObservedState::Code(state) = observed.state else {
        panic!("{:?}", observed.state)
    };
    assert_eq!(
        (state.revision, state.instructions_hash.as_str()),
        (3, "ih")
    );
    assert_eq!(state.offered.tools, ["email"]);
    assert_eq!(
        state.requirements.map(|code| code.mode),
        Some(Mode::Scheduled)
    );
    let mut broken = live;
    broken["data"]["definition.json"] = json!("{");
    let ObservedState::Code(state) = observe(ChildKind::ConfigMap, broken).state else {
        panic!("no code")
    };
    assert_eq!(state.requirements, None);
}

/// The label that the operator watches by is anybody's to write.
#[test]
fn of_what_is_not_made_for_one_of_ours_hardly_anything_is_held() {
    let live = json!({
        "metadata": {"name": "n", "uid": "u",
            "labels": {"langop.io/agent": "mail", "langop.io/other": "x", "app.kubernetes.io/managed-by": "langop-operator"},
            "annotations": {"langop.io/desired-hash": "h", "langop.io/code-hash": "c", "langop.io/revision": "7".repeat(600)}},
        "data": {"definition.json": "{\"name\":\"mail\"}"},
    });
    let observed = observe(ChildKind::ConfigMap, live.clone());
    assert_eq!(observed.state, ObservedState::None);
    assert_eq!(
        observed.annotations.iter().collect::<Vec<_>>(),
        [("langop.io/desired-hash", "h")]
    );
    assert_eq!(
        observed.labels.iter().collect::<Vec<_>>(),
        [("langop.io/agent", "mail")]
    );
    let mut owned = live;
    owned["metadata"]["ownerReferences"] =
        json!([{"kind": "LanguageAgent", "name": "mail", "uid": "a", "controller": true}]);
    let observed = observe(ChildKind::ConfigMap, owned);
    assert_eq!(
        observed.annotations.iter().collect::<Vec<_>>(),
        [
            ("langop.io/code-hash", "c"),
            ("langop.io/desired-hash", "h")
        ]
    );
}

/// As the kubelet shows a container that listens at localhost: it runs, it has started, and it is
/// never ready.
#[test]
fn a_port_that_nobody_reaches_is_the_cause() {
    let pod = |probe: &Value, ready: bool| {
        let live = json!({
            "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {
                "initContainers": [{"name": "tool-files", "restartPolicy": "Always", "readinessProbe": probe}],
                "containers": [{"name": "agent"}],
            },
            "status": {"phase": "Running",
                "initContainerStatuses": [{"name": "tool-files", "ready": ready, "started": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}],
                "containerStatuses": [{"name": "agent", "ready": true, "started": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:11Z"}}}],
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        let ObservedState::Pod(state) = observe(ChildKind::Pod, live).state else {
            panic!("no pod")
        };
        state
    };
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let probe = json!({"tcpSocket": {"port": 8090}, "periodSeconds": 5});
    let silent = pod(&probe, false);
    assert_eq!(
        silent.problem_at(at("2026-01-01T00:00:29Z")),
        None,
        "it may need a moment"
    );
    let cause = silent.problem_at(at("2026-01-01T00:00:30Z")).unwrap();
    for text in [
        "container 'tool-files' runs",
        "port 8090",
        "0.0.0.0 or ::",
        "probe: none",
    ] {
        assert!(cause.contains(text), "{cause}");
    }
    let later = at("2026-01-01T01:00:00Z");
    assert_eq!(pod(&probe, true).problem_at(later), None);
    assert_eq!(
        pod(&json!({"httpGet": {"port": 8090}}), false).problem_at(later),
        None
    );
}
