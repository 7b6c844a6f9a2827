//! Of every kind but agents: what is admitted is built with legal names or diagnosed in words, and
//! never a panic.

use std::cell::Cell;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use langop_api::{LanguageClient, LanguageCluster, LanguageModel, LanguagePersona, LanguageTool};
use serde::de::DeserializeOwned;

use super::{admission::Admission, enough, for_all, generate, names};
use crate::{
    backoff::Backoff,
    children::{Children, Prepared},
    client, cluster,
    conditions::Invalid,
    model, persona,
    references::References,
    settings::Settings,
    tool,
};

/// Tries a kind. `reconcile` is what its reconciler does with the pure functions.
fn try_kind<K: DeserializeOwned>(
    kind: &'static str,
    reconcile: impl Fn(&K, &Settings) -> Result<Children<Prepared>, Invalid>,
) {
    let (admission, settings) = (Admission::of(kind), Settings::default());
    let (admitted, built) = (Cell::new(0), Cell::new(0));
    for_all(&generate::object(kind), |object| {
        let Some(stored) = admission.admit(&object) else {
            return;
        };
        admitted.set(admitted.get() + 1);
        let object: K = serde_json::from_value(stored).expect("what is admitted can be read");
        match reconcile(&object, &settings) {
            Ok(children) => {
                names::check(&children);
                built.set(built.get() + 1);
            }
            Err(invalid) => assert!(!invalid.message.is_empty(), "{invalid:?}"),
        }
    });
    enough("admitted", admitted.get(), 6);
    enough("built", built.get(), 8);
}

#[test]
fn an_admitted_tool_is_built_or_diagnosed() {
    try_kind("LanguageTool", |object: &LanguageTool, settings| {
        let tool = tool::validate(object, &[], None, settings)?;
        Ok(tool::build(&tool, settings))
    });
}

#[test]
fn an_admitted_model_is_built_or_diagnosed() {
    try_kind("LanguageModel", |object: &LanguageModel, settings| {
        let model = model::validate(object, None, settings)?;
        Ok(model::build(&model, settings))
    });
}

#[test]
fn an_admitted_client_is_built_or_diagnosed() {
    try_kind("LanguageClient", |object: &LanguageClient, settings| {
        let client = client::validate(object, References::default().into(), &[], None, settings)?;
        Ok(client::build(&client, settings))
    });
}

#[test]
fn an_admitted_cluster_is_built_or_diagnosed() {
    try_kind("LanguageCluster", |object: &LanguageCluster, settings| {
        let cluster = cluster::validate(object, settings)?;
        let namespace = cluster::build_namespace(&cluster, cluster::NamespaceUse::Create);
        assert!(names::is_label(&namespace.name_any(), 63), "{namespace:?}");
        names::check_metadata(&namespace.metadata);
        Ok(cluster::build(&cluster))
    });
}

#[test]
fn an_admitted_persona_is_distilled_once_for_its_content() {
    const BACKOFF: Backoff = Backoff {
        initial: std::time::Duration::from_secs(30),
        max: std::time::Duration::from_hours(1),
    };
    let now = Timestamp::UNIX_EPOCH;
    let decide = |persona: &LanguagePersona| {
        persona::decide(persona, None, persona::Synthesizer::Same, &BACKOFF, now)
    };
    let after = |persona: &LanguagePersona, outcome: &persona::Outcome| LanguagePersona {
        status: Some(persona::status(persona, outcome, now)),
        ..persona.clone()
    };
    try_kind("LanguagePersona", |object: &LanguagePersona, _| {
        assert_eq!(decide(object), persona::Decision::Distill);
        let asked = after(object, &persona::Outcome::Attempt);
        let failed = after(&asked, &persona::Outcome::Failed("no answer".into()));
        assert!(matches!(
            decide(&failed),
            persona::Decision::BackingOff { .. }
        ));
        let disabled = after(&asked, &persona::Outcome::Disabled("no key".into()));
        let distilled = disabled.status.unwrap().distilled.unwrap();
        assert!(!distilled.prompt.is_empty(), "its own text stands in");
        let done = after(&asked, &persona::Outcome::Distilled("short".into()));
        assert_eq!(decide(&done), persona::Decision::Done);
        Ok(Children::default())
    });
}
