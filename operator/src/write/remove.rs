//! Removes children: those that are no longer wanted, and what a resource still has that is being
//! deleted and cannot go.

use std::{collections::BTreeSet, sync::Arc};

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use langop_desired::{
    children::{Children, Prepared},
    meta::Owner,
    observed::{ChildKind, Observed, ObservedState},
};
use serde_json::json;

use crate::{
    cache::{child, index::Key, kind::Kind},
    error::{Class, ReconcileError, Refusal, classify},
    write::{
        Writer,
        effects::Effects,
        item::{AppliedChild, Force, Item, Verb, Write},
        merge::Merged,
    },
};

impl Writer {
    /// Removes what a resource controls and does not want; code and claims excepted, whose life is
    /// decided elsewhere.
    pub(super) async fn remove_unwanted(
        &self,
        owner: &Owner,
        wanted: &BTreeSet<Key>,
        effects: &mut Effects,
    ) -> Result<(), ReconcileError> {
        let mut orphans = self.cache.index.controlled_by(&owner.uid);
        // What protects goes last, and not before what it protects.
        orphans.sort_by_key(|orphan| orphan.kind == ChildKind::NetworkPolicy);
        for orphan in orphans {
            let is_policy = orphan.kind == ChildKind::NetworkPolicy;
            if is_policy && self.has_pods(owner, &orphan.namespace) {
                continue;
            }
            let key = Key::new(orphan.kind, &orphan.namespace, &orphan.name);
            let is_kept = matches!(orphan.state, ObservedState::Code(_))
                || orphan.kind == ChildKind::PersistentVolumeClaim;
            if !is_kept && !orphan.deleting && !wanted.contains(&key) {
                self.delete(&orphan, PropagationPolicy::Background).await?;
                effects.applied(AppliedChild {
                    kind: key.kind,
                    name: key.name,
                    verb: Verb::Deleted,
                });
            }
        }
        Ok(())
    }

    /// Whether pods of a resource are left. The end of each triggers it.
    fn has_pods(&self, owner: &Owner, namespace: &str) -> bool {
        let label = Kind::from_name(&owner.kind).and_then(Kind::label);
        label.is_some_and(|label| {
            let index = &self.cache.index;
            let pods = index.labelled(label, namespace, &owner.name, ChildKind::Pod);
            !pods.is_empty()
        })
    }

    /// Keeps in order what a resource still has that is being deleted and cannot go, because a
    /// foreign finalizer holds it: `closing` is corrected where it exists, and what runs pods runs
    /// none. Nothing is made. Whether anything was written.
    pub(crate) async fn wind_down(
        &self,
        owner: &Owner,
        closing: &Children<Prepared>,
    ) -> Result<bool, ReconcileError> {
        let mut lives = self.cache.index.controlled_by(&owner.uid);
        lives.retain(|live| !live.deleting);
        let mut is_written = false;
        for mut item in closing.in_order().into_iter().map(Item::from) {
            let is_of = |live: &&Arc<Observed>| {
                Key::new(live.kind, &live.namespace, &live.name) == item.key
            };
            item.live = lives.iter().find(is_of).cloned();
            if item.live.is_none() {
                continue;
            }
            match self.write(&item, Force::Yes).await? {
                Write::Unchanged => {}
                Write::Written(_) => is_written = true,
                Write::Refused(Refusal(why)) => {
                    tracing::warn!(kind = ?item.key.kind, name = item.key.name, why, "refused to a resource that is being deleted");
                }
            }
        }
        for live in &lives {
            is_written |= self.stop(live).await?;
        }
        Ok(is_written)
    }

    /// Stops a workload, unless it is one that stands still, or none.
    async fn stop(&self, live: &Observed) -> Result<bool, ReconcileError> {
        let Some(spec) = standstill(live) else {
            return Ok(false);
        };
        let body = json!({"metadata": {"uid": live.uid}, "spec": spec});
        match self.merge(live, &body, "stop").await? {
            Merged::Written => Ok(true),
            Merged::Gone => Ok(false),
            Merged::Refused(why) => {
                tracing::warn!(kind = ?live.kind, name = live.name, why, "a workload of a resource that is being deleted cannot be stopped");
                Ok(false)
            }
        }
    }

    /// Deletes exactly that object. One that is gone already is fine.
    pub(crate) async fn delete(
        &self,
        observed: &Observed,
        propagation: PropagationPolicy,
    ) -> Result<(), ReconcileError> {
        let api = child::api(&self.client, observed.kind, Some(&observed.namespace));
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(Preconditions {
                uid: Some(observed.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let key = Key::new(observed.kind, &observed.namespace, &observed.name);
        match api.delete(&observed.name, &params).await {
            Ok(response) => {
                // Either the object on its way out, or word that it is gone.
                response
                    .map_left(|object| self.cache.upsert_child(observed.kind, &object))
                    .map_right(|_| self.cache.forget_child(&key, &observed.uid));
                Ok(())
            }
            Err(error) if matches!(classify(&error), Class::Gone) => {
                self.cache.forget_child(&key, &observed.uid);
                Ok(())
            }
            Err(error) => {
                let kind = child::name(observed.kind);
                let act = format!("delete {kind} {}/{}", observed.namespace, observed.name);
                Err(ReconcileError::api(act, error))
            }
        }
    }
}

/// What of the spec makes a workload that runs, or will, stand still.
pub(super) fn standstill(live: &Observed) -> Option<serde_json::Value> {
    match &live.state {
        ObservedState::Deployment(state) if state.desired > 0 => Some(json!({"replicas": 0})),
        ObservedState::CronJob(state) if !state.suspended => Some(json!({"suspend": true})),
        _ => None,
    }
}
