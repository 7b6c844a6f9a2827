//! What a statement says. Unknown fields are left out, as in-toto asks of readers; what is there
//! has one type.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest envelope of a statement that is read, in bytes of JSON.
pub const MAX_ENVELOPE: usize = 16 * 1024;
/// `payloadType` of an envelope that holds a statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// `_type` of every statement: <https://in-toto.io/Statement/v1>.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType`. Another meaning of a field is another version; a field more is not.
pub const PREDICATE_TYPE: &str = "https://langop.io/provenance/synthesis/v1";
/// Name of the subject that is the code as the agent runs it, under the agent's name.
pub const CODE: &str = "agent.rb";
/// Name of the subject that is the code as it was made, under a name that stands for any agent's.
pub const PLACEHOLDER_CODE: &str = "placeholder/agent.rb";

/// An in-toto Statement v1 about synthesized code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// [`STATEMENT_TYPE`].
    #[serde(rename = "_type")]
    pub type_: String,
    /// What it is about: [`CODE`] and [`PLACEHOLDER_CODE`].
    pub subject: Vec<Subject>,
    /// [`PREDICATE_TYPE`].
    pub predicate_type: String,
    /// What it says.
    pub predicate: Predicate,
}

impl Statement {
    /// About code with these hashes, under the agent's name and under the placeholder's.
    pub fn new(code_hash: &str, placeholder_hash: &str, predicate: Predicate) -> Self {
        Self {
            type_: STATEMENT_TYPE.to_owned(),
            subject: vec![
                Subject::new(CODE, code_hash),
                Subject::new(PLACEHOLDER_CODE, placeholder_hash),
            ],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate,
        }
    }

    /// SHA-256 of the subject of that name, lower-case hex.
    pub fn digest_of(&self, name: &str) -> Option<&str> {
        let subject = self.subject.iter().find(|subject| subject.name == name)?;
        Some(&subject.digest.sha256)
    }
}

/// One thing that a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its name within the statement.
    pub name: String,
    /// Its digests.
    pub digest: Digest,
}

impl Subject {
    fn new(name: &str, sha256: &str) -> Self {
        Self {
            name: name.to_owned(),
            digest: Digest {
                sha256: sha256.to_owned(),
            },
        }
    }
}

/// Digests of a subject, by algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Lower-case hex.
    pub sha256: String,
}

/// How the code came to be. Hashes are SHA-256 in lower-case hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Predicate {
    /// The agent's name, as it is in the code.
    pub agent: String,
    /// Of the instructions with line ends normalised to LF.
    pub instructions_hash: String,
    /// Of everything that reached the prompt: the synthesizer's cache key.
    pub request_hash: String,
    /// The version of the prompt.
    pub prompt_version: String,
    /// The provider that was asked, for example "anthropic".
    pub provider: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// How the code was made. Later requests may have got it from the cache.
    pub outcome: Outcome,
    /// Answers of the model that were judged: 1 plus the repairs.
    pub attempts: u32,
    /// The version of the synthesizer, whose checker judged them.
    pub validator_version: String,
    /// Of the code that ran before, under the placeholder: the subject [`PLACEHOLDER_CODE`] of that
    /// code's own statement. Absent: written from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_code_hash: Option<String>,
    /// When the code was made.
    pub synthesized_at: Timestamp,
}

/// How code was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The first answer was valid.
    Generated,
    /// Valid after at least one repair.
    Repaired,
}

impl Outcome {
    /// As statements have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Repaired => "repaired",
        }
    }
}
