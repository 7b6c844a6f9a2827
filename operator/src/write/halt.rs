//! Halts a workload that otherwise stays as it is, and lets it go on. Under a field manager of its
//! own: what that takes back leaves what was there.

use kube::api::{Patch, PatchParams};
use langop_api::names::managers;
use langop_desired::observed::Observed;
use serde_json::{Value, json};

use super::{Writer, remove::standstill};
use crate::{
    cache::child,
    error::{Class, ReconcileError, classify},
};

impl Writer {
    /// Halts a workload that runs, or will.
    pub(crate) async fn halt(&self, live: &Observed) -> Result<(), ReconcileError> {
        match standstill(live) {
            Some(spec) => self.apply_halt(live, json!({"spec": spec})).await,
            None => Ok(()),
        }
    }

    /// Takes that back.
    pub(crate) async fn let_go_on(&self, live: &Observed) -> Result<(), ReconcileError> {
        self.apply_halt(live, json!({})).await
    }

    async fn apply_halt(&self, live: &Observed, mut body: Value) -> Result<(), ReconcileError> {
        let resource = child::resource(live.kind);
        body["apiVersion"] = json!(resource.api_version);
        body["kind"] = json!(resource.kind);
        body["metadata"] = json!({"name": live.name, "uid": live.uid});
        let api = child::api(&self.client, live.kind, Some(&live.namespace));
        let params = PatchParams::apply(managers::HALT).force();
        match api.patch(&live.name, &params, &Patch::Apply(&body)).await {
            Ok(response) => drop(self.cache.upsert_child(live.kind, &response)),
            Err(error) if matches!(classify(&error), Class::Gone) => {}
            Err(error) => {
                let act = format!("halt {} {}/{}", resource.kind, live.namespace, live.name);
                return Err(ReconcileError::api(act, error));
            }
        }
        Ok(())
    }
}
