//! What an answer says of its origin: the key that signs, and the statement of one answer. Knows
//! neither caches nor providers.
//!
//! An answer is made once, under a placeholder's name, and given under many. What is told of its
//! making is kept with it; the statement is signed when it is given, and the last one is kept, so
//! that a cache hit costs no signature. A key that is replaced signs what it finds in the cache.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use langop_client::watched::{LoadError, Watched};
use langop_dsl::hash::sha256_hex;
use langop_proto::v1::{PreviousCode, SynthesizeResponse};
use langop_provenance::{KeyError, MAX_ENVELOPE, Outcome, Predicate, SigningKey, Statement};

use crate::{prompt, settings::Settings};

/// What a statement weighs in the cache, in bytes: it is made after its answer is weighed.
const ENVELOPE: usize = 2048;

/// The key that signs, read again when its file changes.
#[derive(Clone)]
pub struct Signer(Arc<Watched<SigningKey>>);

impl Signer {
    /// With the key of the settings' file; `None` where they name none.
    pub async fn watch(settings: &Settings) -> Result<Option<Self>, LoadError<KeyError>> {
        let Some(file) = &settings.signing_key_file else {
            return Ok(None);
        };
        let read = |contents: &[Vec<u8>]| SigningKey::from_pem(&contents[0]);
        let interval = settings.access.reload_interval;
        let key = Watched::start(vec![file.clone()], interval, read).await?;
        tracing::info!(key = key.get().id(), "answers are signed");
        Ok(Some(Self(key)))
    }
}

/// What the making of one answer was, and the statement of it that was given last.
pub struct Origin {
    signer: Signer,
    made_at: Timestamp,
    placeholder_hash: String,
    previous_hash: Option<String>,
    last: Mutex<Option<Last>>,
}

/// A statement, and what it is for.
struct Last {
    key: Arc<SigningKey>,
    agent: String,
    instructions_hash: String,
    envelope: String,
}

impl Origin {
    /// Of code that is made now, under the placeholder; `previous` is what ran before, in the form
    /// of [`prompt::normalise`].
    pub fn of(signer: &Signer, code: &str, previous: Option<&PreviousCode>) -> Self {
        Self {
            signer: signer.clone(),
            made_at: now(),
            placeholder_hash: sha256_hex(code.as_bytes()),
            previous_hash: previous.map(|previous| sha256_hex(previous.code.as_bytes())),
            last: Mutex::default(),
        }
    }

    /// What it weighs in the cache.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + ENVELOPE
    }

    /// The statement of the whole answer to a request for `agent`, as an envelope.
    pub fn statement(&self, agent: &str, response: &SynthesizeResponse) -> String {
        let key = self.signer.0.get();
        if let Some(envelope) = self.given(&key, agent, response) {
            return envelope;
        }
        let envelope = key.sign(&self.told(agent, response));
        if envelope.len() > MAX_ENVELOPE {
            tracing::error!(
                agent,
                bytes = envelope.len(),
                "the statement of an answer is too long to be read"
            );
            return String::new();
        }
        let last = Last {
            key,
            agent: agent.to_owned(),
            instructions_hash: response.instructions_hash.clone(),
            envelope: envelope.clone(),
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        envelope
    }

    /// The one that was given last, if it is for the same.
    fn given(
        &self,
        key: &Arc<SigningKey>,
        agent: &str,
        response: &SynthesizeResponse,
    ) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| {
            Arc::ptr_eq(&last.key, key)
                && last.agent == agent
                // Another's may differ in a secret, which reaches neither prompt nor key.
                && last.instructions_hash == response.instructions_hash
        })?;
        Some(last.envelope.clone())
    }

    fn told(&self, agent: &str, response: &SynthesizeResponse) -> Statement {
        let predicate = Predicate {
            agent: agent.to_owned(),
            instructions_hash: response.instructions_hash.clone(),
            request_hash: response.request_hash.clone(),
            prompt_version: prompt::version().to_owned(),
            provider: response.provider.clone(),
            model: response.model.clone(),
            outcome: if response.attempts > 1 {
                Outcome::Repaired
            } else {
                Outcome::Generated
            },
            attempts: response.attempts,
            validator_version: env!("CARGO_PKG_VERSION").to_owned(),
            previous_code_hash: self.previous_hash.clone(),
            synthesized_at: self.made_at,
        };
        Statement::new(&response.code_hash, &self.placeholder_hash, predicate)
    }
}

/// Whole seconds, which is as exact as anybody asks.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
}
