//! Asks models over HTTP. Repeats what may get better, says what will not; within the deadline and
//! the limit on tokens.

use std::{
    error::Error,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{StatusCode, header::RETRY_AFTER};
use rustls::CertificateError;
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument as _;

use super::wire::{self, Chat, Completion};
use crate::{
    deadline::Deadline,
    env::ModelEndpoint,
    metrics::{Metrics, Purpose},
    outcome::{Failure, Reason},
    random,
    termination::{MAX_QUOTE_BYTES, quote},
    tokens::Tokens,
};

/// Longest time of one attempt.
const ATTEMPT: Duration = Duration::from_mins(2);
/// Attempts on a proxy that has answered before.
const ATTEMPTS: u32 = 4;
/// How long a proxy that has never answered is waited for: it starts beside us.
const START: Duration = Duration::from_secs(90);
/// Largest answer.
const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// Longest pause that a server may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(1);

/// All models of the environment, and what they used in this run.
#[derive(Debug)]
pub struct Models {
    http: reqwest::Client,
    endpoints: Vec<Endpoint>,
    max_tokens: Option<u64>,
}

#[derive(Debug)]
struct Endpoint {
    at: ModelEndpoint,
    has_answered: AtomicBool,
}

/// What one run has used.
#[derive(Debug, Default)]
pub struct Usage(Mutex<Tokens>);

impl Usage {
    /// Starts from what was used before.
    pub fn from(tokens: Tokens) -> Self {
        Self(Mutex::new(tokens))
    }

    /// So far.
    pub fn tokens(&self) -> Tokens {
        *self.lock()
    }

    fn add(&self, tokens: Tokens) {
        *self.lock() += tokens;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Around one question.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Until when.
    pub deadline: Deadline,
    /// Where the tokens are added.
    pub usage: &'a Usage,
    /// Where it is counted.
    pub metrics: &'a Metrics,
    /// What the answer is for.
    pub purpose: Purpose,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelError {
    /// The messages are longer than the model can read; fewer may do.
    TooLong(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::TooLong(failure) | ModelError::Failed(failure) => failure,
        }
    }
}

/// What came of one attempt.
enum Attempt {
    Answered(Box<Completion>),
    /// Nothing was wrong with the question.
    Again {
        why: String,
        after: Option<Duration>,
        /// Whether there is something that answers at all.
        is_there: bool,
    },
    Refused {
        status: StatusCode,
        message: String,
    },
    /// Its certificate is not trusted, which asking again does not mend.
    Untrusted(String),
}

impl Models {
    /// Over `http`, which brings the connect timeout.
    pub fn new(
        http: reqwest::Client,
        endpoints: Vec<ModelEndpoint>,
        max_tokens: Option<u64>,
    ) -> Self {
        let endpoint = |at| Endpoint {
            at,
            has_answered: AtomicBool::new(false),
        };
        Self {
            http,
            endpoints: endpoints.into_iter().map(endpoint).collect(),
            max_tokens,
        }
    }

    /// Asks the named model, which has no stand-in; without a name the first, and the next ones
    /// where it does not answer.
    pub async fn ask(
        &self,
        name: Option<&str>,
        chat: &Chat,
        asking: Asking<'_>,
    ) -> Result<Completion, ModelError> {
        if let Some(limit) = self.max_tokens
            && asking.usage.tokens().total() >= limit
        {
            let message = format!("{limit} tokens were used, as many as allowed");
            return Err(failed(Reason::TokenLimit, message));
        }
        let wanted = |endpoint: &&Endpoint| name.is_none_or(|name| endpoint.at.name == name);
        let mut last = None;
        for endpoint in self.endpoints.iter().filter(wanted) {
            match self.ask_one(endpoint, chat, asking).await {
                Err(ModelError::Failed(failure))
                    if failure.reason == Reason::ModelUnavailable && !asking.deadline.is_over() =>
                {
                    tracing::warn!(model = %endpoint.at.name, "{failure}");
                    last.get_or_insert(failure);
                }
                other => return other,
            }
        }
        Err(last.map_or_else(
            || {
                failed(
                    Reason::NotOffered,
                    "no model is offered: set MODEL_ENDPOINTS",
                )
            },
            ModelError::Failed,
        ))
    }

    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        chat: &Chat,
        asking: Asking<'_>,
    ) -> Result<Completion, ModelError> {
        let model = &endpoint.at.model;
        let span = tracing::info_span!(
            "chat",
            otel.name = format!("chat {model}"),
            otel.kind = "client",
            otel.status_code = tracing::field::Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = "openai",
            gen_ai.request.model = %model,
            gen_ai.response.model = tracing::field::Empty,
            gen_ai.response.finish_reasons = tracing::field::Empty,
            gen_ai.usage.input_tokens = tracing::field::Empty,
            gen_ai.usage.output_tokens = tracing::field::Empty,
            server.address = endpoint.at.url.host_str(),
            server.port = endpoint.at.url.port_or_known_default(),
            error.r#type = tracing::field::Empty,
        );
        let result = self
            .attempts(endpoint, chat, asking)
            .instrument(span.clone())
            .await;
        let outcome = match &result {
            Ok(completion) => {
                record(&span, completion);
                asking.usage.add(completion.tokens);
                asking.metrics.tokens(&endpoint.at.name, completion.tokens);
                asking.metrics.iteration(asking.purpose);
                "ok"
            }
            Err(error) => {
                let reason = Failure::from(error.clone()).reason.as_str();
                span.record("otel.status_code", "ERROR");
                span.record("error.type", reason);
                reason
            }
        };
        asking.metrics.model_request(&endpoint.at.name, outcome);
        result
    }

    async fn attempts(
        &self,
        endpoint: &Endpoint,
        chat: &Chat,
        asking: Asking<'_>,
    ) -> Result<Completion, ModelError> {
        let body = chat.body(&endpoint.at.model).to_string();
        let name = &endpoint.at.name;
        let waited = Instant::now();
        let mut count: u32 = 0;
        loop {
            count += 1;
            let (why, after, is_there) = match self.attempt(endpoint, &body, asking.deadline).await
            {
                Attempt::Answered(completion) => return Ok(*completion),
                Attempt::Refused { status, message } => {
                    endpoint.has_answered.store(true, Ordering::Relaxed);
                    return Err(refused(name, status, &message));
                }
                Attempt::Untrusted(why) => return Err(unavailable(name, &why)),
                Attempt::Again {
                    why,
                    after,
                    is_there,
                } => (why, after, is_there),
            };
            if asking.deadline.is_over() {
                return Err(failed(Reason::TimeLimit, "the time is over"));
            }
            if is_there {
                endpoint.has_answered.store(true, Ordering::Relaxed);
            }
            let is_starting = !endpoint.has_answered.load(Ordering::Relaxed);
            let pause = after.unwrap_or_else(|| {
                random::jittered(Duration::from_secs(1 << count.saturating_sub(1).min(2)))
            });
            let is_patient = if is_starting {
                waited.elapsed() + pause < START
            } else {
                count < ATTEMPTS
            };
            if !is_patient || asking.deadline.left(pause) < pause {
                return Err(unavailable(name, &why));
            }
            tracing::info!(model = %name, attempt = count, "asking again: {why}");
            sleep(pause).await;
        }
    }

    async fn attempt(&self, endpoint: &Endpoint, body: &str, deadline: Deadline) -> Attempt {
        let request = self
            .http
            .post(endpoint.at.url.clone())
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body.to_owned());
        let exchange = async {
            let response = request.send().await?;
            let status = response.status();
            let after = retry_after(response.headers());
            Ok::<_, reqwest::Error>((status, after, bounded(response).await?))
        };
        let again = |why: String, after, is_there| Attempt::Again {
            why,
            after,
            is_there,
        };
        match timeout(deadline.left(ATTEMPT), exchange).await {
            Err(_) => again("no answer in time".to_owned(), None, false),
            Ok(Err(error)) => match untrusted(&error) {
                Some(why) => Attempt::Untrusted(why),
                None => again(connection(&error), None, false),
            },
            Ok(Ok((_, _, None))) => again("the answer is too large".to_owned(), None, true),
            Ok(Ok((status, after, Some(body)))) => judge(status, after, &body),
        }
    }
}

fn judge(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Attempt {
    let again = |why| Attempt::Again {
        why,
        after,
        // A gateway answers for something that may not be there.
        is_there: !matches!(status.as_u16(), 502..=504),
    };
    if status.is_success() {
        return match wire::read(body) {
            Some(completion) => Attempt::Answered(Box::new(completion)),
            None => again("the answer is no chat completion".to_owned()),
        };
    }
    let message = wire::error_message(body).unwrap_or_default();
    match status.as_u16() {
        408 | 409 | 429 | 500..=599 => {
            again(format!("{status}: {}", quote(&message, MAX_QUOTE_BYTES)))
        }
        _ => Attempt::Refused { status, message },
    }
}

fn refused(name: &str, status: StatusCode, message: &str) -> ModelError {
    let lower = message.to_lowercase();
    let is_long = status == StatusCode::PAYLOAD_TOO_LARGE
        || status == StatusCode::BAD_REQUEST
            && lower.contains("context")
            && (lower.contains("length") || lower.contains("window"));
    let message = format!(
        "the model '{name}' refuses: {status} {}",
        quote(message, 200)
    );
    let failure = Failure::new(Reason::ModelRefused, message);
    if is_long {
        ModelError::TooLong(failure)
    } else {
        ModelError::Failed(failure)
    }
}

fn unavailable(name: &str, why: &str) -> ModelError {
    let message = format!("the model '{name}' does not answer: {why}");
    failed(Reason::ModelUnavailable, message)
}

fn failed(reason: Reason, message: impl Into<String>) -> ModelError {
    ModelError::Failed(Failure::new(reason, message))
}

fn record(span: &tracing::Span, completion: &Completion) {
    span.record("gen_ai.response.finish_reasons", completion.finish.as_str());
    if let Some(model) = &completion.model {
        span.record("gen_ai.response.model", model);
    }
    if completion.tokens.missing == 0 {
        span.record("gen_ai.usage.input_tokens", completion.tokens.input);
        span.record("gen_ai.usage.output_tokens", completion.tokens.output);
    }
}

/// The body, or none if it is larger than allowed.
async fn bounded(mut response: reqwest::Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Seconds only: a date would need a clock that both share.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// In words without an address, which may hold a key.
pub(crate) fn connection(error: &reqwest::Error) -> String {
    if error.is_connect() {
        "no connection".to_owned()
    } else if error.is_timeout() {
        "no answer in time".to_owned()
    } else {
        "the connection broke".to_owned()
    }
}

/// What is wrong with a server's certificate, what to do, and where it is; without path and query,
/// which may hold a key. The first words count: few of them fit where people look.
pub(crate) fn untrusted(error: &reqwest::Error) -> Option<String> {
    let why = refused_certificate(error)?;
    let url = error.url().map(|url| url.origin().ascii_serialization());
    let server = url.as_deref().unwrap_or("the server");
    Some(match why {
        CertificateError::UnknownIssuer => {
            format!("unknown certificate authority, set spec.caBundle: {server}")
        }
        _ => format!("{server} needs a certificate valid for its host and now ({why})"),
    })
}

/// What TLS found wrong with a server's certificate, if that is the deepest cause.
fn refused_certificate<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e CertificateError> {
    let mut causes = std::iter::successors(Some(error), |error| cause(*error));
    causes.find_map(|cause| match cause.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(why),
        _ => None,
    })
}

/// What an error holds. The source of one of I/O is what its inner error holds, and not that
/// itself.
fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let inner = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    inner.map(|inner| inner as _).or_else(|| error.source())
}
