//! What is counted, and that it is counted once.

use langop_api::{LanguageAgentStatus, agent::AgentPhase};
use serde_json::json;

use super::{status::running, *};
use crate::observed::Termination;

fn ended(succeeded: bool, at: &str) -> JobFacts {
    JobFacts {
        succeeded: Some(succeeded),
        ended: Some(at.into()),
        message: (!succeeded).then(|| "BackoffLimitExceeded".into()),
        had_pod: true,
    }
}

#[test]
fn each_ended_job_is_counted_once_across_restarts_and_garbage_collection() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_job = Some(cron_job(0));
    let step = |world: &World, before: &LanguageAgentStatus| {
        let after = world.status_after(before, None);
        let counts = [
            after.execution_count,
            after.successful_executions,
            after.failed_executions,
        ]
        .map(Option::unwrap_or_default);
        (after, counts)
    };
    let first = world.status();
    assert_eq!(
        (first.execution_count, first.phase),
        (None, Some(AgentPhase::Running))
    );
    world.observed.jobs = vec![
        job("j1", ended(true, "2026-03-01T09:00:00Z")),
        job(
            "j2",
            JobFacts {
                had_pod: true,
                ..JobFacts::default()
            },
        ),
    ];
    let (one, counts) = step(&world, &first);
    assert_eq!(
        (counts, one.phase, &one.counted_executions),
        (
            [1, 1, 0],
            Some(AgentPhase::Succeeded),
            &vec!["j1".to_owned()]
        )
    );
    assert_eq!(step(&world, &one).0, one, "seen again, not counted again");
    world.observed.jobs = vec![job("j2", ended(false, "2026-03-01T10:00:00Z"))];
    let (two, counts) = step(&world, &one);
    assert_eq!(
        (counts, two.phase, &two.counted_executions),
        ([2, 1, 1], Some(AgentPhase::Failed), &vec!["j2".to_owned()])
    );
    assert_eq!(
        two.last_execution_result.as_deref(),
        Some("Failed: BackoffLimitExceeded")
    );
    assert_eq!(
        two.last_execution_time.as_deref(),
        Some("2026-03-01T10:00:00Z")
    );
    world.observed.cron_job = Some(cron_job(1));
    assert_eq!(
        step(&world, &two).0.phase,
        Some(AgentPhase::Running),
        "the next run is under way"
    );
}

#[test]
fn the_result_has_exit_code_and_termination_message() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_job = Some(cron_job(0));
    for (exit_code, text, result) in [
        (3, "disk full", "Failed: exit code 3: disk full"),
        (0, "Completed", "Succeeded"),
        (0, "12 letters", "Succeeded: 12 letters"),
    ] {
        let termination = Termination {
            exit_code,
            ended: None,
            message: Some(text.into()),
        };
        world.observed.jobs = vec![job(
            "uid-Job",
            ended(exit_code == 0, "2026-03-01T09:00:00Z"),
        )];
        world.observed.pods = vec![pod(
            "Job",
            PodFacts {
                last_termination: Some(termination),
                ..PodFacts::default()
            },
        )];
        assert_eq!(
            world.status().last_execution_result.as_deref(),
            Some(result)
        );
    }
}

#[test]
fn a_long_running_agents_container_ends_are_counted_once() {
    let mut world = running();
    let restarted = |restarts, exit_code| {
        let last_termination = Some(Termination {
            exit_code,
            ended: Some("2026-03-01T09:00:00Z".into()),
            message: None,
        });
        vec![pod(
            "ReplicaSet",
            PodFacts {
                restarts,
                last_termination,
                ready: true,
                ..PodFacts::default()
            },
        )]
    };
    let first = world.status();
    world.observed.pods = restarted(2, 137);
    let second = world.status_after(&first, None);
    assert_eq!(
        (second.execution_count, second.failed_executions),
        (Some(2), Some(2))
    );
    assert_eq!(
        second.last_execution_result.as_deref(),
        Some("Failed: exit code 137")
    );
    assert_eq!(world.status_after(&second, None), second);
    world.observed.pods = restarted(3, 0);
    let third = world.status_after(&second, None);
    assert_eq!(
        (third.execution_count, third.successful_executions),
        (Some(3), Some(1))
    );
    world.observed.pods.clear();
    let gone = world.status_after(&third, None);
    assert_eq!(
        (gone.execution_count, gone.counted_executions.len()),
        (Some(3), 0)
    );
}
