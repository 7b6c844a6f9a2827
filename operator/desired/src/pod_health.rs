//! Which pods of a Deployment do not work, whatever its status counts: a container that crashes and
//! starts again in turns is ready for moments, and counting it then would make Ready come and go.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use crate::observed::{DeploymentState, Observed, ObservedState, PodState};

/// The troubles of a Deployment's pods at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodProblems<'a> {
    /// Pods that the Deployment counts, and should not.
    pods: i32,
    cause: Option<&'a str>,
}

impl<'a> PodProblems<'a> {
    /// Those of `pods` that count now. Pods of Jobs are none of a Deployment's.
    pub fn of(pods: &'a [Arc<Observed>], now: Timestamp) -> Self {
        let mut troubled: Vec<_> = pods
            .iter()
            .filter(|pod| !pod.deleting && is_of_deployment(pod))
            .filter_map(|pod| {
                let state = state(pod)?;
                Some((state.has_ended(), &pod.name, state.problem_at(now)?))
            })
            .collect();
        // Those that live first, then by name, so that the message does not move between equals.
        troubled.sort_unstable();
        let alive = troubled.iter().filter(|(has_ended, ..)| !has_ended);
        Self {
            pods: i32::try_from(alive.count()).unwrap_or(i32::MAX),
            cause: troubled.first().map(|(_, _, cause)| *cause),
        }
    }

    /// What is told: the trouble of one of the pods.
    pub fn cause(self) -> Option<&'a str> {
        self.cause
    }

    /// So many of the Deployment's pods, but none of those in trouble. The same through all turns
    /// of a crash loop, whichever of pod and Deployment is heard of first.
    pub fn without(self, state: &DeploymentState, count: i32) -> i32 {
        count.min(state.replicas.saturating_sub(self.pods)).max(0)
    }
}

/// When the troubles of pods are next to be looked at again although nothing is heard of them.
pub fn due(pods: &[Arc<Observed>], now: Timestamp) -> Option<Timestamp> {
    let problems = pods.iter().filter_map(|pod| state(pod)?.problem.as_ref());
    problems
        .flat_map(|problem| [problem.from, problem.until])
        .flatten()
        .filter(|time| *time > now)
        .min()
}

fn state(pod: &Observed) -> Option<&PodState> {
    match &pod.state {
        ObservedState::Pod(state) => Some(state),
        _ => None,
    }
}

fn is_of_deployment(pod: &Observed) -> bool {
    let controller = pod.controller.as_ref();
    controller.is_some_and(|controller| controller.kind == "ReplicaSet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conditions::Summary,
        observed::{ChildKind, CompactMap, Controller, PodProblem},
        workload::Rollout,
    };

    fn pod(name: &str, runner: &str, state: PodState) -> Arc<Observed> {
        Arc::new(Observed {
            kind: ChildKind::Pod,
            name: name.into(),
            namespace: "ns".into(),
            uid: name.into(),
            controller: Some(Controller {
                kind: runner.into(),
                name: "r".into(),
                uid: "r".into(),
            }),
            labels: CompactMap::default(),
            annotations: CompactMap::default(),
            created: String::new(),
            deleting: false,
            owned_digest: String::new(),
            state: ObservedState::Pod(Box::new(state)),
        })
    }

    fn crashed(cause: &str, until: i64) -> PodState {
        PodState {
            phase: "Running".into(),
            ready: true,
            problem: Some(PodProblem {
                cause: cause.into(),
                from: None,
                until: Some(at(until)),
            }),
            ..PodState::default()
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn three_pods(ready: i32) -> Observed {
        let state = DeploymentState {
            desired: 3,
            replicas: 3,
            updated: 3,
            ready,
            ..DeploymentState::default()
        };
        Observed {
            kind: ChildKind::Deployment,
            state: ObservedState::Deployment(state),
            ..(*pod("d", "LanguageTool", PodState::default())).clone()
        }
    }

    #[test]
    fn a_pod_in_trouble_is_not_ready_whatever_its_deployment_says() {
        let pods = [pod("p", "ReplicaSet", crashed("it crashes", 20))];
        for ready in [3, 2] {
            let live = three_pods(ready);
            let rollout = Rollout {
                deployment: Some(&live),
                pods: &pods,
            };
            let Summary::Progressing(_, message) = rollout.summary(at(19)) else {
                panic!("{:?}", rollout.summary(at(19)))
            };
            assert_eq!(message, "2 of 3 pods are ready: it crashes");
            assert_eq!(rollout.ready_replicas(at(19)), Some(2));
            assert_eq!(rollout.due(at(19)), Some(at(20)));
        }
        let live = three_pods(3);
        let rollout = Rollout {
            deployment: Some(&live),
            pods: &pods,
        };
        assert!(matches!(rollout.summary(at(20)), Summary::Ready(..)));
        assert_eq!(rollout.ready_replicas(at(20)), Some(3));
        assert_eq!(rollout.due(at(20)), None);
    }

    #[test]
    fn only_pods_that_a_deployment_counts_are_taken_from_its_count() {
        let ended = PodState {
            phase: "Failed".into(),
            ..crashed("evicted", 20)
        };
        let leaving = Arc::new(Observed {
            deleting: true,
            ..(*pod("b", "ReplicaSet", crashed("leaves", 20))).clone()
        });
        let pods = [
            pod("a", "ReplicaSet", ended),
            leaving,
            pod("c", "Job", crashed("runs", 20)),
        ];
        let problems = PodProblems::of(&pods, at(0));
        assert_eq!((problems.pods, problems.cause()), (0, Some("evicted")));
        let alive = [
            pod("z", "ReplicaSet", crashed("crashes", 20)),
            pods[0].clone(),
        ];
        assert_eq!(PodProblems::of(&alive, at(0)).cause(), Some("crashes"));
    }
}
