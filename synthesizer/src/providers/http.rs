//! Sends calls over HTTP: one client, a bound on concurrent requests, time-outs, a bound on the
//! answer's size, retries. The formats are the wires' business. Logs statuses and times, never
//! keys, prompts or answers.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
    time::{Duration, Instant as StdInstant},
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use langop_program::{fair::Places, trace};
use langop_proto::v1::Usage;
use opentelemetry::{Array, Value};
use reqwest::{Response, Url, header::CONTENT_TYPE, redirect};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::{
    api::{Chat, Completion, Finish, Provider},
    api_key::ApiKey,
    error::{BuildError, ProviderError},
    parameters::{self, Optional},
    purse::Try,
    refusal::{self, Asked},
    retry, stream,
    usage::{self, Measured, Trust},
    wire::{Ask, MAX_ANSWER, PartialCompletion, Refused, Wire, too_large, transport},
};
use crate::{
    access::caller::Caller,
    identity::Identity,
    metrics::{LlmOutcome, Metrics},
    settings::{ReasoningEffort, Settings},
};

/// Largest answer read to name an error.
const MAX_ERROR_ANSWER: usize = 64 * 1024;
/// Time to connect, before the request's own deadline.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest name of a model that is taken over from an answer, in bytes.
const LONGEST_MODEL: usize = 128;

/// What all wires share.
pub(super) struct Client {
    http: reqwest::Client,
    key: ApiKey,
    /// Callers take turns.
    places: Places<Caller>,
    identity: Identity,
    url: Url,
    max_tokens: u32,
    effort: Option<&'static str>,
    retries: u16,
    first_delay: Duration,
    metrics: Arc<Metrics>,
    /// Remembered for the process: the server is the same.
    refused: Mutex<Refused>,
    estimated: Once,
    clipped: Once,
}

impl Client {
    pub(super) fn new(
        identity: &Identity,
        settings: &Settings,
        url: Url,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let http = reqwest::Client::builder()
            // A redirect would carry the key to another place.
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("langop-synthesizer/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| BuildError::Client(error.without_url()))?;
        Ok(Self {
            http,
            key: ApiKey::from_settings(settings)?,
            places: Places::new(usize::from(settings.max_llm_requests)),
            identity: identity.clone(),
            url,
            max_tokens: settings.max_answer_tokens,
            effort: settings.reasoning_effort.map(ReasoningEffort::as_str),
            retries: settings.llm_retries,
            first_delay: settings.llm_retry_delay,
            metrics,
            refused: Mutex::default(),
            estimated: Once::new(),
            clipped: Once::new(),
        })
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        // No code panics while it holds the lock.
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked<'a>(&'a self, key: Option<&'a SecretString>) -> Asked<'a> {
        Asked {
            model: &self.identity.model,
            path: self.url.path(),
            key,
        }
    }

    /// What counts of what the provider said it cost. Doubt is logged once: it is how the server
    /// always behaves.
    fn settle(&self, said: Usage, measured: Measured) -> Usage {
        let (usage, trust) = usage::settle(said, measured);
        let (provider, model) = (self.identity.provider, &self.identity.model);
        match trust {
            Trust::Said => {}
            Trust::Estimated => self.estimated.call_once(|| {
                tracing::warn!(
                    %provider, model,
                    "the provider does not say what answers cost; tokens are estimated from bytes for metrics, budgets and status"
                );
            }),
            Trust::Clipped => self.clipped.call_once(|| {
                tracing::warn!(
                    %provider, model,
                    "the provider names more tokens than the prompt and the limit allow; they are cut to that"
                );
            }),
        }
        usage
    }
}

/// A request as it is sent.
struct Body {
    text: String,
    /// Those that it could do without.
    parameters: Vec<Optional>,
    /// What it may cost.
    taken: Try,
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
        let mut before = None;
        loop {
            let error = match (self.observed(chat).await, before.take()) {
                (Ok(completion), _) => return Ok(completion),
                // No further try fits; why one was needed is the cause.
                (Err(ProviderError::TooFewTokens { .. }), Some(before)) => return Err(before),
                (Err(error), _) => error,
            };
            if let ProviderError::Refused { parameter, .. } = error {
                if let Some(parameter) = parameter {
                    // The next body has one parameter less, so this comes to an end.
                    self.client.refused().insert(parameter);
                    let what = format!("refused for its `{parameter}`, trying again without it");
                    self.warn(chat, &what, &error);
                    continue;
                }
                if chat.listener.is_some() {
                    // Some servers, and some accounts, refuse streams and nothing else.
                    self.warn(chat, "refused, trying again without a stream", &error);
                    chat.listener = None;
                    continue;
                }
            }
            let left = chat.deadline.saturating_duration_since(Instant::now());
            let Some(wait) = retry::wait(&error, delays.next(), left) else {
                return Err(error);
            };
            let what = format!("failed, trying again in {} ms", wait.as_millis());
            self.warn(chat, &what, &error);
            before = Some(error);
            sleep(wait).await;
        }
    }

    fn body(&self, chat: Chat<'_>, max_tokens: u32) -> serde_json::Value {
        let client = &self.client;
        self.wire.body(Ask {
            chat,
            model: &client.identity.model,
            max_tokens,
            effort: client.effort,
            refused: &client.refused(),
        })
    }

    /// Names the request itself: at most levels lines do not name the spans they are in.
    fn warn(&self, chat: Chat<'_>, what: &str, error: &ProviderError) {
        tracing::warn!(
            provider = %self.client.identity.provider,
            request = chat.call.request.to_hex(),
            agent = chat.call.agent(),
            namespace = chat.call.namespace(),
            traceparent = trace::current_traceparent(),
            "LLM request {what}: {error}"
        );
    }

    /// One request, with its span, metric, price and place among the concurrent ones.
    async fn observed(&self, chat: Chat<'_>) -> Result<Completion, ProviderError> {
        let place = self.client.places.take(chat.call.caller.clone());
        let _place = within(chat.deadline, place).await?;
        let account = chat.call.caller.quota();
        // Others may have spent it while this one waited for its place.
        account.check_budget()?;
        let span = self.span(chat);
        let started = StdInstant::now();
        let result = self.request(chat).instrument(span.clone()).await;
        let outcome = outcome_of(&result);
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
        let client = &self.client;
        let key = client.key.read().await?;
        // Made here and not before the place was free: those that wait hold one copy less.
        let Body {
            text,
            parameters,
            taken,
        } = self.affordable(chat)?;
        let sent = text.len();
        let request = client
            .http
            .post(client.url.clone())
            .headers(self.wire.headers(key.as_ref()))
            .header(CONTENT_TYPE, "application/json")
            .body(text);
        let mut partial = PartialCompletion::default();
        let asked = client.asked(key.as_ref());
        let answer = within(chat.deadline, async {
            let response = request.send().await.map_err(transport)?;
            if !response.status().is_success() {
                return Err(refusal(response, &parameters, &asked).await);
            }
            match chat.listener {
                Some(listener) if stream::is_streamed(response.headers()) => {
                    stream::read(&self.wire, response, listener, &asked, &mut partial).await
                }
                _ => self.whole(response, &asked, &mut partial).await,
            }
        });
        let answer = answer.await.and_then(|answer| answer);
        let measured = Measured {
            sent,
            received: partial.size,
            text: partial.text.len(),
            limit: taken.limit,
        };
        let usage = client.settle(partial.usage, measured);
        match answer {
            Ok(finish) => {
                chat.purse.settle(taken, usage);
                Ok(Completion {
                    usage,
                    model: model_name(partial.model.as_deref().unwrap_or(asked.model)),
                    text: partial.text,
                    finish,
                })
            }
            Err(error) => {
                // An answer that never began may not have been paid for.
                let error = if partial.size == 0 {
                    error
                } else {
                    error.after(usage)
                };
                if error.is_price_untold() {
                    chat.purse.keep(taken, error.usage());
                } else {
                    chat.purse.settle(taken, error.usage());
                }
                Err(error)
            }
        }
    }

    /// The body of a request that fits into what is left for it.
    fn affordable(&self, chat: Chat<'_>) -> Result<Body, ProviderError> {
        let longest = self.client.max_tokens;
        let mut body = self.body(chat, longest);
        if chat.purse.is_bounded() && !self.wire.is_limited(&body) {
            return Err(ProviderError::NoLimit);
        }
        let mut text = body.to_string();
        let taken = chat.purse.take(text.len(), longest)?;
        if taken.limit < longest {
            // With a smaller number it is not longer.
            body = self.body(chat, taken.limit);
            text = body.to_string();
        }
        Ok(Body {
            text,
            parameters: parameters::sent(&body, self.wire.optional()),
            taken,
        })
    }

    /// Reads an answer that comes as a whole into an empty draft.
    async fn whole(
        &self,
        response: Response,
        asked: &Asked<'_>,
        partial: &mut PartialCompletion,
    ) -> Result<Finish, ProviderError> {
        let body = read(response, MAX_ANSWER).await?;
        partial.size = body.len();
        let body = serde_json::from_slice(&body)
            .map_err(|_| ProviderError::unreadable("the response is not valid JSON"))?;
        if let Some(error) = refusal::in_answer(&body, asked) {
            return Err(error);
        }
        self.wire
            .answer(partial, body)
            .map_err(ProviderError::unreadable)?;
        Ok(partial.finish.unwrap_or(Finish::Complete))
    }

    fn span(&self, chat: Chat<'_>) -> Span {
        let Identity { provider, model } = &self.client.identity;
        let url = &self.client.url;
        tracing::info_span!(
            "chat",
            otel.name = format!("chat {model}"),
            otel.kind = "client",
            otel.status_code = field::Empty,
            "error.type" = field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = provider.as_str(),
            gen_ai.request.model = model,
            gen_ai.request.max_tokens = self.client.max_tokens,
            gen_ai.response.model = field::Empty,
            gen_ai.usage.input_tokens = field::Empty,
            gen_ai.usage.output_tokens = field::Empty,
            gen_ai.usage.cache_read.input_tokens = field::Empty,
            gen_ai.usage.cache_creation.input_tokens = field::Empty,
            server.address = url.host_str(),
            server.port = url.port_or_known_default(),
            langop.synthesis.attempt = chat.attempt,
        )
    }
}

/// The error of a status, and of a refused request the parameter it is refused for.
async fn refusal(response: Response, sent: &[Optional], asked: &Asked<'_>) -> ProviderError {
    let status = response.status().as_u16();
    let retry_after = retry::retry_after(response.headers(), Timestamp::now());
    let body = read(response, MAX_ERROR_ANSWER).await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let mut error = refusal::of_status(status, &body, retry_after, asked);
    if let ProviderError::Refused { parameter, .. } = &mut error {
        *parameter = parameters::refused(&body, sent);
    }
    error
}

/// How a request ended.
fn outcome_of(result: &Result<Completion, ProviderError>) -> LlmOutcome {
    match result {
        Ok(_) => LlmOutcome::Success,
        Err(ProviderError::RateLimited { .. }) => LlmOutcome::RateLimited,
        Err(
            ProviderError::Server { .. }
            | ProviderError::Failed { .. }
            | ProviderError::BrokeOff { source: None, .. },
        ) => LlmOutcome::ServerError,
        Err(ProviderError::Transport(_) | ProviderError::BrokeOff { .. }) => LlmOutcome::Transport,
        Err(ProviderError::TimedOut { .. }) => LlmOutcome::Timeout,
        Err(ProviderError::Unreadable { .. } | ProviderError::TooLarge { .. }) => {
            LlmOutcome::Unreadable
        }
        Err(
            ProviderError::Denied(_)
            | ProviderError::KeyUnreadable(_)
            | ProviderError::KeyUnusable
            | ProviderError::NoQuota { .. }
            | ProviderError::TooFewTokens { .. }
            | ProviderError::NoLimit
            | ProviderError::WrongEndpoint { .. }
            | ProviderError::KeyRefused { .. }
            | ProviderError::ModelNotFound { .. }
            | ProviderError::Refused { .. },
        ) => LlmOutcome::Refused,
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
        Finish::Withheld => "content_filter",
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

/// A model's name as it may be in an annotation, a label, a table.
fn model_name(said: &str) -> String {
    let is_shown = |c: &char| !c.is_control() && !is_invisible(*c);
    let mut name: String = said.chars().take(LONGEST_MODEL).filter(is_shown).collect();
    name.truncate(name.floor_char_boundary(LONGEST_MODEL));
    name
}

/// Marks that turn text around, or take no room.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{super::wire::secret, *};

    #[test]
    fn a_model_is_named_shortly_and_in_visible_signs() {
        assert_eq!(model_name("gpt-5"), "gpt-5");
        assert_eq!(model_name("a\u{1b}[31m\u{202e}\nb"), "a[31mb");
        assert_eq!(model_name(&"ä".repeat(5000)).len(), LONGEST_MODEL);
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
