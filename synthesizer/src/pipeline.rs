//! A request's way through the synthesizer: question (check → normalise → key) → cache, or one shared
//! piece of work → answer under the request's own name. `generate` and `distill` do the work; who asks and
//! how is `service`'s business.

use std::sync::Arc;

use langop_dsl::hash::sha256_hex;
use langop_program::trace;
use langop_proto::{
    limits,
    v1::{
        DistillPersonaRequest, DistillPersonaResponse, SynthesisOutcome, SynthesizeRequest,
        SynthesizeResponse, Usage, ValidateCodeRequest, ValidateCodeResponse,
    },
};
use opentelemetry::trace::SpanContext;
use prost::{
    EncodeError, Message as _,
    bytes::{BufMut, Bytes},
};
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    access::{Caller, Load},
    cache::{Cache, Completed, Entry, Found, InFlight, Key},
    diagnostics,
    distill::{self, Distilled},
    error::{Failure, SynthesisError},
    generate::{self, Answer, Delivery},
    identity::Identity,
    key::RequestKey,
    llm::Llm,
    metrics::{CacheResult, Metrics},
    offer,
    origin::{Origin, Signer},
    parsing::Pool,
    prompt::{self, PLACEHOLDER},
    providers::{self, BuildError, CallContext, Provider},
    question::{self, Question, Questions},
    request,
    settings::Settings,
};

/// Personas are few and short: this part of the cache is theirs.
const PERSONAS_SHARE: u64 = 16;

/// The synthesizer without its server.
pub struct Synthesizer {
    cached: Option<Arc<CachedLlm>>,
    questions: Questions,
    parsing: Pool,
    metrics: Arc<Metrics>,
}

/// What exists only where synthesis is not disabled: the LLM, and what it has answered.
struct CachedLlm {
    llm: Llm,
    parsing: Pool,
    signer: Option<Signer>,
    answers: Arc<Cache<Answer>>,
    personas: Arc<Cache<Distilled>>,
}

/// A request whose answer is there or on its way.
pub struct Pending {
    cached: Arc<CachedLlm>,
    found: Found<Answer>,
    question: Arc<Question>,
    started: Instant,
}

impl Synthesizer {
    /// Makes the provider and the cache that `settings` name; what it answers is signed by
    /// `signer`.
    pub fn new(
        settings: &Settings,
        signer: Option<Signer>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, BuildError> {
        let Some((provider, model)) = settings.synthesis()? else {
            return Ok(Self {
                cached: None,
                questions: Questions::new(settings.max_prompt_bytes, settings.cache_ttl),
                parsing: Pool::default(),
                metrics,
            });
        };
        let identity = Identity { provider, model };
        let provider = providers::build(&identity, settings, &metrics)?;
        Ok(Self::with_provider(
            identity, provider, signer, settings, metrics,
        ))
    }

    /// As [`Self::new`], but `provider` answers, as `identity`.
    pub fn with_provider(
        identity: Identity,
        provider: Arc<dyn Provider>,
        signer: Option<Signer>,
        settings: &Settings,
        metrics: Arc<Metrics>,
    ) -> Self {
        let personas = settings.cache_bytes / PERSONAS_SHARE;
        let answers = settings.cache_bytes - personas;
        let parsing = Pool::default();
        let (ttl, shown) = (settings.cache_ttl, metrics.cache_bytes());
        let cached = CachedLlm {
            llm: Llm {
                identity,
                provider,
                timeout: settings.request_timeout,
                metrics: Arc::clone(&metrics),
            },
            parsing: parsing.clone(),
            signer,
            answers: Arc::new(Cache::new(answers, ttl, shown.clone())),
            personas: Arc::new(Cache::new(personas, ttl, shown)),
        };
        Self {
            cached: Some(Arc::new(cached)),
            questions: Questions::new(settings.max_prompt_bytes, ttl),
            parsing,
            metrics,
        }
    }

    /// Who answers; `None`: synthesis is disabled.
    pub fn identity(&self) -> Option<&Identity> {
        self.cached.as_deref().map(|cached| &cached.llm.identity)
    }

    fn cached(&self) -> Result<&Arc<CachedLlm>, SynthesisError> {
        self.cached.as_ref().ok_or(SynthesisError::Disabled)
    }

    /// Answers an encoded `SynthesizeRequest`, or fails at `deadline`. The work goes on without the caller, for the next
    /// equal request, and holds `load` as long as its own time; how much there is of it is bounded
    /// by the caller's account.
    pub async fn synthesize(
        &self,
        caller: &Caller,
        load: Load,
        asked: Bytes,
        deadline: Instant,
    ) -> Result<Answered, Failure> {
        let pending = self.begin(caller, load, asked, Delivery::Whole).await?;
        pending.response(deadline).await
    }

    /// Finds or starts the work for an encoded `SynthesizeRequest`.
    pub async fn begin(
        &self,
        caller: &Caller,
        load: Load,
        asked: Bytes,
        delivery: Delivery,
    ) -> Result<Pending, Failure> {
        let started = Instant::now();
        let begun = self.find(caller, load, asked, delivery, started).await;
        if begun.is_err() {
            self.metrics.synthesis(None, started.elapsed());
        }
        begun.map_err(Failure::from)
    }

    async fn find(
        &self,
        caller: &Caller,
        load: Load,
        asked: Bytes,
        delivery: Delivery,
        started: Instant,
    ) -> Result<Pending, SynthesisError> {
        let Some(cached) = self.cached.clone() else {
            self.questions.read(&asked)?;
            return Err(SynthesisError::Disabled);
        };
        let answers = &cached.llm.identity;
        let question = self.questions.of(caller, &asked, answers).await?;
        let agent = &question.agent;
        let span = Span::current();
        span.record("gen_ai.agent.name", &agent.name);
        if !agent.namespace.is_empty() {
            span.record("k8s.namespace.name", &agent.namespace);
        }
        let call = CallContext {
            caller: caller.clone(),
            request: question.key,
            agent: Some(agent.clone()),
            load,
        };
        let found = cached.find(call, asked, delivery).await;
        Ok(Pending {
            cached,
            found,
            question,
            started,
        })
    }

    /// Answers a request, or fails at `deadline`.
    pub async fn distill(
        &self,
        caller: &Caller,
        load: Load,
        request: DistillPersonaRequest,
        deadline: Instant,
    ) -> Result<DistillPersonaResponse, Failure> {
        let max_tokens = request.max_tokens;
        let persona = prompt::normalise_persona(request::check_distill(request)?);
        let cached = Arc::clone(self.cached()?);
        let key = RequestKey::of_persona(&persona, &cached.llm.identity);
        let span = cache_span(key, prompt::persona::version());
        let worker = Arc::clone(&cached);
        let call = CallContext {
            caller: caller.clone(),
            request: key,
            agent: None,
            load,
        };
        let key = cache_key(&call);
        let work = move |_| async move {
            let _pass = call.caller.quota().begin_work()?;
            distill::distill(&worker.llm, &call, &persona, max_tokens).await
        };
        let found = cached
            .personas
            .find(key, Span::current(), work)
            .instrument(span.clone())
            .await;
        cached.observe(&span, &found);
        let ready = ready(found, deadline).await?;
        let is_own = ready.outcome == SynthesisOutcome::Generated;
        Ok(DistillPersonaResponse {
            distilled_prompt: ready.value.text.clone(),
            hash: sha256_hex(ready.value.text.as_bytes()),
            usage: Some(if is_own {
                ready.value.usage
            } else {
                Usage::default()
            }),
            model: ready.value.model.clone(),
            provider: cached.llm.identity.provider.to_string(),
            outcome: ready.outcome.into(),
        })
    }

    /// Checks code. Needs no model, so it works where synthesis is disabled.
    pub async fn validate(
        &self,
        caller: &Caller,
        request: ValidateCodeRequest,
    ) -> Result<ValidateCodeResponse, SynthesisError> {
        request::check_validate(&request)?;
        self.parsing
            .run(caller, move || Self::parse(&request))
            .await
    }

    fn parse(request: &ValidateCodeRequest) -> ValidateCodeResponse {
        let offer = offer::of(&request.tools, &request.models);
        let parsed = tracing::info_span!("langop.synthesis.validate")
            .in_scope(|| langop_dsl::parse_bytes(&request.code, &offer, jiff::Timestamp::now()));
        ValidateCodeResponse {
            valid: parsed.definition.is_some(),
            diagnostics: diagnostics::to_wire(parsed.diagnostics),
            definition: parsed.definition.map(Into::into),
        }
    }
}

impl CachedLlm {
    async fn find(
        self: &Arc<Self>,
        call: CallContext,
        asked: Bytes,
        delivery: Delivery,
    ) -> Found<Answer> {
        let span = cache_span(call.request, prompt::version());
        let cached = Arc::clone(self);
        let key = cache_key(&call);
        let work = move |progress| async move {
            let _pass = call.caller.quota().begin_work()?;
            let request = prompt::normalise(question::decode(&asked)?.1);
            let answer = generate::answer(
                &cached.llm,
                &cached.parsing,
                &call,
                &request,
                &progress,
                delivery,
            );
            answer.await.map(|answer| cached.told(answer, &request))
        };
        let found = self
            .answers
            .find(key, Span::current(), work)
            .instrument(span.clone())
            .await;
        self.observe(&span, &found);
        found
    }

    /// An answer with what its statement is to tell.
    fn told(&self, answer: Answer, request: &SynthesizeRequest) -> Answer {
        let signed = self.signer.as_ref().zip(answer.code.as_ref());
        let origin = signed.map(|(signer, code)| {
            Origin::of(signer, &code.named(PLACEHOLDER), request.previous.as_ref())
        });
        Answer { origin, ..answer }
    }

    /// Counts what the cache had, and links `span` to the trace in which that was made, or is being
    /// made.
    fn observe<V: Entry>(&self, span: &Span, found: &Found<V>) {
        let (result, origin) = match found {
            Found::Entry(value) => (CacheResult::Hit, trace::span_context(value.origin())),
            Found::Started(_) => (CacheResult::Miss, None),
            Found::Joined(in_flight) => (CacheResult::Coalesced, Some(in_flight.origin.clone())),
        };
        if let Some(origin) = origin.filter(SpanContext::is_valid) {
            span.add_link(origin);
        }
        span.record("langop.synthesis.cache.result", result.as_str());
        self.llm.metrics.cache_request(result);
    }
}

/// What a call is kept under.
fn cache_key(call: &CallContext) -> Key {
    Key {
        caller: call.caller.clone(),
        request: call.request,
    }
}

/// The span of a look into the cache.
fn cache_span(key: RequestKey, prompt_version: &'static str) -> Span {
    tracing::info_span!(
        "langop.synthesis.cache",
        langop.synthesis.request_hash = key.to_hex(),
        langop.synthesis.prompt_version = prompt_version,
        langop.synthesis.cache.result = field::Empty,
    )
}

/// What was found, once it is there.
struct Ready<V> {
    value: Arc<V>,
    /// CACHED, COALESCED, or GENERATED if this request paid for it.
    outcome: SynthesisOutcome,
}

/// Waits for what was found, until `deadline`.
async fn ready<V: Entry>(found: Found<V>, deadline: Instant) -> Result<Ready<V>, Failure> {
    let wait = async |in_flight: InFlight<V>| -> Result<Completed<V>, Failure> {
        timeout_at(deadline, in_flight.result)
            .await
            .map_err(|_| SynthesisError::DeadlineExceeded)?
    };
    let (value, outcome) = match found {
        Found::Entry(value) => (value, SynthesisOutcome::Cached),
        Found::Joined(in_flight) => (
            wait(in_flight).await.map_err(Failure::of_another)?.value,
            SynthesisOutcome::Coalesced,
        ),
        Found::Started(in_flight) => {
            let Completed { value, was_there } = wait(in_flight).await?;
            if !was_there {
                let outcome = SynthesisOutcome::Generated;
                return Ok(Ready { value, outcome });
            }
            if let Some(origin) = trace::span_context(value.origin()) {
                Span::current().add_link(origin);
            }
            (value, SynthesisOutcome::Cached)
        }
    };
    Ok(Ready { value, outcome })
}

impl Pending {
    /// The work under way; `None` where the answer is already there.
    pub fn in_flight(&mut self) -> Option<&mut InFlight<Answer>> {
        match &mut self.found {
            Found::Entry(_) => None,
            Found::Started(in_flight) | Found::Joined(in_flight) => Some(in_flight),
        }
    }

    /// The answer, or a failure at `deadline`.
    pub async fn response(self, deadline: Instant) -> Result<Answered, Failure> {
        let Self {
            cached,
            found,
            question,
            started,
        } = self;
        let answered = ready(found, deadline).await.map(|ready| {
            let name = &question.agent.name;
            let mut response = respond(&ready, name);
            response.provider = cached.llm.identity.provider.to_string();
            response.request_hash = question.key.to_hex();
            response.instructions_hash = question.instructions_hash.to_string();
            let secrets = question.secrets.iter().cloned();
            response.diagnostics.splice(0..0, secrets);
            response.diagnostics.truncate(limits::DIAGNOSTICS);
            if let Some(origin) = &ready.value.origin {
                response.provenance = origin.statement(name, &response);
            }
            Answered {
                response,
                answer: ready.value,
                question,
            }
        });
        cached.llm.metrics.synthesis(
            answered
                .as_ref()
                .ok()
                .map(|answered| answered.response.outcome()),
            started.elapsed(),
        );
        answered
    }
}

/// The number of `SynthesizeResponse.definition` in the .proto.
const DEFINITION: u32 = 6;

/// A response whose definition is as it is kept.
pub struct Answered {
    /// Without its definition.
    response: SynthesizeResponse,
    answer: Arc<Answer>,
    question: Arc<Question>,
}

impl Answered {
    /// The whole response.
    pub fn into_response(self) -> SynthesizeResponse {
        let definition = self.answer.definition.as_ref();
        SynthesizeResponse {
            definition: definition.map(|definition| definition.named(&self.question.agent.name)),
            ..self.response
        }
    }

    /// Writes the whole response. The order of fields says nothing (protobuf.dev, "Encoding").
    ///
    /// # Errors
    /// If `to` has no room.
    pub fn encode(&self, to: &mut impl BufMut) -> Result<(), EncodeError> {
        self.response.encode(to)?;
        if let Some(definition) = &self.answer.definition {
            definition.encode_field(DEFINITION, &self.question.agent.name, to);
        }
        Ok(())
    }
}

/// The part of a response that the answer decides.
fn respond(ready: &Ready<Answer>, name: &str) -> SynthesizeResponse {
    let answer = &ready.value;
    let is_own = ready.outcome == SynthesisOutcome::Generated;
    let outcome = match (&answer.code, ready.outcome) {
        (None, _) => SynthesisOutcome::Rejected,
        (Some(_), SynthesisOutcome::Generated) if answer.attempts > 1 => SynthesisOutcome::Repaired,
        (Some(_), outcome) => outcome,
    };
    let code = answer
        .code
        .as_ref()
        .map(|code| code.named(name))
        .unwrap_or_default();
    let code_hash = if code.is_empty() {
        String::new()
    } else {
        sha256_hex(code.as_bytes())
    };
    Span::current().record("langop.synthesis.code_hash", &code_hash);
    SynthesizeResponse {
        code,
        code_hash,
        outcome: outcome.into(),
        diagnostics: answer
            .diagnostics
            .iter()
            .take(limits::DIAGNOSTICS)
            .cloned()
            .collect(),
        usage: Some(if is_own {
            answer.usage
        } else {
            Usage::default()
        }),
        model: answer.model.clone(),
        attempts: answer.attempts,
        duration: prost_types::Duration::try_from(answer.duration).ok(),
        traceparent: answer.traceparent.clone(),
        refused_code: answer.refused_code.clone(),
        ..SynthesizeResponse::default()
    }
}
