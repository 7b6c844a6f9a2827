//! Whose code counts: the public keys of the synthesizer, read again when their file changes, and
//! what they say of an answer and of stored code. Stores nothing and asks nobody.
//!
//! Stored code is judged when it is observed, which is when its statement is at hand: what is held
//! of it is the verdict, and which keys it is by. Keys that change are asked when the agent is
//! looked at next.

use std::{path::PathBuf, sync::Arc, time::Duration};

use langop_api::names::annotations;
use langop_client::watched::{LoadError, Watched};
use langop_desired::observed::{Observed, ObservedState, Origin, Verdict};
use langop_provenance::{Claim, KeyError, Keyring, Refusal, verify};
use serde_json::Value;

use crate::error::bounded;

/// How often the file is looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// The keys whose signatures count; none where nobody is to be asked.
#[derive(Clone, Default)]
pub(crate) struct TrustedKeys(Option<Arc<Watched<Keyring>>>);

impl TrustedKeys {
    /// Those of a file.
    pub(crate) async fn watch(file: Option<PathBuf>) -> Result<Self, LoadError<KeyError>> {
        let Some(file) = file else {
            return Ok(Self::default());
        };
        let read = |contents: &[Vec<u8>]| Keyring::from_pem(&contents[0]);
        let keys = Watched::start(vec![file], RELOAD_INTERVAL, read).await?;
        Ok(Self(Some(keys)))
    }

    /// The newest; `None`: there are none to be asked.
    pub(crate) fn get(&self) -> Option<Arc<Keyring>> {
        self.0.as_ref().map(|keys| keys.get())
    }

    /// Calls `changed` after each change, without end.
    pub(crate) async fn follow(&self, changed: impl Fn()) {
        if let Some(keys) = &self.0 {
            let mut newest = keys.follow();
            while newest.changed().await.is_ok() {
                changed();
            }
        }
        std::future::pending::<()>().await;
    }

    /// The statement that an object carries, where there are keys to ask.
    pub(crate) fn statement(&self, live: &Value) -> Option<String> {
        self.0.as_ref()?;
        let annotations = live.get("metadata")?.get("annotations")?;
        annotations
            .get(annotations::PROVENANCE)?
            .as_str()
            .map(str::to_owned)
    }

    /// Stored code with what the keys say of the statement that it carries.
    pub(crate) fn judged(&self, mut observed: Observed, statement: Option<&str>) -> Observed {
        if let Some(keys) = self.get() {
            let verdict = verdict(&keys, &observed, statement);
            if let ObservedState::Code(state) = &mut observed.state {
                let keys = keys.id();
                state.origin = Some(Box::new(Origin { keys, verdict }));
            }
        }
        observed
    }

    /// Whether other keys than the newest have judged any of this code.
    pub(crate) fn are_newer(&self, revisions: &[Arc<Observed>]) -> bool {
        let Some(keys) = self.get() else {
            return false;
        };
        revisions.iter().any(|stored| match &stored.state {
            ObservedState::Code(state) => state
                .origin
                .as_ref()
                .is_none_or(|origin| origin.keys != keys.id()),
            _ => false,
        })
    }
}

/// Of code that is what it says it is: its hashes are those of its data.
fn verdict(keys: &Keyring, observed: &Observed, statement: Option<&str>) -> Verdict {
    let Some(statement) = statement else {
        return Verdict::Missing;
    };
    let annotation = |key| observed.annotations.get(key).unwrap_or_default();
    let controller = observed.controller.as_ref();
    let claim = Claim {
        agent: controller.map_or("", |controller| &controller.name),
        code_hash: annotation(annotations::CODE_HASH),
        instructions_hash: annotation(annotations::INSTRUCTIONS_HASH),
    };
    match verify(statement, keys, &claim) {
        Ok(verified) => Verdict::Signed {
            key_id: verified.key_id.into(),
        },
        Err(refusal) => Verdict::Refused {
            why: told(&refusal).into(),
        },
    }
}

/// In words that may be kept: they may quote the statement.
pub(crate) fn told(refusal: &Refusal) -> String {
    bounded(&refusal.to_string())
}
