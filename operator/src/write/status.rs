//! Writes status by server-side apply, whole, under a manager of its own, and only when it differs from what the store shows.

use std::sync::Arc;

use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
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
    },
    context::Context,
    error::{Class, ReconcileError, classify},
    write::events::Severity,
};

/// Whether anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Yes,
    No,
}

/// Access to one kind's objects where an object lives.
pub(crate) fn api<K: LangopKind>(
    ctx: &Context,
    namespace: Option<&str>,
) -> Api<kube::api::DynamicObject> {
    let resource = kube::core::ApiResource::erase::<K>(&());
    match namespace {
        Some(namespace) => Api::namespaced_with(ctx.client.clone(), namespace, &resource),
        None => Api::all_with(ctx.client.clone(), &resource),
    }
}

/// What the store now holds of an object, our own last write included; `None` if it is gone or another one has its name.
fn held<K: Stored>(ctx: &Context, object: &K) -> Option<Arc<Guard<K>>> {
    let namespace = object.meta().namespace.as_deref();
    let held = K::objects(&ctx.cache.stores).get(namespace, &object.name_any())?;
    (held.uid() == object.uid()).then_some(held)
}

fn status_of<K: Stored>(held: &Guard<K>) -> Option<K::Status> {
    held.0.as_ref().ok()?.status().cloned()
}

/// Makes `status` the object's, unless it is. An object that is gone is left alone.
pub(crate) async fn write<K: Stored>(
    ctx: &Context,
    object: &K,
    status: &K::Status,
) -> Result<Written, ReconcileError> {
    let Some(held) = held(ctx, object) else {
        return Ok(Written::No);
    };
    let previous = status_of(&held);
    if previous.as_ref() == Some(status) {
        return Ok(Written::No);
    }
    let status = &fitted::<K>(status)?;
    if previous.as_ref() == Some(status) {
        return Ok(Written::No);
    }
    let name = object.name_any();
    if previous.as_ref() != object.status() {
        return Err(ReconcileError::Overtaken {
            kind: K::KIND.as_str(),
            name,
        });
    }
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        // The uid keeps it from a successor of the same name. The version keeps what we have not seen: what the store shows is what we
        // carry on from, and a new leader's watches may have yet to catch up.
        "metadata": {"name": name, "uid": object.uid(), "resourceVersion": held.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(managers::STATUS).force();
    let answer = api::<K>(ctx, object.meta().namespace.as_deref())
        .patch_status(&name, &params, &Patch::Apply(&body))
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if matches!(classify(&error), Class::Gone) => return Ok(Written::No),
        Err(error) => {
            return Err(ReconcileError::api(
                format!("write the status of {} {name}", K::KIND.as_str()),
                error,
            ));
        }
    };
    let answer: Guard<K> = serde_json::to_value(answer)
        .and_then(serde_json::from_value)
        .map_err(|source| ReconcileError::Json {
            what: format!("the answer about {name}"),
            source,
        })?;
    ctx.cache.upsert_own_write(answer, object);
    announce_stall(ctx, object, previous.as_ref(), status).await;
    Ok(Written::Yes)
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

/// An event when a resource begins to need somebody, or needs them for another reason.
async fn announce_stall<K: Stored>(
    ctx: &Context,
    object: &K,
    previous: Option<&K::Status>,
    status: &K::Status,
) {
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
        ctx.events
            .publish(object, Severity::Warning, reason, &message)
            .await;
    }
}
