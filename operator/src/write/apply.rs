//! Makes children what they should be: looks first, writes only what differs, removes what is no
//! longer wanted.
//!
//! Order: every name is checked for ownership before the first write, so a conflict leaves
//! everything untouched. A child is ours exactly if its controller has our resource's uid (see
//! [`OwnershipConflict`]).

use std::{collections::BTreeSet, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams};
use langop_api::{condition::Reason, names::managers};
use langop_desired::{
    children::{Applied, Children, Prepared},
    conditions::Summary,
    digest::{self, Desired},
    meta::Owner,
    observed::{ChildKind, Observed},
    reach,
};
use serde_json::json;

use crate::{
    cache::{child, index::Key, received::ReceivedAny},
    error::{Class, ReconcileError, Refusal, Stopped, classify},
    write::{
        Writer,
        effects::Effects,
        item::{AppliedChild, Force, Item, Verb, Write},
        look::KnownAbsent,
        ownership::OwnershipConflict,
        reclaim::Extent,
    },
};

/// A version that no object has, so that only a creation can be of it: what appeared at the name
/// since we looked is a conflict, and not taken over.
const NO_VERSION: &str = "1";

impl Writer {
    /// Applies all children of `owner`, and removes what else it controls (code and claims
    /// excepted, whose life is decided elsewhere; `keep` excepted too). Where the API server
    /// refuses one, those before it in order are written, and those after it that do not need it.
    pub(crate) async fn apply_children(
        &self,
        owner: &Owner,
        prepared: Children<Prepared>,
        keep: &[Key],
        absent: &mut KnownAbsent,
        effects: &mut Effects,
    ) -> Result<Children<Applied>, Stopped> {
        let mut items: Vec<Item> = prepared.in_order().into_iter().map(Item::from).collect();
        for item in &mut items {
            item.live = self.get_live(absent, &item.key).await?;
        }
        let lives = items.iter().filter_map(|item| item.live.as_deref());
        if let Some(conflict) = OwnershipConflict::of(owner, lives) {
            return Err(conflict.into());
        }
        let wanted: BTreeSet<Key> = items
            .iter()
            .map(|item| item.key.clone())
            .chain(keep.iter().cloned())
            .collect();
        let mut refusal = self.write_all(owner, &mut items, effects).await?;
        if let Some(key) = wanted.first() {
            refusal = refusal.or(self.baseline(&key.namespace).await?);
        }
        if let Some(message) = refusal {
            return Err(Summary::Failed(Reason::ApplyFailed, message).into());
        }
        self.remove_unwanted(owner, &wanted, effects).await?;
        Ok(prepared.into_applied())
    }

    /// Writes what differs. Gives the first refusal in words.
    async fn write_all(
        &self,
        owner: &Owner,
        items: &mut [Item],
        effects: &mut Effects,
    ) -> Result<Option<String>, Stopped> {
        let mut first = None;
        for item in items {
            match self.write_own(owner, item).await? {
                Write::Unchanged => {}
                Write::Written(verb) => effects.applied(AppliedChild {
                    kind: item.key.kind,
                    name: item.key.name.clone(),
                    verb,
                }),
                Write::Refused(Refusal(message)) => {
                    let kind = child::name(item.key.kind);
                    let name = &item.key.name;
                    first = first.or(Some(format!(
                        "the API server refuses {kind} {name}: {message}"
                    )));
                    if !others_go_on_without(item) {
                        break;
                    }
                }
            }
        }
        Ok(first)
    }

    /// Writes one child. Where its creation finds something at its name, that is looked at, and
    /// written after all if it is ours.
    async fn write_own(&self, owner: &Owner, item: &mut Item) -> Result<Write, Stopped> {
        match self.write(item, Force::Yes).await {
            Err(error) if item.live.is_none() && error.is_conflict() => {
                item.live = self.look(&item.key).await?;
                if let Some(conflict) =
                    OwnershipConflict::of(owner, item.live.as_deref().into_iter())
                {
                    return Err(conflict.into());
                }
                Ok(self.write(item, Force::Yes).await?)
            }
            written => Ok(written?),
        }
    }

    /// Sees to the policy that closes our pods in a namespace (see [`reach::baseline`]), which has
    /// no owner: one write for a namespace. Returns why it could not. One of that name that is not
    /// labelled as ours, and so is not watched, is left alone.
    async fn baseline(&self, namespace: &str) -> Result<Option<String>, ReconcileError> {
        let desired = digest::desired(&reach::baseline(namespace));
        let key = Key::new(ChildKind::NetworkPolicy, namespace, reach::BASELINE);
        let known = || self.cache.index.get(key.kind, &key.namespace, &key.name);
        let is_there = |live: &Arc<Observed>| self.is_as_wanted(live, &desired);
        if known().as_ref().is_some_and(is_there) {
            return Ok(None);
        }
        let _one = self.baselines.lock().await;
        let live = known();
        let is_foreign = live.is_none()
            && self
                .get_live(&mut KnownAbsent::default(), &key)
                .await?
                .is_some();
        if is_foreign {
            return Ok(Some(format!(
                "the NetworkPolicy '{}', which denies all other traffic, already exists and was not created by this operator; delete it",
                key.name
            )));
        }
        let item = Item { key, desired, live };
        Ok(match self.write(&item, Force::Yes).await? {
            Write::Unchanged | Write::Written(_) => None,
            Write::Refused(Refusal(message)) => Some(format!(
                "the API server refuses NetworkPolicy {}: {message}",
                item.key.name
            )),
        })
    }

    /// Applies a namespace: no owner, and no label taken from another manager.
    pub(crate) async fn apply_namespace(
        &self,
        namespace: &Namespace,
        live: Option<Arc<Observed>>,
    ) -> Result<(), Stopped> {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        let item = Item {
            key: Key::new(ChildKind::Namespace, "", name),
            desired: digest::desired(namespace),
            live,
        };
        match self.write(&item, Force::No).await? {
            Write::Unchanged | Write::Written(_) => Ok(()),
            Write::Refused(Refusal(message)) => Err(Summary::Failed(
                Reason::ApplyFailed,
                format!("the API server refuses the namespace '{name}': {message}"),
            )
            .into()),
        }
    }

    fn is_as_wanted(&self, live: &Observed, desired: &Desired) -> bool {
        digest::is_current(live, desired) || self.cache.server_defaults.holds(live, desired)
    }

    /// Writes one child, unless it is as it should be.
    pub(super) async fn write(&self, item: &Item, force: Force) -> Result<Write, ReconcileError> {
        let is_as_wanted = |live: &Arc<Observed>| self.is_as_wanted(live, &item.desired);
        if item.live.as_ref().is_some_and(is_as_wanted) {
            return Ok(Write::Unchanged);
        }
        let is_shared = item.live.as_deref().is_some_and(digest::is_shared);
        let mut is_reclaimed = is_shared && self.reclaim(item, Extent::Beside).await?;
        loop {
            match self.apply(item, force).await? {
                // Both halves of a one-of must have the same field manager.
                Err(_) if is_shared && !is_reclaimed => {
                    is_reclaimed = true;
                    if !self.reclaim(item, Extent::All).await? {
                        return Err(item.overtaken());
                    }
                }
                Err(refusal) => return Ok(Write::Refused(refusal)),
                Ok(response) => {
                    let is_still_shared = self.note_response(item, &response);
                    if is_still_shared && !is_reclaimed {
                        self.reclaim(item, Extent::All).await?;
                    }
                    let verb = match item.live {
                        Some(_) => Verb::Updated,
                        None => Verb::Created,
                    };
                    return Ok(Write::Written(verb));
                }
            }
        }
    }

    /// One apply, or why the API server refuses it.
    async fn apply(
        &self,
        item: &Item,
        force: Force,
    ) -> Result<Result<ReceivedAny, Refusal>, ReconcileError> {
        let mut body = item.desired.body.clone();
        match &item.live {
            Some(live) => body["metadata"]["uid"] = json!(live.uid),
            None => body["metadata"]["resourceVersion"] = json!(NO_VERSION),
        }
        let api = child::api(&self.client, item.key.kind, Some(&item.key.namespace));
        let params = PatchParams {
            force: force == Force::Yes,
            ..PatchParams::apply(managers::CHILDREN)
        };
        match api
            .patch(&item.key.name, &params, &Patch::Apply(&body))
            .await
        {
            Ok(response) => Ok(Ok(response)),
            Err(error) => match classify(&error) {
                Class::Refused(refusal) => Ok(Err(refusal)),
                Class::Gone | Class::Transient => {
                    Err(ReconcileError::api(item.act("apply"), error))
                }
            },
        }
    }

    /// Judged by the response itself: what the index holds may have been changed by others
    /// meanwhile. Whether others own what is ours alone.
    fn note_response(&self, item: &Item, response: &ReceivedAny) -> bool {
        let live = response.value().ok();
        let Some(observed) = live.and_then(|live| digest::reduce(item.key.kind, live)) else {
            return false;
        };
        let is_shared = digest::is_shared(&observed);
        if !is_shared {
            self.cache.server_defaults.note(&observed, &item.desired);
        }
        self.cache.index.upsert(observed, response.version());
        is_shared
    }
}

/// Whether the others are written although the API server refuses this one. A claim that is there
/// stays as it is, and so may be mounted.
fn others_go_on_without(item: &Item) -> bool {
    match item.key.kind {
        ChildKind::PersistentVolumeClaim => item.live.is_some(),
        ChildKind::ResourceQuota | ChildKind::LimitRange => true,
        _ => false,
    }
}
