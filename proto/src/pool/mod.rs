//! The client's choice of a synthesizer replica: rendezvous hash of the routing key among the ready endpoints, the next in rank when
//! one fails. So each request has one home, whose cache and single flight serve all clients, and a lost replica moves only its own.
//!
//! Endpoints reach it as a watch channel, so that it knows nothing of where they come from (`EndpointSlice`s, a list, DNS). It starts no
//! task: all state changes when a call is made.

mod budget;
mod rank;
mod replica;
mod verdict;

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::watch;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

pub use self::replica::Address;
use self::{
    budget::Budget,
    replica::{Candidate, Replicas},
    verdict::Verdict,
};

/// `ErrorInfo.reason` of a replica that is about to stop: the request is whole and belongs elsewhere.
pub const DRAINING: &str = "DRAINING";

/// The ready replicas and what is known of each.
pub struct Pool {
    state: Mutex<State>,
}

struct State {
    replicas: Replicas,
    budget: Budget,
}

/// How often one call asks a replica whose connections break. More than twice, because a request may be handed to a connection that is
/// closing before all who use it know.
const TRIES: u32 = 5;

impl Pool {
    /// A pool over these addresses, as they change. Connections are made when first needed; give each a time to connect, after
    /// which the next in rank is asked.
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

    /// Makes a call on the key's replica, and on the next in rank as long as replicas fail, the retry budget lasts and some are left.
    /// One whose connection broke is asked again first: closing old connections is what healthy servers do, and work that was under
    /// way goes on there.
    ///
    /// `call` gets a channel and makes one attempt; an attempt at a stream reads it to its end.
    ///
    /// # Errors
    /// The last attempt's, or UNAVAILABLE when there is no endpoint.
    pub async fn call<T, F>(
        &self,
        key: &[u8],
        mut call: impl FnMut(Channel) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let mut queue = self.candidates(key);
        let mut last = None;
        while let Some((candidate, tries)) = queue.pop_front() {
            if last.is_some() && !self.state().budget.withdraw() {
                break;
            }
            let asked = Instant::now();
            let answer = call(candidate.channel.clone()).await;
            let verdict = answer
                .as_ref()
                .map_or_else(verdict::of, |_| Verdict::Answered);
            if matches!(verdict, Verdict::Answered | Verdict::Late) {
                self.state().note(&candidate.name, asked, verdict);
                return answer;
            }
            if tries < TRIES && self.is_asked_again(&candidate.name, asked, verdict) {
                queue.push_front((candidate, tries + 1));
            } else {
                self.state().note(&candidate.name, asked, verdict);
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

    /// The replicas in the order in which they should be asked.
    fn candidates(&self, key: &[u8]) -> VecDeque<(Candidate, u32)> {
        let mut state = self.state();
        state.budget.deposit();
        let candidates = state.replicas.candidates(key).into_iter();
        candidates.map(|candidate| (candidate, 1)).collect()
    }

    fn is_asked_again(&self, name: &str, asked: Instant, verdict: Verdict) -> bool {
        tracing::debug!(endpoint = %name, ?verdict, "the replica failed");
        // Where another call has found out already that it is away, this one need not.
        verdict == Verdict::Broken && !self.state().replicas.was_ejected_since(name, asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every lock is held for one step that leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, name: &str, asked: Instant, verdict: Verdict) {
        match verdict {
            Verdict::Answered => self.replicas.accept(name, asked),
            Verdict::Broken | Verdict::Away => self.replicas.eject(name, asked),
            Verdict::Late => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

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
        pool.candidates(key).pop_front().unwrap().0.name
    }

    #[tokio::test]
    async fn a_failure_goes_to_the_next_and_the_failed_is_passed_over() {
        let pool = pool(&["a", "b", "c"]);
        let home = first(&pool, b"key");
        let mut asked = 0;
        let answer = pool.call(b"key", |_| {
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
        let once = pool.call(b"key", |_| {
            asked += 1;
            ready(if asked == 1 { Err(broken()) } else { Ok(asked) })
        });
        assert_eq!(once.await.unwrap(), 2);
        assert_eq!(first(&pool, b"key"), home, "it kept its keys");
        let mut asked = 0;
        let always = pool.call(b"key", |_| {
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
        let late = Status::from_error(Box::new(tonic::TimeoutExpired(())));
        for status in [Status::invalid_argument("no"), late] {
            let pool = pool(&["a", "b"]);
            let home = first(&pool, b"key");
            let mut calls = 0;
            let answer = pool.call(b"key", |_| {
                calls += 1;
                ready(Err::<(), _>(status.clone()))
            });
            assert_eq!(answer.await.unwrap_err().code(), status.code());
            assert_eq!((calls, first(&pool, b"key")), (1, home), "{status:?}");
        }
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
        let none = pool.call(b"key", |_| ready(Ok(()))).await.unwrap_err();
        assert_eq!((none.code(), pool.is_empty()), (Code::Unavailable, true));
    }

    #[tokio::test]
    async fn retries_are_bounded_by_the_budget_when_everything_is_down() {
        let pool = pool(&["a", "b", "c"]);
        let mut calls = 0_u32;
        for _ in 0..10_000 {
            let _ = pool
                .call(b"key", |_| {
                    calls += 1;
                    ready(Err::<(), _>(down()))
                })
                .await;
        }
        // Each request asks once; what comes on top is what was saved up and what the requests added.
        let most = 10_000 + 1000 + 10_000 / 5;
        assert!((most - 5..=most).contains(&calls), "{calls}");
    }
}
