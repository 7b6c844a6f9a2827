//! Writes status by server-side apply, whole, under a manager of its own, and only when it differs
//! from what the store shows.

use std::sync::Arc;

use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::{ApiResource, DynamicResourceScope},
};
use langop_api::{
    bounds,
    condition::{Reason, types},
    names::managers,
};
use langop_desired::conditions;
use serde_json::json;

use crate::{
    cache::{
        kind::LangopKind,
        objects::{Guard, Stored},
        received::{Received, ReceivedAny},
    },
    error::{Class, ReconcileError, classify},
    write::{Writer, effects::Effects},
};

/// Access to one kind's objects where an object lives.
pub(crate) fn api<K: LangopKind, T>(client: &Client, namespace: Option<&str>) -> Api<T>
where
    T: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    let resource = ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

fn status_of<K: Stored>(held: &Guard<K>) -> Option<K::Status> {
    held.0.as_ref().ok()?.status().cloned()
}

impl Writer {
    /// What the store now holds of an object, our own last write included; `None` if it is gone or
    /// another one has its name.
    pub(super) fn held<K: Stored>(&self, object: &K) -> Option<Arc<Guard<K>>> {
        let namespace = object.meta().namespace.as_deref();
        let held = K::objects(&self.cache.stores).get(namespace, &object.name_any())?;
        (held.uid() == object.uid()).then_some(held)
    }

    /// Makes `status` the object's, unless it is; whether it was not. An object that is gone is
    /// left alone.
    pub(crate) async fn write_status<K: Stored>(
        &self,
        object: &K,
        status: &K::Status,
        effects: &mut Effects,
    ) -> Result<bool, ReconcileError> {
        let Some(held) = self.held(object) else {
            return Ok(false);
        };
        let previous = status_of(&held);
        if previous.as_ref() == Some(status) {
            return Ok(false);
        }
        let status = &fitted::<K>(status)?;
        if previous.as_ref() == Some(status) {
            return Ok(false);
        }
        let name = object.name_any();
        if previous.as_ref() != object.status() {
            return Err(ReconcileError::Overtaken {
                kind: K::KIND.as_str(),
                name,
            });
        }
        let Some(response) = self.apply_status(object, &held, status).await? else {
            return Ok(false);
        };
        self.cache.upsert_own_write(&response, object);
        tell_stall::<K>(previous.as_ref(), status, effects);
        effects.changed = true;
        Ok(true)
    }

    /// The object with its new status; `None` if it is gone.
    async fn apply_status<K: Stored>(
        &self,
        object: &K,
        held: &Guard<K>,
        status: &K::Status,
    ) -> Result<Option<Received<K>>, ReconcileError> {
        let name = object.name_any();
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The uid keeps it from a successor of the same name. The version keeps what we have
            // not seen: what the store shows is what we carry on from, and a new leader's watches
            // may have yet to catch up.
            "metadata": {"name": name, "uid": object.uid(), "resourceVersion": held.resource_version()},
            "status": status,
        });
        let params = PatchParams::apply(managers::STATUS).force();
        let response = api::<K, ReceivedAny>(&self.client, object.meta().namespace.as_deref())
            .patch_status(&name, &params, &Patch::Apply(&body))
            .await;
        match response {
            Ok(response) => Ok(Some(response.of_kind())),
            Err(error) if matches!(classify(&error), Class::Gone) => Ok(None),
            Err(error) => {
                let act = format!("write the status of {} {name}", K::KIND.as_str());
                Err(ReconcileError::api(act, error))
            }
        }
    }
}

/// A status within the bounds of its schema.
fn fitted<K: Stored>(status: &K::Status) -> Result<K::Status, ReconcileError> {
    let fit = |mut status| {
        bounds::fit(K::KIND.as_str(), &mut status);
        serde_json::from_value(status)
    };
    serde_json::to_value(status)
        .and_then(fit)
        .map_err(|source| ReconcileError::Json {
            what: format!("the status of a {}", K::KIND.as_str()),
            source,
        })
}

/// What the synthesis itself announces, once.
const ANNOUNCED: [Reason; 3] = [
    Reason::SynthesisFailed,
    Reason::SynthesisDisabled,
    Reason::ValidationFailed,
];

/// An event when a resource stalls, or stalls for another reason.
fn tell_stall<K: Stored>(previous: Option<&K::Status>, status: &K::Status, effects: &mut Effects) {
    let stall = |status: &K::Status| {
        conditions::find(K::conditions(status), types::STALLED)
            .map(|condition| (condition.reason.clone(), condition.message.clone()))
    };
    let Some((reason, message)) = stall(status) else {
        return;
    };
    if previous
        .and_then(stall)
        .is_some_and(|(before, _)| before == reason)
    {
        return;
    }
    if let Some(reason) = Reason::from_name(&reason).filter(|reason| !ANNOUNCED.contains(reason)) {
        effects.warning(reason, message);
    }
}
