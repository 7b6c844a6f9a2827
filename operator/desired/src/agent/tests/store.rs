//! Code as it is stored: names, annotations, numbers, history.

use langop_api::cluster::AgentEgress;
use serde_json::json;

use super::*;
use crate::agent::{
    code::{all_annotations, carries, input_annotations, next_revision, revision},
    history::{outdated, prune},
};

fn name(world: &World, new: &NewCode) -> String {
    build_code_config_map(&world.validated(), new, 1)
        .metadata
        .name
        .unwrap()
}

#[test]
fn the_name_is_a_hash_over_all_data() {
    let world = World::of_spec(&json!({"instructions": "one"}));
    let new = world.new_code(&json!({}));
    let first = name(&world, &new);
    let digits = first.strip_prefix("scout-code-").unwrap();
    assert!(
        digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        "{first}"
    );
    let other_circumstances = NewCode {
        model: "other".into(),
        traceparent: String::new(),
        synthesized_at: now(),
        ..new.clone()
    };
    assert_eq!(
        name(&world, &other_circumstances),
        first,
        "annotations are no content"
    );
    for other in [
        NewCode {
            code: "another".into(),
            ..new.clone()
        },
        NewCode {
            instructions: "two".into(),
            ..new.clone()
        },
        world.new_code(&json!({"description": "other"})),
    ] {
        assert_ne!(name(&world, &other), first);
    }
    let line_ends = NewCode {
        instructions: "one".to_owned() + "\r\n",
        ..new.clone()
    };
    assert_eq!(
        name(&world, &line_ends),
        name(
            &world,
            &NewCode {
                instructions: "one\n".into(),
                ..new
            }
        )
    );
}

#[test]
fn annotations_follow_the_inputs_and_the_code_does_not() {
    let mut world = World::of(SERVICE_TOOL);
    let stored = world.store(&json!({}));
    assert!(carries(&stored, &input_annotations(&world.validated(), 1)));
    assert!(
        !carries(&stored, &input_annotations(&world.validated(), 2)),
        "another revision"
    );
    let before = input_annotations(&world.validated(), 1);
    world.tools[0].spec.port = 7071;
    let after = input_annotations(&world.validated(), 1);
    assert!(!carries(&stored, &after));
    let changed: Vec<_> = before
        .iter()
        .filter(|(key, value)| after.get(*key) != Some(value))
        .map(|(key, _)| key.as_str())
        .collect();
    assert_eq!(changed, ["langop.io/tools-hash"]);
    world.patch(&json!({"personaRef": null}));
    assert!(!input_annotations(&world.validated(), 1).contains_key("langop.io/persona-hash"));
}

#[test]
fn revisions_count_up_and_history_is_pruned_from_the_oldest_but_never_the_active() {
    let mut world = World::of_spec(&json!({"instructions": "x"}));
    assert_eq!(next_revision(&world.observed.revisions, &world.info), 1);
    let stored: Vec<_> = (1..=5)
        .map(|n| world.store(&json!({"description": n.to_string()})))
        .collect();
    assert_eq!(next_revision(&world.observed.revisions, &world.info), 6);
    let pruned = |limit, active: &Arc<Observed>| -> Vec<i64> {
        prune(&world.observed.revisions, limit, &active.name)
            .iter()
            .map(|code| revision(code))
            .collect()
    };
    assert_eq!(pruned(10, &stored[4]), [0_i64; 0]);
    assert_eq!(pruned(2, &stored[4]), [1, 2, 3]);
    assert_eq!(
        pruned(2, &stored[0]),
        [2, 3, 4],
        "the active one and the newest stay"
    );
    assert_eq!(pruned(1, &stored[2]), [1, 2, 4, 5]);
}

#[test]
fn the_same_code_made_again_is_offered_what_is_offered_now() {
    let mut world = World::of(SERVICE_TOOL);
    let stored = world.store(&json!({}));
    let again = |world: &World| all_annotations(&world.validated(), &world.new_code(&json!({})), 1);
    assert!(carries(&stored, &again(&world)));
    world.patch(&json!({"modelRefs": []}));
    let after = again(&world);
    assert!(!carries(&stored, &after));
    assert_eq!(
        after["langop.io/offered"],
        r#"{"tools":["post-office"],"models":[]}"#
    );
}

#[test]
fn history_goes_once_the_active_code_is_all_that_runs_whatever_else_is_wrong() {
    let rows: [(&str, bool, fn(&mut World)); 8] = [
        ("rolled out", true, |_| ()),
        ("forbidden egress beside it", true, |w| {
            w.patch(&json!({"egress": [{"cidr": "192.0.2.0/24", "ports": [{"port": 443}]}]}));
            w.cluster = Some(ClusterView {
                name: "parish".into(),
                agent_egress: Some(AgentEgress::Deny),
                pods: None,
                allowed_egress: vec![],
                model_egress: None,
                ingress_from: vec![],
                ..ClusterView::default()
            });
        }),
        ("a missing tool beside it", true, |w| {
            w.patch(&json!({"toolRefs": [{"name": "gone"}]}));
        }),
        ("pods of the one before", false, |w| {
            w.observed.deployment = Some(deployment(0));
        }),
        ("a workload that stays as it is", false, |w| {
            w.unreadable = vec!["broken"];
            w.patch(&json!({"toolRefs": [{"name": "broken"}]}));
        }),
        ("new code on its way", false, |w| {
            w.patch(&json!({"instructions": "y"}));
        }),
        ("a run is planned", true, |w| {
            w.observed.deployment = None;
            w.observed.cron_jobs = vec![cron_job(0)];
            w.observed.jobs = vec![job(
                "ended",
                JobState {
                    succeeded: Some(true),
                    ..JobState::default()
                },
            )];
            w.patch(&json!({"schedule": "0 9 * * *"}));
        }),
        ("a run is under way", false, |w| {
            w.observed.deployment = None;
            w.observed.cron_jobs = vec![cron_job(1)];
            w.observed.jobs = vec![job("running", JobState::default())];
            w.patch(&json!({"schedule": "0 9 * * *"}));
        }),
    ];
    for (name, goes, change) in rows {
        let mut world = World::of_spec(&json!({
            "instructions": "x", "synthesis": {"revisionHistoryLimit": 1},
        }));
        world.store(&json!({"description": "1"}));
        world.store(&json!({"description": "2"}));
        world.observed.deployment = Some(deployment(1));
        change(&mut world);
        let gone = outdated(
            &world.validated(),
            &world.decide(),
            &world.build().report.action,
            &world.observed,
        );
        let expected: &[i64] = if goes { &[1] } else { &[] };
        assert_eq!(
            gone.iter().map(|code| revision(code)).collect::<Vec<_>>(),
            expected,
            "{name}"
        );
    }
}
