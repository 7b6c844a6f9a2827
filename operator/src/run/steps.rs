//! The steps of one reconcile: each is timed, and counted by how it ended.

use std::time::Instant;

use crate::{cache::kind::Kind, error::Stopped, run::metrics::Metrics};

/// What a reconcile does, in this order. A kind that has nothing to do in a step leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Fetches what the object refers to. Reads only.
    Dereference,
    /// Checks what the API server could not. Pure.
    Validate,
    /// Takes in the answer of a call that has ended.
    Record,
    /// Decides what is to be done. Pure.
    Decide,
    /// Decides whether that may be carried out. Reads only, and only where approval is in use.
    Approve,
    /// Builds the children as they should be. Pure.
    Build,
    /// Writes the children that differ, and removes those that are no longer wanted.
    Apply,
    /// Writes the status, if it changed.
    UpdateStatus,
    /// Publishes the events.
    Publish,
    /// What may begin only when all of that is written: the next call, the removal of old code.
    FollowUp,
}

impl Step {
    /// All of them, for documentation.
    pub(crate) const ALL: [Self; 10] = [
        Self::Dereference,
        Self::Validate,
        Self::Record,
        Self::Decide,
        Self::Approve,
        Self::Build,
        Self::Apply,
        Self::UpdateStatus,
        Self::Publish,
        Self::FollowUp,
    ];

    /// As metrics have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Dereference => "dereference",
            Self::Validate => "validate",
            Self::Record => "record",
            Self::Decide => "decide",
            Self::Approve => "approve",
            Self::Build => "build",
            Self::Apply => "apply",
            Self::UpdateStatus => "update_status",
            Self::Publish => "publish",
            Self::FollowUp => "follow_up",
        }
    }
}

/// Times the steps of one reconcile.
#[derive(Debug)]
pub(crate) struct Steps {
    metrics: Metrics,
    kind: Kind,
}

impl Steps {
    pub(crate) fn new(metrics: Metrics, kind: Kind) -> Self {
        Self { metrics, kind }
    }

    /// A step that asks or tells others.
    pub(crate) async fn run<T, E: Into<Stopped>>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Stopped> {
        let timer = self.start(step);
        let result = work.await.map_err(Into::into);
        timer.end(outcome(&result));
        result
    }

    /// A pure step that may stop the reconcile.
    pub(crate) fn check<T, E: Into<Stopped>>(
        &self,
        step: Step,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Stopped> {
        let timer = self.start(step);
        let result = work().map_err(Into::into);
        timer.end(outcome(&result));
        result
    }

    /// A pure step that cannot.
    pub(crate) fn compute<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        let timer = self.start(step);
        let result = work();
        timer.end("ok");
        result
    }

    /// A step that tells others and cannot stop the reconcile.
    pub(crate) async fn tell(&self, step: Step, work: impl Future<Output = ()>) {
        let timer = self.start(step);
        work.await;
        timer.end("ok");
    }

    fn start(&self, step: Step) -> Timer<'_> {
        Timer {
            steps: self,
            step,
            started: Instant::now(),
            outcome: "abandoned",
        }
    }
}

const fn outcome<T>(result: &Result<T, Stopped>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(Stopped::Blocked(_)) => "blocked",
        Err(Stopped::Failed(_)) => "failed",
    }
}

/// A step under way. One that is dropped before its end was abandoned: by a timeout, a panic or the
/// end of the process.
struct Timer<'a> {
    steps: &'a Steps,
    step: Step,
    started: Instant,
    outcome: &'static str,
}

impl Timer<'_> {
    fn end(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        let Steps { metrics, kind } = self.steps;
        metrics.stepped(
            *kind,
            self.step.as_str(),
            self.outcome,
            self.started.elapsed(),
        );
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use langop_api::condition::Reason;
    use langop_desired::conditions::Invalid;

    use super::*;
    use crate::{cache::tally::Tally, error::ReconcileError};

    #[tokio::test]
    async fn each_step_is_counted_by_how_it_ended() {
        let metrics = Metrics::new();
        let steps = Steps::new(metrics.clone(), Kind::Tool);
        let invalid = || Invalid {
            reason: Reason::InvalidSpec,
            message: "no".into(),
        };
        assert_eq!(steps.compute(Step::Build, || 7), 7);
        assert!(matches!(
            steps.check(Step::Validate, || Err::<(), _>(invalid())),
            Err(Stopped::Blocked(_))
        ));
        let failed = async { Err::<(), _>(ReconcileError::Changed("it".into())) };
        assert!(matches!(
            steps.run(Step::Apply, failed).await,
            Err(Stopped::Failed(_))
        ));
        let never = std::future::pending::<Result<(), Stopped>>();
        assert!(
            steps
                .run(Step::UpdateStatus, never)
                .now_or_never()
                .is_none()
        );
        let text = metrics.render(&Tally::default()).unwrap();
        for (step, outcome) in [
            ("build", "ok"),
            ("validate", "blocked"),
            ("apply", "failed"),
            ("update_status", "abandoned"),
        ] {
            let line = format!(
                "langop_reconcile_step_duration_seconds_count{{kind=\"LanguageTool\",step=\"{step}\",outcome=\"{outcome}\"}} 1"
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
