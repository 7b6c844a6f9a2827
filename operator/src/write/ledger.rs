//! The ledger of a namespace's budget, in the status of its LanguageCluster.

use langop_api::{LanguageCluster, LanguageClusterStatus, budget::SynthesisDay};

use crate::{
    error::ReconcileError,
    write::{Writer, effects::Effects},
};

impl Writer {
    /// Stores a ledger, unless it is stored. `cluster` is as the cache holds it; whatever has
    /// changed since is no error of anybody's, and the whole is to be tried again.
    pub(crate) async fn write_ledger(
        &self,
        cluster: &LanguageCluster,
        ledger: &SynthesisDay,
    ) -> Result<(), ReconcileError> {
        let next = LanguageClusterStatus {
            budget: Some(ledger.clone()),
            ..cluster.status.clone().unwrap_or_default()
        };
        self.write_status(cluster, &next, &mut Effects::default())
            .await?;
        // One that is gone is left alone, and has stored nothing.
        let held = self.held(cluster);
        let stored = held
            .as_ref()
            .and_then(|held| held.0.as_ref().ok()?.status.as_ref()?.budget.as_ref());
        if stored == Some(ledger) {
            return Ok(());
        }
        let what = format!("LanguageCluster {:?}", cluster.metadata.name);
        Err(ReconcileError::Changed(what))
    }
}
