//! Runs the reconciles of one kind: bounded concurrency, never two of one object at once, each in a
//! task of its own (a panic harms only its object), timed, counted, and repeated after a pause when
//! it fails.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    StreamExt as _,
    stream::{self, FuturesUnordered},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::{
    Resource as _, ResourceExt as _,
    core::error_boundary::InvalidObject,
    runtime::scheduler::{ScheduleRequest, scheduler},
};
use langop_api::condition::Reason;
use langop_desired::{
    children::{Children, Prepared},
    conditions::Summary,
    meta::owner_of,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{Instrument as _, field::Empty};

use crate::{
    cache::{
        objects::{Guard, Stored},
        triggers::{Target, Trigger},
    },
    context::Context,
    error::{ReconcileError, Stopped, chain},
    run::{
        backoff,
        outcome::{Done, Outcome},
        steps::Steps,
        undecodable,
    },
    write::effects::Effects,
};

/// Longest time of one reconcile; the client's own retries take up to 160 s.
const TIMEOUT: Duration = Duration::from_mins(3);
/// A failure that lasts this long is reported in the conditions: the pauses up to then are short,
/// so it is reported within a minute.
const REPORT_AFTER: Duration = Duration::from_secs(15);
/// Everything is reconciled again after a time between these, as a safety net.
const RESYNC_PERIOD: (Duration, Duration) = (Duration::from_mins(30), Duration::from_hours(1));

/// A kind that is reconciled.
pub(crate) trait Reconciled: Stored {
    /// Makes one object what its spec says, as far as that can be done now: dereference → validate
    /// → record → decide → build → apply → update status → publish.
    fn reconcile(
        self: Arc<Self>,
        ctx: &Arc<Context>,
        steps: &Steps,
        effects: &mut Effects,
    ) -> impl Future<Output = Result<Done, Stopped>> + Send;

    /// Its status if this is all that is newly known of it; `None` if that cannot be.
    fn interrupted(&self, _ctx: &Context, _standing: Summary) -> Option<Self::Status> {
        None
    }

    /// Its status where this keeps a reconcile from going on.
    fn blocked(&self, ctx: &Context, summary: Summary) -> Option<Self::Status> {
        self.interrupted(ctx, summary)
    }

    /// What is done for one that cannot be read, by its metadata alone, before its status says so.
    fn unreadable(
        _ctx: &Arc<Context>,
        _object: &ObjectMeta,
        _effects: &mut Effects,
    ) -> impl Future<Output = Result<(), Stopped>> + Send {
        std::future::ready(Ok(()))
    }

    /// When to look again although nothing is heard of it.
    fn due(&self, _ctx: &Context) -> Option<Timestamp> {
        None
    }

    /// Those of its children that are still kept in order, where they exist, while it is being
    /// deleted and cannot go.
    fn closing(
        &self,
        _ctx: &Context,
    ) -> impl Future<Output = Result<Children<Prepared>, ReconcileError>> + Send {
        std::future::ready(Ok(Children::default()))
    }
}

/// Runs until stopped, and lets reconciles in progress end.
///
/// The scheduler is that of `kube::runtime`; its controller is not used, since that keeps several
/// names for each object and wants the objects in its own store.
pub(crate) async fn run<K: Reconciled>(
    ctx: Arc<Context>,
    queue: UnboundedReceiver<Trigger>,
    stop: CancellationToken,
) {
    let (again, later) = unbounded_channel();
    let triggered = UnboundedReceiverStream::new(queue);
    let triggered = triggered.map(|Trigger { target, pause }| due(target, pause));
    let requests = stream::select(triggered, UnboundedReceiverStream::new(later));
    let mut scheduler = pin!(scheduler(requests.take_until(stop.cancelled_owned())));
    let most = usize::from(ctx.settings.reconcile_concurrency);
    let mut running = FuturesUnordered::new();
    let mut busy = HashSet::new();
    loop {
        let next = poll_fn(|cx| {
            let scheduler = scheduler.as_mut();
            if busy.len() < most {
                let mut free = scheduler.hold_unless(|target| !busy.contains(target));
                free.poll_next_unpin(cx)
            } else {
                // What comes meanwhile is taken in, and twice is once.
                scheduler.hold().poll_next_unpin(cx)
            }
        });
        tokio::select! {
            Some((target, pause)) = running.next() => {
                busy.remove(&target);
                if let Some(pause) = pause {
                    // The receiver lives as long as this.
                    let _ = again.send(due(target, pause));
                }
            }
            next = next => {
                let Some(target) = next else { break };
                busy.insert(target.clone());
                running.push(look_and_tell::<K>(&ctx, target));
            }
        }
    }
    running.for_each(|_| std::future::ready(())).await;
}

fn due(message: Arc<Target>, pause: Duration) -> ScheduleRequest<Arc<Target>> {
    ScheduleRequest {
        message,
        run_at: tokio::time::Instant::now() + pause,
    }
}

/// As [`look`]; tells of the end of the first pass, which is how long a restart took.
async fn look_and_tell<K: Reconciled>(
    ctx: &Arc<Context>,
    target: Arc<Target>,
) -> (Arc<Target>, Option<Duration>) {
    let seen = look::<K>(ctx, target).await;
    if ctx.cache.triggers.end(&seen.0) {
        tracing::info!("every object was looked at");
    }
    seen
}

/// Reconciles what there is of that name, and says when to do so again. `None`: it is gone.
async fn look<K: Reconciled>(
    ctx: &Arc<Context>,
    target: Arc<Target>,
) -> (Arc<Target>, Option<Duration>) {
    let waited = ctx.cache.triggers.begin(&target);
    let objects = K::objects(&ctx.cache.stores);
    let Some(object) = objects.get(target.namespace.as_deref(), &target.name) else {
        return (target, None);
    };
    if let Some(waited) = waited {
        ctx.metrics.waited(K::KIND, waited);
    }
    let uid = object.uid();
    let pause = instrumented(object, ctx, &target).await;
    // It may have been deleted, and forgotten, before this recorded its back-off.
    if !objects.holds(&target, uid.as_deref()) {
        ctx.forget(&target, uid.as_deref());
    }
    (target, Some(pause))
}

/// Reconciles an object, and says when to do so again.
async fn instrumented<K: Reconciled>(
    object: Arc<Guard<K>>,
    ctx: &Arc<Context>,
    target: &Target,
) -> Duration {
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
        reconcile_one(object, ctx.clone()).instrument(span.clone()),
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
            ctx.error_backoff.forget(target);
            pause_after(done, target.clone(), ctx)
        }
        Err(error) => {
            span.in_scope(
                || tracing::warn!(error = %chain(&error), "reconcile failed; trying again"),
            );
            if ctx.error_backoff.failing_for(target) >= REPORT_AFTER {
                report_failure::<K>(ctx, target, &error)
                    .instrument(span)
                    .await;
            }
            ctx.error_backoff.next_pause(target.clone())
        }
    }
}

/// Reports in the conditions what keeps the object from progress. The next reconcile that succeeds
/// replaces it.
async fn report_failure<K: Reconciled>(ctx: &Context, target: &Target, error: &ReconcileError) {
    let held = K::objects(&ctx.cache.stores).get(target.namespace.as_deref(), &target.name);
    let Some(object) = held.as_ref().and_then(|held| held.0.as_ref().ok()) else {
        return;
    };
    let summary = Summary::Failed(Reason::ApplyFailed, error.message());
    let Some(next) = object.interrupted(ctx, summary) else {
        return;
    };
    let mut effects = Effects::default();
    if let Err(error) = ctx.writer.write_status(object, &next, &mut effects).await {
        tracing::warn!(error = %chain(&error), "the failure cannot be written to the status");
    }
    let about = object.object_ref(&());
    ctx.events.publish(&about, effects.events).await;
}

/// The shortest of all reasons to look again.
fn pause_after(done: Done, target: Target, ctx: &Context) -> Duration {
    let net = backoff::between(RESYNC_PERIOD.0, RESYNC_PERIOD.1);
    let asked = done.requeue_after.map_or(net, |asked| asked.min(net));
    if done.with_backoff {
        return ctx.rejection_backoff.next_pause(target).min(asked);
    }
    ctx.rejection_backoff.forget(&target);
    asked
}

/// One reconcile, and what is left to be published however it ended.
async fn reconcile_one<K: Reconciled>(
    object: Arc<Guard<K>>,
    ctx: Arc<Context>,
) -> Result<Done, ReconcileError> {
    let mut effects = Effects::default();
    let about = object.object_ref(&());
    let result = attempt(object, &ctx, &mut effects).await;
    ctx.events.publish(&about, effects.events).await;
    result
}

async fn attempt<K: Reconciled>(
    object: Arc<Guard<K>>,
    ctx: &Arc<Context>,
    effects: &mut Effects,
) -> Result<Done, ReconcileError> {
    if object.meta().deletion_timestamp.is_some() {
        return wind_down(&object, ctx).await;
    }
    let readable = match Arc::unwrap_or_clone(object).0 {
        Ok(readable) => Arc::new(readable),
        Err(invalid) => return unreadable::<K>(ctx, &invalid, effects).await,
    };
    let steps = Steps::new(ctx.metrics.clone(), K::KIND);
    match readable.clone().reconcile(ctx, &steps, effects).await {
        Ok(done) => Ok(done),
        Err(Stopped::Failed(error)) => Err(error),
        Err(Stopped::Blocked(summary)) => {
            if let Some(status) = readable.blocked(ctx, summary.clone()) {
                ctx.writer
                    .write_status(&*readable, &status, effects)
                    .await?;
            }
            let done = Done::of(effects.changed, Some(&summary));
            Ok(done.requeue_at(readable.due(ctx)))
        }
    }
}

/// Told however what is done for it ends.
async fn unreadable<K: Reconciled>(
    ctx: &Arc<Context>,
    invalid: &InvalidObject,
    effects: &mut Effects,
) -> Result<Done, ReconcileError> {
    let acted = K::unreadable(ctx, &invalid.metadata, effects).await;
    let done = undecodable::report::<K>(ctx, invalid, effects).await?;
    match acted {
        Err(Stopped::Failed(error)) => Err(error),
        Ok(()) | Err(Stopped::Blocked(_)) => Ok(done),
    }
}

/// The garbage collector's own finalizers: it is about to delete the children, or to orphan them as
/// requested.
const COLLECTOR_FINALIZERS: [&str; 2] = ["foregroundDeletion", "orphan"];

/// Owner references do the rest, unless a foreign finalizer holds the object: then its children
/// must not outlive their reasons.
async fn wind_down<K: Reconciled>(
    object: &Guard<K>,
    ctx: &Context,
) -> Result<Done, ReconcileError> {
    let finalizers = object.finalizers();
    let is_held = finalizers
        .iter()
        .any(|finalizer| !COLLECTOR_FINALIZERS.contains(&finalizer.as_str()));
    let is_orphaning = finalizers.iter().any(|finalizer| finalizer == "orphan");
    let Some(owner) = owner_of(object).filter(|_| is_held && !is_orphaning) else {
        return Ok(Outcome::Unchanged.into());
    };
    let closing = match &object.0 {
        Ok(readable) => readable.closing(ctx).await?,
        Err(_) => Children::default(),
    };
    Ok(if ctx.writer.wind_down(&owner, &closing).await? {
        Outcome::Changed.into()
    } else {
        Outcome::Unchanged.into()
    })
}
