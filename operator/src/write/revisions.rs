//! Code ConfigMaps in the API server: created once and never changed, but for the annotations that
//! follow the observed inputs. The only place that reads generated code, and only to hand it to the
//! synthesizer as what ran before.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use langop_api::{
    condition::Reason,
    names::{CODE_KEY, DEFINITION_KEY, INSTRUCTIONS_KEY, labels, managers},
};
use langop_desired::{
    agent::{code, validate::ValidatedAgent},
    conditions::Summary,
    digest,
    meta::Owner,
    observed::{ChildKind, Observed, ObservedState},
};
use langop_dsl::AgentDefinition;
use serde_json::{Map, Value, json};

use crate::{
    cache::{child, received::ReceivedAny},
    error::{Class, ReconcileError, Refusal, Stopped, classify},
    write::{Writer, ownership::OwnershipConflict},
};

/// Why code is not stored.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Somebody must act, and the same is tried again meanwhile.
    Refused(Summary),
    /// It never will be: in words.
    TooLarge(String),
    /// It is, and without the statement that it came with: in words.
    Unproven(String),
    Failed(ReconcileError),
}

impl From<Stopped> for StoreError {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Blocked(summary) => Self::Refused(summary),
            Stopped::Failed(error) => Self::Failed(error),
        }
    }
}

impl From<ReconcileError> for StoreError {
    fn from(error: ReconcileError) -> Self {
        Self::Failed(error)
    }
}

impl Writer {
    /// Stores a revision. Its name says its content; one that exists already and is ours is proven
    /// to be the same, or removed.
    pub(crate) async fn store_revision(
        &self,
        owner: &Owner,
        code: &ConfigMap,
    ) -> Result<(), StoreError> {
        let (namespace, name) = (code.namespace().unwrap_or_default(), code.name_any());
        let act = || format!("store ConfigMap {namespace}/{name}");
        let api = child::api(&self.client, ChildKind::ConfigMap, Some(&namespace));
        let object: ReceivedAny = serde_json::to_value(code)
            .and_then(serde_json::from_value)
            .map_err(|source| ReconcileError::Json {
                what: name.clone(),
                source,
            })?;
        let params = PostParams {
            field_manager: Some(managers::CHILDREN.to_owned()),
            ..PostParams::default()
        };
        match api.create(&params, &object).await {
            Ok(live) => drop(self.cache.upsert_child(ChildKind::ConfigMap, &live)),
            Err(error) if is_there(&error) => {
                let live = api
                    .get(&name)
                    .await
                    .map_err(|error| ReconcileError::api(act(), error))?;
                self.adopt_revision(owner, code, &live).await?;
            }
            Err(error) if is_too_large(&error) => {
                let why = "the generated code is larger than the API server stores in one object; the running code is unchanged: ask for a smaller agent";
                return Err(StoreError::TooLarge(why.to_owned()));
            }
            Err(error) => {
                return Err(match classify(&error) {
                    Class::Refused(refusal) => StoreError::Refused(refused(&name, refusal)),
                    Class::Gone | Class::Transient => ReconcileError::api(act(), error).into(),
                });
            }
        }
        Ok(())
    }

    /// Takes the object that already has the name of a revision for it, if it is ours and has its
    /// content.
    async fn adopt_revision(
        &self,
        owner: &Owner,
        code: &ConfigMap,
        live: &ReceivedAny,
    ) -> Result<(), Stopped> {
        let observed = live
            .value()
            .ok()
            .and_then(|live| digest::reduce(ChildKind::ConfigMap, live));
        if let Some(conflict) = OwnershipConflict::of(owner, observed.iter()) {
            return Err(conflict.into());
        }
        if let Some(other) = observed.filter(|observed| !is_content(observed, code)) {
            // It has our owner and is not ours: the next look finds its name free.
            self.delete(&other, PropagationPolicy::Background).await?;
            let (namespace, name) = (code.namespace().unwrap_or_default(), code.name_any());
            let what = format!("ConfigMap {namespace}/{name}");
            return Err(ReconcileError::Changed(what).into());
        }
        self.cache.upsert_child(ChildKind::ConfigMap, live);
        Ok(())
    }

    /// Looks at the API server for the stored revisions of an agent. The watch of them may be
    /// behind that of the agents: code that the leader before us stored a moment ago is not lost.
    pub(crate) async fn list_revisions(
        &self,
        agent: &ValidatedAgent,
    ) -> Result<(), ReconcileError> {
        let api = child::api(&self.client, ChildKind::ConfigMap, Some(&agent.namespace));
        let ours = format!(
            "{},{}={}",
            child::selector(ChildKind::ConfigMap),
            labels::AGENT,
            agent.name
        );
        let live = api
            .list(&ListParams::default().labels(&ours))
            .await
            .map_err(|error| {
                let act = format!("list the code of {}/{}", agent.namespace, agent.name);
                ReconcileError::api(act, error)
            })?;
        for object in live {
            self.cache.upsert_child(ChildKind::ConfigMap, &object);
        }
        Ok(())
    }

    /// Makes the annotations that follow the observed inputs what they should be; whether they were
    /// not. All data, and the annotations that say how the code was made, stay.
    pub(crate) async fn annotate_revision(
        &self,
        stored: &Observed,
        wanted: &BTreeMap<String, String>,
    ) -> Result<bool, Stopped> {
        if code::carries(stored, wanted) {
            return Ok(false);
        }
        // A merge, not an apply: the object was created, so an apply would not own what it has to
        // remove.
        let gone = code::INPUT_ANNOTATIONS
            .iter()
            .filter(|key| !wanted.contains_key(**key))
            .map(|key| ((*key).to_owned(), Value::Null));
        let annotations: Map<String, Value> = wanted
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .chain(gone)
            .collect();
        let api = child::api(&self.client, ChildKind::ConfigMap, Some(&stored.namespace));
        let body = json!({"metadata": {"uid": stored.uid, "annotations": annotations}});
        let params = PatchParams {
            field_manager: Some(managers::CODE_INPUTS.to_owned()),
            ..PatchParams::default()
        };
        match api.patch(&stored.name, &params, &Patch::Merge(&body)).await {
            Ok(live) => {
                self.cache.upsert_child(ChildKind::ConfigMap, &live);
                Ok(true)
            }
            Err(error) => match classify(&error) {
                // It was just deleted; its end triggers another reconcile.
                Class::Gone => Ok(false),
                Class::Refused(refusal) => Err(refused(&stored.name, refusal).into()),
                Class::Transient => {
                    let act = format!("annotate ConfigMap {}/{}", stored.namespace, stored.name);
                    Err(ReconcileError::api(act, error).into())
                }
            },
        }
    }

    /// The code and the instructions of a stored revision; `None` if it is gone.
    pub(crate) async fn read_revision(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(String, String)>, ReconcileError> {
        let mut data = self.read_data(namespace, name).await?;
        Ok(data.remove(CODE_KEY).zip(data.remove(INSTRUCTIONS_KEY)))
    }

    /// The checked definition of a stored revision; `None` if it is gone or cannot be read.
    pub(crate) async fn read_definition(
        &self,
        stored: &Observed,
    ) -> Result<Option<AgentDefinition>, ReconcileError> {
        let data = self.read_data(&stored.namespace, &stored.name).await?;
        let definition = data.get(DEFINITION_KEY);
        Ok(definition.and_then(|text| serde_json::from_str(text).ok()))
    }

    async fn read_data(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<BTreeMap<String, String>, ReconcileError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let act = || format!("read ConfigMap {namespace}/{name}");
        let live = api
            .get_opt(name)
            .await
            .map_err(|error| ReconcileError::api(act(), error))?;
        Ok(live.and_then(|live| live.data).unwrap_or_default())
    }
}

fn is_there(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

fn is_content(observed: &Observed, code: &ConfigMap) -> bool {
    matches!(&observed.state, ObservedState::Code(state) if state.content == Some(code::content_of(code)))
}

/// Somebody must act, and the same is tried again meanwhile.
fn refused(name: &str, Refusal(why): Refusal) -> Summary {
    let message = format!("the API server refuses ConfigMap {name}: {why}");
    Summary::Failed(Reason::ApplyFailed, message)
}

/// Whether an object is refused for its size: by the server as a whole, or by its rules for one of
/// the fields.
fn is_too_large(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 413 || causes.any(|cause| cause.reason == "FieldValueTooLong")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_room_can_be_made_for_is_too_large() {
        let error = |code: u16, cause: &str| {
            let status = json!({
                "status": "Failure", "code": code, "reason": "Invalid", "message": "no",
                "details": {"causes": [{"reason": cause, "message": "no", "field": "data"}]},
            });
            kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()))
        };
        assert!(is_too_large(&error(422, "FieldValueTooLong")));
        assert!(is_too_large(&error(413, "")));
        // Admission policies and quotas: a person may change them.
        assert!(!is_too_large(&error(422, "FieldValueInvalid")));
        assert!(!is_too_large(&error(403, "")));
    }
}
