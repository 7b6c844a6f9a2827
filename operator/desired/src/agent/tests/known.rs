//! Which stored code counts: what the operator recorded, what its open attempt stored, and once
//! what was there before there was a record.

use langop_api::{agent::StoredRevision, names::annotations};
use serde_json::json;

use super::*;
use crate::{
    agent::{
        code::{content_of, next_revision, revision},
        known::{recognise, record_content},
    },
    hash,
};

/// A world, and the ConfigMap of code that its agent could have.
fn world() -> (World, ConfigMap) {
    let world = World::of_spec(&json!({"instructions": "one"}));
    let mut new = world.new_code(&json!({}));
    new.code_hash = hash::sha256_hex(new.code.as_bytes());
    let map = build_code_config_map(&world.validated(), &new, 7);
    (world, map)
}

fn open(revisions: &[(i64, &str)]) -> SynthesisInfo {
    let known = |(revision, hash): &(i64, &str)| StoredRevision {
        revision: *revision,
        hash: (*hash).to_owned(),
    };
    SynthesisInfo {
        synthesis_attempts: Some(1),
        revisions: revisions.iter().map(known).collect(),
        ..SynthesisInfo::default()
    }
}

/// The numbers of the code that counts, and of that which does not.
fn seen(world: &World, map: &ConfigMap, info: &mut SynthesisInfo, attested: bool) -> [Vec<i64>; 2] {
    let mut observed = world.observed.clone();
    observed.revisions = vec![observe_code(map, 7)];
    recognise(&mut observed, info, |_, _| attested);
    let revisions = observed.revisions.iter().map(|code| revision(code));
    [revisions.collect(), observed.unknown_revisions]
}

#[test]
fn what_is_recorded_counts_by_the_number_of_the_record() {
    let (world, map) = world();
    let mut info = open(&[(3, &content_of(&map))]);
    assert_eq!(seen(&world, &map, &mut info, false), [vec![3], vec![]]);
}

#[test]
fn what_nobody_stored_is_no_code() {
    let (world, map) = world();
    for mut info in [open(&[]), open(&[(3, "another")]), SynthesisInfo::default()] {
        let before = info.clone();
        assert_eq!(seen(&world, &map, &mut info, false), [vec![], vec![7]]);
        assert_eq!(info, before);
    }
}

#[test]
fn what_is_not_what_it_says_never_counts() {
    let (world, map) = world();
    let content = content_of(&map);
    let mut mutable = map.clone();
    mutable.immutable = None;
    let mut changed = map.clone();
    let data = changed.data.get_or_insert_default();
    data.insert(langop_api::names::CODE_KEY.into(), "other".into());
    let mut renamed = map.clone();
    renamed.metadata.name = Some("scout-code-000000000000".into());
    let mut relabelled = map.clone();
    let said = relabelled.metadata.annotations.get_or_insert_default();
    said.insert(annotations::INSTRUCTIONS_HASH.into(), "other".into());
    for forged in [mutable, changed, renamed, relabelled] {
        let mut info = open(&[(7, &content)]);
        assert_eq!(
            seen(&world, &forged, &mut info, true),
            [vec![], vec![7]],
            "{forged:?}"
        );
    }
}

#[test]
fn what_the_open_attempt_stored_is_the_next_revision() {
    let (world, map) = world();
    let mut info = open(&[(3, "another")]);
    assert_eq!(seen(&world, &map, &mut info, true), [vec![4], vec![]]);
    let newest = StoredRevision {
        revision: 4,
        hash: content_of(&map),
    };
    assert_eq!(info.revisions[0], newest, "recorded");
    // An attempt that has ended stores nothing more.
    for closed in [
        SynthesisInfo {
            last_failure_time: Some("2026-02-01T08:00:00Z".into()),
            ..open(&[(3, "another")])
        },
        SynthesisInfo {
            synthesis_attempts: None,
            ..open(&[(3, "another")])
        },
    ] {
        let mut info = closed;
        assert_eq!(seen(&world, &map, &mut info, true), [vec![], vec![7]]);
    }
}

#[test]
fn what_was_there_before_there_was_a_record_is_taken_once() {
    let (world, map) = world();
    let mut info = SynthesisInfo {
        revision: Some(7),
        ..SynthesisInfo::default()
    };
    assert_eq!(seen(&world, &map, &mut info, false), [vec![7], vec![]]);
    assert_eq!(info.revisions.len(), 1);
    let other = world.new_code(&json!({"description": "later"}));
    let other = NewCode {
        code_hash: hash::sha256_hex(other.code.as_bytes()),
        ..other
    };
    let later = build_code_config_map(&world.validated(), &other, 8);
    assert_eq!(
        seen(&world, &later, &mut info, false),
        [vec![], vec![7 + 1]]
    );
}

#[test]
fn the_record_is_bounded_and_gives_no_number_twice() {
    let mut info = SynthesisInfo::default();
    for number in 1..=300 {
        record_content(&mut info, &[], &format!("hash {number}"), number);
    }
    assert_eq!(info.revisions.len(), 16, "none of them is stored");
    assert_eq!(info.revisions[0].revision, 300);
    record_content(&mut info, &[], "hash 290", 301);
    assert_eq!(info.revisions.len(), 16);
    assert_eq!(next_revision(&[], &info), 302);
}
