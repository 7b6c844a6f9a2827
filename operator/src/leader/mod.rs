//! One operator of several works: the holder of a Lease. Losing it ends the process; a clean stop
//! gives it back.
//!
//! Every write of the Lease names the version it was decided on, so of two that take it at once one
//! fails. A holder that cannot renew stops [`lease::GIVE_UP`] after its last renewal, before others
//! may take over, and the [`Fence`] keeps what it had queued from being written.
//! `kube-lease-manager` promises neither.

pub(crate) mod fence;
mod lease;

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::chain,
    leader::{
        fence::Fence,
        lease::{LeaseState, ObservedLease},
    },
};

/// Name of the Lease, in the operator's namespace.
const LEASE: &str = "langop-operator";
/// Between two renewals of the holder.
const RENEW: Duration = Duration::from_secs(4);
/// Between two looks of those that wait, and before a failed renewal is tried again.
const LOOK: Duration = Duration::from_secs(1);

/// A Lease that is held or waited for.
pub(crate) struct Leadership {
    is_leader: watch::Receiver<bool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Leadership {
    /// Starts to try. The fence is closed except while the Lease is held.
    pub(crate) fn seek(client: Client, namespace: &str, identity: &str, fence: Fence) -> Self {
        fence.close();
        let (sender, is_leader) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidate = Candidate {
            leases: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            seen: None,
            until: None,
            fence,
            is_leader: sender,
            complaint: String::new(),
        };
        let task = tokio::spawn(candidate.run(stop.clone()));
        Self {
            is_leader,
            stop,
            task,
        }
    }

    /// Until the Lease is ours. An error means that the election has ended.
    pub(crate) async fn gained(&mut self) -> Result<(), watch::error::RecvError> {
        self.is_leader.wait_for(|leader| *leader).await.map(|_| ())
    }

    /// Until the Lease is no longer ours, or is no longer renewed.
    pub(crate) async fn lost(&mut self) {
        // Both mean the same: we must stop.
        let _ = self.is_leader.wait_for(|leader| !*leader).await;
    }

    /// Gives it back, so that another need not wait for its end.
    pub(crate) async fn release(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the Lease's task ended badly");
        }
    }
}

struct Candidate {
    leases: Api<Lease>,
    identity: String,
    /// The Lease as it was last seen.
    seen: Option<ObservedLease>,
    /// It is ours until then; `None`: it is not.
    until: Option<Instant>,
    fence: Fence,
    is_leader: watch::Sender<bool>,
    /// What was logged last, so that it is not said again and again.
    complaint: String,
}

impl Candidate {
    /// Ends when stopped, or when the Lease was ours and is no longer.
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let begun = Instant::now();
            let end = self.until.unwrap_or(begun + lease::GIVE_UP);
            let attempt = timeout_at(end, self.attempt()).await;
            let pause = match attempt {
                Ok(Ok(LeaseState::Available)) => {
                    self.hold_until(begun + lease::GIVE_UP);
                    RENEW
                }
                Ok(Ok(LeaseState::Held)) if self.until.is_some() => break,
                Ok(Ok(LeaseState::Held)) => LOOK,
                Ok(Err(error)) => {
                    self.complain(&chain(&error));
                    LOOK
                }
                Err(_) => {
                    self.complain("no answer in time");
                    LOOK
                }
            };
            let next = Instant::now() + pause;
            let next = self.until.map_or(next, |until| next.min(until));
            if stop.run_until_cancelled(sleep_until(next)).await.is_none() {
                self.give_back().await;
                break;
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
        }
        self.fence.close();
        self.is_leader.send_replace(false);
    }

    fn hold_until(&mut self, end: Instant) {
        self.until = Some(end);
        self.fence.open_until(end.into_std());
        self.is_leader.send_replace(true);
        self.complain("");
    }

    /// Takes or renews the Lease, unless it is another's.
    async fn attempt(&mut self) -> kube::Result<LeaseState> {
        let Some(live) = self.leases.get_opt(LEASE).await? else {
            let nothing = ObservedLease::now(<_>::default(), None, Instant::now());
            let metadata = ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            };
            let spec = nothing.held(&self.identity, Timestamp::now());
            let new = Lease {
                metadata,
                spec: Some(spec),
            };
            self.leases.create(&PostParams::default(), &new).await?;
            return Ok(LeaseState::Available);
        };
        let (record, now) = (live.spec.clone().unwrap_or_default(), Instant::now());
        let seen = ObservedLease::now(record, self.seen.take(), now);
        let state = seen.state(&self.identity, now);
        let ours = seen.held(&self.identity, Timestamp::now());
        // Kept even if the write fails: the time since its last renewal goes on.
        self.seen = Some(seen);
        if state == LeaseState::Available {
            self.replace(live, ours).await?;
        }
        Ok(state)
    }

    /// Writes exactly that version's successor.
    async fn replace(&self, live: Lease, record: LeaseSpec) -> kube::Result<()> {
        let next = Lease {
            spec: Some(record),
            ..live
        };
        self.leases
            .replace(LEASE, &PostParams::default(), &next)
            .await?;
        Ok(())
    }

    /// All reconciles have ended: another process may begin at once.
    async fn give_back(&mut self) {
        let Some(until) = self.until else { return };
        self.fence.close();
        let release = async {
            let live = self.leases.get(LEASE).await?;
            let seen =
                ObservedLease::now(live.spec.clone().unwrap_or_default(), None, Instant::now());
            if seen.record.holder_identity.as_ref() == Some(&self.identity) {
                self.replace(live, seen.released()).await?;
            }
            Ok::<(), kube::Error>(())
        };
        match timeout_at(until, release).await {
            Ok(Ok(())) => tracing::info!("leadership released"),
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the Lease could not be released; it expires by itself");
            }
            Err(_) => {
                tracing::warn!("the Lease could not be released in time; it expires by itself");
            }
        }
    }

    fn complain(&mut self, why: &str) {
        if self.complaint != why {
            why.clone_into(&mut self.complaint);
            if !why.is_empty() {
                tracing::warn!(
                    why,
                    lease = LEASE,
                    "the Lease cannot be taken or renewed; trying again"
                );
            }
        }
    }
}
