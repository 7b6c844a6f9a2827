//! The LLM as work uses it: who answers, how long it may take, and what is counted of it. Knows
//! neither caches nor what an answer is good for.

use std::{sync::Arc, time::Duration};

use langop_proto::v1::Usage;
use tracing::Span;

use crate::{
    error::Failure,
    identity::Identity,
    metrics::Metrics,
    providers::{Provider, ProviderError},
};

/// Who answers prompts, and how long an answer may take.
pub struct Llm {
    pub(crate) identity: Identity,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
}

impl Llm {
    /// The span in which a prompt is made.
    pub(crate) fn prompt_span(&self, version: &'static str) -> Span {
        tracing::info_span!(
            "langop.synthesis.prompt",
            langop.synthesis.prompt_version = version,
            gen_ai.request.model = self.identity.model,
        )
    }

    /// What has been spent is counted, on this attempt too.
    pub(crate) fn unanswered(&self, error: ProviderError, before: Usage) -> Failure {
        let spent = error.usage();
        self.metrics.tokens(&self.identity, spent);
        Failure {
            usage: sum(before, spent),
            ..error.into()
        }
    }
}

/// The sum of what two calls cost.
pub fn sum(a: Usage, b: Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
        cache_read_input_tokens: a
            .cache_read_input_tokens
            .saturating_add(b.cache_read_input_tokens),
        cache_creation_input_tokens: a
            .cache_creation_input_tokens
            .saturating_add(b.cache_creation_input_tokens),
    }
}
