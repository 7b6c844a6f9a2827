//! The client's choice of a synthesizer replica: rendezvous hash of the routing key among the ready endpoints, the next in rank when
//! one fails. So each request has one home, whose cache and single flight serve all clients, and a lost replica moves only its own.
//!
//! Endpoints reach it as a watch channel, so that it knows nothing of where they come from (EndpointSlices, a list, DNS). It starts no
//! task: all state changes when a call is made.

mod budget;
mod rank;

use std::{
    collections::BTreeMap,
    error::Error as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use self::budget::Budget;
use crate::ERROR_DOMAIN;

/// `ErrorInfo.reason` of a replica that is about to stop: the request is whole and belongs elsewhere.
pub const DRAINING: &str = "DRAINING";

/// First and longest time for which a replica that failed is passed over.
const EJECTION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The ready replicas and what is known of each.
pub struct Pool {
    endpoints: watch::Receiver<Vec<Endpoint>>,
    state: Mutex<State>,
}

struct State {
    replicas: BTreeMap<String, Replica>,
    budget: Budget,
}

struct Replica {
    channel: Channel,
    /// Failures in a row.
    failures: u32,
    /// Passed over until then, unless no other is left.
    ejected_until: Option<Instant>,
}

impl Pool {
    /// A pool over these endpoints, as they change. Connections are made when first needed.
    pub fn new(mut endpoints: watch::Receiver<Vec<Endpoint>>) -> Self {
        endpoints.mark_changed();
        let state = State {
            replicas: BTreeMap::new(),
            budget: Budget::default(),
        };
        Self {
            endpoints,
            state: Mutex::new(state),
        }
    }

    /// A pool over endpoints that do not change.
    pub fn fixed(endpoints: Vec<Endpoint>) -> Self {
        Self::new(watch::channel(endpoints).1)
    }

    /// Makes a call on the key's replica, and on the next in rank as long as replicas fail, the retry budget lasts and some are left.
    /// `call` gets a channel and makes one attempt.
    ///
    /// # Errors
    /// The last attempt's, or UNAVAILABLE when there is no endpoint.
    pub async fn call<T>(
        &self,
        key: &[u8],
        mut call: impl AsyncFnMut(Channel) -> Result<T, Status>,
    ) -> Result<T, Status> {
        let mut last = None;
        for (name, channel) in self.candidates(key) {
            if last.is_some() && !self.state().budget.withdraw() {
                break;
            }
            match call(channel).await {
                Err(status) if belongs_elsewhere(&status) => {
                    tracing::debug!(endpoint = %name, %status, "the replica failed, the next in rank is asked");
                    self.state().eject(&name);
                    last = Some(status);
                }
                answer => {
                    self.state().accept(&name);
                    return answer;
                }
            }
        }
        Err(last.unwrap_or_else(|| Status::unavailable("no synthesizer endpoint is ready")))
    }

    /// The endpoints in the order in which a key prefers them, whatever their state.
    pub fn preference(&self, key: &[u8]) -> Vec<String> {
        let mut state = self.state();
        state.follow(&self.endpoints.borrow());
        rank::by_preference(key, state.replicas.keys())
    }

    /// How many endpoints there are, ejected ones included.
    pub fn len(&self) -> usize {
        self.endpoints.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The replicas in the order in which they should be asked.
    fn candidates(&self, key: &[u8]) -> Vec<(String, Channel)> {
        let mut state = self.state();
        state.budget.deposit();
        state.follow(&self.endpoints.borrow());
        let names = rank::by_preference(key, state.replicas.keys());
        let now = Instant::now();
        let (mut ready, mut ejected) = (Vec::new(), Vec::new());
        for name in names {
            let Some(replica) = state.replicas.get_mut(&name) else {
                continue;
            };
            let candidate = (name, replica.channel.clone());
            if replica.may_be_asked(now) {
                ready.push(candidate)
            } else {
                ejected.push(candidate)
            }
        }
        ready.append(&mut ejected);
        ready
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every lock is held for one step that leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds what is new and drops what is gone; what stays keeps its connection and its history.
    fn follow(&mut self, endpoints: &[Endpoint]) {
        let unchanged = endpoints.len() == self.replicas.len()
            && endpoints
                .iter()
                .all(|e| self.replicas.contains_key(&e.uri().to_string()));
        if unchanged {
            return;
        }
        let mut old = std::mem::take(&mut self.replicas);
        for endpoint in endpoints {
            let name = endpoint.uri().to_string();
            let replica = old.remove(&name).unwrap_or_else(|| Replica {
                channel: endpoint.connect_lazy(),
                failures: 0,
                ejected_until: None,
            });
            self.replicas.insert(name, replica);
        }
    }

    fn eject(&mut self, name: &str) {
        if let Some(replica) = self.replicas.get_mut(name) {
            let pause = EJECTION
                .0
                .saturating_mul(1 << replica.failures.min(16))
                .min(EJECTION.1);
            replica.failures += 1;
            replica.ejected_until = Some(Instant::now() + pause);
        }
    }

    fn accept(&mut self, name: &str) {
        if let Some(replica) = self.replicas.get_mut(name) {
            replica.failures = 0;
            replica.ejected_until = None;
        }
    }
}

impl Replica {
    /// After its ejection one call tries it again, and the others go on passing it over until that one comes back.
    fn may_be_asked(&mut self, now: Instant) -> bool {
        match self.ejected_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.ejected_until = Some(now + EJECTION.0);
                true
            }
        }
    }
}

/// Whether a failure is the replica's and not the request's: the connection broke or could not be made, or the replica is draining. What
/// the service itself answered, its provider being down included, would be answered by any other replica too.
fn belongs_elsewhere(status: &Status) -> bool {
    // Only what this side made up itself has a source; what came over the wire has none.
    if status.source().is_some() {
        return status.code() != Code::DeadlineExceeded;
    }
    match status.get_details_error_info() {
        Some(info) if info.domain == ERROR_DOMAIN => info.reason == DRAINING,
        // A proxy between us, or a server that is not ours yet.
        _ => status.code() == Code::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn pool(names: &[&str]) -> Pool {
        Pool::fixed(
            names
                .iter()
                .map(|name| Endpoint::from_shared(format!("http://{name}")).unwrap())
                .collect(),
        )
    }

    fn down() -> Status {
        Status::from_error(Box::new(std::io::Error::other("connection reset")))
    }

    /// Which endpoint is asked first, by name, for a key.
    fn first(pool: &Pool, key: &[u8]) -> String {
        pool.candidates(key).remove(0).0
    }

    #[tokio::test]
    async fn a_failure_goes_to_the_next_and_the_failed_is_passed_over() {
        let pool = pool(&["a", "b", "c"]);
        let home = first(&pool, b"key");
        let mut asked = 0;
        let answer = pool.call(b"key", async |_| {
            asked += 1;
            if asked == 1 { Err(down()) } else { Ok(asked) }
        });
        assert_eq!(answer.await.unwrap(), 2);
        assert_ne!(
            first(&pool, b"key"),
            home,
            "the failed replica is passed over"
        );
    }

    #[tokio::test]
    async fn what_the_service_answered_is_final() {
        let pool = pool(&["a", "b"]);
        let info = |reason| ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
        for (status, asked) in [
            (
                Status::with_error_details(
                    Code::Unavailable,
                    "provider down",
                    info("PROVIDER_UNAVAILABLE"),
                ),
                1,
            ),
            (
                Status::with_error_details(Code::Unavailable, "draining", info(DRAINING)),
                2,
            ),
            (Status::invalid_argument("no"), 1),
            (Status::unavailable("a proxy's"), 2),
        ] {
            let mut calls = 0;
            let answer = pool.call::<()>(b"key", async |_| {
                calls += 1;
                Err(status.clone())
            });
            assert_eq!(answer.await.unwrap_err().code(), status.code());
            assert_eq!(calls, asked, "{status:?}");
        }
    }

    #[tokio::test]
    async fn endpoints_come_and_go_and_the_rest_keeps_its_keys() {
        let endpoint = |name: &str| Endpoint::from_shared(format!("http://{name}")).unwrap();
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
        let none = pool.call::<()>(b"key", async |_| Ok(())).await.unwrap_err();
        assert_eq!((none.code(), pool.is_empty()), (Code::Unavailable, true));
    }

    #[tokio::test]
    async fn retries_are_bounded_by_the_budget_when_everything_is_down() {
        let pool = pool(&["a", "b", "c"]);
        let mut calls = 0_u32;
        for _ in 0..1000 {
            let _ = pool
                .call::<()>(b"key", async |_| {
                    calls += 1;
                    Err(down())
                })
                .await;
        }
        assert!(
            calls < 1000 + 1000 / 5 + 200,
            "{calls} calls for 1000 requests"
        );
    }
}
