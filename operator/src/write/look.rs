//! Looks at names in the API server that the cache does not know, before anything is written to
//! them.

use std::{collections::BTreeSet, sync::Arc};

use langop_desired::{digest, meta::Owner, observed::Observed};

use crate::{
    cache::{child, index::Key, received::ReceivedAny},
    error::ReconcileError,
    write::{Writer, ownership::OwnershipConflict},
};

/// Names at which one reconcile has found nothing, so that it asks for each once. Not for longer:
/// others may take them.
#[derive(Debug, Default)]
pub(crate) struct KnownAbsent {
    found: BTreeSet<Key>,
    is_presumed: bool,
}

impl KnownAbsent {
    /// Of whatever the cache does not know. What is there all the same is found by its creation,
    /// which then fails.
    pub(crate) fn presumed() -> Self {
        Self {
            is_presumed: true,
            ..Self::default()
        }
    }
}

impl Writer {
    /// The live object of that name. A name that the index does not know is looked up: the object
    /// may have another owner, and a forced apply would silently take it over.
    pub(crate) async fn get_live(
        &self,
        absent: &mut KnownAbsent,
        key: &Key,
    ) -> Result<Option<Arc<Observed>>, ReconcileError> {
        if let Some(known) = self.cache.index.get(key.kind, &key.namespace, &key.name) {
            return Ok(Some(known));
        }
        if absent.is_presumed || absent.found.contains(key) {
            return Ok(None);
        }
        let live = self.look(key).await?;
        if live.is_none() {
            absent.found.insert(key.clone());
        }
        Ok(live)
    }

    /// What the API server has at a name.
    pub(super) async fn look(&self, key: &Key) -> Result<Option<Arc<Observed>>, ReconcileError> {
        let api = child::api(&self.client, key.kind, Some(&key.namespace));
        let act = || {
            let kind = child::name(key.kind);
            format!("look for {kind} {}/{}", key.namespace, key.name)
        };
        let live = api
            .get_opt(&key.name)
            .await
            .map_err(|error| ReconcileError::api(act(), error))?;
        Ok(live
            .and_then(|live: ReceivedAny| digest::reduce(key.kind, live.value().ok()?))
            .map(Arc::new))
    }

    /// What keeps us from writing any of these names, if anything; looks at the API server for
    /// those that the index does not know.
    pub(crate) async fn conflict_at(
        &self,
        owner: &Owner,
        keys: &[Key],
        absent: &mut KnownAbsent,
    ) -> Result<Option<OwnershipConflict>, ReconcileError> {
        let mut lives = Vec::new();
        for key in keys {
            lives.extend(self.get_live(absent, key).await?);
        }
        Ok(OwnershipConflict::of(
            owner,
            lives.iter().map(AsRef::as_ref),
        ))
    }
}
