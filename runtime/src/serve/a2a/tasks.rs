//! The tasks of the last hour, by id and by the message that each began with. Knows no HTTP, and
//! starts no run.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use langop_dsl::hash::sha256_hex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    task::{State, Task},
    wire::{Fault, INVALID_PARAMS, NOT_CANCELABLE, Sent, TASK_NOT_FOUND, UNSUPPORTED},
};
use crate::random;

/// How long a task is known after its end.
const KEPT: Duration = Duration::from_hours(1);
/// Most tasks, and most bytes of what came of them; beyond, the one that ended first is forgotten.
const MAX_TASKS: usize = 10_000;
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// A task that somebody follows.
pub(super) type Followed = watch::Receiver<Task>;

/// A task that is to be carried out.
#[derive(Debug, Clone)]
pub(super) struct Handle {
    task: watch::Sender<Task>,
    /// Cancelled when a caller wants no more of it.
    pub(super) cancelled: CancellationToken,
}

impl Handle {
    /// Changes the task and tells all who follow it, if `change` does.
    pub(super) fn change(&self, change: impl FnOnce(&mut Task) -> bool) -> bool {
        self.task.send_if_modified(change)
    }
}

#[derive(Debug)]
struct Entry {
    handle: Handle,
    message_id: String,
    /// Of what the message said.
    digest: String,
}

#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<HashMap<String, Entry>>);

impl Tasks {
    /// The task of a message: a new one, with what `place` gives, or that which it began before.
    pub(super) fn begin<P>(
        &self,
        sent: &Sent,
        place: impl FnOnce() -> Result<P, Fault>,
    ) -> Result<(Followed, Option<(Handle, P)>), Fault> {
        let mut entries = self.entries();
        let digest = sha256_hex(sent.text.as_bytes());
        if let Some(task) = earlier(&entries, sent, &digest)? {
            return Ok((task, None));
        }
        let place = place()?;
        let id = random::identity();
        let context = sent.context_id.clone().unwrap_or_else(random::identity);
        let (task, followed) = watch::channel(Task::new(&id, &context));
        let handle = Handle {
            task,
            cancelled: CancellationToken::new(),
        };
        let entry = Entry {
            handle: handle.clone(),
            message_id: sent.message_id.clone(),
            digest,
        };
        make_room(&mut entries);
        entries.insert(id, entry);
        Ok((followed, Some((handle, place))))
    }

    pub(super) fn find(&self, id: &str) -> Result<Followed, Fault> {
        Ok(find(&self.entries(), id)?.task.subscribe())
    }

    /// Ends a task now, whatever its run does.
    pub(super) fn cancel(&self, id: &str) -> Result<Followed, Fault> {
        let handle = find(&self.entries(), id)?;
        if !handle.change(|task| task.change(State::Canceled, None)) {
            let message = "the task is over: write GetTask to see how it ended";
            return Err(Fault::new(NOT_CANCELABLE, message));
        }
        handle.cancelled.cancel();
        Ok(handle.task.subscribe())
    }

    /// All that are still known.
    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| {
            let task = entry.handle.task.borrow();
            !task.is_over() || task.changed.elapsed() < KEPT
        });
        entries
    }
}

fn find(entries: &HashMap<String, Entry>, id: &str) -> Result<Handle, Fault> {
    let entry = entries.get(id).ok_or_else(|| {
        let message =
            "there is no such task, or it ended more than an hour ago: send the message again";
        Fault::new(TASK_NOT_FOUND, message)
    });
    entry.map(|entry| entry.handle.clone())
}

/// The task that this very message began before. Another message begins another task, or none.
fn earlier(
    entries: &HashMap<String, Entry>,
    sent: &Sent,
    digest: &str,
) -> Result<Option<Followed>, Fault> {
    let mut all = entries.values();
    if let Some(entry) = all.find(|entry| entry.message_id == sent.message_id) {
        let task = entry.handle.task.subscribe();
        if entry.digest == digest && is_of(&task.borrow(), sent) {
            return Ok(Some(task));
        }
        let message = "this messageId was used for another message: write a new one";
        return Err(Fault::new(INVALID_PARAMS, message));
    }
    let Some(id) = &sent.task_id else {
        return Ok(None);
    };
    if is_of(&find(entries, id)?.task.borrow(), sent) {
        let message = "a task takes one message: leave out taskId, and keep contextId";
        return Err(Fault::new(UNSUPPORTED, message));
    }
    let message = "the task is of another contextId: leave one of both out";
    Err(Fault::new(INVALID_PARAMS, message))
}

/// Whether the message may be about the task.
fn is_of(task: &Task, sent: &Sent) -> bool {
    let context = sent.context_id.as_deref();
    context.is_none_or(|context| context == &*task.context_id)
}

fn make_room(entries: &mut HashMap<String, Entry>) {
    let size = |entry: &Entry| entry.handle.task.borrow().size();
    let is_full = |count: usize, bytes: usize| count >= MAX_TASKS || bytes > MAX_BYTES;
    let mut bytes = entries.values().map(size).sum();
    if !is_full(entries.len(), bytes) {
        return;
    }
    let over = entries.iter().filter_map(|(id, entry)| {
        let task = entry.handle.task.borrow();
        task.is_over().then(|| (task.changed, id.clone()))
    });
    let mut over: Vec<_> = over.collect();
    over.sort_unstable();
    for (_, id) in over {
        if !is_full(entries.len(), bytes) {
            return;
        }
        bytes -= entries.remove(&id).map_or(0, |entry| size(&entry));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Outcome, termination::Report};

    fn sent(message_id: &str, text: &str) -> Sent {
        Sent {
            message_id: message_id.to_owned(),
            text: text.to_owned(),
            ..Sent::default()
        }
    }

    fn begin(tasks: &Tasks, message_id: &str) -> Handle {
        let begun = tasks.begin(&sent(message_id, "x"), || Ok(()));
        begun.unwrap().1.unwrap().0
    }

    fn complete(handle: &Handle, summary: &str) {
        let mut report = Report::not_due(summary.to_owned());
        report.outcome = Outcome::Succeeded;
        assert!(handle.change(|task| task.end(&report)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ended_is_known_for_an_hour_and_what_works_for_as_long_as_it_does() {
        let tasks = Tasks::default();
        let (done, works) = (begin(&tasks, "1"), begin(&tasks, "2"));
        complete(&done, "well");
        let id = |handle: &Handle| handle.task.borrow().id.to_string();
        tokio::time::advance(Duration::from_secs(3599)).await;
        tasks.find(&id(&done)).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(tasks.find(&id(&done)).is_err());
        assert!(tasks.cancel(&id(&done)).is_err());
        tasks.find(&id(&works)).unwrap();
        assert_ne!(
            id(&begin(&tasks, "1")),
            id(&done),
            "its message is new again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_ended_gives_way_and_never_one_that_works() {
        let tasks = Tasks::default();
        let works = begin(&tasks, "works");
        let first = begin(&tasks, "first");
        complete(&first, "");
        tokio::time::advance(Duration::from_millis(1)).await;
        let others = 0..MAX_TASKS - 2;
        let others = others.map(|number| {
            let handle = Handle {
                task: watch::channel(Task::new(&number.to_string(), "")).0,
                cancelled: CancellationToken::new(),
            };
            complete(&handle, "");
            let entry = Entry {
                handle,
                message_id: number.to_string(),
                digest: String::new(),
            };
            (number.to_string(), entry)
        });
        tasks.entries().extend(others);
        let id = |handle: &Handle| handle.task.borrow().id.to_string();
        tasks.find(&id(&first)).unwrap();
        let large = begin(&tasks, "large");
        assert_eq!(tasks.entries().len(), MAX_TASKS);
        assert!(tasks.find(&id(&first)).is_err());
        tasks.find("0").unwrap();
        tasks.find(&id(&works)).unwrap();
        // By size, too: all that ended before what is too large, and that.
        tokio::time::advance(Duration::from_millis(1)).await;
        complete(&large, &"x".repeat(MAX_BYTES + 1));
        let next = begin(&tasks, "next");
        assert_eq!(tasks.entries().len(), 2);
        tasks.find(&id(&works)).unwrap();
        tasks.find(&id(&next)).unwrap();
    }
}
