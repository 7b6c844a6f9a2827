//! The queues of objects that are to be reconciled, one for each kind. Who gets into them is said
//! by [`crate::cache::affected`].

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{Resource, ResourceExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::cache::kind::{Kind, LangopKind};

/// A resource to be reconciled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

impl Target {
    /// What an object itself is to the queues.
    pub(crate) fn of<K: LangopKind>(object: &impl Resource) -> Self {
        Self::new(
            K::KIND,
            object.meta().namespace.as_deref(),
            &object.name_any(),
        )
    }

    pub(crate) fn new(kind: Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }
}

/// A resource in a queue, and how long it may wait there for more that is like what enqueued it.
#[derive(Debug)]
pub(crate) struct Trigger {
    pub(crate) target: Arc<Target>,
    pub(crate) pause: Duration,
}

/// How long news of how a child gets on waits for more: a rollout is several changes within
/// moments, of which the last one counts.
const MOMENT: Duration = Duration::from_millis(100);

/// The receiving ends of the queues, in the order of [`Kind::ALL`].
pub(crate) type Queues = [UnboundedReceiver<Trigger>; Kind::ALL.len()];

/// The queues of all kinds. Closed until [`Triggers::open`]: before that the picture is incomplete,
/// and after it everything is reconciled once anyway.
#[derive(Debug)]
pub(crate) struct Triggers {
    senders: [UnboundedSender<Trigger>; Kind::ALL.len()],
    open: AtomicBool,
    /// Since when those wait whose reconcile has not begun. The queues themselves say nothing of
    /// that: whoever reads them drops duplicates and holds back what is being reconciled.
    waiting: Mutex<HashMap<Arc<Target>, Instant>>,
    /// Those of the first pass, through all that was there when the picture was complete, whose
    /// reconcile has not ended.
    first: Mutex<HashSet<Arc<Target>>>,
}

impl Triggers {
    pub(crate) fn new() -> (Self, Queues) {
        let pairs: [_; Kind::ALL.len()] = std::array::from_fn(|_| unbounded_channel());
        let senders = std::array::from_fn(|i| pairs[i].0.clone());
        (
            Self {
                senders,
                open: AtomicBool::new(false),
                waiting: Mutex::default(),
                first: Mutex::default(),
            },
            pairs.map(|(_, receiver)| receiver),
        )
    }

    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    pub(crate) fn send(&self, target: Target) {
        self.send_after(Duration::ZERO, target);
    }

    pub(crate) fn send_all(&self, targets: impl IntoIterator<Item = Target>) {
        targets.into_iter().for_each(|target| self.send(target));
    }

    /// Those of a child of which only its state has changed.
    pub(crate) fn send_in_a_moment(&self, targets: impl IntoIterator<Item = Target>) {
        let targets = targets.into_iter();
        targets.for_each(|target| self.send_after(MOMENT, target));
    }

    fn send_after(&self, pause: Duration, target: Target) {
        if self.is_open() {
            let at = Kind::ALL
                .iter()
                .position(|kind| *kind == target.kind)
                .unwrap_or_default();
            // One for all the queues that it goes through.
            let target = Arc::new(target);
            let mut waiting = self.lock();
            waiting.entry(target.clone()).or_insert_with(Instant::now);
            drop(waiting);
            // A closed queue means that the process is ending.
            let _ = self.senders[at].send(Trigger { target, pause });
        }
    }

    /// Begins the first pass, with all that wait.
    pub(crate) fn begin_first_pass(&self) {
        *self.first() = self.lock().keys().cloned().collect();
    }

    /// Its reconcile has ended. Whether that was the last of the first pass.
    pub(crate) fn end(&self, target: &Target) -> bool {
        let mut first = self.first();
        let is_last = first.remove(target) && first.is_empty();
        if is_last {
            first.shrink_to_fit();
        }
        is_last
    }

    /// Its reconcile begins, or never will. How long it has waited; `None` if nothing triggered it.
    pub(crate) fn begin(&self, target: &Target) -> Option<Duration> {
        self.lock().remove(target).map(|since| since.elapsed())
    }

    /// How many of each kind wait.
    pub(crate) fn waiting(&self) -> [(Kind, usize); Kind::ALL.len()] {
        let waiting = self.lock();
        Kind::ALL.map(|kind| {
            let of_kind = waiting.keys().filter(|target| target.kind == kind);
            (kind, of_kind.count())
        })
    }

    fn first(&self) -> MutexGuard<'_, HashSet<Arc<Target>>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<Target>, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_queued_before_the_picture_is_complete() {
        let (triggers, mut queues) = Triggers::new();
        triggers.send(Target::new(Kind::Tool, Some("n"), "early"));
        triggers.open();
        triggers.send(Target::new(Kind::Tool, Some("n"), "late"));
        let tools = &mut queues[5];
        let late = tools.try_recv().unwrap();
        assert_eq!(
            (late.target.name.as_str(), late.pause),
            ("late", Duration::ZERO)
        );
        triggers.send_in_a_moment([Target::new(Kind::Tool, Some("n"), "later")]);
        assert_eq!(tools.try_recv().unwrap().pause, MOMENT);
        assert!(tools.try_recv().is_err());
    }

    #[test]
    fn the_first_pass_ends_once_with_the_last_that_was_there() {
        let (triggers, _queues) = Triggers::new();
        triggers.open();
        let named = |name: &str| Target::new(Kind::Agent, Some("n"), name);
        triggers.send_all(["a", "b"].map(named));
        triggers.begin_first_pass();
        triggers.send(named("later"));
        let end = |name: &str| triggers.end(&named(name));
        let ends = ["later", "a", "a", "b", "b", "later"].map(end);
        assert_eq!(ends, [false, false, false, true, false, false]);
    }

    #[test]
    fn who_waits_is_counted_once_until_the_reconcile_begins() {
        let (triggers, _queues) = Triggers::new();
        triggers.open();
        let (one, other) = (
            Target::new(Kind::Tool, Some("n"), "one"),
            Target::new(Kind::Tool, Some("n"), "other"),
        );
        triggers.send_all([one.clone(), one.clone(), other]);
        assert!(triggers.waiting().contains(&(Kind::Tool, 2)));
        assert!(triggers.begin(&one).is_some());
        assert!(triggers.begin(&one).is_none(), "nothing triggered it again");
        assert!(triggers.waiting().contains(&(Kind::Tool, 1)));
        assert!(triggers.waiting().contains(&(Kind::Agent, 0)));
    }
}
