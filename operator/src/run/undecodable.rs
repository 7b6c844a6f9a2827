//! Objects of our kinds that cannot be decoded: their status says so, and no other object is
//! affected.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::error_boundary::InvalidObject,
};
use langop_api::{
    bounds,
    condition::{Reason, types},
    names::managers,
};
use langop_desired::conditions::{Conditions, Summary};
use serde_json::{Value, json};

use crate::{
    cache::objects::Stored,
    context::{Context, now},
    error::{Class, ReconcileError, bounded, classify},
    run::outcome::{Done, Outcome},
    write::{effects::Effects, status},
};

/// Sets Stalled with the reader's message and tells it in an event, unless that was done. The rest
/// of the status stays as it is.
pub(crate) async fn report<K: Stored>(
    ctx: &Context,
    invalid: &InvalidObject,
    effects: &mut Effects,
) -> Result<Done, ReconcileError> {
    let metadata = &invalid.metadata;
    let name = metadata.name.clone().unwrap_or_default();
    let act = || format!("report on {} {name}", K::KIND.as_str());
    let api = status::api::<K, DynamicObject>(&ctx.client, metadata.namespace.as_deref());
    // The store holds only its metadata.
    let Some(live) = api
        .get_opt(&name)
        .await
        .map_err(|error| ReconcileError::api(act(), error))?
    else {
        return Ok(Outcome::Unchanged.into());
    };
    let mut again = None;
    let before = live
        .data
        .get("status")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let why = match decode_error::<K>(&live) {
        Some(why) => why,
        // It can be read, and had no room.
        None if has_room::<K>(ctx, &live) => return Ok(Outcome::Unchanged.into()),
        None => {
            again = Some(ROOM_RECHECK);
            invalid.error.clone()
        }
    };
    let message = bounded(&format!("this {} cannot be read: {why}", K::KIND.as_str()));
    let mut after = with_stall(&before, metadata.generation.unwrap_or_default(), &message);
    bounds::fit(K::KIND.as_str(), &mut after);
    let stalled = || {
        let done = Done::from(Outcome::Stalled);
        again.map_or(done, |pause| done.requeue_after(pause))
    };
    if before == after {
        return Ok(stalled());
    }
    write::<K>(&api, metadata, &after)
        .await
        .map_err(|error| ReconcileError::api(act(), error))?;
    effects.warning(Reason::Undecodable, message);
    Ok(stalled())
}

async fn write<K: Stored>(
    api: &Api<DynamicObject>,
    metadata: &ObjectMeta,
    status: &Value,
) -> kube::Result<()> {
    let name = metadata.name.as_deref().unwrap_or_default();
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name, "uid": metadata.uid},
        "status": status,
    });
    let params = PatchParams::apply(managers::STATUS).force();
    match api.patch_status(name, &params, &Patch::Apply(&body)).await {
        Ok(_) => Ok(()),
        // The API server itself may refuse whatever is written to such an object.
        Err(error) if !matches!(classify(&error), Class::Transient) => {
            tracing::warn!(%error, "the status of an unreadable object cannot be written");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// How long to wait before checking whether there is room now: nothing triggers it when others
/// shrink.
const ROOM_RECHECK: Duration = Duration::from_mins(5);

/// Whether an object for which its namespace had no room has some now; then the store has it.
fn has_room<K: Stored>(ctx: &Context, live: &DynamicObject) -> bool {
    let object = serde_json::to_value(live).and_then(serde_json::from_value);
    object.is_ok_and(|object| ctx.cache.upsert::<K>(&object))
}

/// The field that cannot be read, and why: the store's own message does not name it. `None`: it can
/// be read by now.
fn decode_error<K: Stored>(live: &DynamicObject) -> Option<String> {
    let value = serde_json::to_value(live).ok()?;
    let error = serde_path_to_error::deserialize::<_, K>(value).err()?;
    Some(format!("{}: {}", error.path(), error.inner()))
}

fn with_stall(before: &Value, generation: i64, message: &str) -> Value {
    let previous: Vec<Condition> =
        serde_json::from_value(before["conditions"].clone()).unwrap_or_default();
    let mut conditions = Conditions::new(&previous, generation, now());
    // Nothing goes on with it, whatever did before.
    let kept = |condition: &&Condition| condition.type_ != types::RECONCILING;
    for condition in previous.iter().filter(kept) {
        conditions.keep(&condition.type_);
    }
    conditions.summary(Summary::Stalled(Reason::Undecodable, message.to_owned()));
    let mut after = before.clone();
    after["observedGeneration"] = json!(generation);
    after["phase"] = json!("Failed");
    after["conditions"] = json!(conditions.finish());
    after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_named() {
        let live = json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent", "metadata": {"name": "a"},
            "spec": {"instructions": 42}
        });
        let message =
            decode_error::<langop_api::LanguageAgent>(&serde_json::from_value(live).unwrap())
                .unwrap();
        assert!(
            message.starts_with("spec.instructions: invalid type"),
            "{message}"
        );
    }

    #[test]
    fn saying_it_twice_changes_nothing_and_the_rest_is_kept() {
        let goes_on = json!({"type": "Reconciling", "status": "True", "reason": "RolloutInProgress", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let before = json!({"executionCount": 7, "conditions": [goes_on]});
        let once = with_stall(&before, 3, "no number");
        assert_eq!(once["executionCount"], 7);
        let of_type = |nth: usize| once["conditions"][nth]["type"].clone();
        assert_eq!([of_type(0), of_type(1)], ["Ready", "Stalled"]);
        assert_eq!(once["conditions"][1]["reason"], "Undecodable");
        assert_eq!(with_stall(&once, 3, "no number"), once);
    }
}
