//! Answers kept by key, and at most one piece of work per key at a time. Bounded by bytes and age;
//! knows nothing of LLMs.
//!
//! Work runs in its own task, so a caller that disconnects does not cancel it for the others, or
//! for itself when it comes back. Failures are never kept, and every caller that waited for one
//! gets it. Where room is short, the caller that holds most gives way ([`shares`]), so that one
//! caller's answers cannot push out all others.

mod key;
mod shares;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt as _, Shared};
use langop_proto::v1::synthesize_stream_response::Event;
use moka::notification::RemovalCause;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::broadcast;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub use self::key::Key;
use self::shares::Shares;
use crate::error::{Failure, SynthesisError};

/// Most events of one piece of work that a slow listener may lag behind before it misses some.
const EVENT_BACKLOG: usize = 64;

/// What can be kept.
pub trait Entry: Send + Sync + 'static {
    /// Bytes it holds, roughly.
    fn weight(&self) -> usize;
    /// Whether it may serve later requests.
    fn is_kept(&self) -> bool;
    /// W3C traceparent of the span in which it was made; empty without tracing.
    fn origin(&self) -> &str;
}

/// Where work reports its progress; listeners are optional.
pub type Progress = broadcast::Sender<Event>;

/// What the cache has for a key.
pub enum Found<V> {
    /// An answer.
    Entry(Arc<V>),
    /// Work that this request started.
    Started(InFlight<V>),
    /// Work that another request started.
    Joined(InFlight<V>),
}

/// What work comes to.
pub type WorkResult<V> = Result<Completed<V>, Failure>;

/// A value, and where it came from.
pub struct Completed<V> {
    /// The value.
    pub value: Arc<V>,
    /// Whether it was already there when the work began, because other work had just ended.
    pub was_there: bool,
}

impl<V> Clone for Completed<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            was_there: self.was_there,
        }
    }
}

/// Work under way.
pub struct InFlight<V> {
    /// What it reports from now on.
    pub events: broadcast::Receiver<Event>,
    /// What it comes to.
    pub result: Shared<BoxFuture<'static, WorkResult<V>>>,
    /// The span it is part of: that of the request which started it. Invalid without tracing.
    pub origin: SpanContext,
}

struct Active<V> {
    origin: SpanContext,
    progress: Progress,
    result: Shared<BoxFuture<'static, WorkResult<V>>>,
}

/// The cache.
pub struct Cache<V> {
    entries: moka::future::Cache<Key, Arc<V>>,
    shares: Arc<Shares>,
    active: Mutex<HashMap<Key, Active<V>>>,
}

impl<V: Entry> Cache<V> {
    /// A cache of at most `bytes`, each entry at most `ttl` old. What it holds is added to `shown`.
    pub fn new(bytes: u64, ttl: Duration, shown: Gauge) -> Self {
        let shares = Arc::new(Shares::new(bytes, shown));
        let kept = Arc::clone(&shares);
        let entries = moka::future::Cache::builder()
            .max_capacity(bytes)
            .time_to_live(ttl)
            .weigher(|_: &Key, value: &Arc<V>| weight(&**value))
            .eviction_listener(move |key, _, cause| {
                if cause != RemovalCause::Replaced {
                    kept.forget(&key);
                }
            })
            .build();
        Self {
            entries,
            shares,
            active: Mutex::default(),
        }
    }

    /// The entry of `key`, else the work for it: what is under way, or `work`, started now as part
    /// of `span`.
    pub async fn find<W, F>(self: &Arc<Self>, key: Key, span: Span, work: W) -> Found<V>
    where
        W: FnOnce(Progress) -> F + Send + 'static,
        F: Future<Output = Result<V, Failure>> + Send + 'static,
    {
        match self.entries.get(&key).await {
            Some(value) => {
                self.shares.used(&key);
                Found::Entry(value)
            }
            None => self.join_or_start(key, span, work),
        }
    }

    fn join_or_start<W, F>(self: &Arc<Self>, key: Key, span: Span, work: W) -> Found<V>
    where
        W: FnOnce(Progress) -> F + Send + 'static,
        F: Future<Output = Result<V, Failure>> + Send + 'static,
    {
        let mut active = self.lock();
        if let Some(under_way) = active.get(&key) {
            return Found::Joined(InFlight {
                events: under_way.progress.subscribe(),
                result: under_way.result.clone(),
                origin: under_way.origin.clone(),
            });
        }
        let (progress, events) = broadcast::channel(EVENT_BACKLOG);
        let origin = span.context().span().span_context().clone();
        // The task removes itself from `active`, for which it needs the lock held here: it cannot
        // be too early.
        let task = tokio::spawn(
            Arc::clone(self)
                .run(key.clone(), progress.clone(), work)
                .instrument(span),
        );
        let result =
            task.map(|joined| joined.unwrap_or_else(|_| Err(SynthesisError::Internal.into())));
        let result = result.boxed().shared();
        active.insert(
            key,
            Active {
                origin: origin.clone(),
                progress,
                result: result.clone(),
            },
        );
        Found::Started(InFlight {
            events,
            result,
            origin,
        })
    }

    async fn run<W, F>(self: Arc<Self>, key: Key, progress: Progress, work: W) -> WorkResult<V>
    where
        W: FnOnce(Progress) -> F,
        F: Future<Output = Result<V, Failure>>,
    {
        let _guard = ActiveGuard {
            cache: &self,
            key: &key,
        };
        // Other work may have ended between the look into the entries and the one into the active.
        if let Some(value) = self.entries.get(&key).await {
            return Ok(Completed {
                value,
                was_there: true,
            });
        }
        let value = Arc::new(work(progress).await?);
        if value.is_kept() {
            for old in self.shares.add(&key, weight(&*value)) {
                self.entries.invalidate(&old).await;
            }
            self.entries.insert(key.clone(), Arc::clone(&value)).await;
        }
        Ok(Completed {
            value,
            was_there: false,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Active<V>>> {
        // No code panics while it holds the lock, and a map is a map.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the books about an entry take, roughly: moka's, those of the shares, and what the allocator
/// cannot use between them. `cargo bench-synthesis` measures what comes of it.
const BOOKS: usize = 1280;

/// What an entry counts in the cache.
fn weight(value: &impl Entry) -> u32 {
    u32::try_from(value.weight() + size_of::<Key>() + BOOKS).unwrap_or(u32::MAX)
}

/// Ends the work's entry among the active, also when it panics.
struct ActiveGuard<'a, V: Entry> {
    cache: &'a Cache<V>,
    key: &'a Key,
}

impl<V: Entry> Drop for ActiveGuard<'_, V> {
    fn drop(&mut self) {
        self.cache.lock().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{access::Caller, identity::Identity, key::RequestKey, settings::ProviderKind};
    use langop_proto::v1::Persona;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    struct Text(&'static str);

    impl Entry for Text {
        fn weight(&self) -> usize {
            self.0.len()
        }

        fn is_kept(&self) -> bool {
            self.0 != "rejected"
        }

        fn origin(&self) -> &'static str {
            ""
        }
    }

    fn identity() -> Identity {
        Identity {
            provider: ProviderKind::Template,
            model: String::new(),
        }
    }

    fn key(caller: &str) -> Key {
        Key {
            caller: Caller::named(caller),
            request: RequestKey::of_persona(&Persona::default(), &identity()),
        }
    }

    fn cache() -> Arc<Cache<Text>> {
        Arc::new(Cache::new(
            1 << 20,
            Duration::from_mins(1),
            Gauge::default(),
        ))
    }

    async fn run(
        cache: &Arc<Cache<Text>>,
        caller: &str,
        calls: &Arc<AtomicUsize>,
        result: Result<Text, Failure>,
    ) -> &'static str {
        let calls = Arc::clone(calls);
        let work = move |_| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            result
        };
        let (kind, in_flight) = match cache.find(key(caller), Span::none(), work).await {
            Found::Entry(_) => return "entry",
            Found::Started(in_flight) => ("started", in_flight),
            Found::Joined(in_flight) => ("joined", in_flight),
        };
        if in_flight.result.await.is_ok() {
            kind
        } else {
            "failed"
        }
    }

    #[tokio::test]
    async fn keeps_answers_per_caller_but_neither_failures_nor_rejections() {
        let (cache, calls) = (cache(), Arc::new(AtomicUsize::new(0)));
        let failure = || Err(SynthesisError::DeadlineExceeded.into());
        assert_eq!(run(&cache, "a", &calls, failure()).await, "failed");
        assert_eq!(
            run(&cache, "a", &calls, Ok(Text("rejected"))).await,
            "started"
        );
        assert_eq!(run(&cache, "a", &calls, Ok(Text("good"))).await, "started");
        assert_eq!(run(&cache, "a", &calls, failure()).await, "entry");
        assert_eq!(run(&cache, "b", &calls, Ok(Text("good"))).await, "started");
        assert_eq!(calls.load(Ordering::SeqCst), 4);
        assert!(cache.lock().is_empty());
    }

    #[tokio::test]
    async fn who_fills_the_cache_pushes_out_nobody_else() {
        // Room for some entries of this size.
        let cache = Arc::new(Cache::new(
            16 << 10,
            Duration::from_mins(1),
            Gauge::default(),
        ));
        let calls = Arc::default();
        assert_eq!(
            run(&cache, "modest", &calls, Ok(Text("good"))).await,
            "started"
        );
        for index in 0..1000 {
            let persona = Persona {
                name: index.to_string(),
                ..Persona::default()
            };
            let key = Key {
                request: RequestKey::of_persona(&persona, &identity()),
                ..key("greedy")
            };
            let work = |_| async { Ok(Text("good")) };
            let Found::Started(in_flight) = cache.find(key, Span::none(), work).await else {
                panic!("not started")
            };
            assert!(in_flight.result.await.is_ok());
        }
        assert_eq!(
            run(&cache, "modest", &calls, Ok(Text("good"))).await,
            "entry"
        );
        cache.entries.run_pending_tasks().await;
        assert!(cache.entries.weighted_size() <= 16 << 10);
        assert!(cache.entries.entry_count() > 10, "and the room is used");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_stops_nobody() {
        let cache = cache();
        let (go, wait) = oneshot::channel::<()>();
        let work = move |_| async move {
            wait.await.unwrap();
            Ok(Text("good"))
        };
        let Found::Started(first) = cache.find(key("a"), Span::none(), work).await else {
            panic!("not started")
        };
        let second = |_| async { Ok(Text("other")) };
        let Found::Joined(second) = cache.find(key("a"), Span::none(), second).await else {
            panic!("not joined")
        };
        drop(first);
        go.send(()).unwrap();
        assert_eq!(second.result.await.unwrap().value.0, "good");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_the_next_may_try() {
        let cache = cache();
        let Found::Started(in_flight) = cache
            .find(key("a"), Span::none(), |_| async { panic!("a bug") })
            .await
        else {
            panic!("not started")
        };
        assert!(matches!(
            *in_flight.result.await.err().unwrap().error,
            SynthesisError::Internal
        ));
        assert_eq!(
            run(&cache, "a", &Arc::default(), Ok(Text("good"))).await,
            "started"
        );
    }
}
