//! Sends calls over HTTP: one client, a bound on concurrent requests, time-outs, a bound on the answer's size, retries. The
//! formats are the wires' business. Logs statuses and times, never keys, prompts or answers.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant as StdInstant},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use langop_program::fair::Places;
use langop_proto::{trace, v1::Usage};
use opentelemetry::{Array, Value};
use reqwest::{
    Response, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    BuildError, Chat, Completion, Finish, Identity, MAX_TOKENS, Provider, ProviderError,
    api_key::ApiKey,
    retry,
    stream::{self, Draft},
};
use crate::{
    caller::Caller,
    metrics::{LlmOutcome, Metrics},
    settings::Settings,
};

/// Largest answer read; a completion of [`MAX_TOKENS`] is a hundredth of it.
pub(super) const MAX_ANSWER: usize = 4 * 1024 * 1024;
/// Largest answer read to name an error.
const MAX_ERROR_ANSWER: usize = 64 * 1024;
/// Time to connect, before the request's own deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The format of one API. Pure.
pub(super) trait Wire: Send + Sync {
    /// The full URL.
    fn url(&self) -> &str;
    /// Headers beside content type; the key's is marked sensitive by the caller of [`secret`].
    fn headers(&self, key: Option<&SecretString>) -> HeaderMap;
    /// The model asked for.
    fn model(&self) -> &str;
    /// The body of a call; asks for a stream exactly where somebody listens.
    fn body(&self, chat: Chat<'_>) -> serde_json::Value;
    /// The answer in a body of status 200. An error says what is missing.
    fn answer(&self, body: &[u8]) -> Result<Completion, &'static str>;
    /// Adds one event of a stream to what arrived before it. An error says what is wrong with it.
    fn absorb(&self, draft: &mut Draft, event: serde_json::Value) -> Result<(), &'static str>;
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

/// `path` under a base URL that may already end with a part of it: `http://host/v1` and `http://host` mean the same.
pub(super) fn join(base: &str, version: &str, path: &str) -> String {
    let base = base.trim_end_matches('/');
    let base = base.strip_suffix(version).unwrap_or(base);
    format!("{base}{version}{path}")
}

/// What all wires share.
pub(super) struct Client {
    http: reqwest::Client,
    key: ApiKey,
    /// Callers take turns.
    places: Places<Caller>,
    identity: Identity,
    retries: u16,
    first_delay: Duration,
    metrics: Arc<Metrics>,
}

impl Client {
    pub(super) fn new(
        identity: &Identity,
        settings: &Settings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let http = reqwest::Client::builder()
            // A redirect would carry the key to another place.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("langop-synthesizer/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::Client(error.without_url()))?;
        if let Some(endpoint) = &settings.endpoint {
            let url = Url::parse(endpoint).map_err(|_| BuildError::Endpoint)?;
            if !matches!(url.scheme(), "http" | "https") {
                return Err(BuildError::Endpoint);
            }
        }
        Ok(Self {
            http,
            key: ApiKey::from_settings(settings),
            places: Places::new(usize::from(settings.max_llm_requests)),
            identity: identity.clone(),
            retries: settings.llm_retries,
            first_delay: settings.llm_retry_delay,
            metrics,
        })
    }
}

/// A provider that speaks `W` over HTTP.
pub(super) struct HttpProvider<W> {
    wire: W,
    client: Client,
}

impl<W: Wire> Provider for HttpProvider<W> {
    fn chat<'a>(&'a self, chat: Chat<'a>) -> BoxFuture<'a, Result<Completion, ProviderError>> {
        Box::pin(self.chat_with_retries(chat))
    }
}

impl<W: Wire> HttpProvider<W> {
    pub(super) fn new(wire: W, client: Client) -> Self {
        Self { wire, client }
    }

    async fn chat_with_retries(&self, mut chat: Chat<'_>) -> Result<Completion, ProviderError> {
        let mut delays = retry::delays(self.client.first_delay, self.client.retries);
        loop {
            let error = match self.observed(chat).await {
                Ok(completion) => return Ok(completion),
                Err(error) => error,
            };
            if chat.listener.is_some() && matches!(error, ProviderError::Refused { .. }) {
                // Some servers, and some accounts, refuse streams and nothing else.
                self.warn(chat, "refused, trying again without a stream", &error);
                chat.listener = None;
                continue;
            }
            let left = chat.deadline.saturating_duration_since(Instant::now());
            let Some(wait) = retry::wait(&error, delays.next(), left) else {
                return Err(error);
            };
            let what = format!("failed, trying again in {} ms", wait.as_millis());
            self.warn(chat, &what, &error);
            sleep(wait).await;
        }
    }

    /// Names the request itself: at most levels lines do not name the spans they are in.
    fn warn(&self, chat: Chat<'_>, what: &str, error: &ProviderError) {
        tracing::warn!(
            provider = %self.client.identity.provider,
            request = chat.errand.request.to_hex(),
            agent = chat.errand.agent(),
            namespace = chat.errand.namespace(),
            traceparent = trace::current_traceparent(),
            "LLM request {what}: {error}"
        );
    }

    /// One request, with its span, metric, price and place among the concurrent ones.
    async fn observed(&self, chat: Chat<'_>) -> Result<Completion, ProviderError> {
        let place = self.client.places.take(chat.errand.caller.clone());
        let _place = within(chat.deadline, place).await?;
        let account = chat.errand.caller.account();
        // Others may have spent it while this one waited for its place.
        account.check_budget()?;
        let span = self.span(chat);
        let started = StdInstant::now();
        let result = self.request(chat).instrument(span.clone()).await;
        let outcome = LlmOutcome::of(&result);
        self.client
            .metrics
            .llm_request(&self.client.identity, outcome, started.elapsed());
        account.charge(match &result {
            Ok(completion) => completion.usage,
            Err(error) => error.usage(),
        });
        record(&span, &result, outcome);
        result
    }

    async fn request(&self, chat: Chat<'_>) -> Result<Completion, ProviderError> {
        let key = self.client.key.read().await?;
        let request = self
            .client
            .http
            .post(self.wire.url())
            .headers(self.wire.headers(key.as_ref()))
            .header(CONTENT_TYPE, "application/json")
            // Made here and not before the place was free: those that wait hold one copy less.
            .body(self.wire.body(chat).to_string());
        let mut draft = Draft::default();
        let answer = within(chat.deadline, async {
            let response = request.send().await.map_err(transport)?;
            if !response.status().is_success() {
                return Err(self.refusal(response, key.as_ref()).await);
            }
            match chat.listener {
                Some(listener) if stream::is_streamed(response.headers()) => {
                    stream::read(&self.wire, response, listener, key.as_ref(), &mut draft).await
                }
                _ => {
                    let answer = read(response, MAX_ANSWER).await?;
                    self.wire.answer(&answer).map_err(ProviderError::unreadable)
                }
            }
        });
        let answer = answer.await.and_then(|answer| answer);
        answer.map_err(|error| error.after(draft.usage))
    }

    async fn refusal(&self, response: Response, key: Option<&SecretString>) -> ProviderError {
        let status = response.status().as_u16();
        let retry_after = retry::retry_after(response.headers(), Timestamp::now());
        match status {
            401 | 403 => ProviderError::KeyRefused { status },
            404 => ProviderError::ModelNotFound {
                model: self.client.identity.model.clone(),
            },
            429 => ProviderError::RateLimited { retry_after },
            500.. => ProviderError::Server {
                status,
                retry_after,
            },
            _ => {
                let body = read(response, MAX_ERROR_ANSWER).await.unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                ProviderError::Refused {
                    status,
                    kind: error_kind(&body, key),
                }
            }
        }
    }

    fn span(&self, chat: Chat<'_>) -> Span {
        let Identity { provider, model } = &self.client.identity;
        let url = Url::parse(self.wire.url()).ok();
        tracing::info_span!(
            "chat",
            otel.name = format!("chat {model}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            "error.type" = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider.as_str(),
            gen_ai.request.model = model,
            gen_ai.request.max_tokens = MAX_TOKENS,
            gen_ai.response.model = field::Empty,
            gen_ai.usage.input_tokens = field::Empty,
            gen_ai.usage.output_tokens = field::Empty,
            gen_ai.usage.cache_read.input_tokens = field::Empty,
            gen_ai.usage.cache_creation.input_tokens = field::Empty,
            server.address = url.as_ref().and_then(Url::host_str),
            server.port = url.as_ref().and_then(Url::port_or_known_default),
            langop.synthesis.attempt = chat.attempt,
        )
    }
}

fn record(span: &Span, result: &Result<Completion, ProviderError>, outcome: LlmOutcome) {
    let Ok(completion) = result else {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", outcome.as_str());
        return;
    };
    let usage = completion.usage;
    let reason = match completion.finish {
        Finish::Complete => "stop",
        Finish::Truncated => "length",
    };
    span.record("gen_ai.response.model", &completion.model);
    // An array in the conventions, which tracing's own fields cannot hold.
    span.set_attribute(
        "gen_ai.response.finish_reasons",
        Value::Array(Array::String(vec![reason.into()])),
    );
    span.record("gen_ai.usage.input_tokens", usage.input_tokens);
    span.record("gen_ai.usage.output_tokens", usage.output_tokens);
    span.record(
        "gen_ai.usage.cache_read.input_tokens",
        usage.cache_read_input_tokens,
    );
    span.record(
        "gen_ai.usage.cache_creation.input_tokens",
        usage.cache_creation_input_tokens,
    );
}

async fn within<F: Future>(deadline: Instant, future: F) -> Result<F::Output, ProviderError> {
    timeout_at(deadline, future)
        .await
        .map_err(|_| ProviderError::TimedOut {
            usage: Usage::default(),
        })
}

/// The URL may hold credentials, so it stays out of errors.
pub(super) fn transport(error: reqwest::Error) -> ProviderError {
    ProviderError::Transport(error.without_url())
}

pub(super) fn too_large(limit: usize) -> ProviderError {
    let usage = Usage::default();
    ProviderError::TooLarge { limit, usage }
}

/// The body, never more than `limit` bytes of it in memory.
async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, ProviderError> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(too_large(limit));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if body.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The provider's short name of an error, such as `context_length_exceeded`. Its prose may quote the key or the prompt.
pub(super) fn error_kind(body: &serde_json::Value, key: Option<&SecretString>) -> Option<String> {
    let error = body.get("error")?;
    let kind = error
        .get("code")
        .and_then(|code| code.as_str())
        .or_else(|| error.get("type")?.as_str())?;
    let is_short_name = kind.len() <= 64
        && kind
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let holds_key = key.is_some_and(|key| kind.contains(key.expose_secret()));
    (is_short_name && !holds_key).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_never_doubled() {
        for base in ["http://h", "http://h/", "http://h/v1", "http://h/v1/"] {
            assert_eq!(join(base, "/v1", "/messages"), "http://h/v1/messages");
        }
        assert_eq!(
            join("http://h/proxy/v1", "/v1", "/x"),
            "http://h/proxy/v1/x"
        );
    }

    #[test]
    fn only_short_names_of_errors_are_repeated() {
        let key = SecretString::from("sk_secret");
        let kind =
            |body: &str| error_kind(&serde_json::from_str(body).unwrap_or_default(), Some(&key));
        assert_eq!(
            kind(r#"{"error":{"type":"invalid_request_error","message":"x"}}"#).as_deref(),
            Some("invalid_request_error")
        );
        assert_eq!(
            kind(r#"{"error":{"code":"context_length_exceeded","type":"t"}}"#).as_deref(),
            Some("context_length_exceeded")
        );
        for body in [
            "",
            "[]",
            r#"{"error":"x"}"#,
            r#"{"error":{"type":"bad key sk_secret"}}"#,
            r#"{"error":{"code":"sk_secret"}}"#,
        ] {
            assert_eq!(kind(body), None, "{body}");
        }
    }

    #[test]
    fn a_key_in_a_header_is_sensitive() {
        assert!(
            secret("Bearer ", &SecretString::from("k"))
                .unwrap()
                .is_sensitive()
        );
        assert!(secret("", &SecretString::from("a\nb")).is_none());
    }
}
