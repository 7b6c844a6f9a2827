use k8s_openapi::jiff::Timestamp;
use langop_api::{
    LanguageCluster,
    agent::AgentPhase,
    cluster::{AgentCounts, AgentEgress, ClusterPhase},
    condition::Reason,
};
use serde_json::{Value, json};

use super::*;
use crate::{
    children::Children,
    conditions::Summary,
    observed::{ChildKind, CompactMap, Observed, ObservedState},
    settings::Settings,
};

fn cluster(name: &str, second: i64, spec: &Value) -> LanguageCluster {
    let created = Timestamp::from_second(second).unwrap().to_string();
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageCluster",
        "metadata": {"name": name, "uid": format!("uid-{name}"), "generation": 1, "creationTimestamp": created},
        "spec": spec,
    }))
    .unwrap()
}

fn live(labels: &[(&str, &str)], state: ObservedState) -> Observed {
    Observed {
        kind: ChildKind::Namespace,
        name: "team".into(),
        namespace: String::new(),
        uid: "n".into(),
        controller: None,
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        annotations: CompactMap::default(),
        created: String::new(),
        deleting: false,
        owned_digest: String::new(),
        state,
    }
}

const CALM: ObservedState = ObservedState::Namespace {
    terminating: false,
    foreign_pod_security: false,
};

#[test]
fn namespaces_of_the_system_are_refused() {
    let settings = Settings {
        refused_namespaces: vec!["infra".into()],
        ..Settings::default()
    };
    for (namespace, refused) in [
        ("default", true),
        ("kube-system", true),
        ("langop-system", true),
        ("infra", true),
        ("team", false),
        ("kubernetes", false),
    ] {
        let result = validate(
            &cluster("team", 1, &json!({"namespace": namespace})),
            &settings,
        );
        assert_eq!(
            result.map(|_| ()).map_err(|invalid| invalid.reason),
            if refused {
                Err(Reason::NamespaceRefused)
            } else {
                Ok(())
            },
            "{namespace}"
        );
    }
    let quota = validate(
        &cluster("team", 1, &json!({"resourceQuotas": {"pods": "many"}})),
        &settings,
    )
    .unwrap_err();
    assert_eq!(quota.reason, Reason::InvalidSpec);
    assert!(quota.message.contains("pods"), "{quota}");
}

#[test]
fn whose_namespace_it_is() {
    use NamespaceUse::{Adopt, AdoptLabelled, Create};
    let ours = [("langop.io/cluster", "team")];
    let foreign = ObservedState::Namespace {
        terminating: false,
        foreign_pod_security: true,
    };
    let terminating = ObservedState::Namespace {
        terminating: true,
        foreign_pod_security: false,
    };
    for (observed, decided) in [
        (None, Ok(Create)),
        (Some(live(&ours, CALM)), Ok(Adopt)),
        (Some(live(&ours, foreign)), Ok(AdoptLabelled)),
        (Some(live(&[], CALM)), Err(Reason::NamespaceNotAdoptable)),
        (
            Some(live(&[("langop.io/cluster", "other")], CALM)),
            Err(Reason::NamespaceNotAdoptable),
        ),
        (
            Some(live(&ours, terminating)),
            Err(Reason::NamespaceTerminating),
        ),
        (
            Some(Observed {
                deleting: true,
                ..live(&[], CALM)
            }),
            Err(Reason::NamespaceTerminating),
        ),
    ] {
        let result = decide(&cluster("team", 1, &json!({})), [], observed.as_ref());
        let reason = result.map_err(|summary| match summary {
            Summary::Stalled(reason, _) | Summary::Progressing(reason, _) => reason,
            other => panic!("{other:?}"),
        });
        assert_eq!(reason, decided, "{observed:?}");
    }
}

#[test]
fn of_two_clusters_the_later_yields() {
    let spec = json!({"namespace": "shared"});
    let (first, second) = (cluster("b", 1, &spec), cluster("a", 2, &spec));
    let elsewhere = cluster("0", 0, &json!({}));
    let mut leaving = cluster("c", 0, &spec);
    leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
    let all = [&first, &second, &elsewhere, &leaving];
    assert_eq!(decide(&first, all, None), Ok(NamespaceUse::Create));
    let Err(Summary::Stalled(Reason::NamespaceConflict, message)) = decide(&second, all, None)
    else {
        panic!("the later must yield")
    };
    assert!(message.contains("'b'"), "{message}");
    let twin = cluster("a", 1, &spec);
    assert_eq!(
        decide(&twin, [&first, &twin], None),
        Ok(NamespaceUse::Create),
        "made in one second: by name"
    );
}

fn full() -> LanguageCluster {
    cluster(
        "team",
        1,
        &json!({
            "namespace": "team-a",
            "resourceQuotas": {"requests.cpu": "4", "limits.memory": "8Gi", "pods": 20},
            "members": [
                {"subject": {"kind": "User", "name": "zoe"}, "role": "edit"},
                {"subject": {"kind": "Group", "name": "ops"}, "role": "admin"},
                {"subject": {"kind": "ServiceAccount", "name": "ci", "namespace": "build"}, "role": "edit"},
                {"subject": {"kind": "User", "name": "ann"}, "role": "edit"},
                {"subject": {"kind": "User", "name": "zoe"}, "role": "edit"},
            ],
            "podSecurity": "baseline",
            "ingressFrom": [{"namespaceLabels": {"team": "web"}}],
        }),
    )
}

fn yaml_of(children: &Children<crate::children::Prepared>) -> Value {
    json!({
        "quotas": children.resource_quotas, "limits": children.limit_ranges, "bindings": children.role_bindings,
        "policies": children.network_policies,
    })
}

#[test]
fn the_children_of_a_full_cluster() {
    let settings = Settings::default();
    let cluster = validate(&full(), &settings).unwrap();
    insta::assert_yaml_snapshot!("full", yaml_of(&build(&cluster)));
    insta::assert_yaml_snapshot!("namespace", build_namespace(&cluster, NamespaceUse::Create));
    let labelled = build_namespace(&cluster, NamespaceUse::AdoptLabelled)
        .metadata
        .labels
        .unwrap();
    assert_eq!(labelled.keys().collect::<Vec<_>>(), ["langop.io/cluster"]);
}

#[test]
fn the_children_of_a_plain_cluster() {
    let settings = Settings::default();
    let plain = validate(
        &cluster(
            "team",
            1,
            &json!({"networkIsolation": false, "resourceQuotas": {"pods": 3}}),
        ),
        &settings,
    )
    .unwrap();
    let children = build(&plain);
    assert_eq!(plain.namespace, "team");
    assert!(children.limit_ranges.is_empty() && children.network_policies.is_empty());
    assert_eq!(
        (children.resource_quotas.len(), children.role_bindings.len()),
        (1, 4)
    );
    assert!(
        children
            .role_bindings
            .iter()
            .all(|binding| binding.subjects == Some(vec![]))
    );
}

#[test]
fn defaults_follow_the_keys_of_the_quota() {
    let settings = Settings::default();
    for (key, requests, limits) in [
        ("requests.cpu", &["cpu"][..], &[][..]),
        ("cpu", &["cpu"], &[]),
        ("limits.memory", &["memory"], &["memory"]),
        ("requests.ephemeral-storage", &["ephemeral-storage"], &[]),
    ] {
        let cluster = validate(
            &cluster("team", 1, &json!({"resourceQuotas": {key: "8"}})),
            &settings,
        )
        .unwrap();
        let children = build(&cluster);
        let item = &children.limit_ranges[0].spec.as_ref().unwrap().limits[0];
        let keys = |map: &Option<std::collections::BTreeMap<String, _>>| -> Vec<String> {
            map.iter().flatten().map(|(key, _)| key.clone()).collect()
        };
        assert_eq!(
            (keys(&item.default_request), keys(&item.default)),
            (
                requests.iter().map(ToString::to_string).collect(),
                limits.iter().map(ToString::to_string).collect()
            ),
            "{key}"
        );
    }
}

#[test]
fn phases_and_counts() {
    let now = Timestamp::UNIX_EPOCH;
    let applied = Children::default().into_applied();
    let phase = |problem: Option<Summary>| {
        let status = status(&full(), problem.map_or(Ok(&applied), Err), None, None, now);
        (status.phase.unwrap(), status.namespace)
    };
    assert_eq!(phase(None), (ClusterPhase::Ready, Some("team-a".into())));
    assert_eq!(
        phase(Some(Summary::Stalled(
            Reason::NamespaceConflict,
            String::new()
        ))),
        (ClusterPhase::Failed, None)
    );
    assert_eq!(
        phase(Some(Summary::Progressing(
            Reason::NamespaceTerminating,
            String::new()
        ))),
        (ClusterPhase::Terminating, None)
    );
    assert_eq!(
        phase(Some(Summary::Failed(Reason::ApplyFailed, String::new()))),
        (ClusterPhase::Pending, None)
    );
    let agents = [
        None,
        Some(AgentPhase::Running),
        Some(AgentPhase::Succeeded),
        Some(AgentPhase::Failed),
        Some(AgentPhase::Suspended),
    ];
    assert_eq!(
        count(agents, false),
        AgentCounts {
            total: 5,
            running: 2,
            failed: 1,
            suspended: None
        }
    );
}

#[test]
fn a_suspended_namespace_says_so_and_counts_who_stands_still() {
    let mut suspended = cluster("team", 1, &json!({"suspend": true}));
    let agents = count([Some(AgentPhase::Suspended), None], true);
    assert_eq!((agents.total, agents.suspended), (2, Some(1)));
    let children = Children::default().into_applied();
    let told = |cluster: &LanguageCluster| {
        status(
            cluster,
            Ok(&children),
            Some(agents),
            None,
            Timestamp::UNIX_EPOCH,
        )
    };
    let stopped = told(&suspended);
    assert_eq!(stopped.phase, Some(ClusterPhase::Suspended));
    let ready = crate::conditions::find(&stopped.conditions, "Ready").unwrap();
    let ready = (ready.status.as_str(), ready.reason.as_str());
    assert_eq!(ready, ("True", "Suspended"));
    suspended.spec.suspend = Some(false);
    assert_eq!(told(&suspended).phase, Some(ClusterPhase::Ready));
}

fn stalled(mut cluster: LanguageCluster, reason: &str) -> LanguageCluster {
    let status = json!({
        "phase": "Failed",
        "conditions": [{
            "type": "Stalled", "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"
        }],
    });
    cluster.status = Some(serde_json::from_value(status).unwrap());
    cluster
}

#[test]
fn only_what_certainly_may_not_have_a_namespace_has_no_say_in_it() {
    let deny = |name: &str| cluster(name, 1, &json!({"namespace": "team"}));
    let view = |clusters: &[(&LanguageCluster, bool)], label: Option<&str>| {
        let seen = clusters
            .iter()
            .map(|(cluster, is_readable)| ObservedCluster {
                metadata: &cluster.metadata,
                cluster: is_readable.then_some(*cluster),
            });
        managing("team", label, seen).map(|view| (view.name, view.agent_egress))
    };
    let denies = |name: &str| Some((name.to_owned(), Some(AgentEgress::Deny)));
    assert_eq!(view(&[], None), None);
    assert_eq!(view(&[(&deny("a"), true)], None), denies("a"));
    for (reason, has_a_say) in [
        ("InvalidSpec", true),
        ("ApplyFailed", true),
        ("NamespaceTerminating", true),
        ("NamespaceNotAdoptable", false),
        ("NamespaceConflict", false),
        ("NamespaceRefused", false),
    ] {
        let expected = denies("a").filter(|_| has_a_say);
        assert_eq!(
            view(&[(&stalled(deny("a"), reason), true)], None),
            expected,
            "{reason}"
        );
    }
    // The first that is not kept out, however it stands otherwise.
    let first = stalled(
        cluster(
            "z",
            0,
            &json!({"namespace": "team", "agentEgress": "Allow"}),
        ),
        "NamespaceConflict",
    );
    assert_eq!(
        view(
            &[(&deny("b"), true), (&first, true), (&deny("a"), true)],
            None
        ),
        denies("a")
    );
}

#[test]
fn an_unreadable_cluster_closes_the_namespace_that_it_may_frame() {
    let allow = |name: &str, second| {
        cluster(
            name,
            second,
            &json!({"namespace": "team", "agentEgress": "Allow"}),
        )
    };
    let view = |unreadable: &str, label: Option<&str>| {
        let (unreadable, other) = (allow(unreadable, 1), allow("other", 2));
        let seen = [
            ObservedCluster {
                metadata: &unreadable.metadata,
                cluster: None,
            },
            ObservedCluster {
                metadata: &other.metadata,
                cluster: Some(&other),
            },
        ];
        managing("team", label, seen).map(|view| (view.name, view.agent_egress))
    };
    let closed = |name: &str| Some((name.to_owned(), None));
    let open = Some(("other".to_owned(), Some(AgentEgress::Allow)));
    assert_eq!(view("team", None), closed("team"), "by its name");
    assert_eq!(view("crew", None), open, "nothing speaks for it");
    assert_eq!(
        view("crew", Some("crew")),
        closed("crew"),
        "by the namespace's label"
    );
    assert_eq!(
        view("team", Some("other")),
        open,
        "the namespace is another's"
    );
}

#[test]
fn a_subject_of_kubernetes_itself_is_meant_or_refused() {
    let of = |member: Value| {
        let spec = json!({"members": [member]});
        validate(&cluster("a", 1, &spec), &Settings::default())
    };
    let group =
        json!({"subject": {"kind": "Group", "name": "system:authenticated"}, "role": "edit"});
    let refused = of(group.clone()).unwrap_err();
    assert!(
        refused.message.contains("'system:authenticated'")
            && refused.message.contains("allowSystemSubject"),
        "{refused}"
    );
    let mut meant = group;
    meant["allowSystemSubject"] = json!(true);
    assert!(of(meant).is_ok());
}

#[test]
fn a_level_that_another_manager_lowered_is_told() {
    let level = |label: &str| {
        let state = ObservedState::Namespace {
            terminating: false,
            foreign_pod_security: true,
        };
        enforced(&live(
            &[("pod-security.kubernetes.io/enforce", label)],
            state,
        ))
    };
    let told = |asked: &str, level| {
        let object = cluster("a", 1, &json!({"podSecurity": asked}));
        let status = status(
            &object,
            Ok(&Children::default().into_applied()),
            None,
            level,
            Timestamp::UNIX_EPOCH,
        );
        let conditions = status.conditions.iter();
        let mut told = conditions.filter(|condition| condition.type_ == "PodSecurity");
        told.next()
            .map(|condition| (condition.status.clone(), condition.message.clone()))
    };
    let (status, message) = told("restricted", Some(level("privileged"))).unwrap();
    assert_eq!(status, "False");
    assert!(
        message.contains("enforce privileged where podSecurity asks for restricted"),
        "{message}"
    );
    assert_eq!(
        told("restricted", Some(level("baseline"))).unwrap().0,
        "False"
    );
    assert_eq!(
        told("baseline", Some(level("restricted"))).unwrap().0,
        "True"
    );
    assert_eq!(
        told("restricted", Some(level("nonsense"))).unwrap().0,
        "False",
        "what is no level enforces nothing"
    );
    assert_eq!(
        told("restricted", None),
        None,
        "our own labels are as asked"
    );
}
