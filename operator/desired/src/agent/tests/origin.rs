//! Code whose origin is asked for: what may become active, and what is told of it.

use langop_api::{
    LanguageAgentStatus,
    agent::{AgentPhase, Tokens},
    condition::{Reason, types},
};
use serde_json::json;

use super::*;
use crate::{
    agent::{attempt, attempt::Failed, decide::Cause},
    conditions,
    observed::{CodeState, Origin, Verdict},
};

fn signed() -> Verdict {
    Verdict::Signed {
        key_id: "0123456789abcdef".into(),
    }
}

fn refused() -> Verdict {
    Verdict::Refused {
        why: "the statement is about agent 'other'".into(),
    }
}

/// Stores code of the agent's present instructions, of which the keys say that.
fn store(world: &mut World, verdict: Verdict) -> Arc<Observed> {
    let text = world.observed.revisions.len().to_string();
    let stored = world.store(&json!({"description": text}));
    let ObservedState::Code(state) = &stored.state else {
        unreachable!("it is code")
    };
    let judged = Arc::new(Observed {
        state: ObservedState::Code(Box::new(CodeState {
            origin: Some(Box::new(Origin {
                keys: [1; 8],
                verdict,
            })),
            ..(**state).clone()
        })),
        ..(*stored).clone()
    });
    *world.observed.revisions.last_mut().unwrap() = judged.clone();
    judged
}

fn world(instructions: &str) -> World {
    World::of_spec(&json!({"instructions": instructions}))
}

#[test]
fn code_that_nobody_signed_does_not_take_over() {
    for verdict in [Verdict::Missing, refused()] {
        let mut world = world("one");
        let first = store(&mut world, signed());
        world.info.revision = Some(1);
        let second = store(&mut world, verdict);
        assert_eq!(world.decide(), Decision::Run { code: first });
        // What is active already goes on.
        world.info.revision = Some(2);
        assert_eq!(world.decide(), Decision::Run { code: second });
    }
}

#[test]
fn without_signed_code_there_is_none() {
    let mut world = world("one");
    store(&mut world, refused());
    assert!(matches!(
        world.decide(),
        Decision::Synthesize {
            cause: Cause::NoCode,
            current: None,
            ..
        }
    ));
}

#[test]
fn a_pin_activates_only_what_is_signed() {
    let mut world = world("one");
    let first = store(&mut world, refused());
    let second = store(&mut world, signed());
    let third = store(&mut world, signed());
    world.info.revision = Some(3);
    world.patch(&json!({"synthesis": {"revision": 2}}));
    assert_eq!(world.decide(), Decision::Run { code: second });
    world.patch(&json!({"synthesis": {"revision": 1}}));
    assert_eq!(
        (world.decide(), world.workload()),
        (
            Decision::RevisionRefused {
                code: first.clone()
            },
            Workload::Keep
        )
    );
    // It was pinned and ran before there were keys.
    world.info.revision = Some(1);
    assert_eq!(world.decide(), Decision::Run { code: first });
    world.patch(&json!({"synthesis": {"revision": null}}));
    assert_eq!(world.decide(), Decision::Run { code: third });
}

#[test]
fn instructions_that_come_back_find_signed_code_or_have_it_made() {
    for (verdict, is_found) in [
        (signed(), true),
        (refused(), false),
        (Verdict::Missing, false),
    ] {
        let mut world = world("one");
        let first = store(&mut world, verdict);
        world.patch(&json!({"instructions": "two"}));
        store(&mut world, signed());
        world.info.revision = Some(2);
        world.patch(&json!({"instructions": "one"}));
        let decision = world.decide();
        if is_found {
            assert_eq!(decision, Decision::Activate { code: first });
        } else {
            assert!(matches!(
                decision,
                Decision::Synthesize {
                    cause: Cause::InstructionsChanged,
                    ..
                }
            ));
        }
    }
}

/// Status, reason and message of the condition, if it is there.
fn told(status: &LanguageAgentStatus) -> Option<(String, String, String)> {
    let condition = conditions::find(&status.conditions, types::PROVENANCE)?;
    Some((
        condition.status.clone(),
        condition.reason.clone(),
        condition.message.clone(),
    ))
}

#[test]
fn the_condition_is_there_only_where_somebody_asks() {
    let mut world = world("one");
    world.store(&json!({}));
    world.observed.deployment = Some(deployment(1));
    assert_eq!(told(&world.status()), None);
}

#[test]
fn what_runs_is_told_by_its_key_or_by_what_it_lacks() {
    for (verdict, status, reason, words) in [
        (
            signed(),
            "True",
            "ProvenanceVerified",
            "signed by key 0123456789ab",
        ),
        (
            Verdict::Missing,
            "False",
            "ProvenanceMissing",
            "carries no statement",
        ),
        (
            refused(),
            "False",
            "ProvenanceRefused",
            "about agent 'other'",
        ),
    ] {
        let mut world = world("one");
        store(&mut world, verdict);
        world.observed.deployment = Some(deployment(1));
        world.info.revision = Some(1);
        let after = world.status();
        let (found, because, message) = told(&after).unwrap();
        assert_eq!((&*found, &*because), (status, reason));
        assert!(message.contains(words), "{message}");
        assert!(message.starts_with("revision 1 "), "{message}");
        assert!(
            conditions::is_true(&after.conditions, types::READY),
            "it runs on"
        );
        assert_eq!(world.status_after(&after, None), after, "said once");
    }
}

#[test]
fn a_pin_to_code_that_nobody_signed_is_told_and_waits_for_a_person() {
    let mut world = world("one");
    store(&mut world, Verdict::Missing);
    store(&mut world, signed());
    world.observed.deployment = Some(deployment(1));
    world.info.revision = Some(2);
    world.patch(&json!({"synthesis": {"revision": 1}}));
    let after = world.status();
    let (status, reason, message) = told(&after).unwrap();
    assert_eq!((&*status, &*reason), ("False", "ProvenanceRefused"));
    assert!(
        message.starts_with("revision 1 is not run: it carries no statement"),
        "{message}"
    );
    let stalled = conditions::find(&after.conditions, types::STALLED).unwrap();
    assert_eq!(stalled.message, message);
    assert!(!conditions::is_true(&after.conditions, types::SYNTHESIZED));
    assert_eq!(
        after.synthesis_info.unwrap().revision,
        Some(2),
        "which still runs"
    );
}

#[test]
fn an_answer_that_nobody_signed_is_told_until_another_comes() {
    let mut world = world("one");
    store(&mut world, signed());
    world.observed.deployment = Some(deployment(1));
    world.info.revision = Some(1);
    world.patch(&json!({"instructions": "two"}));
    let started = attempt::started(&world.info, &world.validated(), None);
    let failure = Failed {
        reason: Reason::ProvenanceRefused,
        message: "it is signed by another key".into(),
        validation_errors: vec![],
        tokens: Tokens::default(),
    };
    world.info = attempt::failed(&started, &failure, now());
    assert!(matches!(world.decide(), Decision::BackingOff { .. }));
    let refused = world.status_after(&LanguageAgentStatus::default(), Some(&failure.message));
    let expected = ("False", "ProvenanceRefused", "it is signed by another key");
    let (status, reason, message) = told(&refused).unwrap();
    assert_eq!((&*status, &*reason, &*message), expected);
    assert_eq!(
        refused.phase,
        Some(AgentPhase::Running),
        "revision 1 runs on"
    );
    // While it is asked for again, too.
    world.info = attempt::started(&world.info, &world.validated(), None);
    world.in_flight = Some(InFlight::of(&world.validated()));
    let asked = world.status_after(&refused, None);
    assert_eq!(told(&asked), told(&refused));
    // And then it is signed.
    world.in_flight = None;
    store(&mut world, signed());
    let after = world.status_after(&asked, None);
    let (status, _, message) = told(&after).unwrap();
    assert_eq!(status, "True");
    assert!(message.starts_with("revision 2 "), "{message}");
}

#[test]
fn code_made_again_gets_the_statement_that_came_with_it() {
    let mut world = world("one");
    let plain = world.new_code(&json!({}));
    let with = |envelope: &str| NewCode {
        provenance: envelope.into(),
        ..plain.clone()
    };
    let map = build_code_config_map(&world.validated(), &with("first"), 1);
    assert_eq!(
        map.metadata.annotations.as_ref().unwrap()["langop.io/provenance"],
        "first"
    );
    let stored = observe_code(&map, 1);
    let annotations = |new: &NewCode| code::all_annotations(&world.validated(), new, 1);
    assert!(code::carries(&stored, &annotations(&with("first"))));
    assert!(!code::carries(&stored, &annotations(&with("second"))));
    // Of one that came without, nothing is taken away.
    assert!(code::carries(&stored, &annotations(&plain)));
    world.observed.revisions.push(stored.clone());
    let inputs = code::input_annotations(&world.validated(), 1);
    assert!(
        code::carries(&stored, &inputs),
        "nothing to write while it runs"
    );
}
