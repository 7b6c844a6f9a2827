//! The client's choice of a synthesizer replica: rendezvous hash of the routing key among the ready
//! endpoints, the next in rank when one fails. So each request has one home, whose cache and single
//! flight serve all clients, and a lost replica moves only its own.
//!
//! Endpoints reach it as a watch channel, so that it knows nothing of where they come from
//! (`EndpointSlice`s, a list, DNS). It starts no task: all state changes when a call is made.

mod budget;
mod failure_class;
mod rank;
mod replica;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::{sync::watch, time::timeout_at};
use tonic::{
    Status, TimeoutExpired,
    transport::{Channel, Endpoint},
};

pub use self::replica::Address;
use self::{
    budget::Budget,
    failure_class::FailureClass,
    replica::{Candidate, Replicas},
};

/// The ready replicas and what is known of each.
pub struct Pool {
    state: Mutex<State>,
}

struct State {
    replicas: Replicas,
    budget: Budget,
}

/// How often one call asks a replica whose connections break at once. More than twice, because a
/// request may be handed to a connection that is closing before all who use it know.
const TRIES: u32 = 5;

impl Pool {
    /// A pool over these addresses, as they change. Connections are made when first needed; give
    /// each a time to connect, after which the next in rank is asked.
    pub fn new(addresses: watch::Receiver<Vec<Address>>) -> Self {
        let state = State {
            replicas: Replicas::new(addresses),
            budget: Budget::default(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// A pool over endpoints that do not change.
    pub fn fixed(endpoints: Vec<Endpoint>) -> Self {
        let addresses = endpoints.into_iter().map(Address::from).collect();
        Self::new(watch::channel(addresses).1)
    }

    /// Makes a call on the key's replica, and on the next in rank as long as replicas fail, the
    /// retry budget lasts and some are left. One whose connection broke at once is asked again
    /// first: closing old connections is what healthy servers do, and work that was under way goes
    /// on there.
    ///
    /// `call` gets a channel and makes one attempt; an attempt at a stream reads it to its end. At
    /// `deadline` it is over, and the replica that was asked last is passed over for a while. So
    /// let an attempt tell the server of an earlier one, within which a healthy replica says itself
    /// that it is late. A call that is dropped says nothing of its replica.
    ///
    /// # Errors
    /// The last attempt's, `DEADLINE_EXCEEDED` with a source, or UNAVAILABLE when there is no
    /// endpoint.
    pub async fn call<T, F>(
        &self,
        key: &[u8],
        deadline: tokio::time::Instant,
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut order = self.order(key);
        let (mut last, mut again) = (None, None);
        while let Some((candidate, tries)) = again.take().or_else(|| self.next(&mut order)) {
            if last.is_some() && !self.state().budget.withdraw() {
                break;
            }
            let asked = Instant::now();
            let answer = timeout_at(deadline, call(candidate.channel.clone()))
                .await
                .unwrap_or_else(|_| Err(no_answer()));
            let class = match &answer {
                Ok(_) => FailureClass::Answered,
                Err(status) => failure_class::of(status, asked.elapsed()),
            };
            match class {
                FailureClass::Answered | FailureClass::Late | FailureClass::Silent => {
                    self.state().note(&candidate.name, asked, class);
                    return answer;
                }
                FailureClass::Broken
                    if tries < TRIES && !self.was_ejected(&candidate.name, asked) =>
                {
                    again = Some((candidate, tries + 1));
                }
                FailureClass::Broken | FailureClass::Away => {
                    self.state().note(&candidate.name, asked, class);
                }
            }
            last = answer.err();
        }
        Err(last.unwrap_or_else(|| Status::unavailable("no synthesizer endpoint is ready")))
    }

    /// The endpoints in the order in which a key prefers them, whatever their state.
    pub fn preference(&self, key: &[u8]) -> Vec<String> {
        self.state().replicas.preference(key)
    }

    /// How many endpoints there are, ejected ones included.
    pub fn len(&self) -> usize {
        self.state().replicas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The replicas in the order in which the key of a new call prefers them.
    fn order(&self, key: &[u8]) -> Vec<String> {
        let mut state = self.state();
        state.budget.deposit();
        state.replicas.preference(key)
    }

    /// Who is asked next, for the first time.
    fn next(&self, order: &mut Vec<String>) -> Option<(Candidate, u32)> {
        Some((self.state().replicas.next(order)?, 1))
    }

    /// Whether another call has found out already that the replica is away, so that this one need
    /// not.
    fn was_ejected(&self, name: &str, asked: Instant) -> bool {
        self.state().replicas.was_ejected_since(name, asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every lock is held for one step that leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, name: &str, asked: Instant, class: FailureClass) {
        match class {
            FailureClass::Answered => self.replicas.accept(name, asked),
            FailureClass::Broken | FailureClass::Away | FailureClass::Silent => {
                tracing::debug!(endpoint = %name, ?class, "the replica failed");
                self.replicas.eject(name, asked);
            }
            FailureClass::Late => {}
        }
    }
}

/// What a call ends with at its deadline.
fn no_answer() -> Status {
    let mut status = Status::deadline_exceeded("there was no answer in time");
    status.set_source(Arc::new(TimeoutExpired(())));
    status
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        time::Duration,
    };

    use tonic::{Code, ConnectError};

    use super::*;

    fn pool(names: &[&str]) -> Pool {
        Pool::fixed(
            names
                .iter()
                .map(|name| Endpoint::from_shared(format!("http://{name}")).unwrap())
                .collect(),
        )
    }

    fn broken() -> Status {
        Status::from_error(Box::new(std::io::Error::other("connection reset")))
    }

    fn down() -> Status {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Status::from_error(Box::new(ConnectError(Box::new(refused))))
    }

    /// Which endpoint is asked first, by name, for a key.
    fn first(pool: &Pool, key: &[u8]) -> String {
        pool.next(&mut pool.order(key)).unwrap().0.name
    }

    /// Later than any test takes.
    fn late() -> tokio::time::Instant {
        within(Duration::from_mins(10))
    }

    fn within(time: Duration) -> tokio::time::Instant {
        tokio::time::Instant::now() + time
    }

    #[tokio::test]
    async fn a_failure_goes_to_the_next_and_the_failed_is_passed_over() {
        let pool = pool(&["a", "b", "c"]);
        let home = first(&pool, b"key");
        let mut asked = 0;
        let answer = pool.call(b"key", late(), |_| {
            asked += 1;
            ready(if asked == 1 { Err(down()) } else { Ok(asked) })
        });
        assert_eq!(answer.await.unwrap(), 2);
        assert_ne!(
            first(&pool, b"key"),
            home,
            "the failed replica is passed over"
        );
    }

    #[tokio::test]
    async fn a_broken_connection_is_no_reason_to_leave_the_replica() {
        let pool = pool(&["a", "b", "c"]);
        let home = first(&pool, b"key");
        let mut asked = 0;
        let once = pool.call(b"key", late(), |_| {
            asked += 1;
            ready(if asked == 1 { Err(broken()) } else { Ok(asked) })
        });
        assert_eq!(once.await.unwrap(), 2);
        assert_eq!(first(&pool, b"key"), home, "it kept its keys");
        let mut asked = 0;
        let always = pool.call(b"key", late(), |_| {
            asked += 1;
            ready(if asked <= TRIES {
                Err(broken())
            } else {
                Ok(asked)
            })
        });
        assert_eq!(always.await.unwrap(), TRIES + 1);
        assert_ne!(first(&pool, b"key"), home, "it lost them");
    }

    #[tokio::test]
    async fn answers_and_late_ones_are_final() {
        let hasty = Status::from_error(Box::new(TimeoutExpired(())));
        for status in [Status::invalid_argument("no"), hasty] {
            let pool = pool(&["a", "b"]);
            let home = first(&pool, b"key");
            let mut calls = 0;
            let answer = pool.call(b"key", late(), |_| {
                calls += 1;
                ready(Err::<(), _>(status.clone()))
            });
            assert_eq!(answer.await.unwrap_err().code(), status.code());
            assert_eq!((calls, first(&pool, b"key")), (1, home), "{status:?}");
        }
    }

    #[tokio::test]
    async fn who_says_nothing_until_the_deadline_is_passed_over() {
        let pool = pool(&["a", "b"]);
        let home = first(&pool, b"key");
        let deadline = within(Duration::from_millis(10));
        let hasty = pool.call(b"key", deadline, |_| pending::<Result<(), _>>());
        assert_eq!(hasty.await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(first(&pool, b"key"), home, "too soon to say");
        let mut calls = 0;
        let deadline = within(Duration::from_millis(1200));
        let patient = pool.call(b"key", deadline, |_| {
            calls += 1;
            pending::<Result<(), _>>()
        });
        assert_eq!(patient.await.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(calls, 1, "the caller's time is over");
        assert_ne!(first(&pool, b"key"), home);
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_says_nothing() {
        let pool = pool(&["a", "b"]);
        let home = first(&pool, b"key");
        let call = pool.call(b"key", late(), |_| pending::<Result<(), _>>());
        let dropped = tokio::time::timeout(Duration::from_millis(1200), call);
        assert!(dropped.await.is_err());
        assert_eq!(first(&pool, b"key"), home);
    }

    #[tokio::test]
    async fn endpoints_come_and_go_and_the_rest_keeps_its_keys() {
        let endpoint =
            |name: &str| Address::from(Endpoint::from_shared(format!("http://{name}")).unwrap());
        let (sender, receiver) = watch::channel(vec![endpoint("a"), endpoint("b")]);
        let pool = Pool::new(receiver);
        let keys: Vec<[u8; 2]> = (0..100_u16).map(u16::to_be_bytes).collect();
        let before: Vec<_> = keys.iter().map(|key| first(&pool, key)).collect();
        sender
            .send(vec![endpoint("a"), endpoint("b"), endpoint("c")])
            .unwrap();
        let after: Vec<_> = keys.iter().map(|key| first(&pool, key)).collect();
        for (before, after) in before.iter().zip(&after) {
            assert!(
                before == after || after.contains('c'),
                "only the new one takes keys"
            );
        }
        sender.send(vec![]).unwrap();
        let none = pool
            .call(b"key", late(), |_| ready(Ok(())))
            .await
            .unwrap_err();
        assert_eq!((none.code(), pool.is_empty()), (Code::Unavailable, true));
    }

    #[tokio::test]
    async fn retries_are_bounded_by_the_budget_when_everything_is_down() {
        let pool = pool(&["a", "b", "c"]);
        let mut calls = 0_u32;
        for _ in 0..10_000 {
            let _ = pool
                .call(b"key", late(), |_| {
                    calls += 1;
                    ready(Err::<(), _>(down()))
                })
                .await;
        }
        // Each request asks once; what comes on top is what was saved up and what the requests
        // added.
        let most = 10_000 + 1000 + 10_000 / 5;
        assert!((most - 5..=most).contains(&calls), "{calls}");
    }
}
