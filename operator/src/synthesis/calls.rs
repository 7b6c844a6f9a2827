//! Calls of the synthesizer as tasks of their own, outside the reconcile slots: a reconcile starts
//! one, ends, and is triggered again when the answer is there. What is under way and what came back
//! live only here, in memory.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use langop_desired::agent::decide::InFlight;
use langop_program::fair::Places;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinHandle,
};

use crate::{
    run::metrics::Metrics,
    synthesis::{answer::Answer, client::Synthesizer, failure::Failure, pace::Pace},
};

/// All calls.
pub(crate) struct Synthesis {
    /// `None`: synthesis is disabled by the operator's own settings.
    pub(crate) synthesizer: Option<Arc<Synthesizer>>,
    /// Calls for agents, by uid.
    pub(crate) agents: Calls<InFlight, Answer>,
    /// Calls for personas, by uid; about the hash of the persona's fields.
    pub(crate) personas: Calls<String, Result<String, Failure>>,
    epochs: Mutex<HashMap<String, u64>>,
    not_before: Mutex<HashMap<String, Asked>>,
    /// Room for the questions that are held at once, in KiB.
    room: Semaphore,
    paces: Mutex<HashMap<String, Pace>>,
    /// Least time between the questions of one object, but for the first ones.
    pause: Duration,
    /// Longest time for which it is left alone because the synthesizer asks for that.
    longest_pause: Duration,
}

/// The synthesizer asked to be left alone with an object until then, as far as it asks the same
/// again.
struct Asked {
    question: String,
    until: Instant,
}

/// A call that ends sooner is told of by its answer alone.
const SOON: Duration = Duration::from_secs(2);

/// A question is held until its answer is there, to be asked again elsewhere. Of the usual ones
/// there is room for more than are ever asked at once; of the largest, for a few.
const ROOM_KIB: u32 = 16 * 1024;

impl Synthesis {
    pub(crate) fn new(
        synthesizer: Option<Arc<Synthesizer>>,
        concurrency: u16,
        (pause, longest_pause): (Duration, Duration),
        metrics: &Metrics,
    ) -> Self {
        let places = Places::new(concurrency.into());
        let in_flight = Arc::new(InFlightGauge {
            number: Mutex::new(0),
            metrics: metrics.clone(),
        });
        Self {
            synthesizer,
            agents: Calls::new(places.clone(), in_flight.clone()),
            personas: Calls::new(places, in_flight),
            epochs: Mutex::default(),
            not_before: Mutex::default(),
            room: Semaphore::new(ROOM_KIB as usize),
            paces: Mutex::default(),
            pause,
            longest_pause,
        }
    }

    /// Waits for room for a request of this many bytes. It is free again when the permit is
    /// dropped.
    pub(crate) async fn room_for(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(ROOM_KIB);
        // Never closed, so the permits are always given.
        self.room.acquire_many(kib.min(ROOM_KIB)).await.ok()
    }

    /// Whether the synthesizer came back since the last call for this object.
    pub(crate) fn reconnected_since(&self, uid: &str) -> bool {
        let epochs = lock(&self.epochs);
        self.synthesizer.as_ref().is_some_and(|synthesizer| {
            synthesizer.epoch() > epochs.get(uid).copied().unwrap_or_default()
        })
    }

    /// The synthesizer asked to be left alone with this object for so long; `None`: it did not. It
    /// passes on what a provider said, so it is believed up to the longest pause that is made
    /// without being asked.
    pub(crate) fn set_retry_after(&self, uid: &str, question: String, pause: Option<Duration>) {
        let mut asked = lock(&self.not_before);
        match pause {
            Some(pause) => {
                let until = Instant::now() + pause.min(self.longest_pause);
                asked.insert(uid.to_owned(), Asked { question, until });
            }
            None => drop(asked.remove(uid)),
        }
    }

    /// How long the next call for this object has to wait, if it has to: as the synthesizer asked
    /// where the question is the same, or because it asks too often.
    pub(crate) fn retry_after(&self, uid: &str, question: &str) -> Option<Duration> {
        let now = Instant::now();
        let asked = lock(&self.not_before)
            .get(uid)
            .filter(|asked| asked.question == question)
            .map(|asked| asked.until.saturating_duration_since(now))
            .filter(|left| !left.is_zero());
        let pace = lock(&self.paces)
            .get(uid)
            .and_then(|pace| pace.wait(self.pause, now));
        asked.max(pace)
    }

    /// To be said before each call.
    pub(crate) fn record_attempt(&self, uid: &str) {
        let now = Instant::now();
        lock(&self.paces)
            .entry(uid.to_owned())
            .or_insert_with(|| Pace::new(now))
            .record(self.pause, now);
        if let Some(synthesizer) = &self.synthesizer {
            lock(&self.epochs).insert(uid.to_owned(), synthesizer.epoch());
        }
    }

    /// The object is gone: its call is ended, its answer dropped.
    pub(crate) fn forget(&self, uid: &str) {
        self.agents.forget(uid);
        self.personas.forget(uid);
        lock(&self.epochs).remove(uid);
        lock(&self.not_before).remove(uid);
        lock(&self.paces).remove(uid);
    }
}

struct InFlightGauge {
    number: Mutex<usize>,
    metrics: Metrics,
}

impl InFlightGauge {
    fn add(self: &Arc<Self>) -> Counted {
        self.change(|number| number + 1);
        Counted(self.clone())
    }

    fn change(&self, change: impl Fn(usize) -> usize) {
        let mut number = lock(&self.number);
        *number = change(*number);
        self.metrics.set_in_flight(*number);
    }
}

/// Counts one call until it is dropped, in whatever way it ends.
struct Counted(Arc<InFlightGauge>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.change(|number| number.saturating_sub(1));
    }
}

/// Calls of one kind; `About` says what a call was made for, so that an answer to an older question
/// is known as such.
pub(crate) struct Calls<About, Answer> {
    by_uid: Arc<Mutex<HashMap<String, Call<About, Answer>>>>,
    /// Namespaces take turns.
    places: Places<String>,
    in_flight: Arc<InFlightGauge>,
}

enum Call<About, Answer> {
    Running {
        about: About,
        task: JoinHandle<()>,
        /// Whether it has lasted so long that somebody should be told of it, and nobody was.
        is_news: bool,
    },
    Done {
        about: About,
        answer: Arc<Answer>,
    },
}

/// Says that a call has ended, however it did. One that panicked leaves no row: as if it had never
/// been.
struct CompletionGuard<About, Answer, Then: Fn()> {
    calls: Arc<Mutex<HashMap<String, Call<About, Answer>>>>,
    uid: String,
    then: Then,
}

impl<About, Answer, Then: Fn()> CompletionGuard<About, Answer, Then> {
    /// Waits for an answer that comes, and says so where it does not come soon.
    async fn answer_of(&self, mut call: Pin<Box<impl Future<Output = Answer>>>) -> Answer {
        if let Ok(answer) = tokio::time::timeout(SOON, &mut call).await {
            return answer;
        }
        if let Some(Call::Running { is_news, .. }) = lock(&self.calls).get_mut(&self.uid) {
            *is_news = true;
        }
        (self.then)();
        call.await
    }
}

impl<About, Answer, Then: Fn()> Drop for CompletionGuard<About, Answer, Then> {
    fn drop(&mut self) {
        let mut calls = lock(&self.calls);
        let is_known = calls.contains_key(&self.uid);
        if matches!(calls.get(&self.uid), Some(Call::Running { .. })) {
            calls.remove(&self.uid);
        }
        drop(calls);
        // Nobody waits for an object that is gone.
        if is_known {
            (self.then)();
        }
    }
}

/// The state of the call for one object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CallState<About, Answer> {
    Idle,
    Running(About),
    Done(About, Arc<Answer>),
}

impl<About, Answer> Calls<About, Answer>
where
    About: Clone + Send + 'static,
    Answer: Send + Sync + 'static,
{
    fn new(places: Places<String>, in_flight: Arc<InFlightGauge>) -> Self {
        Self {
            by_uid: Arc::default(),
            places,
            in_flight,
        }
    }

    pub(crate) fn state(&self, uid: &str) -> CallState<About, Answer> {
        match lock(&self.by_uid).get(uid) {
            None => CallState::Idle,
            // One that ended without an answer panicked; as if it had never been.
            Some(Call::Running { task, .. }) if task.is_finished() => CallState::Idle,
            Some(Call::Running { about, .. }) => CallState::Running(about.clone()),
            Some(Call::Done { about, answer }) => CallState::Done(about.clone(), answer.clone()),
        }
    }

    /// Whether the call that is under way has lasted so long that people should know. Said once.
    pub(crate) fn take_news(&self, uid: &str) -> bool {
        match lock(&self.by_uid).get_mut(uid) {
            Some(Call::Running { is_news, .. }) => std::mem::take(is_news),
            _ => false,
        }
    }

    /// Starts a call, unless one is under way; `then` is called when its answer can be had, and
    /// before that if it does not come soon. What `prepare` gives is handed to the call once there
    /// is a free place for it, in the turn of its `namespace`.
    pub(crate) fn start<Prepared: Send + 'static, Made>(
        &self,
        uid: &str,
        namespace: &str,
        about: About,
        prepare: impl Future<Output = Prepared> + Send + 'static,
        call: impl FnOnce(Prepared) -> Made + Send + 'static,
        then: impl Fn() + Send + Sync + 'static,
    ) where
        Made: Future<Output = Answer> + Send + 'static,
    {
        let mut calls = lock(&self.by_uid);
        if matches!(calls.get(uid), Some(Call::Running { task, .. }) if !task.is_finished()) {
            return;
        }
        let counted = self.in_flight.add();
        let (places, namespace) = (self.places.clone(), namespace.to_owned());
        let (answered, key, asked) = (self.by_uid.clone(), uid.to_owned(), about.clone());
        // Thousands may wait for a place: none holds room for what comes before and after that.
        let prepare = Box::pin(prepare);
        let task = tokio::spawn(async move {
            let ending = CompletionGuard {
                calls: answered,
                uid: key,
                then,
            };
            let prepared = prepare.await;
            let place = places.take(namespace).await;
            let answer = Arc::new(ending.answer_of(Box::pin(call(prepared))).await);
            drop((place, counted));
            // The row is gone if the object is.
            if let Some(row) = lock(&ending.calls).get_mut(&ending.uid) {
                *row = Call::Done {
                    about: asked,
                    answer,
                };
            }
        });
        let running = Call::Running {
            about,
            task,
            is_news: false,
        };
        calls.insert(uid.to_owned(), running);
    }

    /// The answer has been dealt with.
    pub(crate) fn acknowledge(&self, uid: &str) {
        let mut calls = lock(&self.by_uid);
        if matches!(calls.get(uid), Some(Call::Done { .. })) {
            calls.remove(uid);
        }
    }

    fn forget(&self, uid: &str) {
        if let Some(Call::Running { task, .. }) = lock(&self.by_uid).remove(uid) {
            task.abort();
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every lock is held for one step that leaves the value whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::sync::{mpsc, oneshot};

    use super::*;

    fn calls(places: usize) -> Calls<&'static str, u8> {
        let in_flight = InFlightGauge {
            number: Mutex::new(0),
            metrics: Metrics::new(),
        };
        Calls::new(Places::new(places), Arc::new(in_flight))
    }

    #[test]
    fn a_pause_is_bounded_and_ends_with_another_question() {
        let hour = Duration::from_hours(1);
        let synthesis = Synthesis::new(None, 1, (Duration::ZERO, hour), &Metrics::new());
        synthesis.set_retry_after("a", "first".into(), Some(Duration::MAX));
        let left = synthesis.retry_after("a", "first").unwrap();
        assert!(left <= hour && left > hour / 2, "{left:?}");
        assert_eq!(synthesis.retry_after("a", "second"), None);
        assert_eq!(synthesis.retry_after("b", "first"), None);
        synthesis.set_retry_after("a", "first".into(), None);
        assert_eq!(synthesis.retry_after("a", "first"), None);
    }

    #[tokio::test]
    async fn an_answer_stays_until_it_is_acknowledge() {
        let calls = calls(1);
        let (answer, question) = oneshot::channel::<u8>();
        let (then, mut answered) = mpsc::unbounded_channel();
        calls.start(
            "a",
            "n",
            "first",
            ready(()),
            |()| async { question.await.unwrap() },
            move || then.send(()).unwrap(),
        );
        calls.start(
            "a",
            "n",
            "second",
            ready(()),
            |()| async { 0 },
            || panic!("one at a time"),
        );
        assert_eq!(calls.state("a"), CallState::Running("first"));
        answer.send(7).unwrap();
        answered.recv().await.unwrap();
        assert_eq!(calls.state("a"), CallState::Done("first", Arc::new(7)));
        calls.acknowledge("a");
        assert_eq!(calls.state("a"), CallState::Idle);
        assert_eq!(*lock(&calls.in_flight.number), 0);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_told_as_ended_and_can_be_made_again() {
        let calls = calls(1);
        let (then, mut ended) = mpsc::unbounded_channel();
        calls.start(
            "a",
            "n",
            "first",
            ready(()),
            |()| async { panic!("on purpose") },
            move || then.send(()).unwrap(),
        );
        ended.recv().await.unwrap();
        assert_eq!(calls.state("a"), CallState::Idle);
        let (then, mut ended) = mpsc::unbounded_channel();
        calls.start(
            "a",
            "n",
            "second",
            ready(()),
            |()| async { 2 },
            move || then.send(()).unwrap(),
        );
        ended.recv().await.unwrap();
        assert_eq!(calls.state("a"), CallState::Done("second", Arc::new(2)));
        assert_eq!(*lock(&calls.in_flight.number), 0);
    }

    #[tokio::test]
    async fn calls_wait_for_a_place_and_end_with_their_object() {
        let calls = calls(1);
        let (_never, forever) = oneshot::channel::<u8>();
        let (then, mut answered) = mpsc::unbounded_channel();
        calls.start(
            "a",
            "n",
            "hangs",
            ready(()),
            |()| async { forever.await.unwrap() },
            || (),
        );
        calls.start(
            "b",
            "n",
            "waits",
            ready(()),
            |()| async { 2 },
            move || then.send(()).unwrap(),
        );
        tokio::task::yield_now().await;
        assert_eq!(calls.state("b"), CallState::Running("waits"));
        calls.forget("a");
        answered.recv().await.unwrap();
        assert_eq!(calls.state("b"), CallState::Done("waits", Arc::new(2)));
        assert_eq!(calls.state("a"), CallState::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_lasts_is_told_of_once_and_one_that_does_not_is_not() {
        let calls = calls(2);
        let lasting = |time| async move {
            tokio::time::sleep(time).await;
            0
        };
        let (then, mut told) = mpsc::unbounded_channel();
        for (uid, time) in [("short", SOON / 2), ("long", SOON * 2)] {
            let then = then.clone();
            calls.start(
                uid,
                "n",
                uid,
                ready(()),
                move |()| lasting(time),
                move || {
                    then.send(uid).unwrap();
                },
            );
        }
        assert_eq!(told.recv().await, Some("short"));
        assert!(!calls.take_news("short"));
        assert!(!calls.take_news("long"), "not yet");
        assert_eq!(told.recv().await, Some("long"));
        assert_eq!(calls.state("long"), CallState::Running("long"));
        assert!(calls.take_news("long"));
        assert!(!calls.take_news("long"), "once");
        assert_eq!(told.recv().await, Some("long"));
        assert_eq!(calls.state("long"), CallState::Done("long", Arc::new(0)));
    }

    /// One namespace asks 500 times for a second each, another once.
    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_asks_much_holds_up_no_other() {
        let calls = calls(2);
        let second = || tokio::time::sleep(Duration::from_secs(1));
        for index in 0..500 {
            let answer = async move {
                second().await;
                0
            };
            let key = index.to_string();
            calls.start(&key, "greedy", "much", ready(()), |()| answer, || ());
        }
        second().await;
        let asked = tokio::time::Instant::now();
        let (then, mut answered) = mpsc::unbounded_channel();
        let answer = async move {
            second().await;
            1
        };
        calls.start(
            "x",
            "other",
            "once",
            ready(()),
            |()| answer,
            move || then.send(()).unwrap(),
        );
        answered.recv().await.unwrap();
        assert!(
            asked.elapsed() <= Duration::from_secs(3),
            "{:?}",
            asked.elapsed()
        );
    }
}
