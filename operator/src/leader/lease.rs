//! The record of a Lease: whose it is, whether it may be taken, and what is written into it. Pure.
//!
//! Only our own clock is asked: a holder counts as gone when its record has not changed for the
//! record's duration since *we* first saw it so, whatever times stand in it (the rule of
//! client-go's leader election). So clocks may differ and jump.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp,
};
use tokio::time::Instant;

/// After which others may take over, counted from the last renewal they saw.
pub(crate) const DURATION: Duration = Duration::from_secs(15);
/// After which a holder that cannot renew stops, counted from before its last renewal: that much
/// earlier than others take over, so that what it has under way has ended by then.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);

/// A record, and when we first saw it.
#[derive(Clone, Debug)]
pub(crate) struct ObservedLease {
    pub(crate) record: LeaseSpec,
    since: Instant,
}

/// Whose the Lease is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// Ours, or expired: write [`ObservedLease::held`].
    Available,
    Held,
}

impl ObservedLease {
    /// What is seen now; the same record keeps its age.
    pub(crate) fn now(record: LeaseSpec, before: Option<Self>, now: Instant) -> Self {
        match before {
            Some(before) if before.record == record => before,
            _ => Self { record, since: now },
        }
    }

    fn holder(&self) -> Option<&str> {
        let holder = self.record.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }

    pub(crate) fn state(&self, identity: &str, now: Instant) -> LeaseState {
        let seconds = self.record.lease_duration_seconds;
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = seconds.map_or(DURATION, Duration::from_secs);
        match self.holder() {
            None => LeaseState::Available,
            Some(holder) if holder == identity => LeaseState::Available,
            Some(_) if now.duration_since(self.since) >= duration => LeaseState::Available,
            Some(_) => LeaseState::Held,
        }
    }

    /// The record that makes it ours for another while.
    pub(crate) fn held(&self, identity: &str, now: Timestamp) -> LeaseSpec {
        let is_ours = self.holder() == Some(identity);
        let acquired = self.record.acquire_time.clone().filter(|_| is_ours);
        let transitions = self.record.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(identity.to_owned()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: acquired.or(Some(MicroTime(now))),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(transitions.saturating_add(i32::from(!is_ours))),
            ..self.record.clone()
        }
    }

    /// The record that releases it.
    pub(crate) fn released(&self) -> LeaseSpec {
        LeaseSpec {
            lease_transitions: self.record.lease_transitions,
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(holder: Option<&str>) -> ObservedLease {
        let record = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            // Long ago by somebody's clock: no matter.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            acquire_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            lease_transitions: Some(3),
            ..LeaseSpec::default()
        };
        ObservedLease::now(record, None, Instant::now())
    }

    #[test]
    fn anothers_is_takeable_once_it_has_not_changed_for_its_duration() {
        let first = seen(Some("a"));
        assert_eq!(first.state("a", first.since), LeaseState::Available, "ours");
        assert_eq!(seen(None).state("b", first.since), LeaseState::Available);
        assert_eq!(
            seen(Some("")).state("b", first.since),
            LeaseState::Available
        );
        let just_before = first.since + DURATION.saturating_sub(Duration::from_millis(1));
        assert_eq!(first.state("b", just_before), LeaseState::Held);
        assert_eq!(
            first.state("b", first.since + DURATION),
            LeaseState::Available
        );

        let mut record = first.record.clone();
        let same = ObservedLease::now(record.clone(), Some(first.clone()), just_before);
        assert_eq!(same.since, first.since);
        record.renew_time = Some(MicroTime(Timestamp::now()));
        let renewed = ObservedLease::now(record, Some(first.clone()), just_before);
        assert_eq!(renewed.state("b", first.since + DURATION), LeaseState::Held);
    }

    #[test]
    fn renewing_keeps_the_history_and_taking_over_counts_it() {
        let now = Timestamp::now();
        let renewed = seen(Some("a")).held("a", now);
        assert_eq!(renewed.acquire_time, Some(MicroTime(Timestamp::UNIX_EPOCH)));
        assert_eq!(renewed.lease_transitions, Some(3));
        let taken = seen(Some("a")).held("b", now);
        assert_eq!(taken.holder_identity.as_deref(), Some("b"));
        assert_eq!(taken.acquire_time, Some(MicroTime(now)));
        assert_eq!(taken.lease_transitions, Some(4));
        let released = seen(Some("a")).released();
        assert_eq!(
            (released.holder_identity, released.lease_transitions),
            (None, Some(3))
        );
    }
}
