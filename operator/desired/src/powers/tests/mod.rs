//! Powers of agents from their manifests and definitions. `rows` goes through the table row by row,
//! in exact words; `order` shows that it is an order; `network` asks the evaluator of policies;
//! `stored` reads and writes the annotation.

mod network;
mod order;
mod rows;
mod stored;

use k8s_openapi::jiff::Timestamp;
use langop_api::{LanguageAgent, LanguageModel, LanguageTool, cluster::AgentEgress};
use langop_dsl::AgentDefinition;
use serde_json::{Value, json};

use super::*;
use crate::{
    agent::{AgentContext, ObservedAgent, validate::validate},
    references::{ModelView, References, ToolView},
};

pub(super) fn settings() -> Settings {
    Settings {
        default_egress: AgentEgress::Allow,
        cluster_cidrs: vec!["10.96.0.0/12".into()],
        ..Settings::default()
    }
}

pub(super) fn code(definition: &Value) -> CodePowers {
    let mut named = definition.clone();
    named["name"] = json!("scout");
    let definition: AgentDefinition = serde_json::from_value(named).unwrap();
    CodePowers::from(&definition)
}

/// Of an agent whose references all exist. A tool whose name begins with `side` is a sidecar that
/// may reach a range of its own.
pub(super) fn validated(spec: &Value) -> ValidatedAgent {
    validated_beside(spec, &json!({}))
}

/// The same, where sidecars have this in their specs, too.
pub(super) fn validated_beside(spec: &Value, of_sidecars: &Value) -> ValidatedAgent {
    let settings = settings();
    let object = |kind: &str, name: &str, spec: &Value| {
        json!({
            "apiVersion": "langop.io/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": name, "namespace": "wood", "uid": "uid", "generation": 1,
                "creationTimestamp": "2026-01-01T00:00:00Z"},
        })
    };
    let agent: LanguageAgent =
        serde_json::from_value(object("LanguageAgent", "scout", spec)).unwrap();
    let tool = |name: &str| {
        let mut sidecar = json!({"image": "i", "deploymentMode": "sidecar", "port": 9000,
            "egress": [{"cidr": "198.51.100.0/24", "ports": [{"port": 25}]}]});
        let also = of_sidecars.as_object().into_iter().flatten();
        for (field, value) in also {
            sidecar[field] = value.clone();
        }
        let spec = if name.starts_with("side") {
            sidecar
        } else {
            json!({"image": "i"})
        };
        let tool: LanguageTool =
            serde_json::from_value(object("LanguageTool", name, &spec)).unwrap();
        ToolView::new(&tool, &settings)
    };
    let model = |name: &str| {
        let spec = json!({"provider": "openai", "model": "gpt"});
        let model: LanguageModel =
            serde_json::from_value(object("LanguageModel", name, &spec)).unwrap();
        ModelView::new(&model, &settings)
    };
    let references = References {
        tools: agent
            .spec
            .tool_refs
            .iter()
            .map(|tool_ref| tool(&tool_ref.name))
            .collect(),
        models: agent
            .spec
            .model_refs
            .iter()
            .map(|model_ref| model(&model_ref.name))
            .collect(),
        ..References::default()
    };
    let context = AgentContext {
        agent: &agent,
        references,
        cluster: None,
        same_name: vec![],
        observed: ObservedAgent::default(),
    };
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    validate(&context, &settings, now).unwrap()
}

pub(super) fn powers(spec: &Value, definition: &Value) -> Powers {
    Powers::of(&validated(spec), Some(&code(definition)), &settings()).unwrap()
}

pub(super) fn words(widenings: &[Widening]) -> Vec<String> {
    widenings.iter().map(ToString::to_string).collect()
}

/// A workflow with one call.
pub(super) fn calling(tool: &str, action: &str, params: &Value) -> Value {
    json!({"steps": [
        {"name": "Judge", "action": {"ask": {"prompt": "What?", "model": "claude"}}},
        {"name": "Call", "dependsOn": ["Judge"],
            "action": {"useTool": {"tool": tool, "action": action, "params": params}}},
    ]})
}
