//! What an agent may do, as an exact list that can be compared: what it calls and with which
//! addresses, whom it asks, how often and how long it runs, what it reaches, and what it is made
//! of. A pure function of the checked definition, the spec and the resolved references; it does not
//! depend on the time, so that the same agent has the same list, and the same hash, for ever.
//!
//! The order of powers is partial: [`Powers::wider_than`] says nothing exactly if all that one may
//! do the other may, too. Each set has one form only, so that two lists of which neither is wider
//! are equal.
//!
//! Not listed, because an administrator decides on it and not the agent: who answers DNS, where
//! traces go, the longest run that a LanguageCluster or a setting allows, the frame of pods. Not
//! listed, because it is another object's: the image, environment and own reach of a tool in
//! service mode, and the provider behind a model.
//!
//! As annotations of a code ConfigMap ([`as_annotations`]): written when code is stored, in that same
//! write. Never held in memory with all other code; whoever needs the list of stored code reads
//! that one object.

mod address;
mod calls;
mod code;
mod limits;
pub mod live;
mod network;
mod pace;
mod port;
mod ranges;
mod sidecars;
mod variables;
mod widening;

use std::collections::BTreeSet;

use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use langop_api::names::annotations;
use langop_dsl::hash::{canonical_json, sha256_hex};
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::{
    calls::Calls, limits::Limits, network::Network, pace::Pace, sidecars::Sidecars, widening::shown,
};
pub use self::{
    code::CodePowers,
    widening::{Widening, in_words},
};
use crate::{
    agent::{
        timing::{Requested, timing},
        validate::{RunSpec, ValidatedAgent},
    },
    conditions::Invalid,
    observed::AvailableRefs,
    policy,
    settings::Settings,
};

/// Most bytes of the list as an annotation; all annotations of an object may have 256 KiB.
const MAX_BYTES: usize = 64 * 1024;

/// The key that stands alone in the text of a list that is longer.
const TOO_LARGE: &str = "tooLarge";

/// What an agent may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Powers {
    /// What the steps of its code call.
    calls: Calls,
    /// Without steps: the tools of which its model may call whatever they offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    free_tools: Option<BTreeSet<String>>,
    /// Models that may be asked.
    models: BTreeSet<String>,
    pace: Pace,
    limits: Limits,
    network: Network,
    /// The spec's own; absent: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    /// Names of the spec's variables.
    env: BTreeSet<String>,
    /// Secrets that the spec names: `NAME/KEY` of variables, `NAME` of those to pull images with.
    secrets: BTreeSet<String>,
    /// Tools in its pods.
    #[serde(default, skip_serializing_if = "Sidecars::is_empty")]
    sidecars: Sidecars,
}

/// Why a stored list of powers cannot be compared with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PowersError {
    /// There is none.
    #[error("no list of powers is stored")]
    Missing,
    /// The list was longer than what is stored.
    #[error(
        "the list of powers is longer than {MAX_BYTES} bytes, so it is not stored: ask for a smaller agent"
    )]
    TooLarge,
    /// It is no list of powers, or not in the form in which the operator writes it.
    #[error("the annotation {key} is not as the operator wrote it: {0}", key = annotations::POWERS)]
    Unreadable(String),
}

impl Powers {
    /// What an agent may do with this code, or by its own image without any.
    ///
    /// # Errors
    /// If it cannot run as its spec says.
    pub fn of(
        agent: &ValidatedAgent,
        code: Option<&CodePowers>,
        settings: &Settings,
    ) -> Result<Self, Invalid> {
        let run = agent.run.as_ref().map_err(Clone::clone)?;
        let requirements = code.map(|code| &code.requirements);
        let pace = Pace::of(&timing(&run.requested, requirements)?);
        let network = network(agent, settings)?;
        let references = &agent.references;
        let offered = AvailableRefs {
            tools: references
                .tools
                .iter()
                .map(|tool| tool.name.clone())
                .collect(),
            models: references
                .models
                .iter()
                .map(|model| model.name.clone())
                .collect(),
        };
        Ok(Self {
            pace,
            network,
            limits: limits(run, code),
            image: agent.own_image.clone(),
            env: run
                .env
                .iter()
                .map(|variable| variable.name.clone())
                .collect(),
            secrets: secrets(run),
            sidecars: Sidecars::of_run(run),
            ..Self::of_calls(code, &offered)
        })
    }

    /// Those of nobody: each power beyond them is one to name, but how often and how long it runs.
    pub(crate) fn none() -> Self {
        Self {
            free_tools: Some(BTreeSet::new()),
            ..Self::of_calls(None, &AvailableRefs::default())
        }
    }

    /// What code may do by its own word, of an agent that has these references, whatever else its
    /// spec says: to compare one code with another.
    pub fn of_code(code: &CodePowers, offered: &AvailableRefs) -> Self {
        // Nobody runs scheduled code without a schedule; all the time is the most there is.
        let timing = timing(&Requested::default(), Some(&code.requirements));
        let constraints = &code.requirements.constraints;
        Self {
            pace: timing.as_ref().map_or(Pace::Continuous, Pace::of),
            limits: Limits {
                max_iterations: constraints.max_iterations,
                timeout_seconds: constraints.timeout_seconds,
            },
            ..Self::of_calls(Some(code), offered)
        }
    }

    /// Whom it may call and ask.
    fn of_calls(code: Option<&CodePowers>, offered: &AvailableRefs) -> Self {
        let is_workflow = code.is_some_and(|code| code.is_workflow);
        let asks_any = code.is_none_or(|code| code.asks_any);
        let named = code.into_iter().flat_map(|code| &code.requirements.models);
        let any = offered.models.iter().filter(|_| asks_any);
        Self {
            calls: code.map(|code| code.calls.clone()).unwrap_or_default(),
            free_tools: (!is_workflow).then(|| offered.tools.iter().cloned().collect()),
            models: named.chain(any).cloned().collect(),
            pace: Pace::Continuous,
            limits: Limits::default(),
            network: Network::default(),
            image: None,
            env: BTreeSet::new(),
            secrets: BTreeSet::new(),
            sidecars: Sidecars::default(),
        }
    }

    /// The one text of these powers: the annotation's. Of a list that is too long, its hash, which
    /// nothing compares equal to but the same list.
    pub fn canonical_json(&self) -> String {
        let text = |value: &serde_json::Value| {
            String::from_utf8_lossy(&canonical_json(value)).into_owned()
        };
        let all = text(&json!(self));
        if all.len() <= MAX_BYTES {
            return all;
        }
        text(&json!({TOO_LARGE: sha256_hex(all.as_bytes())}))
    }

    /// SHA-256 of that text, in hexadecimal digits.
    pub fn hash(&self) -> String {
        sha256_hex(self.canonical_json().as_bytes())
    }

    /// Reads the annotation.
    ///
    /// # Errors
    /// If it does not hold the list, or not in the form in which it was written. Whoever gets one
    /// must take everything for new: see [`Widening::of_unknown`].
    pub fn parse(text: Option<&str>) -> Result<Self, PowersError> {
        let text = text.ok_or(PowersError::Missing)?;
        let unreadable = |why: serde_json::Error| PowersError::Unreadable(shown(&why.to_string()));
        let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
        if value.get(TOO_LARGE).is_some() {
            return Err(PowersError::TooLarge);
        }
        let powers: Self = serde_json::from_value(value).map_err(unreadable)?;
        let is_canonical = powers.calls.is_canonical()
            && powers.network.is_canonical()
            && (powers.calls.is_empty() || powers.free_tools.is_none())
            && powers.canonical_json() == text;
        is_canonical
            .then_some(powers)
            .ok_or_else(|| PowersError::Unreadable("it is not in its canonical form".to_owned()))
    }

    /// What these powers hold that the others did not, in the order of the table in
    /// docs/powers.md. Nothing: they are not wider.
    pub fn wider_than(&self, before: &Self) -> Vec<Widening> {
        let more = |what: &'static str, now: &BTreeSet<String>, before: &BTreeSet<String>| {
            let new = now.difference(before);
            let new = new.map(|name| Widening::new(format!("{what} {}", shown(name))));
            new.collect::<Vec<_>>()
        };
        let mut wider = self
            .calls
            .wider_than(&before.calls, before.free_tools.as_ref());
        wider.extend(self.free_wider_than(before));
        wider.extend(more("model", &self.models, &before.models));
        wider.extend(self.pace.wider_than(before.pace));
        wider.extend(self.limits.wider_than(before.limits));
        wider.extend(self.network.wider_than(&before.network));
        if self.image != before.image {
            let image = |image: &Option<String>| match image {
                Some(image) => format!("image {}", shown(image)),
                None => "the operator's image".to_owned(),
            };
            wider.push(Widening::more(image(&self.image), image(&before.image)));
        }
        wider.extend(more("variable", &self.env, &before.env));
        wider.extend(more("Secret", &self.secrets, &before.secrets));
        wider.extend(self.sidecars.wider_than(&before.sidecars));
        wider
    }

    /// All of them, a line each.
    pub fn told(&self) -> Vec<String> {
        let named = self.wider_than(&Self::none());
        let pace = format!("runs {}", self.pace.told());
        let named = named.iter().map(ToString::to_string);
        named.chain([pace]).collect()
    }

    /// What its model may call by itself.
    fn free_wider_than(&self, before: &Self) -> Vec<Widening> {
        let Some(now) = &self.free_tools else {
            return Vec::new();
        };
        let none = BTreeSet::new();
        let had_workflow = before.free_tools.is_none();
        let loose =
            had_workflow.then(|| Widening::more("calls of its model's choice", "a workflow"));
        let new = now.difference(before.free_tools.as_ref().unwrap_or(&none));
        let new = new.map(|tool| Widening::new(format!("every operation of {}", shown(tool))));
        loose.into_iter().chain(new).collect()
    }
}

/// The annotations of a code ConfigMap: the list, and its hash.
pub fn as_annotations(powers: &Powers) -> [(String, String); 2] {
    let text = powers.canonical_json();
    let hash = sha256_hex(text.as_bytes());
    [
        (annotations::POWERS, text),
        (annotations::POWERS_HASH, hash),
    ]
    .map(|(key, text)| (key.to_owned(), text))
}

/// The rules that open nothing that the others do not open.
pub(crate) fn narrowed(
    rules: Vec<NetworkPolicyEgressRule>,
    within: &[NetworkPolicyEgressRule],
) -> Vec<NetworkPolicyEgressRule> {
    let Ok(frame) = Network::of(within) else {
        return Vec::new();
    };
    let is_within = |rule: &NetworkPolicyEgressRule| {
        Network::of([rule]).is_ok_and(|network| network.wider_than(&frame).is_empty())
    };
    rules.into_iter().filter(is_within).collect()
}

/// What the agent opens for itself: all of its policy but what every agent of the operator has.
fn network(agent: &ValidatedAgent, settings: &Settings) -> Result<Network, Invalid> {
    let common = [policy::dns_rule(settings), policy::telemetry_rule(settings)];
    let is_own = |rule: &&_| !common.iter().flatten().any(|common| common == *rule);
    Network::of(agent.egress.iter().filter(is_own)).map_err(|why| Invalid::spec(why.to_string()))
}

fn limits(run: &RunSpec, code: Option<&CodePowers>) -> Limits {
    let by_code = code.map(|code| &code.requirements.constraints);
    let iterations = run
        .max_iterations
        .map(|most| u32::try_from(most).unwrap_or(0));
    let timeout = run.timeout.as_ref().map(|timeout| timeout.seconds);
    Limits {
        max_iterations: iterations.or_else(|| by_code?.max_iterations),
        timeout_seconds: timeout.or_else(|| by_code?.timeout_seconds),
    }
}

fn secrets(run: &RunSpec) -> BTreeSet<String> {
    let of_env = run.env.iter().filter_map(|variable| {
        let key = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(format!("{}/{}", key.name, key.key))
    });
    // The kubelet pulls each image of a pod with all of them.
    let lent = run.sidecars.iter();
    let lent = lent.flat_map(|sidecar| &sidecar.spec.image_pull_secrets);
    let to_pull = run.image_pull_secrets.iter().chain(lent);
    let to_pull = to_pull.map(|secret| secret.name.clone());
    of_env.chain(to_pull).collect()
}

#[cfg(test)]
mod tests;
