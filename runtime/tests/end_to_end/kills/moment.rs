//! Moments at which a process is killed: the n-th time that something happens to it.

use std::{
    collections::BTreeMap,
    mem::MaybeUninit,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tokio::sync::watch;

/// Something that happens around an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A request of whatever method reached its tool.
    Requested,
    /// A call is about to take effect.
    Called,
    /// A call took effect and is not answered.
    Effective,
    /// A call was answered.
    Answered,
    /// A file of its checkpoint was made, written or renamed.
    Written,
    /// Its model is asked.
    Asked,
    /// Its model answered.
    Replied,
}

/// The `nth` time in the life of a process, from 1, and so much later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) event: Event,
    pub(super) nth: usize,
    pub(super) later: Duration,
}

/// Lets everything pass, and stops what happens at the moment until the next process is awaited.
pub(super) struct Gate {
    armed: Mutex<Armed>,
    /// The number of the process that is to be killed now.
    reached: watch::Sender<usize>,
    /// The number of the process that is awaited.
    process: watch::Sender<usize>,
}

#[derive(Default)]
struct Armed {
    moment: Option<Moment>,
    counts: BTreeMap<Event, usize>,
    is_harmless: bool,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            armed: Mutex::default(),
            reached: watch::Sender::new(0),
            process: watch::Sender::new(0),
        })
    }

    /// Waits for `moment` in the life of the process of this number; what an earlier one had
    /// begun goes on.
    pub(super) fn arm(&self, process: usize, moment: Option<Moment>) {
        *self.armed.lock().unwrap() = Armed {
            moment,
            ..Armed::default()
        };
        self.process.send_replace(process);
    }

    pub(super) async fn is_reached(&self, process: usize) {
        let mut reached = self.reached.subscribe();
        let waited = reached.wait_for(|reached| *reached == process);
        assert!(waited.await.is_ok(), "the gate is there");
    }

    /// Whether nothing was under way at the moment that may not be done twice.
    pub(super) fn was_harmless(&self) -> bool {
        self.armed.lock().unwrap().is_harmless
    }

    /// The number of the process that is awaited: whatever begins now is of it.
    pub(super) fn process(&self) -> usize {
        *self.process.borrow()
    }

    /// Something happens to this process, and goes on once that is dead. What is left of an earlier
    /// one counts for nothing.
    pub(super) async fn hold(&self, process: usize, event: Event, is_harmless: bool) {
        let mut current = self.process.subscribe();
        if *current.borrow_and_update() == process && self.count(event, is_harmless).is_some() {
            self.reached.send_replace(process);
            assert!(current.changed().await.is_ok(), "the gate is there");
        }
    }

    /// Something happened to this process.
    pub(super) fn pass(self: &Arc<Self>, process: usize, event: Event) {
        if process != self.process() {
            return;
        }
        let Some(moment) = self.count(event, false) else {
            return;
        };
        let this = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(moment.later).await;
            this.reached.send_replace(process);
        });
    }

    /// The moment, if it is now.
    fn count(&self, event: Event, is_harmless: bool) -> Option<Moment> {
        let mut armed = self.armed.lock().unwrap();
        let count = armed.counts.entry(event).or_default();
        *count += 1;
        let count = *count;
        let now = armed
            .moment
            .filter(|moment| (moment.event, moment.nth) == (event, count))?;
        armed.is_harmless = is_harmless;
        Some(now)
    }
}

/// Tells the gate of what is written in `folder`, until that is removed.
pub(super) fn watch(folder: &Path, gate: &Arc<Gate>) {
    let inotify = inotify::init(CreateFlags::CLOEXEC).unwrap();
    let changes = WatchFlags::CREATE | WatchFlags::MODIFY | WatchFlags::MOVED_TO;
    inotify::add_watch(&inotify, folder, changes).unwrap();
    let gate = Arc::clone(gate);
    let runtime = tokio::runtime::Handle::current();
    std::thread::spawn(move || {
        let _entered = runtime.enter();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(inotify, &mut buffer);
        while let Ok(event) = events.next()
            && !event.events().contains(ReadFlags::IGNORED)
        {
            gate.pass(gate.process(), Event::Written);
        }
    });
}
