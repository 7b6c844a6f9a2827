//! Events for people: one for each thing that happened, none when nothing did. Losing one is logged
//! and harms nothing. Not kube's `Recorder`: it aggregates by a key that ignores the note, and
//! would repeat the first one.
//!
//! A user who may edit an object can cause events without end, so each object has a burst of events
//! and then one per interval, like client-go's `EventSourceObjectSpamFilter`. Its conditions still
//! show its state.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event as ApiEvent},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use langop_api::condition::Reason;

use crate::error::{bounded, chain};

/// Whether an event needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) severity: Severity,
    pub(crate) reason: Reason,
    /// For people.
    pub(crate) note: String,
}

/// Events of one object at once.
const BURST: u32 = 25;
/// After which time it may have one more.
const REFILL: Duration = Duration::from_mins(5);
/// Objects that are remembered, beside those that have spent events lately.
const REMEMBERED: usize = 4096;

/// Publishes events in the name of this process.
#[derive(Clone)]
pub(crate) struct EventPublisher {
    client: Client,
    instance: String,
    allowance: Arc<Mutex<Allowance>>,
}

/// What each object may still have, as token buckets: by uid, when its bucket will be full again.
#[derive(Debug, Default)]
struct Allowance(HashMap<String, Instant>);

impl Allowance {
    /// Takes one event of an object, if it may have one.
    fn take(&mut self, uid: &str, now: Instant) -> bool {
        if self.0.len() >= REMEMBERED {
            // A full bucket is as one that was never used.
            self.0.retain(|_, full| *full > now);
        }
        let full = self.0.get(uid).map_or(now, |full| (*full).max(now));
        let next = full + REFILL;
        if next.duration_since(now) > REFILL * BURST {
            return false;
        }
        self.0.insert(uid.to_owned(), next);
        true
    }
}

impl EventPublisher {
    /// `instance` is at most 128 characters to the API server.
    pub(crate) fn new(client: Client, identity: &str) -> Self {
        Self {
            client,
            instance: identity.chars().take(128).collect(),
            allowance: Arc::default(),
        }
    }

    /// Publishes events about an object, in order; a note is cut to what the API server takes (1
    /// KiB).
    pub(crate) async fn publish(&self, about: &ObjectReference, events: Vec<Event>) {
        for event in events {
            self.publish_one(about, &event).await;
        }
    }

    async fn publish_one(&self, about: &ObjectReference, event: &Event) {
        let reason = event.reason;
        if !self.may_have_one(about) {
            let (namespace, name) = (namespace_of(about), about.name.as_deref());
            tracing::debug!(%reason, namespace, name, "an event was left out: the object has had many");
            return;
        }
        let object = self.object(about, event, Timestamp::now());
        let api: Api<ApiEvent> = Api::namespaced(self.client.clone(), namespace_of(about));
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            tracing::warn!(%reason, error = %chain(&error), "an event was lost");
        }
    }

    fn may_have_one(&self, about: &ObjectReference) -> bool {
        let uid = about.uid.as_deref().unwrap_or_default();
        let mut allowance = self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        allowance.take(uid, Instant::now())
    }

    fn object(&self, about: &ObjectReference, event: &Event, now: Timestamp) -> ApiEvent {
        let type_ = match event.severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        ApiEvent {
            metadata: ObjectMeta {
                // As client-go names them.
                name: Some(format!(
                    "{}.{:x}",
                    about.name.as_deref().unwrap_or_default(),
                    now.as_nanosecond()
                )),
                namespace: Some(namespace_of(about).to_owned()),
                ..ObjectMeta::default()
            },
            action: Some(event.reason.to_string()),
            event_time: Some(MicroTime(now)),
            note: Some(bounded(&event.note)),
            reason: Some(event.reason.to_string()),
            regarding: Some(about.clone()),
            reporting_controller: Some("langop.io/operator".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(type_.to_owned()),
            ..ApiEvent::default()
        }
    }
}

/// Events of cluster-scoped objects live in `default`.
fn namespace_of(about: &ObjectReference) -> &str {
    about.namespace.as_deref().unwrap_or("default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_a_burst_of_events_and_then_one_in_a_while() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let mut taken = |uid: &str, tries: u32, now: Instant| {
            (0..tries).filter(|_| allowance.take(uid, now)).count()
        };
        assert_eq!(taken("loop", 1000, start), 25);
        assert_eq!(taken("other", 3, start), 3, "each object for itself");
        let just_before = start + REFILL.saturating_sub(Duration::from_millis(1));
        assert_eq!(taken("loop", 10, just_before), 0);
        assert_eq!(taken("loop", 10, start + REFILL), 1);
        assert_eq!(taken("loop", 10, start + REFILL * 4), 3);
        // A day of it.
        let day = (0..24 * 60).map(|minute| start + REFILL * 4 + Duration::from_mins(minute));
        let in_a_day: usize = day.map(|now| taken("loop", 10, now)).sum();
        assert_eq!(in_a_day, 24 * 60 / 5 - 1);
        assert_eq!(
            taken("loop", 1000, start + REFILL * 1000),
            25,
            "and it has all again"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_by_what_happens() {
        let (mut allowance, start) = (Allowance::default(), Instant::now());
        let later = start + REFILL;
        for object in 0..2 * REMEMBERED {
            assert!(allowance.take(&format!("old-{object}"), start));
        }
        assert!(allowance.take("new", later));
        assert_eq!(allowance.0.len(), 1, "full buckets are forgotten");
    }
}
