//! How many connections there are, in all and of each client address. Where places are short, idle
//! connections make room: the oldest of the address that has most of them. So a client that opens
//! many displaces only its own.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::activity::ConnectionActivity;
use crate::metrics::{Metrics, Refusal};

/// Places for connections.
pub(super) struct ConnectionLimit {
    most: usize,
    most_per_address: usize,
    taken: Mutex<Taken>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    last: u64,
    of: HashMap<IpAddr, BTreeMap<u64, Place>>,
}

/// What is known of a connection by its number; later ones have higher numbers.
struct Place {
    activity: Arc<ConnectionActivity>,
    lost: CancellationToken,
}

/// A connection's place, free again when dropped.
pub(super) struct ConnectionPermit {
    slots: Arc<ConnectionLimit>,
    address: IpAddr,
    number: u64,
    /// How the connection stands, for it to say.
    pub(super) activity: Arc<ConnectionActivity>,
    /// The place is another's now: the connection must end.
    pub(super) lost: CancellationToken,
}

impl ConnectionLimit {
    pub(super) fn new(most: u32, most_per_address: u32, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            most: usize::try_from(most).unwrap_or(usize::MAX),
            most_per_address: usize::try_from(most_per_address).unwrap_or(usize::MAX),
            taken: Mutex::default(),
            metrics,
        })
    }

    /// A place for a connection from `address`, if there is one or one can be made.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let address = subject(address);
        let mut taken = self.lock();
        let is_free = self.make_room(&mut taken, address);
        let (activity, lost) = (
            Arc::<ConnectionActivity>::default(),
            CancellationToken::new(),
        );
        let number = is_free.then(|| {
            let (activity, lost) = (Arc::clone(&activity), lost.clone());
            taken.add(address, Place { activity, lost })
        })?;
        drop(taken);
        self.metrics.connection_opened();
        Some(ConnectionPermit {
            slots: Arc::clone(self),
            address,
            number,
            activity,
            lost,
        })
    }

    /// Whether there is a place for `address`, if need be that of an idle connection. Either way a
    /// connection is refused where there is none.
    fn make_room(&self, taken: &mut Taken, address: IpAddr) -> bool {
        let now = Instant::now();
        let of_address = taken.of.get(&address).map_or(0, BTreeMap::len);
        if of_address >= self.most_per_address {
            self.refused(Refusal::AddressLimit);
            return taken.end_oldest(address, now);
        }
        if taken.all >= self.most {
            self.refused(Refusal::Limit);
            return taken
                .busiest(now)
                .is_some_and(|busiest| taken.end_oldest(busiest, now));
        }
        true
    }

    /// A connection came to nothing.
    pub(super) fn refused(&self, refusal: Refusal) {
        self.metrics.connection_refused(refusal);
        tracing::debug!(reason = refusal.as_str(), "connection refused");
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // No code panics while it holds the lock.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn add(&mut self, address: IpAddr, place: Place) -> u64 {
        self.last += 1;
        self.all += 1;
        self.of.entry(address).or_default().insert(self.last, place);
        self.last
    }

    /// The address that has most of the idle connections.
    fn busiest(&self, now: Instant) -> Option<IpAddr> {
        let idle = |places: &BTreeMap<u64, Place>| {
            let places = places.values();
            places.filter(|it| it.activity.is_idle(now)).count()
        };
        let addresses = self.of.iter().map(|(of, places)| (idle(places), *of));
        let busiest = addresses.filter(|(count, _)| *count > 0).max();
        busiest.map(|(_, address)| address)
    }

    /// Ends the oldest idle connection of an address, if there is one.
    fn end_oldest(&mut self, address: IpAddr, now: Instant) -> bool {
        let places = self.of.get(&address).into_iter().flatten();
        let oldest = places
            .filter(|(_, place)| place.activity.is_idle(now))
            .map(|(number, place)| (*number, place.lost.clone()))
            .next();
        let Some((number, lost)) = oldest else {
            return false;
        };
        self.leave(address, number);
        lost.cancel();
        true
    }

    /// Frees a place, unless that was done.
    fn leave(&mut self, address: IpAddr, number: u64) {
        let Some(places) = self.of.get_mut(&address) else {
            return;
        };
        if places.remove(&number).is_some() {
            self.all -= 1;
        }
        if places.is_empty() {
            self.of.remove(&address);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.slots.lock().leave(self.address, self.number);
        self.slots.metrics.connection_closed();
    }
}

/// Who counts as one: an IPv4 address, or what one site gets of IPv6.
fn subject(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<ConnectionLimit>, address: &str) -> Option<ConnectionPermit> {
        slots.take(address.parse().unwrap())
    }

    #[test]
    fn counts_in_all_and_by_address() {
        let slots = ConnectionLimit::new(3, 2, Arc::default());
        let used = |address: &str| {
            let slot = take(&slots, address)?;
            let call = slot.activity.begin();
            Some((slot, call))
        };
        let first = used("10.0.0.1");
        let second = used("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some());
        assert!(used("10.0.0.1").is_none(), "two of one address");
        let third = used("2001:db8::1");
        assert!(
            third.is_some() && used("10.0.0.2").is_none(),
            "three in all"
        );
        drop(first);
        assert!(used("10.0.0.1").is_some());
        assert_eq!(
            subject("2001:db8::1".parse().unwrap()),
            subject("2001:db8::ffff:1".parse().unwrap())
        );
        drop((second, third));
        assert!(slots.lock().of.is_empty(), "nothing is kept of who left");
        assert_eq!(slots.lock().all, 0);
    }

    #[test]
    fn who_opens_many_takes_places_from_themselves() {
        let slots = ConnectionLimit::new(4, 3, Arc::default());
        let many: Vec<_> = (0..3).map(|_| take(&slots, "10.0.0.1").unwrap()).collect();
        let other = take(&slots, "10.0.0.2").unwrap();
        let third = take(&slots, "10.0.0.3").unwrap();
        let lost = || many.iter().map(|slot| slot.lost.is_cancelled());
        assert_eq!(lost().collect::<Vec<_>>(), [true, false, false], "of all");
        let again = take(&slots, "10.0.0.1").unwrap();
        let _one_more = take(&slots, "10.0.0.1").unwrap();
        assert!(lost().all(|lost| lost), "of its address, and of all");
        assert!(!other.lost.is_cancelled() && !third.lost.is_cancelled());
        assert!(!again.lost.is_cancelled(), "the newest");
        assert_eq!(slots.lock().all, 4);
        drop(many);
        assert_eq!(slots.lock().all, 4, "they had left before");
    }

    #[test]
    fn who_was_let_in_keeps_the_place() {
        let slots = ConnectionLimit::new(2, 2, Arc::default());
        let known = take(&slots, "10.0.0.1").unwrap();
        drop(known.activity.begin());
        let silent = take(&slots, "10.0.0.1").unwrap();
        let newest = take(&slots, "10.0.0.1").unwrap();
        assert!(!known.lost.is_cancelled() && silent.lost.is_cancelled());
        let _call = newest.activity.begin();
        assert!(take(&slots, "10.0.0.1").is_none() && take(&slots, "10.0.0.2").is_none());
    }
}
