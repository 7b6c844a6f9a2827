//! Conditions: merged with the previous ones, so that a time changes only when a status flips, and
//! the summary that kstatus reads.
//!
//! Source of the rules: Kubernetes API conventions, "Typical status properties"; kstatus:
//! `Reconciling` and `Stalled` are present only while True. Messages carry no times and no counters
//! that move without cause: an equal state gives equal conditions, hence no write.

use std::collections::BTreeMap;

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use langop_api::{
    bounds::clip,
    condition::{MAX_MESSAGE, Reason, types},
    model::ServicePhase,
};

use crate::{observed::DeploymentState, pod_health::PodProblems};

/// The status of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the three values of the API conventions")]
pub enum Status {
    True,
    False,
    Unknown,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// How a resource is doing, from which Ready, Reconciling and Stalled follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// As the spec says.
    Ready(Reason, String),
    /// On the way.
    Progressing(Reason, String),
    /// Nothing will happen until somebody acts.
    Stalled(Reason, String),
    /// Went wrong, and is tried again.
    Failed(Reason, String),
}

/// A spec that cannot be carried out: nothing is built from it until it changes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Invalid {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people, and what to write instead.
    pub message: String,
}

impl Invalid {
    /// A problem of the spec itself.
    pub fn spec(message: impl Into<String>) -> Self {
        Self {
            reason: Reason::InvalidSpec,
            message: message.into(),
        }
    }
}

impl From<Invalid> for Summary {
    fn from(invalid: Invalid) -> Self {
        Self::Stalled(invalid.reason, invalid.message)
    }
}

/// The conditions of one resource in the making.
#[derive(Clone, Debug)]
pub struct Conditions {
    previous: BTreeMap<String, Condition>,
    generation: i64,
    now: Timestamp,
    next: BTreeMap<String, Condition>,
}

impl Conditions {
    /// Begins from the conditions in the status so far. Those not set or kept again are gone in the
    /// result.
    pub fn new(previous: &[Condition], generation: i64, now: Timestamp) -> Self {
        let previous = previous
            .iter()
            .map(|condition| (condition.type_.clone(), condition.clone()))
            .collect();
        Self {
            previous,
            generation,
            now,
            next: BTreeMap::new(),
        }
    }

    /// Sets a condition. Its time stays unless its status flips.
    pub fn set(&mut self, type_: &str, status: Status, reason: Reason, message: impl Into<String>) {
        let since = match self.previous.get(type_) {
            Some(condition) if condition.status == status.as_str() => {
                condition.last_transition_time.clone()
            }
            _ => Time(self.now),
        };
        // Parts of it may be words of others.
        let mut message = langop_dsl::clean(&message.into());
        clip(&mut message, MAX_MESSAGE);
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.as_str().to_owned(),
            reason: reason.as_str().to_owned(),
            message,
            observed_generation: Some(self.generation),
            last_transition_time: since,
        };
        self.next.insert(type_.to_owned(), condition);
    }

    /// Keeps a condition as it was, where nothing new is known of it.
    pub fn keep(&mut self, type_: &str) {
        if let Some(condition) = self.previous.get(type_) {
            self.next.insert(type_.to_owned(), condition.clone());
        }
    }

    /// Sets Ready, Reconciling and Stalled.
    pub fn summary(&mut self, summary: Summary) {
        let (also, reason, message) = match summary {
            Summary::Ready(reason, message) => {
                return self.set(types::READY, Status::True, reason, message);
            }
            Summary::Stalled(reason, message) => (types::STALLED, reason, message),
            Summary::Progressing(reason, message) | Summary::Failed(reason, message) => {
                (types::RECONCILING, reason, message)
            }
        };
        self.set(types::READY, Status::False, reason, message.clone());
        self.set(also, Status::True, reason, message);
    }

    /// The conditions, sorted by type.
    pub fn finish(self) -> Vec<Condition> {
        self.next.into_values().collect()
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is True.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == Status::True.as_str())
}

/// How it stands beside this remark, which stops nothing: what is otherwise as the spec says is
/// not, quite.
pub(crate) fn with_warning(summary: Summary, warning: Option<&Invalid>) -> Summary {
    match (summary, warning) {
        (Summary::Ready(..), Some(warning)) => warning.clone().into(),
        (summary, _) => summary,
    }
}

/// The conditions of a resource that stands like this, of which nothing else is newly known.
pub fn interrupted(
    previous: &[Condition],
    generation: i64,
    summary: Summary,
    now: Timestamp,
) -> Vec<Condition> {
    let mut next = Conditions::new(previous, generation, now);
    let others = previous.iter().filter(|condition| {
        ![types::READY, types::RECONCILING, types::STALLED].contains(&condition.type_.as_str())
    });
    for condition in others {
        next.keep(&condition.type_);
    }
    next.summary(summary);
    next.finish()
}

/// The phase of a model, tool or client.
pub fn service_phase(conditions: &[Condition]) -> ServicePhase {
    let stalled = find(conditions, types::STALLED);
    if is_true(conditions, types::READY) {
        ServicePhase::Running
    } else if stalled.is_some_and(|stalled| stalled.reason == Reason::EgressDenied.as_str()) {
        // It runs without what it may not reach.
        ServicePhase::Running
    } else if stalled.is_some() {
        ServicePhase::Failed
    } else {
        ServicePhase::Pending
    }
}

/// How a Deployment's rollout stands, as its own status tells, but that pods in trouble do not
/// count as ready.
///
/// Source of the checks: `kubectl rollout status`, but for pods that are ready and not yet for
/// `minReadySeconds`: those of a rollout keep the old ones running, and of a first one there is
/// nothing to wait for.
pub fn rollout(deployment: Option<&DeploymentState>, problems: PodProblems<'_>) -> Summary {
    let progressing = |message: String| Summary::Progressing(Reason::RolloutInProgress, message);
    let Some(state) = deployment else {
        return progressing("the Deployment is not observed yet".into());
    };
    if state.paused {
        return progressing(PAUSED.into());
    }
    if state.observed_generation < state.generation {
        return progressing("the Deployment controller has not observed the latest change".into());
    }
    if let Some(cause) = &state.replica_failure {
        return Summary::Stalled(
            Reason::PodsRefused,
            format!("pods cannot be created: {cause}"),
        );
    }
    let Some(lack) = lack(state, problems) else {
        return Summary::Ready(
            Reason::AsDesired,
            format!("{} of {} pods are ready", state.ready, state.desired),
        );
    };
    let message = match problems.cause() {
        Some(cause) => format!("{lack}: {cause}"),
        None => lack,
    };
    match &state.stuck {
        Some(cause) => Summary::Stalled(Reason::RolloutStuck, format!("{message} ({cause})")),
        None => progressing(message),
    }
}

/// Why a paused Deployment waits, for as long as somebody keeps us from going on with it.
pub const PAUSED: &str = "the Deployment is paused: go on with `kubectl rollout resume`";

/// What the rollout still lacks.
fn lack(state: &DeploymentState, problems: PodProblems<'_>) -> Option<String> {
    let DeploymentState {
        desired,
        updated,
        replicas,
        ..
    } = state;
    let ready = &problems.without(state, state.ready);
    if updated < desired {
        Some(format!("{updated} of {desired} pods are up to date"))
    } else if replicas > updated {
        Some(format!("{} old pods still run", replicas - updated))
    } else if ready < desired {
        Some(format!("{ready} of {desired} pods are ready"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(
        previous: &[Condition],
        generation: i64,
        now: i64,
        summary: Summary,
    ) -> Vec<Condition> {
        let mut conditions = Conditions::new(previous, generation, at(now));
        conditions.summary(summary);
        conditions.finish()
    }

    fn shape(conditions: &[Condition]) -> Vec<(&str, &str, i64)> {
        conditions
            .iter()
            .map(|c| {
                (
                    c.type_.as_str(),
                    c.status.as_str(),
                    c.last_transition_time.0.as_second(),
                )
            })
            .collect()
    }

    #[test]
    fn the_summary_keeps_to_kstatus_and_times_move_only_with_the_status() {
        let reason = Reason::RolloutInProgress;
        let first = after(&[], 1, 10, Summary::Progressing(reason, "a".into()));
        assert_eq!(
            shape(&first),
            [("Ready", "False", 10), ("Reconciling", "True", 10)]
        );
        let second = after(
            &first,
            2,
            20,
            Summary::Failed(Reason::ApplyFailed, "b".into()),
        );
        assert_eq!(
            shape(&second),
            [("Ready", "False", 10), ("Reconciling", "True", 10)]
        );
        assert_eq!(second[0].observed_generation, Some(2));
        let third = after(
            &second,
            2,
            30,
            Summary::Stalled(Reason::InvalidSpec, "c".into()),
        );
        assert_eq!(
            shape(&third),
            [("Ready", "False", 10), ("Stalled", "True", 30)]
        );
        let ready = after(&third, 2, 40, Summary::Ready(Reason::AsDesired, "d".into()));
        assert_eq!(shape(&ready), [("Ready", "True", 40)]);
        assert_eq!(
            after(&ready, 2, 50, Summary::Ready(Reason::AsDesired, "d".into())),
            ready
        );
    }

    #[test]
    fn a_kept_condition_is_untouched() {
        let previous = after(&[], 1, 10, Summary::Ready(Reason::AsDesired, "d".into()));
        let mut conditions = Conditions::new(&previous, 2, at(20));
        conditions.keep(types::READY);
        conditions.keep(types::STALLED);
        assert_eq!(conditions.finish(), previous);
    }

    #[test]
    fn long_messages_are_cut_between_characters() {
        let message = |text| {
            let conditions = after(&[], 1, 10, Summary::Ready(Reason::AsDesired, text));
            conditions[0].message.clone()
        };
        for text in ["ä".repeat(2000), "x".repeat(MAX_MESSAGE + 1)] {
            let cut = message(text);
            assert!(cut.len() <= MAX_MESSAGE && cut.len() > MAX_MESSAGE - 8 && cut.ends_with('…'));
        }
        assert_eq!(message("x".repeat(MAX_MESSAGE)).len(), MAX_MESSAGE);
        assert_eq!(message("a\u{202e}b\r\n".to_owned()), "a b  ", "cleaned");
    }

    #[test]
    fn phases_follow_from_conditions() {
        let phase = |summary| service_phase(&after(&[], 1, 1, summary));
        assert_eq!(
            phase(Summary::Ready(Reason::AsDesired, String::new())),
            ServicePhase::Running
        );
        assert_eq!(
            phase(Summary::Progressing(
                Reason::RolloutInProgress,
                String::new()
            )),
            ServicePhase::Pending
        );
        assert_eq!(
            phase(Summary::Failed(Reason::ApplyFailed, String::new())),
            ServicePhase::Pending
        );
        assert_eq!(
            phase(Summary::Stalled(Reason::NameConflict, String::new())),
            ServicePhase::Failed
        );
        assert_eq!(service_phase(&[]), ServicePhase::Pending);
    }

    #[test]
    fn a_rollout_stands_as_its_deployment_says() {
        let done = DeploymentState {
            generation: 2,
            observed_generation: 2,
            desired: 2,
            replicas: 2,
            updated: 2,
            ready: 2,
            ..DeploymentState::default()
        };
        let stands = |state: &DeploymentState| match rollout(Some(state), PodProblems::default()) {
            Summary::Ready(_, message) => format!("ready: {message}"),
            Summary::Progressing(_, message) => format!("progressing: {message}"),
            Summary::Stalled(reason, message) => format!("stalled {reason}: {message}"),
            Summary::Failed(..) => panic!("a rollout is not retried by us"),
        };
        for (state, expected) in [
            (done.clone(), "ready: 2 of 2 pods are ready"),
            (
                DeploymentState {
                    paused: true,
                    updated: 0,
                    ..done.clone()
                },
                "progressing: the Deployment is paused: go on with `kubectl rollout resume`",
            ),
            (
                DeploymentState {
                    desired: 0,
                    replicas: 0,
                    updated: 0,
                    ready: 0,
                    ..done.clone()
                },
                "ready: 0 of 0 pods are ready",
            ),
            (
                DeploymentState {
                    observed_generation: 1,
                    ..done.clone()
                },
                "progressing: the Deployment controller has not observed the latest change",
            ),
            (
                DeploymentState {
                    updated: 1,
                    ..done.clone()
                },
                "progressing: 1 of 2 pods are up to date",
            ),
            (
                DeploymentState {
                    replicas: 3,
                    ..done.clone()
                },
                "progressing: 1 old pods still run",
            ),
            (
                DeploymentState {
                    ready: 1,
                    ..done.clone()
                },
                "progressing: 1 of 2 pods are ready",
            ),
            (
                DeploymentState {
                    replica_failure: Some("exceeded quota: langop-quota".into()),
                    updated: 1,
                    ..done.clone()
                },
                "stalled PodsRefused: pods cannot be created: exceeded quota: langop-quota",
            ),
            (
                DeploymentState {
                    stuck: Some("timed out".into()),
                    ready: 0,
                    ..done.clone()
                },
                "stalled RolloutStuck: 0 of 2 pods are ready (timed out)",
            ),
        ] {
            assert_eq!(stands(&state), expected);
        }
    }
}
