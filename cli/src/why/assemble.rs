//! From live objects to the facts of a walk. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::api::DynamicObject;
use langop_api::{
    LanguageAgent, LanguageClient, LanguageModel, LanguagePersona, LanguageTool, pod::EnvVar,
    tool::DeploymentMode,
};
use langop_desired::{
    digest,
    observed::{ChildKind, Observed},
};
use serde::de::DeserializeOwned;

use super::facts::{Children, SecretNeed, ServiceFacts, Warning};
use crate::{
    facts::{Read, Subject, decode},
    kind::Kind,
};

/// The subject, and the object in its type if it can be decoded.
pub(crate) fn subject<K: DeserializeOwned>(
    kind: Kind,
    object: &DynamicObject,
) -> (Subject, Option<K>) {
    let mut subject = Subject::of(kind, object);
    match decode::<K>(object) {
        Ok(typed) => (subject, Some(typed)),
        Err(why) => {
            subject.unreadable = Some(why);
            (subject, None)
        }
    }
}

/// What the object itself says.
pub(crate) fn service_facts(kind: Kind, object: &DynamicObject, now: Timestamp) -> ServiceFacts {
    let mut is_sidecar = false;
    let mut secrets = Vec::new();
    let subject = match kind {
        Kind::Tool => {
            let (subject, tool) = subject::<LanguageTool>(kind, object);
            if let Some(tool) = tool {
                is_sidecar = tool.spec.deployment_mode == DeploymentMode::Sidecar;
                secrets = needs(&tool.spec.env);
            }
            subject
        }
        Kind::Model => {
            let (subject, model) = subject::<LanguageModel>(kind, object);
            if let Some(model) = model {
                secrets = needs(&model.spec.env);
                let key = model.spec.api_key_secret_ref;
                secrets.extend(key.map(|key| need(&key.name, &key.key)));
            }
            subject
        }
        Kind::Client => subject::<LanguageClient>(kind, object).0,
        Kind::Persona => subject::<LanguagePersona>(kind, object).0,
        Kind::Agent => subject::<LanguageAgent>(kind, object).0,
    };
    ServiceFacts {
        now,
        subject,
        is_sidecar,
        secrets,
        children: Children::none(),
    }
}

fn needs(env: &[EnvVar]) -> Vec<SecretNeed> {
    let sources = env
        .iter()
        .filter_map(|variable| variable.value_from.as_ref());
    let keys = sources.filter_map(|source| source.secret_key_ref.as_ref());
    keys.filter(|key| key.optional != Some(true))
        .map(|key| need(&key.name, &key.key))
        .collect()
}

fn need(name: &str, key: &str) -> SecretNeed {
    SecretNeed {
        name: name.to_owned(),
        key: key.to_owned(),
        exists: Read::Got(true),
    }
}

/// Reduced as the operator reduces them.
pub(crate) fn reduced(kind: ChildKind, objects: Vec<DynamicObject>) -> Vec<Observed> {
    objects
        .into_iter()
        .filter_map(|object| digest::reduce_object(kind, object))
        .collect()
}

/// An event, of which the rest does not matter.
pub(crate) fn warning(event: Event) -> Warning {
    let about = event.involved_object;
    let series = event.series.and_then(|series| series.last_observed_time);
    let last = series
        .or(event.event_time)
        .map(|time| time.0)
        .or(event.last_timestamp.map(|time| time.0));
    Warning {
        kind: about.kind.unwrap_or_default(),
        name: about.name.unwrap_or_default(),
        reason: event.reason.unwrap_or_default(),
        message: event.message.unwrap_or_default(),
        last,
    }
}
