//! Merge patches of live children, for what server-side apply cannot say: a field that is not ours
//! to own, or one word of a workload whose rest must stay as it is.

use kube::api::{Patch, PatchParams};
use langop_api::names::managers;
use langop_desired::observed::Observed;
use serde_json::Value;

use crate::{
    cache::child,
    error::{Class, ReconcileError, Refusal, classify},
    write::Writer,
};

/// What became of a merge.
pub(super) enum Merged {
    Written,
    /// It is gone, or another has its name.
    Gone,
    /// The API server's words.
    Refused(String),
}

impl Writer {
    /// Merges `body`, which names the object's uid, into a live child; `verb` is for messages.
    pub(super) async fn merge(
        &self,
        live: &Observed,
        body: &Value,
        verb: &str,
    ) -> Result<Merged, ReconcileError> {
        let api = child::api(&self.client, live.kind, Some(&live.namespace));
        let params = PatchParams {
            field_manager: Some(managers::CHILDREN.to_owned()),
            ..PatchParams::default()
        };
        match api.patch(&live.name, &params, &Patch::Merge(body)).await {
            Ok(response) => {
                self.cache.upsert_child(live.kind, &response);
                Ok(Merged::Written)
            }
            Err(error) => match classify(&error) {
                Class::Gone => Ok(Merged::Gone),
                Class::Refused(Refusal(why)) => Ok(Merged::Refused(why)),
                Class::Transient => {
                    let kind = child::name(live.kind);
                    let act = format!("{verb} {kind} {}/{}", live.namespace, live.name);
                    Err(ReconcileError::api(act, error))
                }
            },
        }
    }
}
