//! The one function through which live children enter the operator: from a whole object to the
//! little that decisions need.
//!
//! Runs on every watch event, so it reads the JSON in place and keeps no part of it but short
//! texts. A field that is missing or of an unexpected type counts as absent: a child that somebody
//! else wrote must not stop the watch.

use kube::core::DynamicObject;
use langop_api::names::{self, annotations, labels, managers};
use langop_dsl::{AgentDefinition, instructions};
use serde_json::Value;

use super::{
    extract,
    json::{condition, count, integer, is_true, owned_text, pointed_text, text},
    pod,
    report::ending_message,
    sole::{self, SHARED},
};
use crate::hash;
use crate::meta;
use crate::observed::{
    AvailableRefs, ChildKind, CodeRequirements, CodeState, CompactMap, Controller, CronJobState,
    DeploymentState, JobState, Observed, ObservedState,
};

/// Our labels that decisions read.
const LABELS: [&str; 5] = [
    labels::AGENT,
    labels::MODEL,
    labels::TOOL,
    labels::CLIENT,
    labels::CLUSTER,
];
/// Our annotations that decisions read of what is made for one of ours. Not those of a pod
/// template, not the names that were offered, which are facts of the code, and of its powers only
/// the hash, because the list is long.
const ANNOTATIONS: [&str; 16] = [
    annotations::INSTRUCTIONS_HASH,
    annotations::TOOLS_HASH,
    annotations::MODELS_HASH,
    annotations::PERSONA_HASH,
    annotations::CODE_HASH,
    annotations::REVISION,
    annotations::SYNTHESIZED_AT,
    annotations::SYNTHESIS_MODEL,
    annotations::TRACEPARENT,
    annotations::ATTESTATION,
    annotations::POWERS_HASH,
    annotations::APPROVED_POWERS,
    annotations::APPROVED_BY,
    annotations::REJECTED_POWERS,
    annotations::REJECTED_BY,
    annotations::SUSPENDED,
];
/// Those of what has no owner of ours: a kept claim has none, and a run's is its CronJob.
const fn notes(kind: ChildKind) -> &'static [&'static str] {
    match kind {
        ChildKind::PersistentVolumeClaim => &[annotations::KEPT_BY],
        ChildKind::Job => &[annotations::TEMPLATE_HASH],
        _ => &[],
    }
}
/// The kinds that children are made for.
const OWNERS: [&str; 5] = [
    "LanguageAgent",
    "LanguageClient",
    "LanguageCluster",
    "LanguageModel",
    "LanguageTool",
];
/// Longest value kept of a label or an annotation, in bytes: all of ours are shorter.
const MAX_KEPT: usize = 512;
/// Prefix of the labels of Pod Security admission.
const POD_SECURITY: &str = "pod-security.kubernetes.io/";

/// Reduces a whole object as JSON. `None` for one without name or uid, which the API server never
/// sends.
pub fn reduce(kind: ChildKind, live: Value) -> Option<Observed> {
    let mut live = live;
    let managed = live
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("managedFields"))
        .map(Value::take);
    let entries = managed
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    ingest(kind, &live, &Managed::of_json(entries))
}

/// Reduces a whole object as a watch of `Api<DynamicObject>` gives it.
pub fn reduce_object(kind: ChildKind, object: DynamicObject) -> Option<Observed> {
    let DynamicObject {
        types: _,
        mut metadata,
        data: mut live,
    } = object;
    let entries = metadata.managed_fields.take().unwrap_or_default();
    let managed = Managed {
        ours: entries
            .iter()
            .find(|entry| extract::is_apply_of(entry, managers::CHILDREN))
            .and_then(|entry| Some(&entry.fields_v1.as_ref()?.0)),
        theirs: entries
            .iter()
            .filter(|entry| !extract::is_apply_of(entry, managers::CHILDREN))
            .filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0))
            .collect(),
    };
    live.as_object_mut()?
        .insert("metadata".into(), serde_json::to_value(metadata).ok()?);
    ingest(kind, &live, &managed)
}

/// The `fieldsV1` of a live object: of our applies, and of everybody else's writes.
struct Managed<'a> {
    ours: Option<&'a Value>,
    theirs: Vec<&'a Value>,
}

impl<'a> Managed<'a> {
    fn of_json(entries: &'a [Value]) -> Self {
        let is_ours = |entry: &&Value| {
            text(entry, "manager") == Some(managers::CHILDREN)
                && text(entry, "operation") == Some("Apply")
                && text(entry, "subresource").unwrap_or_default().is_empty()
        };
        Self {
            ours: entries
                .iter()
                .find(is_ours)
                .and_then(|entry| entry.get("fieldsV1")),
            theirs: entries
                .iter()
                .filter(|entry| !is_ours(entry))
                .filter_map(|entry| entry.get("fieldsV1"))
                .collect(),
        }
    }
}

fn ingest(kind: ChildKind, live: &Value, managed: &Managed<'_>) -> Option<Observed> {
    let metadata = live.get("metadata")?;
    let labels = kept(metadata.get("labels"), |key| {
        LABELS.contains(&key) || (kind == ChildKind::Namespace && key.starts_with(POD_SECURITY))
    });
    let controller = controller(metadata);
    // Whoever may write an object may give it our label; annotations are read of those that are
    // made for one of ours.
    let is_ours = controller
        .as_ref()
        .is_some_and(|controller| OWNERS.contains(&controller.kind.as_str()));
    let applied_by_us = !matches!(kind, ChildKind::Pod | ChildKind::Job);
    Some(Observed {
        kind,
        name: text(metadata, "name")?.to_owned(),
        namespace: owned_text(metadata, "namespace").unwrap_or_default(),
        uid: text(metadata, "uid")?.to_owned(),
        controller,
        // Some of what we apply has no owner, and is compared with what is wanted like all else.
        annotations: kept(metadata.get("annotations"), |key| {
            key == annotations::DESIRED_HASH
                || notes(kind).contains(&key)
                || (is_ours && ANNOTATIONS.contains(&key))
        }),
        created: owned_text(metadata, "creationTimestamp").unwrap_or_default(),
        deleting: metadata
            .get("deletionTimestamp")
            .is_some_and(|time| !time.is_null()),
        owned_digest: managed
            .ours
            .filter(|_| applied_by_us)
            .map_or_else(String::new, |fields| {
                extract::digest(live, fields) + &shared(kind, managed)
            }),
        state: if is_ours || kind != ChildKind::ConfigMap {
            state(kind, live, &labels, managed)
        } else {
            ObservedState::None
        },
        labels,
    })
}

/// Marks a digest where others own what is ours alone: nothing if nobody does.
fn shared(kind: ChildKind, managed: &Managed<'_>) -> String {
    let trespasses: Vec<Value> = managed
        .theirs
        .iter()
        .filter_map(|fields| sole::trespass(kind, fields))
        .collect();
    if trespasses.is_empty() {
        return String::new();
    }
    format!("{SHARED}{}", hash::of_json(&trespasses))
}

fn state(
    kind: ChildKind,
    live: &Value,
    labels: &CompactMap,
    managed: &Managed<'_>,
) -> ObservedState {
    match kind {
        ChildKind::Deployment => ObservedState::Deployment(deployment(live)),
        ChildKind::CronJob => ObservedState::CronJob(cron_job(live)),
        ChildKind::Job => ObservedState::Job(Box::new(job(live))),
        ChildKind::Pod => ObservedState::Pod(Box::new(pod::reduce(live))),
        ChildKind::ConfigMap if labels.get(labels::AGENT).is_some() => {
            ObservedState::Code(Box::new(code(live)))
        }
        ChildKind::PersistentVolumeClaim => ObservedState::Claim {
            bound: live.pointer("/status/phase").and_then(Value::as_str) == Some("Bound"),
            storage: pointed_text(live, "/spec/resources/requests/storage").unwrap_or_default(),
        },
        ChildKind::Namespace => ObservedState::Namespace {
            terminating: live.pointer("/status/phase").and_then(Value::as_str)
                == Some("Terminating"),
            foreign_pod_security: managed
                .theirs
                .iter()
                .any(|fields| owns_pod_security(fields)),
        },
        ChildKind::ConfigMap
        | ChildKind::LimitRange
        | ChildKind::NetworkPolicy
        | ChildKind::ResourceQuota
        | ChildKind::RoleBinding
        | ChildKind::Service => ObservedState::None,
    }
}

fn owns_pod_security(fields: &Value) -> bool {
    let labels = fields
        .pointer("/f:metadata/f:labels")
        .and_then(Value::as_object);
    labels.is_some_and(|labels| {
        labels
            .keys()
            .any(|key| key.trim_start_matches("f:").starts_with(POD_SECURITY))
    })
}

fn deployment(live: &Value) -> DeploymentState {
    let status = |name: &str| integer(live.pointer(&format!("/status/{name}")));
    let condition = |type_: &str, wanted: &str| {
        let condition =
            condition(live, type_).filter(|condition| text(condition, "status") == Some(wanted))?;
        owned_text(condition, "message").or_else(|| owned_text(condition, "reason"))
    };
    DeploymentState {
        generation: live
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        observed_generation: live
            .pointer("/status/observedGeneration")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        desired: live
            .pointer("/spec/replicas")
            .map_or(1, |replicas| integer(Some(replicas))),
        paused: is_true(live, "/spec/paused"),
        replicas: status("replicas"),
        updated: status("updatedReplicas"),
        ready: status("readyReplicas"),
        replica_failure: condition("ReplicaFailure", "True").map(Into::into),
        stuck: condition("Progressing", "False").map(Into::into),
    }
}

fn cron_job(live: &Value) -> CronJobState {
    CronJobState {
        active: count(live.pointer("/status/active")),
        schedule: pointed_text(live, "/spec/schedule").unwrap_or_default(),
        time_zone: pointed_text(live, "/spec/timeZone"),
        suspended: is_true(live, "/spec/suspend"),
    }
}

fn job(live: &Value) -> JobState {
    JobState {
        by_hand: live
            .pointer("/metadata/annotations/cronjob.kubernetes.io~1instantiate")
            .is_some(),
        ..course(live)
    }
}

fn course(live: &Value) -> JobState {
    let ended = |type_: &str| {
        condition(live, type_).filter(|condition| text(condition, "status") == Some("True"))
    };
    let since = |condition: &Value| owned_text(condition, "lastTransitionTime");
    if let Some(complete) = ended("Complete") {
        let ended = pointed_text(live, "/status/completionTime").or_else(|| since(complete));
        JobState {
            succeeded: Some(true),
            ended,
            had_pod: true,
            ..JobState::default()
        }
    } else if let Some(failed) = ended("Failed") {
        JobState {
            succeeded: Some(false),
            ended: since(failed),
            message: ending_message(failed),
            had_pod: true,
            ..JobState::default()
        }
    } else {
        JobState {
            had_pod: ["active", "terminating", "failed", "succeeded"]
                .iter()
                .any(|count| integer(live.pointer(&format!("/status/{count}"))) > 0),
            ..JobState::default()
        }
    }
}

/// SHA-256 of the data of a code ConfigMap that is what it says it is: immutable, named by its
/// content, and with the hashes of its parts.
fn content(live: &Value, annotation: impl Fn(&str) -> Option<String>) -> Option<String> {
    let data = live.get("data")?;
    let is_immutable = live.get("immutable") == Some(&Value::Bool(true));
    let is_text = live.get("binaryData").is_none_or(Value::is_null);
    let hash = hash::of_json(data);
    let is_named = text(live.get("metadata")?, "name")?.ends_with(&meta::code_name_end(&hash));
    let code_hash = hash::sha256_hex(text(data, names::CODE_KEY)?.as_bytes());
    let instructions_hash = instructions::hash(text(data, names::INSTRUCTIONS_KEY)?);
    let agrees = |key: &str, hash: &str| annotation(key).is_some_and(|said| said == hash);
    (is_immutable
        && is_text
        && is_named
        && agrees(annotations::CODE_HASH, &code_hash)
        && agrees(annotations::INSTRUCTIONS_HASH, &instructions_hash))
    .then_some(hash)
}

fn code(live: &Value) -> CodeState {
    let annotation = |key: &str| live.get("metadata")?.get("annotations")?.get(key)?.as_str();
    let definition = live
        .get("data")
        .and_then(|data| text(data, names::DEFINITION_KEY))
        .and_then(|text| serde_json::from_str::<AgentDefinition>(text).ok());
    CodeState {
        revision: annotation(annotations::REVISION)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default(),
        content: content(live, |key| annotation(key).map(str::to_owned)),
        instructions_hash: annotation(annotations::INSTRUCTIONS_HASH)
            .unwrap_or_default()
            .to_owned(),
        offered: annotation(annotations::OFFERED)
            .and_then(|text| serde_json::from_str::<AvailableRefs>(text).ok())
            .unwrap_or_default(),
        statement: annotation(annotations::PROVENANCE)
            .map(|text| hash::sha256_hex(text.as_bytes()).into()),
        origin: None,
        requirements: definition.as_ref().map(CodeRequirements::from),
    }
}

fn controller(metadata: &Value) -> Option<Controller> {
    let references = metadata.get("ownerReferences")?.as_array()?;
    let controller = references
        .iter()
        .find(|reference| reference.get("controller") == Some(&Value::Bool(true)))?;
    Some(Controller {
        kind: owned_text(controller, "kind")?,
        name: owned_text(controller, "name")?,
        uid: owned_text(controller, "uid")?,
    })
}

fn kept(map: Option<&Value>, keep: impl Fn(&str) -> bool) -> CompactMap {
    let entries = map
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(key, _)| keep(key));
    entries
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .filter(|(_, value)| value.len() <= MAX_KEPT)
        .collect()
}
