//! Events for people: one for each thing that happened, none when nothing did. Losing one is logged and harms nothing.

use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, api::PostParams};
use langop_api::condition::Reason;

use crate::error::{bounded, chain};

/// Whether an event is good news or calls for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Normal,
    Warning,
}

/// Publishes events in the name of this process.
#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    instance: String,
}

impl Events {
    /// `instance` is at most 128 characters to the API server.
    pub(crate) fn new(client: Client, identity: &str) -> Self {
        Self {
            client,
            instance: identity.chars().take(128).collect(),
        }
    }

    /// Publishes one event about an object; `note` is cut to what the API server takes (1 KiB).
    pub(crate) async fn publish<K>(
        &self,
        object: &K,
        severity: Severity,
        reason: Reason,
        note: &str,
    ) where
        K: Resource<DynamicType = ()>,
    {
        self.publish_about(&object.object_ref(&()), severity, reason, note)
            .await;
    }

    /// The same where there is only a reference.
    pub(crate) async fn publish_about(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: Reason,
        note: &str,
    ) {
        let event = self.event(about, severity, reason, note, Timestamp::now());
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace_of(about));
        if let Err(error) = api.create(&PostParams::default(), &event).await {
            tracing::warn!(%reason, error = %chain(&error), "an event was lost");
        }
    }

    fn event(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: Reason,
        note: &str,
        now: Timestamp,
    ) -> Event {
        let type_ = match severity {
            Severity::Normal => "Normal",
            Severity::Warning => "Warning",
        };
        Event {
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
            action: Some(reason.to_string()),
            event_time: Some(MicroTime(now)),
            note: Some(bounded(note)),
            reason: Some(reason.to_string()),
            regarding: Some(about.clone()),
            reporting_controller: Some("langop.io/operator".to_owned()),
            reporting_instance: Some(self.instance.clone()),
            type_: Some(type_.to_owned()),
            ..Event::default()
        }
    }
}

/// Events of cluster-scoped objects live in `default`.
fn namespace_of(about: &ObjectReference) -> &str {
    about.namespace.as_deref().unwrap_or("default")
}
