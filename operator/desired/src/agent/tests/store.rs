//! Code as it is stored: names, annotations, numbers, history.

use serde_json::json;

use super::*;
use crate::agent::code::{
    all_annotations, carries, input_annotations, next_revision, prune, revision,
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
    assert_eq!(next_revision(&world.observed.codes), 1);
    let stored: Vec<_> = (1..=5)
        .map(|n| world.store(&json!({"description": n.to_string()})))
        .collect();
    assert_eq!(next_revision(&world.observed.codes), 6);
    let pruned = |limit, active: &Arc<Observed>| -> Vec<i64> {
        prune(&world.observed.codes, limit, &active.name)
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
