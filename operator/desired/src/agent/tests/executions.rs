//! What is counted, and that it is counted once.

use langop_api::{
    LanguageAgentStatus,
    agent::{AgentPhase, MAX_COUNTED_EXECUTIONS, RunTokens},
};
use serde_json::json;

use super::{status::running, *};
use crate::observed::{RunReport, Termination};

fn ended(succeeded: bool, at: &str) -> JobState {
    JobState {
        succeeded: Some(succeeded),
        ended: Some(at.into()),
        message: (!succeeded).then(|| "BackoffLimitExceeded".into()),
        had_pod: true,
        by_hand: false,
    }
}

#[test]
fn each_ended_job_is_counted_once_across_restarts_and_garbage_collection() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_jobs = vec![cron_job(0)];
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
            JobState {
                had_pod: true,
                ..JobState::default()
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
    world.observed.cron_jobs = vec![cron_job(1)];
    assert_eq!(
        step(&world, &two).0.phase,
        Some(AgentPhase::Running),
        "the next run is under way"
    );
}

#[test]
fn the_result_has_exit_code_and_termination_message() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_jobs = vec![cron_job(0)];
    for (exit_code, text, result) in [
        (3, "disk full", "Failed: exit code 3: disk full"),
        (0, "Completed", "Succeeded"),
        (0, "12 letters", "Succeeded: 12 letters"),
    ] {
        let termination = Termination {
            exit_code,
            ended: None,
            message: Some(text.into()),
            report: None,
        };
        world.observed.jobs = vec![job(
            "uid-Job",
            ended(exit_code == 0, "2026-03-01T09:00:00Z"),
        )];
        world.observed.pods = vec![pod(
            "Job",
            PodState {
                last_termination: Some(termination),
                ..PodState::default()
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
            report: None,
        });
        vec![pod(
            "ReplicaSet",
            PodState {
                restarts,
                last_termination,
                ready: true,
                ..PodState::default()
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

#[test]
fn what_a_former_agent_of_the_name_did_is_not_counted() {
    let mut world = World::of_spec(&json!({"image": "own"}));
    world.observed.since = "2026-02-01T00:00:00Z".into();
    let restarted = PodState {
        restarts: 3,
        ..PodState::default()
    };
    let runs = [
        job("j1", ended(true, "2026-02-02T00:00:00Z")),
        pod("ReplicaSet", restarted),
    ];
    for (created, count) in [
        ("2026-01-31T23:59:59Z", None),
        ("2026-02-01T00:00:00Z", Some(4)),
    ] {
        let [job, pod] = runs.clone().map(|run| {
            Arc::new(Observed {
                created: created.into(),
                ..(*run).clone()
            })
        });
        world.observed.jobs = vec![job];
        world.observed.pods = vec![pod];
        assert_eq!(world.status().execution_count, count, "{created}");
    }
}

#[test]
fn a_run_is_counted_when_its_pod_tells_how_it_ended() {
    let ended_job = || job("uid-Job", ended(true, "2026-03-01T09:00:00Z"));
    let told = Termination {
        message: Some("wrote 3 letters".into()),
        ..Termination::default()
    };
    let rows = [
        ("Running", None, false, None),
        ("Running", None, true, Some("Succeeded")),
        ("Succeeded", None, false, Some("Succeeded")),
        (
            "Succeeded",
            Some(told),
            false,
            Some("Succeeded: wrote 3 letters"),
        ),
    ];
    for (phase, last_termination, deleting, result) in rows {
        let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
        world.observed.jobs = vec![ended_job()];
        let state = PodState {
            phase: phase.into(),
            last_termination,
            ..PodState::default()
        };
        let pod = Observed {
            deleting,
            ..(*pod("Job", state)).clone()
        };
        world.observed.pods = vec![Arc::new(pod)];
        let status = world.status();
        assert_eq!(status.last_execution_result.as_deref(), result, "{phase}");
        assert_eq!(status.execution_count, result.map(|_| 1));
    }
}

#[test]
fn what_there_is_no_room_to_remember_waits_to_be_counted() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    world.observed.cron_jobs = vec![cron_job(0)];
    let jobs = |numbers: std::ops::Range<usize>| {
        let ended = |number| {
            job(
                &format!("j{number:04}"),
                ended(true, "2026-03-01T09:00:00Z"),
            )
        };
        numbers.map(ended).collect::<Vec<_>>()
    };
    let counts =
        |status: &LanguageAgentStatus| (status.execution_count, status.counted_executions.len());
    world.observed.jobs = jobs(0..MAX_COUNTED_EXECUTIONS + 5);
    let full = world.status();
    assert_eq!(counts(&full), (Some(1024), 1024));
    assert_eq!(
        world.status_after(&full, None),
        full,
        "none is counted twice"
    );

    world.observed.jobs = jobs(3..MAX_COUNTED_EXECUTIONS + 5);
    let later = world.status_after(&full, None);
    assert_eq!(counts(&later), (Some(1027), 1024), "three have gone");

    let restarted = PodState {
        restarts: 7,
        ..PodState::default()
    };
    world.observed.pods = vec![pod("ReplicaSet", restarted)];
    assert_eq!(counts(&world.status_after(&later, None)), counts(&later));
    world.observed.jobs = jobs(5..MAX_COUNTED_EXECUTIONS + 4);
    let last = world.status_after(&later, None);
    assert_eq!(counts(&last), (Some(1027 + 1 + 7), 1024));
    assert_eq!(world.status_after(&last, None), last);
}

/// A world whose run ended as its runtime says.
fn reported(world: &mut World, uid: &str, at: &str, report: RunReport) {
    let termination = Termination {
        message: Some("done".into()),
        report: Some(report),
        ..Termination::default()
    };
    let state = PodState {
        phase: "Succeeded".into(),
        last_termination: Some(termination),
        ..PodState::default()
    };
    world.observed.jobs = vec![job(uid, ended(true, at))];
    world.observed.pods = vec![pod(uid.trim_start_matches("uid-"), state)];
}

fn tokens(input: i64, output: i64, cached_input: i64) -> RunTokens {
    RunTokens {
        input,
        output,
        cached_input,
    }
}

#[test]
fn tokens_of_runs_are_summed_once_in_all_and_for_the_day() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    let spent = |tokens| RunReport {
        is_skipped: false,
        tokens,
    };
    let runs = [
        ("uid-a", "2026-03-01T09:00:00Z", tokens(100, 10, 1)),
        ("uid-b", "2026-03-01T21:00:00Z", tokens(200, 20, 2)),
        ("uid-c", "2026-03-02T09:00:00Z", tokens(1, 2, 3)),
        ("uid-d", "2026-03-02T21:00:00Z", tokens(0, 0, 0)),
        // Heard of late.
        ("uid-e", "2026-03-01T23:00:00Z", tokens(1000, 0, 0)),
    ];
    let sums = [
        ("2026-03-01", tokens(100, 10, 1), tokens(100, 10, 1)),
        ("2026-03-01", tokens(300, 30, 3), tokens(300, 30, 3)),
        ("2026-03-02", tokens(1, 2, 3), tokens(301, 32, 6)),
        ("2026-03-02", tokens(1, 2, 3), tokens(301, 32, 6)),
        ("2026-03-02", tokens(1, 2, 3), tokens(1301, 32, 6)),
    ];
    let mut status = world.status();
    assert_eq!(status.usage, None);
    for ((uid, at, run), (date, today, total)) in runs.into_iter().zip(sums) {
        reported(&mut world, uid, at, spent(run));
        status = world.status_after(&status, None);
        let usage = status.usage.clone().unwrap();
        assert_eq!(usage.today.date, date, "{uid}");
        assert_eq!((usage.today.tokens, usage.total), (today, total), "{uid}");
        assert_eq!(world.status_after(&status, None), status, "{uid} again");
    }
}

#[test]
fn a_run_that_was_not_due_is_no_execution() {
    let mut world = World::of_spec(&json!({"image": "own", "schedule": "0 9 * * *"}));
    let skipped = RunReport {
        is_skipped: true,
        tokens: RunTokens::default(),
    };
    reported(&mut world, "uid-a", "2026-03-01T09:00:00Z", skipped);
    let status = world.status();
    assert_eq!(
        (
            status.execution_count,
            status.last_execution_result.as_deref()
        ),
        (None, None)
    );
    assert_eq!(
        status.counted_executions,
        ["uid-a"],
        "it is not judged again"
    );
}
