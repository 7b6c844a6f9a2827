//! Every row of the decision table.

use langop_api::names::annotations::RESYNTHESIZE;
use serde_json::json;

use super::*;
use crate::agent::{attempt, attempt::Failed, build::WorkloadAction, decide::Cause};
use langop_api::{agent::Tokens, condition::Reason};

/// An agent with instructions and nothing else.
fn plain(instructions: &str) -> World {
    World::of_spec(&json!({"instructions": instructions}))
}

/// An agent whose code is stored.
fn with_code(instructions: &str) -> (World, Arc<Observed>) {
    let mut world = plain(instructions);
    let stored = world.store(&json!({}));
    (world, stored)
}

fn failed(reason: Reason) -> Failed {
    Failed {
        reason,
        message: "it broke".into(),
        validation_errors: vec!["2:3: no".into()],
        tokens: Tokens {
            input: 5,
            output: 1,
        },
    }
}

/// A failed attempt for the agent as it is now.
fn fail(world: &mut World, reason: Reason, ago: i64) {
    let started = attempt::started(&world.info, &world.validated(), None);
    world.info = attempt::failed(&started, &failed(reason), ago_timestamp(ago));
}

fn ago_timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() - seconds).unwrap()
}

fn is_synthesis(decision: &Decision, expected: Cause) -> bool {
    matches!(decision, Decision::Synthesize { cause, .. } if *cause == expected)
}

#[test]
fn a_pinned_revision_runs_if_it_is_stored() {
    let (mut world, first) = with_code("one");
    world.patch(&json!({"instructions": "two"}));
    world.store(&json!({}));
    // Whatever else would be asked for.
    world.annotate(RESYNTHESIZE, "1");
    world.in_flight = Some(InFlight::of(&world.validated()));
    world.patch(&json!({"synthesis": {"revision": 1}, "instructions": "three"}));
    assert_eq!(world.decide(), Decision::Run { code: first });
    world.patch(&json!({"synthesis": {"revision": 9}}));
    assert_eq!(world.decide(), Decision::RevisionNotFound(9));
    assert_eq!(
        world.workload(),
        Workload::Keep,
        "the workload is untouched"
    );
}

#[test]
fn without_instructions_an_own_image_runs_without_code_or_nothing_changes() {
    let (mut world, _) = with_code("one");
    world.patch(&json!({"instructions": null}));
    assert_eq!(
        (world.decide(), world.workload()),
        (Decision::NothingToRun, Workload::Keep)
    );
    world.patch(&json!({"image": "own"}));
    assert_eq!(
        (world.decide(), world.workload()),
        (Decision::NoCode, Workload::Run(None))
    );
}

#[test]
fn a_call_in_flight_is_awaited_and_its_answer_dropped_if_the_instructions_moved() {
    let (mut world, stored) = with_code("one");
    world.patch(&json!({"instructions": "two"}));
    let call = InFlight::of(&world.validated());
    world.in_flight = Some(call.clone());
    assert_eq!(
        world.decide(),
        Decision::Waiting {
            current: Some(stored.clone())
        }
    );
    assert!(call.is_wanted(&world.validated()));
    world.patch(&json!({"instructions": "three"}));
    assert_eq!(
        world.decide(),
        Decision::Waiting {
            current: Some(stored.clone())
        },
        "one call at a time"
    );
    assert!(!call.is_wanted(&world.validated()));
    assert!(
        matches!(world.workload(), Workload::Run(Some(code)) if code.config_map == stored.name),
        "what runs keeps running"
    );
}

#[test]
fn a_failed_attempt_is_repeated_when_it_is_due_and_not_before() {
    for (ago, waits) in [(1, true), (20, true), (37, false), (3600, false)] {
        let mut world = plain("one");
        fail(&mut world, Reason::SynthesisFailed, ago);
        match world.decide() {
            Decision::BackingOff { due, current: None } if waits => assert!(due > now()),
            decision => assert!(
                !waits && is_synthesis(&decision, Cause::NoCode),
                "{ago}: {decision:?}"
            ),
        }
    }
    // Each failure doubles the pause, up to an hour, whatever the jitter.
    for (attempts, shortest, longest) in [
        (1, 24, 36),
        (2, 48, 72),
        (5, 384, 576),
        (9, 2880, 4320),
        (60, 2880, 4320),
    ] {
        let mut world = plain("one");
        world.info.synthesis_attempts = Some(attempts - 1);
        world.info.instructions_hash = world
            .validated()
            .instructions
            .map(|instructions| instructions.hash);
        fail(&mut world, Reason::ValidationFailed, 0);
        assert_eq!(world.info.synthesis_attempts, Some(attempts));
        let Decision::BackingOff { due, .. } = world.decide() else {
            panic!("{attempts}")
        };
        let pause = due.as_second() - now().as_second();
        assert!((shortest..=longest).contains(&pause), "{attempts}: {pause}");
    }
}

#[test]
fn an_answer_that_nobody_waits_for_still_costs() {
    let spent = |input| Tokens { input, output: 1 };
    let mut world = plain("one");
    world.info = attempt::started(&world.info, &world.validated(), None);
    let dropped = attempt::dropped(&world.info, spent(7));
    assert_eq!(dropped.tokens, Some(spent(7)));
    assert_eq!(
        SynthesisInfo {
            tokens: None,
            ..dropped
        },
        world.info,
        "and changes nothing else"
    );
}

#[test]
fn another_question_ends_the_wait_and_counts_anew() {
    let mut world = plain("one");
    fail(&mut world, Reason::SynthesisFailed, 1);
    world.patch(&json!({"instructions": "two"}));
    assert!(is_synthesis(&world.decide(), Cause::NoCode));
    assert_eq!(
        attempt::started(&world.info, &world.validated(), None).synthesis_attempts,
        Some(1)
    );
    world.patch(&json!({"instructions": "one\r\n"}));
    world.patch(&json!({"instructions": "one"}));
    assert!(matches!(world.decide(), Decision::BackingOff { .. }));
    world.annotate(RESYNTHESIZE, "now");
    assert!(is_synthesis(&world.decide(), Cause::Resynthesize));
}

#[test]
fn an_operator_that_died_during_a_call_tries_again_at_once() {
    let mut world = plain("one");
    fail(&mut world, Reason::SynthesisFailed, 1);
    world.info = attempt::started(&world.info, &world.validated(), None);
    assert_eq!(
        (world.info.synthesis_attempts, &world.info.last_failure_time),
        (Some(2), &None)
    );
    assert!(is_synthesis(&world.decide(), Cause::NoCode));
}

#[test]
fn a_failure_that_is_yet_to_come_is_another_clocks_and_delays_nothing() {
    for reason in [Reason::SynthesisFailed, Reason::SynthesisDisabled] {
        let mut world = plain("one");
        fail(&mut world, reason, -86_400);
        assert!(is_synthesis(&world.decide(), Cause::NoCode));
        fail(&mut world, reason, 0);
        assert!(matches!(world.decide(), Decision::BackingOff { .. }));
    }
}

#[test]
fn disabled_synthesis_is_tried_at_the_cap_and_when_the_endpoints_change() {
    let mut world = plain("one");
    fail(&mut world, Reason::SynthesisDisabled, 600);
    assert!(
        matches!(world.decide(), Decision::BackingOff { .. }),
        "a failed one would be due"
    );
    world.synthesizer_changed = true;
    assert!(is_synthesis(&world.decide(), Cause::NoCode));
    let mut world = plain("one");
    fail(&mut world, Reason::SynthesisDisabled, 5000);
    assert!(is_synthesis(&world.decide(), Cause::NoCode));
    let mut world = plain("one");
    fail(&mut world, Reason::SynthesisFailed, 1);
    world.synthesizer_changed = true;
    assert!(
        matches!(world.decide(), Decision::BackingOff { .. }),
        "its pause is short already"
    );
}

#[test]
fn disabled_synthesis_lets_an_own_image_work_alone_and_steadily() {
    for (image, workload) in [
        (json!("own"), Workload::Run(None)),
        (json!(null), Workload::Keep),
    ] {
        let mut world = World::of_spec(&json!({"instructions": "one", "image": image}));
        assert_eq!(world.workload(), Workload::Keep, "not before it is known");
        fail(&mut world, Reason::SynthesisDisabled, 1);
        assert_eq!(world.workload(), workload);
        // Neither the next attempt nor an edit flips it.
        world.info = attempt::started(&world.info, &world.validated(), None);
        world.in_flight = Some(InFlight::of(&world.validated()));
        assert_eq!(world.workload(), workload);
        world.patch(&json!({"instructions": "two"}));
        world.info = attempt::started(&world.info, &world.validated(), None);
        assert_eq!(world.workload(), workload);
        // Code, once there is some, takes over.
        world.in_flight = None;
        let stored = world.store(&json!({}));
        assert_eq!(world.decide(), Decision::Run { code: stored });
    }
}

#[test]
fn unresolved_references_hold_back_only_the_first_code() {
    let mut world = World::of(SERVICE_TOOL);
    let tools = std::mem::take(&mut world.tools);
    assert_eq!(
        (world.decide(), world.workload()),
        (Decision::WaitForReferences, Workload::Keep)
    );
    world.tools = tools;
    world.personas[0].status = None;
    assert_eq!(
        world.decide(),
        Decision::WaitForReferences,
        "a persona that is not distilled yet"
    );
    world.personas.clear();
    let stored = world.store(&json!({}));
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: stored.clone()
        }
    );
    world.patch(&json!({"instructions": "other"}));
    assert!(
        matches!(world.decide(), Decision::Synthesize { current: Some(code), .. } if code == stored)
    );
}

#[test]
fn the_annotation_is_obeyed_once_for_each_value() {
    let (mut world, stored) = with_code("one");
    world.annotate(RESYNTHESIZE, "a");
    let expected = Decision::Synthesize {
        cause: Cause::Resynthesize,
        variant: Some("a".into()),
        current: Some(stored.clone()),
    };
    assert_eq!(world.decide(), expected);
    let started = attempt::started(&world.info, &world.validated(), None);
    world.info = attempt::succeeded(
        &started,
        "hash",
        std::time::Duration::from_millis(2440),
        Tokens {
            input: 7,
            output: 2,
        },
    );
    assert_eq!(world.info.resynthesized_for.as_deref(), Some("a"));
    assert_eq!(world.info.synthesis_duration.as_deref(), Some("2.4s"));
    assert_eq!(
        (world.info.synthesis_attempts, world.info.tokens),
        (
            None,
            Some(Tokens {
                input: 7,
                output: 2
            })
        )
    );
    assert_eq!(world.decide(), Decision::Run { code: stored });
    world.annotate(RESYNTHESIZE, "b");
    assert!(is_synthesis(&world.decide(), Cause::Resynthesize));
    world.annotate(RESYNTHESIZE, "");
    assert!(
        matches!(world.decide(), Decision::Run { .. }),
        "an empty value asks for nothing"
    );
}

#[test]
fn an_answer_that_was_stored_and_not_recorded_is_the_answer() {
    let (mut world, first) = with_code("one");
    world.info = world.status().synthesis_info.unwrap();
    world.annotate(RESYNTHESIZE, "a");
    world.info = attempt::started(&world.info, &world.validated(), None);
    assert!(
        is_synthesis(&world.decide(), Cause::Resynthesize),
        "the code is as old as the record"
    );
    let second = world.store(&json!({"description": "another"}));
    let run = |code: &Arc<Observed>| Decision::Run { code: code.clone() };
    assert_eq!(world.decide(), run(&second));
    let told = world.status().synthesis_info.unwrap();
    assert_eq!(told.resynthesized_for.as_deref(), Some("a"));
    assert_eq!(
        (told.synthesis_attempts, told.revision),
        (None, Some(code::revision(&second)))
    );
    world.annotate(RESYNTHESIZE, "b");
    assert!(
        is_synthesis(&world.decide(), Cause::Resynthesize),
        "that is another question"
    );
    world.info = told;
    assert!(is_synthesis(&world.decide(), Cause::Resynthesize));
    assert_ne!(first.name, second.name);
}

#[test]
fn no_code_is_made_and_lost_code_is_made_again() {
    let mut world = plain("one");
    let expected = Decision::Synthesize {
        cause: Cause::NoCode,
        variant: None,
        current: None,
    };
    assert_eq!(world.decide(), expected);
    assert_eq!(world.workload(), Workload::Keep);
    let stored = world.store(&json!({}));
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: stored.clone()
        }
    );
    // Unreadable or on its way out counts as gone.
    let ObservedState::Code(mut state) = stored.state.clone() else {
        panic!("not code")
    };
    state.requirements = None;
    world.observed.revisions = vec![Arc::new(Observed {
        state: ObservedState::Code(state),
        ..(*stored).clone()
    })];
    assert_eq!(world.decide(), expected);
    world.observed.revisions = vec![Arc::new(Observed {
        deleting: true,
        ..(*stored).clone()
    })];
    assert_eq!(world.decide(), expected);
    world.observed.revisions.clear();
    assert_eq!(world.decide(), expected);
}

/// Two revisions, the second of which is active, as the status says that was written then.
fn with_two(first: &str, second: &str) -> (World, [Arc<Observed>; 2]) {
    let mut world = plain(first);
    let one = world.store(&json!({"description": "1"}));
    world.patch(&json!({"instructions": second}));
    let two = world.store(&json!({"description": "2"}));
    world.info = world.status().synthesis_info.unwrap();
    assert_eq!(world.info.revision, Some(2));
    (world, [one, two])
}

#[test]
fn lost_code_is_made_again_and_older_code_does_not_take_its_place() {
    for first in ["zero", "one"] {
        let (mut world, [older, lost]) = with_two(first, "one");
        assert_eq!(world.decide(), Decision::Run { code: lost });
        world.observed.revisions = vec![older.clone()];
        let expected = Decision::Synthesize {
            cause: Cause::CodeLost,
            variant: None,
            current: None,
        };
        assert_eq!(
            (world.decide(), world.workload()),
            (expected, Workload::Keep),
            "{first}"
        );
        // An answer that somebody had replaced does not come back.
        world.info.resynthesized_for = Some("again".into());
        assert!(
            matches!(world.decide(), Decision::Synthesize { variant: Some(variant), .. } if variant == "again")
        );
        // It stays while code is made, and when that failed.
        world.info = attempt::started(&world.info, &world.validated(), None);
        world.in_flight = Some(InFlight::of(&world.validated()));
        assert_eq!(
            (world.decide(), world.workload()),
            (Decision::Waiting { current: None }, Workload::Keep)
        );
        world.in_flight = None;
        fail(&mut world, Reason::SynthesisFailed, 1);
        assert!(matches!(
            world.decide(),
            Decision::BackingOff { current: None, .. }
        ));
        assert_eq!(world.workload(), Workload::Keep);
        // The new code is newer than what was lost, so it is asked for once.
        let made = world.store(&json!({"description": "3"}));
        assert_eq!(code::revision(&made), 3);
        assert_eq!(world.decide(), Decision::Run { code: made });
    }
}

#[test]
fn lost_code_that_is_made_with_the_content_of_older_code_is_new_code() {
    let (mut world, [older, _]) = with_two("one", "one");
    world.observed.revisions = vec![older.clone()];
    let revision = code::revision_of_new(&older, &world.observed.revisions, &world.info, None);
    assert_eq!(revision, 3, "else it would count as lost for ever");
    let (world, [older, active]) = with_two("one", "one");
    let revision_of = |code: &Observed, pinned| {
        code::revision_of_new(code, &world.observed.revisions, &world.info, pinned)
    };
    assert_eq!(
        (revision_of(&older, None), revision_of(&active, None)),
        (3, 2)
    );
    assert_eq!(
        revision_of(&older, Some(1)),
        1,
        "a pin would lose what it names"
    );
    assert_eq!(revision_of(&older, Some(2)), 3);
}

#[test]
fn when_code_is_lost_a_return_to_stored_instructions_and_a_pin_make_no_call() {
    let (mut world, [older, _]) = with_two("zero", "one");
    world.observed.revisions = vec![older.clone()];
    world.patch(&json!({"instructions": "zero"}));
    assert_eq!(
        world.decide(),
        Decision::Activate {
            code: older.clone()
        }
    );
    world.patch(&json!({"instructions": "two"}));
    assert!(is_synthesis(&world.decide(), Cause::CodeLost));
    world.patch(&json!({"instructions": "one", "synthesis": {"revision": 1}}));
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: older.clone()
        }
    );
    // As a status says that was written under the pin: what is left is at least as new.
    world.info.revision = Some(1);
    world.patch(&json!({"synthesis": null}));
    assert!(
        matches!(world.decide(), Decision::Synthesize { current: Some(code), .. } if code == older)
    );
}

#[test]
fn code_that_the_status_does_not_know_yet_is_not_lost() {
    let (mut world, [older, newer]) = with_two("zero", "one");
    world.info.revision = Some(1);
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: newer.clone()
        }
    );
    // Nor does a pruned history matter.
    world.info.revision = Some(2);
    world.observed.revisions = vec![newer.clone()];
    assert_eq!(world.decide(), Decision::Run { code: newer });
    // Activated code counts as what it was made from.
    let (mut world, [first, _]) = with_two("zero", "one");
    assert_eq!(first, older);
    world.patch(&json!({"instructions": "zero"}));
    let info = world.status().synthesis_info.unwrap();
    let hash = world
        .validated()
        .instructions
        .map(|instructions| instructions.hash);
    assert_eq!(info.instructions_hash, hash);
}

#[test]
fn what_cannot_be_read_changes_nothing_and_what_is_gone_does() {
    for name in ["post-office", "oracle", "archivist"] {
        let mut world = World::of(SERVICE_TOOL);
        world.store(&json!({}));
        let running = world.build().children;
        world.observed.network_policy = Some(Arc::new(child(
            ChildKind::NetworkPolicy,
            "scout",
            ObservedState::None,
        )));
        world.unreadable = vec![name];
        // Whatever else would be asked for.
        world.annotate(RESYNTHESIZE, "1");
        let built = world.build();
        assert_eq!(world.decide(), Decision::ReferencesUnreadable, "{name}");
        assert_eq!(built.report.action, WorkloadAction::Keep);
        assert_eq!(
            built.children,
            crate::children::Children::default(),
            "not even the policy"
        );
        // A fault of the spec beside it does not open or close the policy either.
        world.patch(&json!({"timeZone": "Mars/Olympus"}));
        assert_eq!(world.build().children, crate::children::Children::default());
        world.patch(&json!({"timeZone": null}));
        // Without a policy there is nothing to keep: better one rule too few.
        world.observed.network_policy = None;
        assert_eq!(world.build().children.network_policies.len(), 1);
        world.unreadable.clear();
        assert_eq!(
            world.build().children,
            running,
            "as before when it is corrected"
        );
    }
}

#[test]
fn changed_instructions_activate_stored_code_or_make_new() {
    let (mut world, first) = with_code("one");
    world.patch(&json!({"instructions": "two"}));
    assert_eq!(
        world.decide(),
        Decision::Synthesize {
            cause: Cause::InstructionsChanged,
            variant: None,
            current: Some(first.clone())
        }
    );
    let second = world.store(&json!({}));
    assert_eq!(
        world.decide(),
        Decision::Run {
            code: second.clone()
        }
    );
    world.patch(&json!({"instructions": "one"}));
    assert_eq!(
        world.decide(),
        Decision::Activate {
            code: first.clone()
        }
    );
    // As the operator does it: the stored code gets the next revision.
    let ObservedState::Code(mut state) = first.state.clone() else {
        panic!("not code")
    };
    state.revision = code::next_revision(&world.observed.revisions, &world.info);
    assert_eq!(state.revision, 3);
    world.observed.revisions[0] = Arc::new(Observed {
        state: ObservedState::Code(state),
        ..(*first).clone()
    });
    assert!(matches!(world.decide(), Decision::Run { code } if code.name == first.name));
}

#[test]
fn going_back_to_stored_instructions_does_not_wait_for_a_failure() {
    let (mut world, first) = with_code("one");
    world.patch(&json!({"instructions": "two"}));
    fail(&mut world, Reason::SynthesisFailed, 1);
    assert!(matches!(world.decide(), Decision::BackingOff { .. }));
    world.patch(&json!({"instructions": "one"}));
    assert_eq!(world.decide(), Decision::Run { code: first });
}

#[test]
fn tools_models_and_persona_make_no_code() {
    let mut world = World::of(SERVICE_TOOL);
    let stored = world.store(&json!({}));
    let before = world.build();
    let run = Decision::Run { code: stored };
    world.tools[0].spec.port = 1;
    assert_eq!(world.decide(), run);
    world.models[0].spec.model = "delphi-3".into();
    assert_eq!(world.decide(), run);
    world.personas[0]
        .status
        .as_mut()
        .unwrap()
        .distilled
        .as_mut()
        .unwrap()
        .tone = Some("warm".into());
    assert_eq!(world.decide(), run);
    assert_ne!(
        world.build().children,
        before.children,
        "but the pods are given them"
    );
    world.patch(&json!({"toolRefs": [], "modelRefs": [], "personaRef": null}));
    assert_eq!(world.decide(), run);
}

#[test]
fn an_edit_changes_no_running_agent_until_its_code_is_there() {
    let mut world = World::of(SERVICE_TOOL);
    world.store(&json!({}));
    let running = world.build().children;
    world.patch(&json!({"instructions": "Burn the letters"}));
    assert_eq!(world.build().children, running, "while it is asked for");
    world.in_flight = Some(InFlight::of(&world.validated()));
    assert_eq!(world.build().children, running, "while it is made");
    world.in_flight = None;
    fail(&mut world, Reason::ValidationFailed, 1);
    assert_eq!(world.build().children, running, "when it failed");
    world.store(&json!({}));
    assert_ne!(world.build().children, running, "when it is there");
}

#[test]
fn where_two_checks_answer_the_earlier_wins() {
    let (mut world, first) = with_code("one");
    // A pin, before the lack of instructions; a fault, before a pin.
    world.patch(&json!({"synthesis": {"revision": 1}, "instructions": null}));
    assert_eq!(world.decide(), Decision::Run { code: first });
    world.patch(&json!({"timeZone": "Mars/Olympus"}));
    assert_eq!(world.decide(), Decision::Invalid);

    // The lack of instructions, before a call in flight.
    let mut world = plain("one");
    world.in_flight = Some(InFlight::of(&world.validated()));
    world.patch(&json!({"instructions": null}));
    assert_eq!(world.decide(), Decision::NothingToRun);

    // A call in flight, before a pause; a pause, before missing references; those, before the
    // annotation.
    let mut world = World::of(SERVICE_TOOL);
    fail(&mut world, Reason::SynthesisFailed, 1);
    world.in_flight = Some(InFlight::of(&world.validated()));
    assert_eq!(world.decide(), Decision::Waiting { current: None });
    world.in_flight = None;
    world.tools.clear();
    assert!(matches!(world.decide(), Decision::BackingOff { .. }));
    world.annotate(RESYNTHESIZE, "a");
    assert_eq!(world.decide(), Decision::WaitForReferences);

    // The annotation, before changed instructions: its variant is not lost.
    let (mut world, _) = with_code("one");
    world.patch(&json!({"instructions": "two"}));
    world.annotate(RESYNTHESIZE, "a");
    assert!(
        matches!(world.decide(), Decision::Synthesize { variant: Some(variant), .. } if variant == "a")
    );
}
