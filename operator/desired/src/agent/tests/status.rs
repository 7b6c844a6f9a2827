//! What is said of an agent in each situation.

use langop_api::{
    LanguageAgentStatus,
    agent::{AgentPhase, ExecutionMode, Tokens},
    condition::{Reason, types},
};
use serde_json::json;

use super::*;
use crate::{
    agent::{
        attempt::{self, Failed},
        build::WorkloadAction,
        run,
        status::{StatusInput, due, interrupted, may_wait, status},
    },
    conditions::{self, Summary},
    observed::PodProblem,
};

impl World {
    /// One reconcile: decided, built, applied, told.
    pub(super) fn status_after(
        &self,
        previous: &LanguageAgentStatus,
        failure: Option<&str>,
    ) -> LanguageAgentStatus {
        self.status_at(previous, failure, now())
    }

    pub(super) fn status_at(
        &self,
        previous: &LanguageAgentStatus,
        failure: Option<&str>,
        now: Timestamp,
    ) -> LanguageAgentStatus {
        self.status_and_summary(previous, failure, now).0
    }

    fn status_and_summary(
        &self,
        previous: &LanguageAgentStatus,
        failure: Option<&str>,
        now: Timestamp,
    ) -> (LanguageAgentStatus, Summary) {
        let built = self.build();
        status(&StatusInput {
            previous,
            agent: &self.validated(),
            decision: &self.decide(),
            approval: &self.approval(),
            info: &self.info,
            failure,
            report: &built.report,
            children: &built.children.into_applied(),
            observed: &self.observed,
            now,
        })
    }

    pub(super) fn status(&self) -> LanguageAgentStatus {
        self.status_after(&LanguageAgentStatus::default(), None)
    }
}

#[test]
fn the_summary_is_what_the_conditions_show() {
    let mut world = World::of_spec(&json!({"instructions": "mail me"}));
    world.patch(&json!({"synthesis": {"revision": 7}}));
    let before = LanguageAgentStatus::default();
    let (status, summary) = world.status_and_summary(&before, None, now());
    let Summary::Stalled(reason, message) = summary else {
        panic!("not stalled: {summary:?}")
    };
    assert_eq!(reason, Reason::RevisionNotFound);
    let stalled = conditions::find(&status.conditions, types::STALLED).unwrap();
    assert_eq!(
        (stalled.reason.as_str(), &stalled.message),
        (reason.as_str(), &message)
    );
}

/// `Type=Status/Reason` of all conditions.
fn all(status: &LanguageAgentStatus) -> Vec<String> {
    status
        .conditions
        .iter()
        .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
        .collect()
}

fn message(status: &LanguageAgentStatus, type_: &str) -> String {
    conditions::find(&status.conditions, type_)
        .unwrap()
        .message
        .clone()
}

pub(super) fn running() -> World {
    let mut world = World::of_spec(&json!({"instructions": "one"}));
    world.store(&json!({}));
    world.observed.deployment = Some(deployment(1));
    world
}

fn fail(world: &mut World, reason: Reason) {
    let failed = Failed {
        reason,
        message: "m".into(),
        validation_errors: vec!["2:3: what is this".into()],
        tokens: Tokens::default(),
    };
    world.info = attempt::failed(
        &attempt::started(&world.info, &world.validated(), None),
        &failed,
        now(),
    );
}

#[test]
fn a_running_agent_is_ready_and_the_same_state_is_told_the_same() {
    let world = running();
    let first = world.status();
    assert_eq!(
        all(&first),
        [
            "CodeStale=False/ReferencesUnchanged",
            "Ready=True/AsDesired",
            "ReferencesResolved=True/NoReferences",
            "Synthesized=True/SynthesisSucceeded"
        ]
    );
    assert_eq!(
        (first.phase, first.mode),
        (Some(AgentPhase::Running), Some(ExecutionMode::Autonomous))
    );
    assert_eq!(
        (
            first.active_replicas,
            first.ready_replicas,
            first.observed_generation
        ),
        (Some(1), Some(1), Some(1))
    );
    let info = first.synthesis_info.clone().unwrap();
    assert_eq!(
        (
            info.revision,
            info.code_hash.as_deref(),
            info.synthesis_model.as_deref()
        ),
        (Some(1), Some("c0de"), Some("writer-1"))
    );
    assert_eq!(
        info.last_synthesis_time.as_deref(),
        Some("2026-02-01T08:00:00Z")
    );
    let mut later = running();
    later.info = info;
    assert_eq!(
        later.status_after(&first, None),
        first,
        "nothing happened, nothing is written"
    );
}

type Change = fn(&mut World);

/// After each change of a running agent, these conditions are among its own, and this is its phase.
fn check(rows: &[(&str, Change, &[&str], AgentPhase)]) {
    for (name, change, expected, phase) in rows {
        let mut world = running();
        change(&mut world);
        let status = world.status();
        for condition in *expected {
            let told = all(&status);
            assert!(
                told.iter().any(|one| one == condition),
                "{name}: {condition} is not in {told:?}"
            );
        }
        assert_eq!(status.phase, Some(*phase), "{name}");
    }
}

#[test]
fn each_situation_of_the_workload_has_its_conditions_and_phase() {
    check(&[
        (
            "rollout",
            |w| w.observed.deployment = Some(deployment(0)),
            &[
                "Ready=False/RolloutInProgress",
                "Reconciling=True/RolloutInProgress",
            ],
            AgentPhase::Pending,
        ),
        (
            "not there yet",
            |w| w.observed.deployment = None,
            &["Ready=False/RolloutInProgress"],
            AgentPhase::Pending,
        ),
        (
            "nothing to run",
            |w| w.patch(&json!({"instructions": null})),
            &[
                "Ready=False/NothingToRun",
                "Stalled=True/NothingToRun",
                "Synthesized=False/NoInstructions",
            ],
            AgentPhase::Failed,
        ),
        (
            "switching",
            |w| w.patch(&json!({"schedule": "0 9 * * *"})),
            &[
                "Ready=False/ModeSwitching",
                "Reconciling=True/ModeSwitching",
            ],
            AgentPhase::Pending,
        ),
        (
            "no schedule",
            |w| w.patch(&json!({"executionMode": "scheduled"})),
            &["Ready=False/InvalidSpec", "Stalled=True/InvalidSpec"],
            AgentPhase::Failed,
        ),
    ]);
}

#[test]
fn the_numbers_of_a_rollout_are_not_told_by_themselves_in_its_first_moments() {
    let mut world = running();
    world.observed.deployment = None;
    let begun = world.status();
    let after = |seconds| now() + SignedDuration::from_secs(seconds);
    world.observed.deployment = Some(deployment(0));
    let told = |at| {
        let next = world.status_at(&begun, None, at);
        assert_eq!(next.active_replicas, Some(1));
        may_wait(&begun, &next, at)
    };
    assert_eq!(told(after(0)), Some(after(5)));
    assert_eq!(told(after(4)), Some(after(5)));
    assert_eq!(told(after(5)), None, "it takes long");
    assert_eq!(
        told(after(-3600)),
        None,
        "the last leader's clock was ahead"
    );

    world.observed.deployment = Some(deployment(1));
    let ready = world.status_at(&begun, None, after(1));
    assert_eq!(may_wait(&begun, &ready, after(1)), None, "it is Ready");
    assert_eq!(may_wait(&ready, &ready, after(1)), None, "nothing to tell");
    let more = LanguageAgentStatus {
        active_replicas: Some(2),
        ..ready.clone()
    };
    assert_eq!(may_wait(&ready, &more, after(2)), None, "no rollout");
}

#[test]
fn each_situation_of_the_code_has_its_conditions_and_phase() {
    check(&[
        (
            "new instructions",
            |w| w.patch(&json!({"instructions": "two"})),
            &[
                "Ready=False/SynthesisStarted",
                "Synthesized=False/SynthesisStarted",
            ],
            AgentPhase::Running,
        ),
        (
            "first synthesis",
            |w| w.observed.revisions.clear(),
            &[
                "Ready=False/SynthesisStarted",
                "Reconciling=True/SynthesisStarted",
            ],
            AgentPhase::Pending,
        ),
        (
            "pinned in vain",
            |w| w.patch(&json!({"synthesis": {"revision": 8}})),
            &[
                "Stalled=True/RevisionNotFound",
                "Synthesized=False/RevisionNotFound",
            ],
            AgentPhase::Failed,
        ),
        (
            "pinned",
            |w| w.patch(&json!({"synthesis": {"revision": 1}})),
            &["Ready=True/AsDesired", "Synthesized=True/RevisionActivated"],
            AgentPhase::Running,
        ),
    ]);
}

#[test]
fn each_failure_of_a_synthesis_has_its_conditions_and_phase() {
    let refused: Change = |w| {
        w.patch(&json!({"instructions": "two"}));
        fail(w, Reason::ValidationFailed);
    };
    let unreachable: Change = |w| {
        w.observed.revisions.clear();
        fail(w, Reason::SynthesisFailed);
    };
    let disabled: Change = |w| {
        w.observed.revisions.clear();
        fail(w, Reason::SynthesisDisabled);
    };
    let disabled_own_image: Change = |w| {
        w.observed.revisions.clear();
        w.patch(&json!({"image": "own"}));
        fail(w, Reason::SynthesisDisabled);
    };
    check(&[
        (
            "refused",
            refused,
            &[
                "Ready=False/ValidationFailed",
                "Reconciling=True/ValidationFailed",
                "Synthesized=False/ValidationFailed",
            ],
            AgentPhase::Running,
        ),
        (
            "unreachable",
            unreachable,
            &[
                "Ready=False/SynthesisFailed",
                "Reconciling=True/SynthesisFailed",
            ],
            AgentPhase::Pending,
        ),
        (
            "disabled",
            disabled,
            &[
                "Ready=False/SynthesisDisabled",
                "Stalled=True/SynthesisDisabled",
                "Synthesized=False/SynthesisDisabled",
            ],
            AgentPhase::Failed,
        ),
        (
            "own image",
            disabled_own_image,
            &[
                "Ready=True/AsDesired",
                "Synthesized=False/SynthesisDisabled",
            ],
            AgentPhase::Running,
        ),
    ]);
}

#[test]
fn a_suspended_agent_is_as_its_spec_says() {
    let mut world = running();
    world.patch(&json!({"suspend": true}));
    let mut stopped = child(
        ChildKind::Deployment,
        "scout",
        ObservedState::Deployment(DeploymentState::default()),
    );
    stopped.uid = "d".into();
    world.observed.deployment = Some(Arc::new(stopped));
    let status = world.status();
    assert!(
        all(&status).contains(&"Ready=True/Suspended".to_owned()),
        "{:?}",
        all(&status)
    );
    assert_eq!(status.phase, Some(AgentPhase::Suspended));
}

#[test]
fn references_that_are_missing_are_named_and_make_no_code() {
    let mut world = World::of(SERVICE_TOOL);
    world.tools.clear();
    world.models.clear();
    let status = world.status();
    assert_eq!(
        all(&status),
        [
            "Ready=False/WaitingForReferences",
            "Reconciling=True/WaitingForReferences",
            "ReferencesResolved=False/ReferenceNotFound",
            "Synthesized=False/WaitingForReferences"
        ]
    );
    let message = message(&status, types::REFERENCES_RESOLVED);
    assert_eq!(
        message,
        "model 'oracle' does not exist; tool 'post-office' does not exist"
    );
    assert_eq!(status.phase, Some(AgentPhase::Pending));
}

#[test]
fn an_agent_that_lost_a_reference_runs_and_is_not_as_its_spec_says() {
    let mut world = World::of(SERVICE_TOOL);
    world.store(&json!({}));
    world.observed.deployment = Some(deployment(1));
    assert!(all(&world.status()).contains(&"Ready=True/AsDesired".to_owned()));
    world.tools.clear();
    let status = world.status();
    assert!(all(&status).contains(&"Ready=False/ReferenceNotFound".to_owned()));
    assert_eq!(status.phase, Some(AgentPhase::Running));
}

#[test]
fn a_sidecars_egress_is_told() {
    let told = message(
        &World::of(SIDECAR_TOOL).status(),
        types::REFERENCES_RESOLVED,
    );
    assert!(
        told.contains("network policy includes the egress of the sidecar tools 'shelf'"),
        "{told}"
    );
}

#[test]
fn code_is_stale_when_a_reference_was_added_or_one_it_uses_is_gone() {
    let uses = json!({"steps": [{"name": "s", "action": {"useTool": {"tool": "post-office", "action": "send"}}}]});
    let stale = |change: fn(&mut World)| {
        let mut world = World::of(SERVICE_TOOL);
        world.store(&uses);
        change(&mut world);
        let status = world.status();
        let condition = conditions::find(&status.conditions, types::CODE_STALE).unwrap();
        (condition.status == "True").then(|| condition.message.clone())
    };
    assert_eq!(stale(|_| ()), None);
    // Not used: it may go.
    assert_eq!(stale(|world| world.models.clear()), None);
    assert_eq!(stale(|world| world.tools[0].spec.port = 9), None);
    let added = stale(|world| {
        let mut bell = world.tools[0].clone();
        bell.metadata.name = Some("bell".into());
        world.tools.push(bell);
        world.patch(&json!({"toolRefs": [{"name": "post-office"}, {"name": "bell"}]}));
    })
    .unwrap();
    assert!(
        added.contains("'bell' was added") && added.contains("langop.io/resynthesize"),
        "{added}"
    );
    let gone = stale(|world| world.tools.clear()).unwrap();
    assert!(
        gone.contains("uses the tool 'post-office'") && gone.contains("langop.io/resynthesize"),
        "{gone}"
    );
    let model = stale(|world| {
        let mut seer = world.models[0].clone();
        seer.metadata.name = Some("seer".into());
        world.models.push(seer);
        world.patch(&json!({"modelRefs": [{"name": "seer"}]}));
    })
    .unwrap();
    assert!(model.contains("the model 'seer' was added"), "{model}");
}

#[test]
fn what_failed_stays_told_while_it_is_tried_again() {
    let mut world = World::of_spec(&json!({"instructions": "one"}));
    let first = world.status();
    assert!(message(&first, types::SYNTHESIZED).contains("there is no code yet"));
    fail(&mut world, Reason::ValidationFailed);
    let failed = world.status_after(&first, Some("2:3: what is this"));
    assert_eq!(message(&failed, types::SYNTHESIZED), "2:3: what is this");
    assert_eq!(
        failed.synthesis_info.as_ref().unwrap().validation_errors,
        ["2:3: what is this"]
    );
    world.info = attempt::started(&world.info, &world.validated(), None);
    world.in_flight = Some(InFlight::of(&world.validated()));
    let again = world.status_after(&failed, None);
    assert_eq!(
        conditions::find(&again.conditions, types::SYNTHESIZED),
        conditions::find(&failed.conditions, types::SYNTHESIZED)
    );
    assert_eq!(again.synthesis_info.unwrap().synthesis_attempts, Some(2));
}

#[test]
fn a_call_does_not_change_what_is_told_while_it_lasts() {
    let mut world = running();
    world.patch(&json!({"instructions": "two"}));
    let at_start = world.status();
    world.in_flight = Some(InFlight::of(&world.validated()));
    assert_eq!(
        world.status_after(&at_start, None).conditions,
        at_start.conditions
    );
}

#[test]
fn activated_code_is_told_as_such_until_new_code_is_made() {
    let mut world = running();
    world.patch(&json!({"instructions": "two"}));
    world.store(&json!({}));
    let second = world.status();
    world.patch(&json!({"instructions": "one"}));
    let activating = world.status_after(&second, None);
    assert!(all(&activating).contains(&"Synthesized=True/RevisionActivated".to_owned()));
    let ObservedState::Code(mut state) = world.observed.revisions[0].state.clone() else {
        panic!("not code")
    };
    state.revision = 3;
    world.observed.revisions[0] = Arc::new(Observed {
        state: ObservedState::Code(state),
        ..(*world.observed.revisions[0]).clone()
    });
    world.patch(&json!({"instructions": "one"}));
    let mut active = activating.clone();
    active.synthesis_info.as_mut().unwrap().revision = Some(3);
    let settled = world.status_after(&active, None);
    assert!(all(&settled).contains(&"Synthesized=True/RevisionActivated".to_owned()));
    assert_eq!(settled.synthesis_info.unwrap().revision, Some(3));
}

#[test]
fn success_ends_the_back_off_also_by_stored_code() {
    let mut world = running();
    world.patch(&json!({"instructions": "two"}));
    fail(&mut world, Reason::SynthesisFailed);
    world.patch(&json!({"instructions": "one"}));
    let info = world.status().synthesis_info.unwrap();
    assert_eq!(
        (
            info.synthesis_attempts,
            info.last_failure_time,
            info.last_failure_reason
        ),
        (None, None, None)
    );
}

#[test]
fn remarks_stall_but_stop_nothing() {
    let mut world = running();
    world.patch(&json!({"workspace": {"storage": "1Gi"}}));
    let mut claim = child(
        ChildKind::PersistentVolumeClaim,
        "scout-workspace",
        ObservedState::Claim {
            bound: true,
            storage: "2Gi".into(),
        },
    );
    claim.controller = None;
    world.observed.claim = Some(Arc::new(claim));
    let status = world.status();
    assert!(
        all(&status).contains(&"Stalled=True/WorkspaceShrinkRefused".to_owned()),
        "{:?}",
        all(&status)
    );
    assert_eq!(status.phase, Some(AgentPhase::Running));
}

#[test]
fn an_interruption_changes_only_the_summary() {
    let before = running().status();
    let world = running();
    let summary = Summary::Stalled(Reason::NameConflict, "taken".into());
    let status = interrupted(&before, 2, summary, &world.observed, now());
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(
        (status.phase, &status.synthesis_info),
        (Some(AgentPhase::Failed), &before.synthesis_info)
    );
    let kept = conditions::find(&status.conditions, types::SYNTHESIZED);
    assert_eq!(
        kept,
        conditions::find(&before.conditions, types::SYNTHESIZED)
    );
    assert!(all(&status).contains(&"Ready=False/NameConflict".to_owned()));
}

#[test]
fn mode_and_schedule_are_told_and_stay_where_the_workload_is_kept() {
    let mut world = World::of_spec(&json!({"instructions": "x"}));
    world.store(&json!({"schedule": {"every": {"seconds": 5400}}}));
    let before = world.status();
    assert_eq!(
        (before.mode, before.schedule.as_deref()),
        (Some(ExecutionMode::Scheduled), Some("every 90m"))
    );
    world.patch(&json!({"synthesis": {"revision": 5}}));
    assert_eq!(world.build().report.action, WorkloadAction::Keep);
    let after = world.status_after(&before, None);
    assert_eq!((after.mode, after.schedule), (before.mode, before.schedule));
}

#[test]
fn trouble_with_pods_is_told_and_a_rollout_that_goes_well_in_one_message() {
    let mut world = running();
    world.observed.deployment = Some(deployment(0));
    assert_eq!(
        message(&world.status(), types::READY),
        "the pods are not ready yet"
    );
    world.observed.pods = vec![pod(
        "ReplicaSet",
        PodState {
            problem: Some(problem("container 'agent': the image 'x' cannot be pulled")),
            ..PodState::default()
        },
    )];
    assert!(message(&world.status(), types::READY).contains("cannot be pulled"));
    let state = DeploymentState {
        desired: 1,
        replica_failure: Some("exceeded quota: tight".into()),
        ..DeploymentState::default()
    };
    world.observed.deployment = Some(Arc::new(child(
        ChildKind::Deployment,
        "scout",
        ObservedState::Deployment(state),
    )));
    let status = world.status();
    assert!(all(&status).contains(&"Ready=False/PodsRefused".to_owned()));
    assert!(message(&status, types::READY).contains("exceeded quota: tight"));
}

#[test]
fn a_young_pods_trouble_is_told_when_it_lasts() {
    let mut world = running();
    world.observed.deployment = Some(deployment(0));
    let in_seconds = |seconds| Timestamp::from_second(now().as_second() + seconds).unwrap();
    for (seconds, is_told) in [(5, false), (1, false), (0, true)] {
        let problem = PodProblem {
            cause: "the pod cannot be scheduled: unbound claims".into(),
            from: Some(in_seconds(seconds)),
            until: None,
        };
        let state = PodState {
            problem: Some(problem),
            ..PodState::default()
        };
        world.observed.pods = vec![pod("ReplicaSet", state)];
        let text = message(&world.status(), types::READY);
        assert_eq!(text.contains("unbound"), is_told, "{seconds} s: {text}");
        let due = due(&world.observed, now());
        assert_eq!(
            due,
            (!is_told).then(|| in_seconds(seconds)),
            "it is looked at again then"
        );
    }
}

#[test]
fn a_running_agent_whose_code_is_lost_is_told_as_running() {
    let mut world = running();
    let before = world.status();
    world.info = before.synthesis_info.clone().unwrap();
    world.observed.revisions.clear();
    let status = world.status_after(&before, None);
    assert!(
        message(&status, types::SYNTHESIZED).contains("is gone"),
        "{:?}",
        all(&status)
    );
    assert_eq!(status.phase, Some(AgentPhase::Running));
    world.in_flight = Some(InFlight::of(&world.validated()));
    assert_eq!(
        world.status_after(&status, None).conditions,
        status.conditions
    );
}

#[test]
fn what_cannot_be_read_is_named_and_the_agent_goes_on() {
    let mut world = World::of(SERVICE_TOOL);
    world.unreadable = vec!["post-office"];
    let status = world.status();
    assert_eq!(
        all(&status),
        [
            "Ready=False/WaitingForReferences",
            "Reconciling=True/WaitingForReferences",
            "ReferencesResolved=False/ReferenceNotFound",
        ]
    );
    assert_eq!(status.phase, Some(AgentPhase::Pending), "nothing runs yet");

    for at_times in [false, true] {
        let mut world = World::of(SERVICE_TOOL);
        world.store(&json!({}));
        if at_times {
            world.patch(&json!({"schedule": "0 9 * * *"}));
            world.observed.cron_jobs = vec![cron_job(0)];
        } else {
            world.observed.deployment = Some(deployment(1));
        }
        let before = world.status();
        world.unreadable = vec!["post-office"];
        let status = world.status_after(&before, None);
        assert_eq!(
            message(&status, types::REFERENCES_RESOLVED),
            "tool 'post-office' cannot be read: correct it first"
        );
        assert!(
            all(&status).contains(&"Ready=False/ReferenceNotFound".to_owned()),
            "{:?}",
            all(&status)
        );
        assert_eq!(status.phase, Some(AgentPhase::Running));
        for type_ in [types::SYNTHESIZED, types::CODE_STALE] {
            assert_eq!(
                conditions::find(&status.conditions, type_),
                conditions::find(&before.conditions, type_)
            );
        }
    }
}

/// An agent that runs at times, with a Job under way that was made so many seconds ago.
fn run_under_way(seconds: i64, pods: Vec<Arc<Observed>>) -> World {
    let mut world = World::of_spec(&json!({"instructions": "one", "schedule": "0 9 * * *"}));
    world.store(&json!({}));
    world.observed.cron_jobs = vec![cron_job(1)];
    let mut job = (*job("uid-Job", JobState::default())).clone();
    job.name = "scout-7".into();
    job.created = Timestamp::from_second(now().as_second() - seconds)
        .unwrap()
        .to_string();
    world.observed.jobs = vec![Arc::new(job)];
    world.observed.pods = pods;
    world
}

fn problem(cause: &str) -> PodProblem {
    PodProblem {
        cause: cause.to_owned(),
        ..PodProblem::default()
    }
}

fn waiting_pod(cause: Option<&str>) -> Arc<Observed> {
    let state = PodState {
        phase: "Pending".into(),
        problem: cause.map(problem),
        ..PodState::default()
    };
    pod("Job", state)
}

#[test]
fn a_run_that_is_refused_its_pod_is_told_when_it_should_have_one() {
    let early = run_under_way(29, vec![]);
    assert!(all(&early.status()).contains(&"Ready=True/AsDesired".to_owned()));
    let soon = due(&early.observed, now()).unwrap();
    assert_eq!(
        soon.as_second() - now().as_second(),
        1,
        "it is looked at again then"
    );

    let mut late = run_under_way(30, vec![]);
    let status = late.status();
    assert!(
        all(&status).contains(&"Stalled=True/PodsRefused".to_owned()),
        "{:?}",
        all(&status)
    );
    assert!(message(&status, types::READY).contains("kubectl describe job scout-7"));
    assert_eq!(
        due(&late.observed, now()),
        Some("2026-03-02T09:00:30Z".parse().unwrap()),
        "when the next run would be skipped"
    );
    // One that had a pod is not refused one: its end is on the way.
    let mut had = (*late.observed.jobs[0]).clone();
    had.state = ObservedState::Job(Box::new(JobState {
        had_pod: true,
        ..JobState::default()
    }));
    late.observed.jobs = vec![Arc::new(had)];
    assert!(all(&late.status()).contains(&"Ready=True/AsDesired".to_owned()));
    // One that ended has no say.
    late.observed.jobs = vec![job(
        "uid-Job",
        JobState {
            succeeded: Some(false),
            ..JobState::default()
        },
    )];
    assert!(all(&late.status()).contains(&"Ready=True/AsDesired".to_owned()));
}

#[test]
fn trouble_of_a_run_is_told_until_it_gets_on() {
    let cause = "container 'agent': the image 'x' cannot be pulled";
    let world = run_under_way(5, vec![waiting_pod(Some(cause))]);
    let told = world.status();
    assert!(
        all(&told).contains(&"Ready=False/RolloutInProgress".to_owned()),
        "{:?}",
        all(&told)
    );
    let text = message(&told, types::READY);
    assert!(text.contains("scout-7") && text.contains(cause), "{text}");

    // Between two tries the pod says nothing; that is no news.
    let between = run_under_way(5, vec![waiting_pod(None)]);
    assert_eq!(
        between.status_after(&told, None).conditions,
        told.conditions
    );
    assert!(
        all(&between.status()).contains(&"Ready=True/AsDesired".to_owned()),
        "nothing was wrong yet"
    );

    let ready = PodState {
        phase: "Running".into(),
        ready: true,
        ..PodState::default()
    };
    let ended = PodState {
        phase: "Failed".into(),
        problem: Some(problem("ended")),
        ..PodState::default()
    };
    for state in [ready, ended] {
        let world = run_under_way(5, vec![pod("Job", state)]);
        assert!(all(&world.status_after(&told, None)).contains(&"Ready=True/AsDesired".to_owned()));
    }
}

/// A run that fires each hour, made so many seconds ago.
fn hourly(seconds: i64, pods: Vec<Arc<Observed>>) -> World {
    let mut world = run_under_way(seconds, pods);
    world.observed.cron_jobs = vec![with_state(CronJobState {
        active: 1,
        schedule: "0 * * * *".into(),
        ..CronJobState::default()
    })];
    world
}

fn with_state(state: CronJobState) -> Arc<Observed> {
    let mut cron_job = (*cron_job(1)).clone();
    cron_job.state = ObservedState::CronJob(state);
    Arc::new(cron_job)
}

fn working_pod() -> Arc<Observed> {
    let state = PodState {
        phase: "Running".into(),
        ready: true,
        ..PodState::default()
    };
    pod("Job", state)
}

#[test]
fn a_run_that_others_wait_for_is_told_until_it_ends() {
    // It is noon; a run that began at 11:00 may still end in time.
    let begun = |seconds| hourly(seconds, vec![working_pod()]);
    let in_time = begun(3600);
    assert_eq!(
        message(&in_time.status(), types::READY),
        "a run is under way"
    );
    let soon = due(&in_time.observed, now()).unwrap();
    assert_eq!(soon.as_second() - now().as_second(), 30, "looked at again");

    let long = begun(7200);
    let status = long.status();
    assert!(
        all(&status).contains(&"Reconciling=True/RunsSkipped".to_owned()),
        "{:?}",
        all(&status)
    );
    assert_eq!(status.phase, Some(AgentPhase::Running));
    let told = message(&status, types::READY);
    assert!(
        told.contains("no run since 2026-03-01T10:00:00Z") && told.contains("'scout-7' still goes"),
        "{told}"
    );
    assert_eq!(long.status_after(&status, None), status, "and once");

    // Nobody waits for a run made by hand, for one while nothing is planned, or for one that ended.
    let mut by_hand = begun(7200);
    let mut job = (*by_hand.observed.jobs[0]).clone();
    job.state = ObservedState::Job(Box::new(JobState {
        by_hand: true,
        ..JobState::default()
    }));
    by_hand.observed.jobs = vec![Arc::new(job)];
    let mut asleep = begun(7200);
    asleep.observed.cron_jobs = vec![with_state(CronJobState {
        active: 1,
        schedule: "0 * * * *".into(),
        suspended: true,
        ..CronJobState::default()
    })];
    let mut ended = begun(7200);
    ended.observed.jobs = vec![];
    ended.observed.cron_jobs = vec![cron_job(0)];
    for world in [by_hand, asleep, ended] {
        let after = world.status_after(&status, None);
        assert!(
            all(&after).contains(&"Ready=True/AsDesired".to_owned()),
            "{:?}",
            all(&after)
        );
    }
}

/// The second CronJob, with its own schedule.
fn second(state: CronJobState) -> Arc<Observed> {
    let mut cron_job = (*with_state(state)).clone();
    cron_job.name = "scout-2".into();
    cron_job.uid = "uid-second".into();
    Arc::new(cron_job)
}

#[test]
fn several_cron_jobs_are_one_agent() {
    let daily = CronJobState {
        active: 1,
        schedule: "0 6 * * *".into(),
        ..CronJobState::default()
    };
    // Noon: the hourly run of 10:00 still goes, which holds back the first CronJob.
    let mut world = hourly(7200, vec![working_pod()]);
    world.observed.cron_jobs.push(second(daily.clone()));
    let status = world.status();
    assert_eq!(status.active_replicas, Some(2));
    assert!(all(&status).contains(&"Reconciling=True/RunsSkipped".to_owned()));

    // The same run, made by the one that fires once a day, holds nothing back yet.
    let mut job = (*world.observed.jobs[0]).clone();
    job.controller = Some(Controller {
        kind: "CronJob".into(),
        name: "scout-2".into(),
        uid: "uid-second".into(),
    });
    world.observed.jobs = vec![Arc::new(job)];
    let after = world.status_after(&status, None);
    assert!(
        all(&after).contains(&"Ready=True/AsDesired".to_owned()),
        "{:?}",
        all(&after)
    );
    assert_eq!(message(&after, types::READY), "a run is under way");

    // Between runs, the last one's result is the agent's phase, whichever made it.
    let idle = CronJobState { active: 0, ..daily };
    let mut ended = JobState {
        succeeded: Some(false),
        ..JobState::default()
    };
    ended.ended = Some(now().to_string());
    world.observed.cron_jobs = vec![cron_job(0), second(idle)];
    world.observed.pods = vec![];
    world.observed.jobs = vec![job_of_second(ended)];
    let status = world.status();
    assert_eq!(status.phase, Some(AgentPhase::Failed));
    assert_eq!(status.execution_count, Some(1));
}

fn job_of_second(state: JobState) -> Arc<Observed> {
    let mut job = (*job("uid-of-second", state)).clone();
    job.controller = Some(Controller {
        kind: "CronJob".into(),
        name: "scout-2".into(),
        uid: "uid-second".into(),
    });
    Arc::new(job)
}

#[test]
fn a_pod_that_does_not_start_and_says_nothing_is_told_in_time() {
    let world = |seconds| run_under_way(seconds, vec![waiting_pod(None)]);
    assert!(all(&world(599).status()).contains(&"Ready=True/AsDesired".to_owned()));
    let again = due(&world(599).observed, now()).unwrap();
    assert_eq!(again.as_second() - now().as_second(), 1);
    let told = message(&world(600).status(), types::READY);
    assert!(told.contains("job-name=scout-7"), "{told}");
}

#[test]
fn the_longest_run_is_the_specs_else_the_codes_else_the_settings_and_is_told() {
    for (spec, code, setting, told) in [
        (Some("10m"), Some(1200), Some(60), Some("10m")),
        (None, Some(1200), Some(60), Some("20m")),
        (None, None, Some(21_600), Some("6h")),
        (None, None, None, None),
    ] {
        let mut world = World::of_spec(&json!({"instructions": "one", "schedule": "0 9 * * *"}));
        if let Some(timeout) = spec {
            world.patch(&json!({"limits": {"timeout": timeout}}));
        }
        world.settings.run_timeout = setting;
        let constraints = code.map_or(json!({}), |seconds| json!({"timeoutSeconds": seconds}));
        world.store(&json!({"constraints": constraints}));
        assert_eq!(world.status().run_timeout.as_deref(), told);
    }
}

#[test]
fn a_run_that_never_started_ends_when_the_pods_that_are_wanted_change() {
    let cause = "container 'agent': the image 'x' cannot be pulled";
    let started = PodState {
        phase: "Running".into(),
        problem: Some(problem("crashes")),
        ..PodState::default()
    };
    let superseded = |world: &World| {
        let wanted = world.build().children.cron_jobs;
        let runs = run::superseded(&wanted, &world.observed, now());
        runs.iter().map(|run| run.name.clone()).collect::<Vec<_>>()
    };
    for (what, seconds, pods, is_ended) in [
        ("in trouble", 5, vec![waiting_pod(Some(cause))], true),
        ("young", 5, vec![waiting_pod(None)], false),
        ("silent for long", 600, vec![waiting_pod(None)], true),
        ("refused its pod", 30, vec![], true),
        ("no pod yet", 29, vec![], false),
        ("works", 7200, vec![working_pod()], false),
        ("started once", 7200, vec![pod("Job", started)], false),
    ] {
        let mut world = run_under_way(seconds, pods);
        let wanted = &world.build().children.cron_jobs[0];
        let made_from = wanted.spec.job_template.metadata.clone().unwrap();
        let mut job = (*world.observed.jobs[0]).clone();
        job.annotations = made_from.annotations.unwrap().into_iter().collect();
        job.controller = Some(Controller {
            kind: "CronJob".into(),
            name: "scout".into(),
            uid: world.observed.cron_jobs[0].uid.clone(),
        });
        world.observed.jobs = vec![Arc::new(job.clone())];
        assert!(superseded(&world).is_empty(), "{what}: nothing has changed");
        world.patch(&json!({"image": "corrected"}));
        let ended: &[&str] = if is_ended { &["scout-7"] } else { &[] };
        assert_eq!(superseded(&world), ended, "{what}");
        // Somebody else's Job with our label.
        job.controller = None;
        world.observed.jobs = vec![Arc::new(job)];
        assert!(superseded(&world).is_empty(), "{what}");
    }
}
