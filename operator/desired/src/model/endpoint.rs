//! What `endpoint` means: the base URL that one would give to the vendor's own SDK, or the full URL
//! of its chat API.
//!
//! LiteLLM appends to its `api_base` a path of its own, which differs by provider; here that is
//! made to give the same.

use langop_api::model::ModelProvider;

use crate::endpoint::Endpoint;

/// An endpoint that the default proxy cannot ask.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EndpointError {
    /// A part after the path, which LiteLLM would put its own path behind.
    #[error(
        "endpoint '{0}' has a query or a fragment, which the default proxy cannot send: leave it out, or set image to a proxy of your own"
    )]
    AfterPath(String),
    /// Nothing between the scheme and the path.
    #[error("endpoint '{0}' names no host: write for example https://llm.example.com/v1")]
    NoHost(String),
}

/// LiteLLM's `api_base`, to which it appends `/chat/completions`, `/v1/messages` or `/api/chat`.
pub(super) fn api_base(provider: ModelProvider, endpoint: &str) -> Result<String, EndpointError> {
    let Endpoint {
        host,
        base,
        has_query,
        ..
    } = Endpoint::of(Some(endpoint));
    if has_query {
        return Err(EndpointError::AfterPath(endpoint.to_owned()));
    }
    if host.is_empty() {
        return Err(EndpointError::NoHost(endpoint.to_owned()));
    }
    Ok(match provider {
        ModelProvider::Anthropic => without(base, &["/messages", "/v1"]),
        ModelProvider::Ollama => without(base, &["/chat", "/api"]),
        ModelProvider::Openai | ModelProvider::OpenaiCompatible | ModelProvider::Custom => {
            let base = without(base, &["/chat/completions"]);
            if Endpoint::of(Some(&base)).path.is_empty() {
                format!("{base}/v1")
            } else {
                base
            }
        }
    })
}

/// The base without these ends, each only where it is there.
fn without(base: &str, ends: &[&str]) -> String {
    let shorter = ends
        .iter()
        .fold(base, |base, end| base.strip_suffix(end).unwrap_or(base));
    shorter.trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What LiteLLM puts behind the base.
    fn asked(provider: ModelProvider, endpoint: &str) -> String {
        let path = match provider {
            ModelProvider::Anthropic => "/v1/messages",
            ModelProvider::Ollama => "/api/chat",
            _ => "/chat/completions",
        };
        api_base(provider, endpoint).unwrap() + path
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn an_endpoint_means_what_the_vendors_sdk_means_by_it() {
        use ModelProvider::{Anthropic, Ollama, Openai, OpenaiCompatible};
        for (provider, endpoint, url) in [
            // Without a path, the usual one.
            (
                Openai,
                "https://api.openai.com",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "http://vllm:8000",
                "http://vllm:8000/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "http://vllm:8000/",
                "http://vllm:8000/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "http://[fd00::1]:8000",
                "http://[fd00::1]:8000/v1/chat/completions",
            ),
            // A path is kept.
            (
                Openai,
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "https://h/v1/",
                "https://h/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "https://h/v1beta/openai/",
                "https://h/v1beta/openai/chat/completions",
            ),
            (
                OpenaiCompatible,
                "https://h/api/paas/v4",
                "https://h/api/paas/v4/chat/completions",
            ),
            // A full URL is that.
            (
                OpenaiCompatible,
                "https://h/v1/chat/completions",
                "https://h/v1/chat/completions",
            ),
            (
                OpenaiCompatible,
                "https://h/x/chat/completions/",
                "https://h/x/chat/completions",
            ),
            (
                Anthropic,
                "https://api.anthropic.com",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                Anthropic,
                "https://api.anthropic.com/",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                Anthropic,
                "https://api.anthropic.com/v1",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                Anthropic,
                "https://api.anthropic.com/v1/messages",
                "https://api.anthropic.com/v1/messages",
            ),
            (
                Anthropic,
                "https://h/anthropic",
                "https://h/anthropic/v1/messages",
            ),
            (
                Ollama,
                "http://ollama:11434",
                "http://ollama:11434/api/chat",
            ),
            (
                Ollama,
                "http://ollama:11434/",
                "http://ollama:11434/api/chat",
            ),
            (
                Ollama,
                "http://ollama:11434/api",
                "http://ollama:11434/api/chat",
            ),
            (
                Ollama,
                "http://h/ollama/api/chat",
                "http://h/ollama/api/chat",
            ),
            (Ollama, "http://h/ollama", "http://h/ollama/api/chat"),
        ] {
            assert_eq!(asked(provider, endpoint), url, "{provider:?} {endpoint}");
        }
    }

    #[test]
    fn what_litellm_cannot_ask_is_refused_with_what_to_write() {
        for (endpoint, words) in [
            ("https://h/openai?api-version=2026-01-01", "leave it out"),
            ("https://h/v1#x", "leave it out"),
            ("https:///v1", "names no host"),
            ("https://", "names no host"),
        ] {
            let error = api_base(ModelProvider::Openai, endpoint).unwrap_err();
            assert!(error.to_string().contains(words), "{endpoint}: {error}");
        }
    }
}
