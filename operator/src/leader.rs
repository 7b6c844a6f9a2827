//! One operator of several works: the holder of a Lease. Losing it ends the process; a clean stop gives it back.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle};

/// Name of the Lease, in the operator's namespace.
const LEASE: &str = "langop-operator";
/// Seconds after the last renewal at which others may take over.
const DURATION: u64 = 15;
/// Seconds before that at which the holder renews.
const GRACE: u64 = 5;

/// A Lease that is held or waited for.
pub(crate) struct Leadership {
    is_leader: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Leadership {
    /// Starts to try.
    pub(crate) async fn seek(
        client: Client,
        namespace: &str,
        identity: &str,
    ) -> Result<Self, LeaseManagerError> {
        let builder = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE);
        let (is_leader, task) = builder.build().await?.watch().await;
        Ok(Self { is_leader, task })
    }

    /// Until the Lease is ours. An error means that nobody tries any more.
    pub(crate) async fn gained(&mut self) -> Result<(), watch::error::RecvError> {
        self.is_leader.wait_for(|leader| *leader).await.map(|_| ())
    }

    /// Until the Lease is no longer ours, or nobody renews it.
    pub(crate) async fn lost(&mut self) {
        // Both mean the same: we must stop.
        let _ = self.is_leader.wait_for(|leader| !*leader).await;
    }

    /// Gives it back, so that another need not wait for its end.
    pub(crate) async fn release(self) {
        drop(self.is_leader);
        match self.task.await {
            Ok(Ok(_)) => tracing::info!("leadership released"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the Lease could not be released; it expires by itself");
            }
            Err(error) => tracing::warn!(%error, "the Lease's task ended badly"),
        }
    }
}
