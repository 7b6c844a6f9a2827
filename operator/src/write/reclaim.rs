//! Takes back fields of children that others have where only we may write. Nothing but their owner
//! changes.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use langop_api::names::managers;
use langop_desired::digest;
use serde_json::json;

use crate::{
    cache::child,
    error::ReconcileError,
    write::{Writer, item::Item},
};

/// Which fields of others are to be ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All where only we may write, if there are any that an apply would leave as they are.
    Beside,
    /// All where only we may write.
    All,
}

/// How often that is tried at once.
const RECLAIMS: u32 = 8;

impl Writer {
    /// Makes the fields ours that others have where only we may write, so that the next apply
    /// removes them; whether there were any.
    pub(super) async fn reclaim(
        &self,
        item: &Item,
        extent: Extent,
    ) -> Result<bool, ReconcileError> {
        let mut tries = 1;
        loop {
            match self.try_reclaim(item, extent).await {
                // Its controller writes its status all the time while it rolls out.
                Err(error) if error.is_conflict() && tries < RECLAIMS => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_reclaim(&self, item: &Item, extent: Extent) -> Result<bool, ReconcileError> {
        let (kind, namespace) = (item.key.kind, Some(item.key.namespace.as_str()));
        let api: Api<DynamicObject> = child::api(&self.client, kind, namespace);
        let failed = |error| ReconcileError::api(item.act("take back the fields of"), error);
        let live = api.get(&item.key.name).await.map_err(failed)?;
        if live.metadata.uid.as_deref() != item.live.as_ref().map(|live| live.uid.as_str()) {
            return Err(item.overtaken());
        }
        let managed = live.metadata.managed_fields.unwrap_or_default();
        if extent == Extent::Beside && !digest::is_beside(kind, &managed, &item.desired.body) {
            return Ok(false);
        }
        let Some(reclaimed) = digest::reclaimed(kind, &managed) else {
            return Ok(false);
        };
        let patch = json!({"metadata": {
            "uid": live.metadata.uid,
            "resourceVersion": live.metadata.resource_version,
            "managedFields": reclaimed,
        }});
        let params = PatchParams {
            field_manager: Some(managers::CHILDREN.to_owned()),
            ..PatchParams::default()
        };
        let response = child::api(&self.client, kind, namespace)
            .patch(&item.key.name, &params, &Patch::Merge(&patch))
            .await
            .map_err(failed)?;
        self.cache.upsert_child(kind, &response);
        Ok(true)
    }
}
