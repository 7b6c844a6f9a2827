//! What is said of an agent whose container crashes and is started again, over and over: the same,
//! and not once for each turn.

use k8s_openapi::jiff::SignedDuration;
use langop_api::{LanguageAgentStatus, condition::types};
use serde_json::json;

use super::{status::running, *};
use crate::{agent::status::due, conditions};

/// The agent, watched by an operator that writes each status that differs from the one before.
struct Watched {
    world: World,
    now: Timestamp,
    status: LanguageAgentStatus,
    writes: Vec<LanguageAgentStatus>,
}

impl Watched {
    fn new() -> Self {
        let world = running();
        Self {
            now: now(),
            status: world.status(),
            world,
            writes: vec![],
        }
    }

    fn look(&mut self) {
        let next = self.world.status_at(&self.status, None, self.now);
        self.world.info = next.synthesis_info.clone().unwrap_or_default();
        if next != self.status {
            self.status = next.clone();
            self.writes.push(next);
        }
    }

    /// Time passes; the operator looks when it meant to.
    fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(due) = due(&self.world.observed, self.now).filter(|due| *due <= end) {
            self.now = due;
            self.look();
        }
        self.now = end;
    }

    /// Pod and Deployment change; one is heard of before the other.
    fn hear(&mut self, pod: &Arc<Observed>, ready: i32, pod_first: bool) {
        for is_pod in [pod_first, !pod_first] {
            if is_pod {
                self.world.observed.pods = vec![pod.clone()];
            } else {
                self.world.observed.deployment = Some(deployment(ready));
            }
            self.look();
        }
    }

    /// One turn: it runs for so long, crashes, and is kept waiting for so long.
    fn turn(&mut self, restarts: i32, last: Option<&Value>, runs: i64, waits: i64) -> Value {
        let pod_first = restarts % 2 == 0;
        let started = self.now;
        self.hear(&runs_since(started, restarts, last), 1, pod_first);
        self.pass(runs);
        let end = json!({"exitCode": 3, "reason": "Error", "startedAt": started.to_string(), "finishedAt": self.now.to_string()});
        let ended = json!({"terminated": end});
        self.hear(&crashing(&ended, restarts, last), 0, pod_first);
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!("back-off {waits}s")}});
        self.hear(&crashing(&waiting, restarts, Some(&end)), 0, pod_first);
        self.pass(waits);
        end
    }

    fn ready(&self) -> (&str, &str) {
        let ready = conditions::find(&self.status.conditions, types::READY).unwrap();
        (&ready.status, &ready.message)
    }
}

fn live(ready: bool, state: &Value, restarts: i32, last: Option<&Value>) -> Arc<Observed> {
    let last = last.map_or_else(|| json!({}), |last| json!({"terminated": last}));
    let live = json!({
        "metadata": {"name": "scout-1", "namespace": "wood", "uid": "uid-pod", "creationTimestamp": "2026-03-01T11:59:00Z",
            "ownerReferences": [{"kind": "ReplicaSet", "name": "scout-7", "uid": "uid-rs", "controller": true}]},
        "spec": {"containers": [{"name": "agent"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": if ready {"True"} else {"False"}}],
            "containerStatuses": [{"name": "agent", "state": state, "restartCount": restarts, "lastState": last}],
        },
    });
    Arc::new(digest::reduce(ChildKind::Pod, live).unwrap())
}

fn runs_since(since: Timestamp, restarts: i32, last: Option<&Value>) -> Arc<Observed> {
    let state = json!({"running": {"startedAt": since.to_string()}});
    live(true, &state, restarts, last)
}

fn crashing(state: &Value, restarts: i32, last: Option<&Value>) -> Arc<Observed> {
    live(false, state, restarts, last)
}

#[test]
fn fifty_restarts_cost_the_writes_of_the_first_and_some_counts() {
    for runs in [0, 3, 40, 590] {
        let mut agent = Watched::new();
        let (mut last, mut begin) = (None, LanguageAgentStatus::default());
        for restarts in 0..50 {
            let waits = (10 << restarts.min(6)).min(300);
            last = Some(agent.turn(restarts, last.as_ref(), runs, waits));
            if restarts == 1 {
                begin = agent.status.clone();
                assert_eq!(
                    agent.ready(),
                    (
                        "False",
                        "0 of 1 pods are ready: container 'agent' keeps crashing (exit code 3, Error)"
                    )
                );
            }
        }
        assert_eq!(agent.status.conditions, begin.conditions, "runs {runs} s");
        assert_eq!(agent.status.ready_replicas, Some(0));
        let writes = agent.writes.len();
        assert!(writes <= 10, "runs {runs} s: {writes}: {:#?}", agent.writes);
        let after = agent.writes.iter().skip_while(|status| **status != begin);
        assert!(
            after
                .clone()
                .all(|status| status.conditions == begin.conditions),
            "runs {runs} s"
        );

        // It runs well at last.
        agent.hear(&runs_since(agent.now, 50, last.as_ref()), 1, true);
        assert_eq!(agent.ready().0, "False", "it is not trusted yet");
        agent.pass(600);
        assert_eq!(agent.ready(), ("True", "1 of 1 pods are ready"));
        assert_eq!(agent.status.execution_count, Some(50));
        assert_eq!(agent.status.failed_executions, Some(50));
        assert_eq!(agent.status.ready_replicas, Some(1));
    }
}

#[test]
fn one_end_after_a_long_run_is_over_when_the_container_runs_again() {
    let mut agent = Watched::new();
    let last = agent.turn(0, None, 3600, 1);
    assert_eq!(
        agent.ready(),
        (
            "False",
            "0 of 1 pods are ready: container 'agent' ended (exit code 3, Error)"
        )
    );
    agent.hear(&runs_since(agent.now, 1, Some(&last)), 1, true);
    assert_eq!(agent.ready().0, "True");
    assert_eq!(agent.status.execution_count, Some(1));
}

#[test]
fn what_is_not_counted_yet_is_counted_when_the_pod_ends() {
    let mut agent = Watched::new();
    let mut last = None;
    for restarts in 0..4 {
        last = Some(agent.turn(restarts, last.as_ref(), 1, 10));
    }
    assert_eq!(
        agent.status.execution_count,
        Some(2),
        "four when four are seen"
    );
    let mut pod = (*agent.world.observed.pods[0]).clone();
    pod.deleting = true;
    agent.hear(&Arc::new(pod), 0, true);
    assert_eq!(agent.status.execution_count, Some(3));
}
