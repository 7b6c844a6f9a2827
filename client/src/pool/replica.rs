//! What is known of each replica: its connection, and whether it is passed over for a while.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use super::rank;

/// First and longest time for which a replica that failed is passed over.
const EJECTION: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Where a replica is, and with which credentials it is spoken to.
#[derive(Clone, Debug)]
pub struct Address {
    /// Its URL names the replica.
    pub endpoint: Endpoint,
    /// Of the endpoint's credentials. With another one, calls to come use a new connection.
    pub generation: u64,
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            generation: 0,
        }
    }
}

/// All replicas, as they come and go.
pub(super) struct Replicas {
    addresses: watch::Receiver<Vec<Address>>,
    /// Whether the sender of the addresses is gone and the last ones are known.
    is_final: bool,
    known: BTreeMap<String, Replica>,
}

struct Replica {
    channel: Channel,
    generation: u64,
    /// Incidents in a row; what calls in flight at the same time suffer is one.
    failures: u32,
    ejection: Option<Ejection>,
}

struct Ejection {
    since: Instant,
    /// Passed over until then, unless no other is left.
    until: Instant,
    /// How long that is.
    pause: Duration,
}

/// A replica that may be asked.
pub(super) struct Candidate {
    pub(super) name: String,
    pub(super) channel: Channel,
}

impl Replicas {
    pub(super) fn new(mut addresses: watch::Receiver<Vec<Address>>) -> Self {
        addresses.mark_changed();
        Self {
            addresses,
            is_final: false,
            known: BTreeMap::new(),
        }
    }

    /// The one of `order` that should be asked now, which is taken out of it: the first that is not
    /// passed over, or else the first.
    pub(super) fn next(&mut self, order: &mut Vec<String>) -> Option<Candidate> {
        let now = Instant::now();
        order.retain(|name| self.known.contains_key(name));
        let ready = |name: &String| self.known[name].may_be_asked(now);
        let first = order.iter().position(ready).unwrap_or(0);
        if order.is_empty() {
            return None;
        }
        let name = order.remove(first);
        let replica = self.known.get_mut(&name)?;
        replica.begin_trial(now);
        let channel = replica.channel.clone();
        Some(Candidate { name, channel })
    }

    /// Their names in the order in which a key prefers them, whatever their state.
    pub(super) fn preference(&mut self, key: &[u8]) -> Vec<String> {
        self.follow();
        rank::by_preference(key, self.known.keys())
    }

    /// How many there are.
    pub(super) fn len(&mut self) -> usize {
        self.follow();
        self.known.len()
    }

    /// A replica answered a call that it was asked at `asked`. One that a draining replica had
    /// before it said so proves nothing.
    pub(super) fn accept(&mut self, name: &str, asked: Instant) {
        if let Some(replica) = self.known.get_mut(name)
            && !replica.is_ejected_since(asked)
        {
            replica.failures = 0;
            replica.ejection = None;
        }
    }

    /// A replica failed a call that it was asked at `asked`. Calls that were under way when it was
    /// ejected tell nothing new.
    pub(super) fn eject(&mut self, name: &str, asked: Instant) {
        if let Some(replica) = self.known.get_mut(name)
            && !replica.is_ejected_since(asked)
        {
            let pause = EJECTION.0.saturating_mul(1 << replica.failures.min(16));
            let (since, pause) = (Instant::now(), pause.min(EJECTION.1));
            replica.failures = replica.failures.saturating_add(1);
            replica.ejection = Some(Ejection {
                since,
                until: since + pause,
                pause,
            });
        }
    }

    /// Whether a replica was ejected after `asked`, or is gone.
    pub(super) fn was_ejected_since(&self, name: &str, asked: Instant) -> bool {
        self.known
            .get(name)
            .is_none_or(|replica| replica.is_ejected_since(asked))
    }

    /// Adds what is new and drops what is gone; what stays keeps its history, and its connection
    /// unless the credentials are new.
    fn follow(&mut self) {
        let is_changed = match self.addresses.has_changed() {
            Ok(is_changed) => is_changed,
            Err(_) => !std::mem::replace(&mut self.is_final, true),
        };
        if !is_changed {
            return;
        }
        let mut old = std::mem::take(&mut self.known);
        for address in self.addresses.borrow_and_update().iter() {
            let name = address.endpoint.uri().to_string();
            let known = old.remove(&name);
            // One that is named twice is one.
            self.known.entry(name).or_insert_with(|| match known {
                Some(known) => known.at(address),
                None => Replica::new(address),
            });
        }
    }
}

impl Replica {
    fn new(address: &Address) -> Self {
        Self {
            channel: address.endpoint.connect_lazy(),
            generation: address.generation,
            failures: 0,
            ejection: None,
        }
    }

    /// With other credentials it has another connection, and the same history. Calls under way keep
    /// the old one until they end.
    fn at(self, address: &Address) -> Self {
        if self.generation == address.generation {
            return self;
        }
        Self {
            channel: address.endpoint.connect_lazy(),
            generation: address.generation,
            ..self
        }
    }

    fn is_ejected_since(&self, asked: Instant) -> bool {
        self.ejection
            .as_ref()
            .is_some_and(|ejection| asked <= ejection.since)
    }

    /// Once its ejection is over, its next call is a trial.
    fn may_be_asked(&self, now: Instant) -> bool {
        self.ejection
            .as_ref()
            .is_none_or(|ejection| now >= ejection.until)
    }

    /// It is asked now. Where this tries it again, the others go on passing it over until that one
    /// comes back; and because a replica that hangs keeps it, and who gave up never does, the next
    /// one tries it after twice the time.
    fn begin_trial(&mut self, now: Instant) {
        if let Some(ejection) = &mut self.ejection
            && now >= ejection.until
        {
            ejection.pause = (2 * ejection.pause).min(EJECTION.1);
            ejection.until = now + ejection.pause;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str) -> Address {
        Address::from(Endpoint::from_shared(format!("http://{name}")).unwrap())
    }

    fn replicas(names: &[&str]) -> Replicas {
        Replicas::new(watch::channel(names.iter().map(|name| endpoint(name)).collect()).1)
    }

    /// For how long the first in rank is passed over.
    fn pause(replicas: &Replicas, name: &str) -> Option<Duration> {
        let ejection = replicas.known[name].ejection.as_ref()?;
        Some(ejection.until - ejection.since)
    }

    #[tokio::test]
    async fn what_was_under_way_when_a_replica_fell_is_one_incident() {
        let mut replicas = replicas(&["a", "b"]);
        let name = replicas.preference(b"key").remove(0);
        let asked = Instant::now();
        for _ in 0..100 {
            replicas.eject(&name, asked);
        }
        assert_eq!(pause(&replicas, &name), Some(EJECTION.0));
        assert!(replicas.was_ejected_since(&name, asked));
        replicas.accept(&name, asked);
        assert_eq!(
            pause(&replicas, &name),
            Some(EJECTION.0),
            "an old answer is no news"
        );
        replicas.eject(&name, Instant::now());
        assert_eq!(
            pause(&replicas, &name),
            Some(2 * EJECTION.0),
            "a new call is"
        );
        replicas.accept(&name, Instant::now());
        assert_eq!(pause(&replicas, &name), None);
    }

    #[tokio::test]
    async fn one_named_twice_is_one_and_keeps_its_history() {
        let mut replicas = replicas(&["a", "a"]);
        assert_eq!(replicas.len(), 1);
        let name = replicas.preference(b"key").remove(0);
        replicas.eject(&name, Instant::now());
        assert_eq!(replicas.len(), 1);
        assert!(pause(&replicas, &name).is_some());
    }

    #[tokio::test]
    async fn new_credentials_make_a_new_connection_and_keep_the_history() {
        let (sender, receiver) = watch::channel(vec![endpoint("a")]);
        let mut replicas = Replicas::new(receiver);
        let name = replicas.preference(b"key").remove(0);
        replicas.eject(&name, Instant::now());
        for generation in [0, 1] {
            let address = Address {
                generation,
                ..endpoint("a")
            };
            sender.send(vec![address]).unwrap();
            assert_eq!(replicas.len(), 1);
            assert_eq!(replicas.known[&name].generation, generation);
            assert!(pause(&replicas, &name).is_some());
        }
    }

    #[tokio::test]
    async fn the_last_word_on_endpoints_is_heard() {
        let (sender, receiver) = watch::channel(vec![endpoint("a")]);
        let mut replicas = Replicas::new(receiver);
        assert_eq!(replicas.len(), 1);
        sender.send(vec![endpoint("b"), endpoint("c")]).unwrap();
        drop(sender);
        assert_eq!(replicas.len(), 2);
    }

    /// Who is asked first for a key.
    fn asked(replicas: &mut Replicas, key: &[u8]) -> String {
        let mut order = replicas.preference(key);
        replicas.next(&mut order).unwrap().name
    }

    /// As if its time were over.
    fn end_ejection(replicas: &mut Replicas, name: &str) {
        let replica = replicas.known.get_mut(name).unwrap();
        replica.ejection.as_mut().unwrap().until = Instant::now();
    }

    #[tokio::test]
    async fn an_ejected_replica_is_tried_by_one_call() {
        let mut replicas = replicas(&["a", "b"]);
        let home = replicas.preference(b"key").remove(0);
        replicas.eject(&home, Instant::now());
        assert_ne!(asked(&mut replicas, b"key"), home);
        for trial in 1..10 {
            end_ejection(&mut replicas, &home);
            let now = Instant::now();
            assert_eq!(asked(&mut replicas, b"key"), home, "trial {trial}");
            assert_ne!(
                asked(&mut replicas, b"key"),
                home,
                "the others wait for its end"
            );
            let ejection = replicas.known[&home].ejection.as_ref().unwrap();
            let pause = (EJECTION.0 * 2_u32.pow(trial)).min(EJECTION.1);
            assert!(ejection.until >= now + pause, "longer each time");
        }
    }

    #[tokio::test]
    async fn calls_that_do_not_ask_a_replica_leave_it_its_trial() {
        let mut replicas = replicas(&["a", "b"]);
        let home = |replicas: &mut Replicas, key: u8| replicas.preference(&[key]).remove(0);
        let away = home(&mut replicas, 0);
        let other = (1..=255)
            .find(|key| home(&mut replicas, *key) != away)
            .unwrap();
        replicas.eject(&away, Instant::now());
        end_ejection(&mut replicas, &away);
        for _ in 0..100 {
            assert_ne!(asked(&mut replicas, &[other]), away, "at home elsewhere");
        }
        assert_eq!(asked(&mut replicas, &[0]), away, "the trial");
    }

    #[tokio::test]
    async fn all_are_asked_once_even_if_all_are_ejected_and_those_that_left_are_not() {
        let (sender, receiver) = watch::channel(["a", "b", "c"].map(endpoint).into());
        let mut replicas = Replicas::new(receiver);
        let mut order = replicas.preference(b"key");
        let expected = order.clone();
        for name in &expected {
            replicas.eject(name, Instant::now());
        }
        assert_eq!(replicas.next(&mut order).unwrap().name, expected[0]);
        sender.send(vec![]).unwrap();
        assert_eq!(replicas.len(), 0);
        assert!(replicas.next(&mut order).is_none());
    }
}
