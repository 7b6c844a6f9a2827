//! The format of an API, and what all formats share. Pure: sends nothing.

use std::collections::BTreeSet;

use langop_proto::v1::Usage;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    api::{Chat, Finish},
    error::ProviderError,
    parameters::Optional,
};

/// Largest answer read; a completion of the longest length by default is a hundredth of it.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// The format of one API. Pure.
pub(super) trait Wire: Send + Sync {
    /// Headers beside content type; the key's is marked sensitive by the caller of [`secret`].
    fn headers(&self, key: Option<&SecretString>) -> HeaderMap;
    /// The parameters of a body that it can do without.
    fn optional(&self) -> &'static [Optional];
    /// Whether a body limits the length of the answer.
    fn is_limited(&self, _body: &serde_json::Value) -> bool {
        true
    }
    /// The body of a call; asks for a stream exactly where there is a listener.
    fn body(&self, ask: Ask<'_>) -> serde_json::Value;
    /// Takes the answer of a whole body, what it cost first. An error says what is missing.
    fn answer(
        &self,
        partial: &mut PartialCompletion,
        body: serde_json::Value,
    ) -> Result<(), &'static str>;
    /// Adds one event of a stream to what arrived before it. An error says what is wrong with it.
    fn absorb(
        &self,
        partial: &mut PartialCompletion,
        event: serde_json::Value,
    ) -> Result<(), &'static str>;
}

/// What a body is made from.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) chat: Chat<'a>,
    pub(super) model: &'a str,
    pub(super) max_tokens: u32,
    pub(super) effort: Option<&'static str>,
    pub(super) refused: &'a Refused,
}

/// Parameters that the server has refused.
pub(super) type Refused = BTreeSet<&'static str>;

impl Ask<'_> {
    /// Whether the server has not refused this parameter so far.
    pub(super) fn may_say(&self, parameter: &str) -> bool {
        !self.refused.contains(parameter)
    }
}

/// What has arrived of an answer.
#[derive(Debug, Default)]
pub(super) struct PartialCompletion {
    pub(super) text: String,
    pub(super) model: Option<String>,
    pub(super) usage: Usage,
    /// Why it ends, once that is known.
    pub(super) finish: Option<Finish>,
    /// Whether the provider said that nothing follows.
    pub(super) is_over: bool,
    /// Bytes of it, its envelope included.
    pub(super) size: usize,
}

/// A header that holds a key; `None` if the key cannot be in a header at all.
pub(super) fn secret(prefix: &str, key: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("{prefix}{}", key.expose_secret())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The key as a bearer token, if there is one.
pub(super) fn bearer(key: Option<&SecretString>) -> HeaderMap {
    key.and_then(|key| secret("Bearer ", key))
        .map(|value| HeaderMap::from_iter([(AUTHORIZATION, value)]))
        .unwrap_or_default()
}

/// The URL may hold credentials, so it stays out of errors.
pub(super) fn transport(error: reqwest::Error) -> ProviderError {
    ProviderError::Transport(error.without_url())
}

pub(super) fn too_large(limit: usize) -> ProviderError {
    let usage = Usage::default();
    ProviderError::TooLarge { limit, usage }
}
