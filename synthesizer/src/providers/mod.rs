//! Who answers prompts: one trait, three HTTP APIs behind it, and the built-in rules.
//!
//! Knows the APIs' formats and failures; not what a prompt says or what its answer is good for.
//! Never logs a key, a prompt or an answer.

mod anthropic;
mod api;
mod api_key;
mod call;
mod content;
mod embedded;
mod endpoint;
mod error;
mod http;
mod ollama;
mod openai;
mod parameters;
mod purse;
mod refusal;
mod retry;
mod stream;
mod usage;
mod wire;

use std::sync::Arc;

pub use self::{
    api::{Chat, Completion, Finish, Listener, Message, Provider, Role, Task},
    call::CallContext,
    error::{BuildError, ProviderError},
    purse::Purse,
};
pub use crate::{identity::Identity, settings::ProviderKind};
use crate::{metrics::Metrics, settings::Settings};

/// Makes the provider that `identity` names.
pub fn build(
    identity: &Identity,
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Provider>, BuildError> {
    let url = |api| endpoint::url(api, settings.endpoint.as_deref()).ok_or(BuildError::Endpoint);
    let client = |url| http::Client::new(identity, settings, url, Arc::clone(metrics));
    Ok(match identity.provider {
        ProviderKind::Template => Arc::new(embedded::Embedded),
        ProviderKind::Anthropic => Arc::new(http::HttpProvider::new(
            anthropic::Anthropic,
            client(url(&anthropic::API)?)?,
        )),
        ProviderKind::Openai => {
            let url = url(&openai::API)?;
            let wire = openai::OpenAi::at(&url);
            Arc::new(http::HttpProvider::new(wire, client(url)?))
        }
        ProviderKind::Ollama => Arc::new(http::HttpProvider::new(
            ollama::Ollama,
            client(url(&ollama::API)?)?,
        )),
    })
}
