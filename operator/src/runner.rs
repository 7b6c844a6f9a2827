//! Runs the reconciles of one kind: bounded concurrency, never two of one object at once, each in a task of its own (a panic harms
//! only its object), timed, counted, and repeated after a pause when it fails.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use kube::{
    Resource as _, ResourceExt as _,
    runtime::{
        controller::{self, Action},
        reflector::ObjectRef,
    },
};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{Instrument as _, field::Empty};

use crate::{
    backoff,
    context::Context,
    error::{ReconcileError, chain},
    objects::{Guard, Stored, object_ref},
    triggers::{self, Target},
    undecodable,
};

/// Longest time of one reconcile; the client's own retries take up to 160 s.
const TIMEOUT: Duration = Duration::from_mins(3);
/// The safety net: everything is looked at again after a time between these.
const AGAIN: (Duration, Duration) = (Duration::from_mins(30), Duration::from_hours(1));

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was to be done.
    Unchanged,
    /// Something was written.
    Changed,
    /// Something outside must happen first.
    Waiting,
    /// Somebody must act.
    Stalled,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Waiting => "waiting",
            Self::Stalled => "stalled",
        }
    }
}

/// What a reconcile says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// When to look again though nothing triggers it; `None`: the safety net suffices.
    pub(crate) again: Option<Duration>,
    /// Whether to look again after pauses that grow with each look that ends so.
    now_and_then: bool,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            again: None,
            now_and_then: false,
        }
    }
}

impl Done {
    /// What ends this is not announced to us.
    pub(crate) fn again_now_and_then(self) -> Self {
        Self {
            now_and_then: true,
            ..self
        }
    }

    pub(crate) fn again_in(self, pause: Duration) -> Self {
        Self {
            again: Some(self.again.map_or(pause, |again| again.min(pause))),
            ..self
        }
    }
}

/// A kind that is reconciled.
pub(crate) trait Reconciled: Stored {
    /// Makes one object what its spec says, as far as that can be done now.
    fn reconcile(
        self: Arc<Self>,
        ctx: Arc<Context>,
    ) -> impl Future<Output = Result<Done, ReconcileError>> + Send;
}

/// Runs until told to stop, and lets reconciles under way end.
pub(crate) async fn run<K: Reconciled>(
    ctx: Arc<Context>,
    queue: UnboundedReceiver<Target>,
    stop: CancellationToken,
) {
    let queue = UnboundedReceiverStream::new(queue)
        .take_until(stop.cancelled_owned())
        .map(|target| {
            Ok::<ObjectRef<Guard<K>>, std::convert::Infallible>(object_ref(
                target.namespace.as_deref(),
                &target.name,
            ))
        });
    let config = controller::Config::default().concurrency(ctx.settings.reconcile_concurrency);
    let store = K::objects(&ctx.stores).reader();
    controller::applier(
        |object, ctx| Box::pin(observed(object, ctx)),
        pause,
        ctx,
        store,
        queue,
        config,
    )
    .for_each(|_| std::future::ready(()))
    .await;
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature of an error policy"
)]
fn pause<K: Reconciled>(object: Arc<Guard<K>>, _: &ReconcileError, ctx: Arc<Context>) -> Action {
    let pause = ctx.failing.again(triggers::target_of(&*object));
    forget_if_gone(&object, &ctx);
    Action::requeue(pause)
}

/// An object that went away during its reconcile was forgotten before the reconcile noted its last about it.
fn forget_if_gone<K: Reconciled>(object: &Guard<K>, ctx: &Context) {
    let target = triggers::target_of(object);
    let held = K::objects(&ctx.stores).get(target.namespace.as_deref(), &target.name);
    if held.is_none_or(|held| held.uid() != object.uid()) {
        ctx.forget(&target, object.uid().as_deref());
    }
}

async fn observed<K: Reconciled>(
    object: Arc<Guard<K>>,
    ctx: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let target = triggers::target_of(&*object);
    // A root of its own: what triggered a reconcile did not call it.
    let span = tracing::info_span!(
        parent: None, "reconcile",
        kind = K::KIND.as_str(),
        namespace = target.namespace.as_deref().unwrap_or_default(),
        name = target.name.as_str(),
        generation = object.meta().generation.unwrap_or_default(),
        outcome = Empty,
    );
    let started = Instant::now();
    let task = AbortOnDropHandle::new(tokio::spawn(
        one(object.clone(), ctx.clone()).instrument(span.clone()),
    ));
    let result = match tokio::time::timeout(TIMEOUT, task).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(ReconcileError::Panicked(error.to_string())),
        Err(_) => Err(ReconcileError::TimedOut(TIMEOUT)),
    };
    let outcome = match &result {
        Ok(done) => done.outcome.as_str(),
        Err(ReconcileError::TimedOut(_)) => "timeout",
        Err(_) => "failed",
    };
    span.record("outcome", outcome);
    ctx.metrics.reconciled(K::KIND, outcome, started.elapsed());
    match result {
        Ok(done) => {
            ctx.failing.forget(&target);
            let pause = pause_after(done, target, &ctx);
            forget_if_gone(&object, &ctx);
            Ok(Action::requeue(pause))
        }
        Err(error) => {
            let _in_span = span.enter();
            tracing::warn!(error = %chain(&error), "reconcile failed; trying again");
            Err(error)
        }
    }
}

/// The shortest of all reasons to look again.
fn pause_after(done: Done, target: Target, ctx: &Context) -> Duration {
    let net = backoff::between(AGAIN.0, AGAIN.1);
    let asked = done.again.map_or(net, |again| again.min(net));
    if done.now_and_then {
        return ctx.refused.again(target).min(asked);
    }
    ctx.refused.forget(&target);
    asked
}

async fn one<K: Reconciled>(
    object: Arc<Guard<K>>,
    ctx: Arc<Context>,
) -> Result<Done, ReconcileError> {
    if object.meta().deletion_timestamp.is_some() {
        // Owner references do the rest.
        return Ok(Outcome::Unchanged.into());
    }
    match &object.0 {
        Ok(readable) => Arc::new(readable.clone()).reconcile(ctx).await,
        Err(invalid) => undecodable::report::<K>(&ctx, invalid).await,
    }
}
