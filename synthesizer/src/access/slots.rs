//! How many connections there are, in all and of each client address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::metrics::{Metrics, Refusal};

/// Places for connections.
pub(super) struct Slots {
    most: u32,
    most_per_address: u32,
    taken: Mutex<Taken>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Taken {
    all: u32,
    of: HashMap<IpAddr, u32>,
}

/// A connection's place, free again when dropped.
pub(super) struct Slot {
    slots: Arc<Slots>,
    address: IpAddr,
}

impl Slots {
    pub(super) fn new(most: u32, most_per_address: u32, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_address,
            taken: Mutex::default(),
            metrics,
        })
    }

    /// A place for a connection from `address`, if there is one.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<Slot> {
        let address = subject(address);
        match self.lock().take(address, self.most, self.most_per_address) {
            Ok(()) => {
                self.metrics.connection_opened();
                let slots = Arc::clone(self);
                Some(Slot { slots, address })
            }
            Err(refusal) => {
                self.refused(refusal);
                None
            }
        }
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
    fn take(&mut self, address: IpAddr, most: u32, of_address: u32) -> Result<(), Refusal> {
        if self.all >= most {
            return Err(Refusal::Limit);
        }
        let of = self.of.entry(address).or_default();
        if *of >= of_address {
            return Err(Refusal::AddressLimit);
        }
        *of += 1;
        self.all += 1;
        Ok(())
    }

    fn leave(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(of) = self.of.get_mut(&address) {
            *of -= 1;
            if *of == 0 {
                self.of.remove(&address);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().leave(self.address);
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

    #[test]
    fn counts_in_all_and_by_address() {
        let slots = Slots::new(3, 2, Arc::default());
        let take = |address: &str| slots.take(address.parse().unwrap());
        let first = take("10.0.0.1");
        let second = take("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some());
        assert!(take("10.0.0.1").is_none(), "two of one address");
        let third = take("2001:db8::1");
        assert!(
            third.is_some() && take("10.0.0.2").is_none(),
            "three in all"
        );
        drop(first);
        assert!(take("10.0.0.1").is_some());
        assert_eq!(
            subject("2001:db8::1".parse().unwrap()),
            subject("2001:db8::ffff:1".parse().unwrap())
        );
        drop((second, third));
        assert!(slots.lock().of.is_empty(), "nothing is kept of who left");
    }
}
