//! Each check of stored code, and what it says. Trusts nothing that the ConfigMap says of itself:
//! hashes are those of its data.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    names::{CODE_KEY, DEFINITION_KEY, INSTRUCTIONS_KEY, annotations},
};
use langop_dsl::{AgentDefinition, clean, hash::sha256_hex, instructions};
use langop_provenance::{Claim, Keyring, Statement, Verified, read, verify};
use serde::Serialize;

use crate::{
    code::command::chosen,
    code::stored::{Revision, revisions},
    failure::Failure,
};

/// Characters of a key's id that are shown.
const SHORT: usize = 12;

/// What came of all checks.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Judged {
    pub(crate) agent: String,
    pub(crate) revision: Option<i64>,
    pub(crate) config_map: String,
    /// Whether each check was made and passed.
    pub(crate) is_verified: bool,
    pub(crate) checks: Vec<Check>,
    /// What the statement says; trusted only where that check passed.
    pub(crate) statement: Option<Statement>,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    pub(crate) subject: &'static str,
    pub(crate) state: State,
    /// In one sentence.
    pub(crate) says: String,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Passed,
    Failed,
    Unknown,
}

/// Judges a revision, the active one where no number is given.
pub(crate) fn judge(
    agent: &LanguageAgent,
    maps: &[ConfigMap],
    number: Option<i64>,
    keys: Option<&Keyring>,
) -> Result<Judged, Failure> {
    let name = agent.name_any();
    let stored = revisions(agent, maps);
    let revision = chosen(&name, &stored, number)?;
    let map = maps
        .iter()
        .find(|map| map.name_any() == revision.config_map);
    let code = Code::of(&name, map);
    let statement = map.and_then(|map| map.annotations().get(annotations::PROVENANCE));
    let (signed, statement) = signed(statement.map(String::as_str), &code, keys);
    let checks = vec![
        known(revision),
        definition(&code),
        made_from(agent, &code),
        signed,
    ];
    Ok(Judged {
        agent: name,
        revision: revision.number,
        config_map: revision.config_map.clone(),
        is_verified: checks.iter().all(|check| check.state == State::Passed),
        checks,
        statement,
    })
}

/// What is stored of a revision.
struct Code<'a> {
    agent: &'a str,
    code: &'a str,
    definition: &'a str,
    instructions: &'a str,
}

impl<'a> Code<'a> {
    fn of(agent: &'a str, map: Option<&'a ConfigMap>) -> Self {
        let data = map.and_then(|map| map.data.as_ref());
        let text = |key: &str| {
            data.and_then(|data| data.get(key))
                .map_or("", String::as_str)
        };
        Self {
            agent,
            code: text(CODE_KEY),
            definition: text(DEFINITION_KEY),
            instructions: text(INSTRUCTIONS_KEY),
        }
    }
}

fn check(subject: &'static str, fault: Option<String>, fine: &str) -> Check {
    Check {
        subject,
        state: if fault.is_none() {
            State::Passed
        } else {
            State::Failed
        },
        says: fault.unwrap_or_else(|| fine.to_owned()),
    }
}

/// Whether the agent's status has the hash of this content.
fn known(revision: &Revision) -> Check {
    let fault = revision.number.is_none();
    let fault = fault.then(|| "not by the operator: it does not run this code".to_owned());
    check("stored", fault, "by the operator, and unchanged since")
}

/// Whether the code says what its definition does, which is what runs.
fn definition(code: &Code<'_>) -> Check {
    let fault = match serde_json::from_str::<AgentDefinition>(code.definition) {
        Err(error) => Some(format!("it cannot be read: {error}")),
        Ok(definition) if definition.name != code.agent => {
            Some(format!("it is that of agent '{}'", clean(&definition.name)))
        }
        Ok(definition) if langop_dsl::render(&definition) != code.code => {
            Some("it says something else than the code".to_owned())
        }
        Ok(_) => None,
    };
    check("definition", fault, "it says what the code says")
}

fn made_from(agent: &LanguageAgent, code: &Code<'_>) -> Check {
    let spec = agent.spec.instructions.as_deref().unwrap_or_default();
    let is_present = instructions::hash(spec) == instructions::hash(code.instructions);
    let says = if is_present {
        "those in spec.instructions now"
    } else {
        "of before: those in spec.instructions are others now"
    };
    check("instructions", None, says)
}

/// Whether one of the keys has signed that this is the code of these instructions.
fn signed(
    envelope: Option<&str>,
    code: &Code<'_>,
    keys: Option<&Keyring>,
) -> (Check, Option<Statement>) {
    let with = |state: State, says: String| Check {
        subject: "statement",
        state,
        says: clean(&says),
    };
    let Some(envelope) = envelope else {
        let says = "there is none: the synthesizer signed nothing when it made the code";
        return (with(State::Failed, says.to_owned()), None);
    };
    let said = read(envelope).ok();
    let statement = said.as_ref().map(|said| said.statement.clone());
    let Some(keys) = keys else {
        let by = said.as_ref().map_or_else(String::new, by);
        let says = format!("not checked{by}: name the public keys by --keys");
        return (with(State::Unknown, says), statement);
    };
    let claim = Claim {
        agent: code.agent,
        code_hash: &sha256_hex(code.code.as_bytes()),
        instructions_hash: &instructions::hash(code.instructions),
    };
    let check = match verify(envelope, keys, &claim) {
        Ok(verified) => {
            let says = format!("names this code and its instructions{}", by(&verified));
            with(State::Passed, says)
        }
        Err(refusal) => with(State::Failed, refusal.to_string()),
    };
    (check, statement)
}

fn by(said: &Verified) -> String {
    let id: String = said.key_id.chars().take(SHORT).collect();
    format!(", signed by key {id}")
}
