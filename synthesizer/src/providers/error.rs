//! Why a provider cannot be made, or does not answer. No text holds a key, a prompt or an answer.

use std::{io, time::Duration};

use langop_proto::v1::Usage;

use crate::{access::error::AccessError, settings::error::SettingsError};

/// Why there is no answer. Never holds a key or content.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The key's file cannot be read.
    #[error("the file named by SYNTHESIS_API_KEY_FILE cannot be read")]
    KeyUnreadable(#[source] io::Error),
    /// What the key's file holds cannot be in a header.
    #[error(
        "the file named by SYNTHESIS_API_KEY_FILE holds no API key; write the key alone into it, without spaces or quotes"
    )]
    KeyUnusable,
    /// 401 or 403.
    #[error("the provider refuses the API key (HTTP {status}{}); check SYNTHESIS_API_KEY", also(.kind))]
    KeyRefused {
        /// The HTTP status.
        status: u16,
        /// The provider's short name of the error.
        kind: Option<String>,
    },
    /// 404.
    #[error(
        "the provider does not know the model `{model}`, or nothing answers at the path {path} of its endpoint; check SYNTHESIS_MODEL \
         and SYNTHESIS_ENDPOINT"
    )]
    ModelNotFound {
        /// The model asked for.
        model: String,
        /// The path asked.
        path: String,
    },
    /// A redirect, or a status that says that this is no place for such requests.
    #[error(
        "nothing takes requests at the path {path} of the provider's endpoint (HTTP {status}); check SYNTHESIS_ENDPOINT"
    )]
    WrongEndpoint {
        /// The HTTP status.
        status: u16,
        /// The path asked.
        path: String,
    },
    /// Another status that a second try would not change: this request is refused, others may not
    /// be.
    #[error("the provider refuses this request (HTTP {status}{}); others may be answered", also(.kind))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The provider's short name of the error.
        kind: Option<String>,
        /// The one parameter it is about, if the request can do without it.
        parameter: Option<&'static str>,
    },
    /// Money is needed, not time.
    #[error("the account at the provider has no money or quota left{}; add some there", named(.kind))]
    NoQuota {
        /// The provider's short name of the error.
        kind: Option<String>,
    },
    /// 429, also after the retries.
    #[error("the provider's rate limit is used up{}", named(.kind))]
    RateLimited {
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
        /// The provider's short name of the error.
        kind: Option<String>,
    },
    /// 5xx, also after the retries.
    #[error("the provider failed (HTTP {status}{})", also(.kind))]
    Server {
        /// The HTTP status.
        status: u16,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
        /// The provider's short name of the error.
        kind: Option<String>,
    },
    /// It gave up before the answer began, also after the retries.
    #[error("the provider failed before it answered{}", named(.kind))]
    Failed {
        /// The provider's short name of the error.
        kind: Option<String>,
    },
    /// An answer that came piece by piece broke off. Not tried again: what came was paid for, and
    /// people have seen it coming.
    #[error("the provider's answer broke off{}", named(.kind))]
    BrokeOff {
        /// The provider's short name of the error.
        kind: Option<String>,
        /// What it had cost by then, as far as the provider said so.
        usage: Usage,
        /// The connection's error, if it was that.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The connection could not be made or broke, also after the retries.
    #[error("the provider cannot be reached, or its answer broke off")]
    Transport(#[source] reqwest::Error),
    /// The deadline passed.
    #[error("the provider took too long")]
    TimedOut {
        /// What it had cost by then, as far as the provider said so.
        usage: Usage,
    },
    /// Not what this API answers.
    #[error("the provider's answer is unreadable: {what}")]
    Unreadable {
        /// What is wrong with it.
        what: &'static str,
        /// What it had cost by then, as far as the provider said so.
        usage: Usage,
    },
    /// More than anybody means.
    #[error("the provider's answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound in bytes.
        limit: usize,
        /// What it had cost by then, as far as the provider said so.
        usage: Usage,
    },
    /// The request's own bound. Nothing was asked.
    #[error(
        "an attempt may cost {needed} tokens, and {left} are left of the request's max_tokens; allow more, or shorten the instructions and the descriptions of tools"
    )]
    TooFewTokens {
        /// What the prompt and the shortest answer may cost.
        needed: u64,
        /// What is left.
        left: u64,
    },
    /// The request has a bound, and nothing would keep the answer to it.
    #[error(
        "the provider takes no limit on an answer's length, so a request cannot be kept to its max_tokens; use another provider or model, or take the budget away"
    )]
    NoLimit,
    /// Who pays may not spend more. Nothing was asked.
    #[error(transparent)]
    Denied(#[from] AccessError),
}

#[expect(
    clippy::ref_option,
    reason = "thiserror hands out references to fields"
)]
fn named(kind: &Option<String>) -> String {
    kind.as_ref()
        .map(|kind| format!(" ({kind})"))
        .unwrap_or_default()
}

#[expect(
    clippy::ref_option,
    reason = "thiserror hands out references to fields"
)]
fn also(kind: &Option<String>) -> String {
    kind.as_ref()
        .map(|kind| format!(", {kind}"))
        .unwrap_or_default()
}

impl ProviderError {
    /// What was spent on an answer that did not come, as far as it is known.
    pub fn usage(&self) -> Usage {
        match self {
            Self::BrokeOff { usage, .. }
            | Self::TimedOut { usage }
            | Self::Unreadable { usage, .. }
            | Self::TooLarge { usage, .. } => *usage,
            _ => Usage::default(),
        }
    }

    /// Whether it may have been paid for although nobody says how much.
    pub(super) fn is_price_untold(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_connect(),
            Self::BrokeOff { .. }
            | Self::TimedOut { .. }
            | Self::Unreadable { .. }
            | Self::TooLarge { .. } => true,
            _ => false,
        }
    }

    /// An answer that is none.
    pub fn unreadable(what: &'static str) -> Self {
        let usage = Usage::default();
        Self::Unreadable { what, usage }
    }

    /// The same, after the provider said that so much was spent.
    pub(super) fn after(mut self, spent: Usage) -> Self {
        if let Self::BrokeOff { usage, .. }
        | Self::TimedOut { usage }
        | Self::Unreadable { usage, .. }
        | Self::TooLarge { usage, .. } = &mut self
        {
            *usage = spent;
        }
        self
    }
}

/// Why a provider cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The endpoint is no URL.
    #[error(
        "SYNTHESIS_ENDPOINT is not an http or https URL; write for example http://localhost:11434"
    )]
    Endpoint,
    /// The key cannot be in a header.
    #[error(
        "{0} holds no API key that can be sent: it is empty, or it has spaces, quotes or other signs that no key has; write the key alone"
    )]
    Key(&'static str),
    /// The HTTP client does not start.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}
