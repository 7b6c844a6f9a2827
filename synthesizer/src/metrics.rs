//! The synthesizer's metrics. Labels come from enums and settings only, so their number is bounded.

use std::time::Duration;

use langop_proto::v1::{SynthesisOutcome, Usage};
use opentelemetry::trace::TraceContextExt as _;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, family::Family, gauge::Gauge},
    registry::Registry,
};
use tonic::Code;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::identity::Identity;

/// Upper bounds in seconds; a synthesis ends at 120 s by default.
const BUCKETS: [f64; 13] = [
    0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0,
];

/// What the cache had for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheResult {
    /// An answer.
    Hit,
    /// Nothing.
    Miss,
    /// An equal request in progress.
    Coalesced,
}

impl CacheResult {
    /// The value of label and span attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
        }
    }
}

/// How one HTTP request to an LLM ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmOutcome {
    /// With an answer.
    Success,
    /// 429.
    RateLimited,
    /// Another status that says no.
    Refused,
    /// 5xx, or an error in the middle of an answer.
    ServerError,
    /// Without a connection, or with a broken one.
    Transport,
    /// Too late.
    Timeout,
    /// With something that is no answer.
    Unreadable,
}

impl LlmOutcome {
    /// The value of label and span attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::ServerError => "server_error",
            Self::Transport => "transport",
            Self::Timeout => "timeout",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A part of the work for one answer. Each is done once for every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Writes what the LLM is asked.
    Prompt,
    /// Waits for the LLM, its retries among that.
    Llm,
    /// Finds the code in the answer, reads and renders it.
    Check,
}

impl Stage {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Llm => "llm",
            Self::Check => "check",
        }
    }
}

/// Why a connection was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There are as many as there may be.
    Limit,
    /// Its address has as many as it may have.
    AddressLimit,
    /// It came to no handshake, or not in time.
    Handshake,
}

impl Refusal {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::AddressLimit => "address_limit",
            Self::Handshake => "handshake",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    provider: &'static str,
    model: String,
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LlmLabels {
    provider: &'static str,
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    method: &'static str,
    code: &'static str,
}

/// An exemplar: the trace in which an observation was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Trace {
    trace_id: String,
}

type Histograms<L> = Family<L, HistogramWithExemplars<Trace>>;

fn histograms<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(|| HistogramWithExemplars::new(BUCKETS.into_iter()))
}

/// The registry and what is in it.
pub struct Metrics {
    registry: Registry,
    syntheses: Histograms<Outcome>,
    stages: Histograms<StageLabels>,
    cache_requests: Family<CacheLabels, Counter>,
    cache_bytes: Gauge,
    in_flight: Gauge,
    tokens: Family<TokenLabels, Counter>,
    repairs: Counter,
    llm_requests: Histograms<LlmLabels>,
    rpcs: Family<RpcLabels, Counter>,
    connections: Gauge,
    connections_refused: Family<RefusalLabels, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            syntheses: histograms(),
            stages: histograms(),
            cache_requests: Family::default(),
            cache_bytes: Gauge::default(),
            in_flight: Gauge::default(),
            tokens: Family::default(),
            repairs: Counter::default(),
            llm_requests: histograms(),
            rpcs: Family::default(),
            connections: Gauge::default(),
            connections_refused: Family::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "langop_synthesis_duration_seconds",
            "Time from a request to its answer",
            self.syntheses.clone(),
        );
        r.register(
            "langop_synthesis_stage_duration_seconds",
            "Time of one stage of the work for an answer",
            self.stages.clone(),
        );
        r.register(
            "langop_synthesis_cache_requests",
            "Requests by what the cache had",
            self.cache_requests.clone(),
        );
        r.register(
            "langop_synthesis_cache_bytes",
            "What the answers that are kept count against LANGOP_CACHE_BYTES",
            self.cache_bytes.clone(),
        );
        r.register(
            "langop_synthesis_in_flight",
            "Answers being made",
            self.in_flight.clone(),
        );
        r.register(
            "langop_synthesis_tokens",
            "Tokens spent; cached input tokens count as input",
            self.tokens.clone(),
        );
        r.register(
            "langop_synthesis_repairs",
            "Invalid answers sent back to the LLM",
            self.repairs.clone(),
        );
        r.register(
            "langop_llm_request_duration_seconds",
            "Time of one HTTP request to an LLM",
            self.llm_requests.clone(),
        );
        r.register(
            "langop_grpc_requests",
            "gRPC calls by method and status code",
            self.rpcs.clone(),
        );
        r.register(
            "langop_grpc_connections",
            "gRPC connections, those still in their handshake included",
            self.connections.clone(),
        );
        r.register(
            "langop_grpc_connections_refused",
            "gRPC connections that were not served",
            self.connections_refused.clone(),
        );
    }

    /// An answer, or with `None` a failure, after `duration`.
    pub fn synthesis(&self, outcome: Option<SynthesisOutcome>, duration: Duration) {
        let outcome = match outcome {
            Some(SynthesisOutcome::Generated) => "generated",
            Some(SynthesisOutcome::Repaired) => "repaired",
            Some(SynthesisOutcome::Cached) => "cached",
            Some(SynthesisOutcome::Coalesced) => "coalesced",
            Some(SynthesisOutcome::Rejected) => "rejected",
            Some(SynthesisOutcome::Unspecified) | None => "failed",
        };
        self.syntheses.get_or_create(&Outcome { outcome }).observe(
            duration.as_secs_f64(),
            current_trace(),
            None,
        );
    }

    /// A stage is over, whatever came of it.
    pub fn stage(&self, stage: Stage, duration: Duration) {
        let stage = stage.as_str();
        self.stages.get_or_create(&StageLabels { stage }).observe(
            duration.as_secs_f64(),
            current_trace(),
            None,
        );
    }

    /// A request came to the cache.
    pub fn cache_request(&self, result: CacheResult) {
        self.cache_requests
            .get_or_create(&CacheLabels {
                result: result.as_str(),
            })
            .inc();
    }

    /// What all that is kept counts, in bytes: for the caches to raise and lower.
    pub fn cache_bytes(&self) -> Gauge {
        self.cache_bytes.clone()
    }

    /// An answer is being made until the guard is dropped.
    pub fn in_flight(&self) -> InFlightGauge {
        self.in_flight.inc();
        InFlightGauge(self.in_flight.clone())
    }

    /// Tokens were spent.
    pub fn tokens(&self, identity: &Identity, usage: Usage) {
        for (r#type, count) in [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
        ] {
            let labels = TokenLabels {
                provider: identity.provider.as_str(),
                model: identity.model.clone(),
                r#type,
            };
            self.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    /// An invalid answer goes back.
    pub fn repair(&self) {
        self.repairs.inc();
    }

    /// One HTTP request to an LLM is over.
    pub fn llm_request(&self, identity: &Identity, outcome: LlmOutcome, duration: Duration) {
        let (provider, model) = (identity.provider.as_str(), identity.model.clone());
        let labels = LlmLabels {
            provider,
            model,
            outcome: outcome.as_str(),
        };
        self.llm_requests.get_or_create(&labels).observe(
            duration.as_secs_f64(),
            current_trace(),
            None,
        );
    }

    /// A gRPC call is over. `method` must come from a fixed list.
    pub fn rpc(&self, method: &'static str, code: Code) {
        self.rpcs
            .get_or_create(&RpcLabels {
                method,
                code: code_name(code),
            })
            .inc();
    }

    /// There is one more connection.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// There is one connection less.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A connection is not served.
    pub fn connection_refused(&self, refusal: Refusal) {
        let reason = refusal.as_str();
        self.connections_refused
            .get_or_create(&RefusalLabels { reason })
            .inc();
    }

    /// Everything, in the text format of `OpenMetrics`.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

/// Lowers the gauge when dropped.
pub struct InFlightGauge(Gauge);

impl Drop for InFlightGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn current_trace() -> Option<Trace> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    (span.is_valid() && span.is_sampled()).then(|| Trace {
        trace_id: span.trace_id().to_string(),
    })
}

/// The name of a status code as the gRPC specification writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::ProviderKind;

    #[test]
    fn the_page_has_the_names_of_the_design() {
        let metrics = Metrics::default();
        let identity = Identity {
            provider: ProviderKind::Openai,
            model: "m".to_owned(),
        };
        metrics.synthesis(Some(SynthesisOutcome::Generated), Duration::from_secs(3));
        metrics.stage(Stage::Check, Duration::from_millis(3));
        metrics.cache_request(CacheResult::Miss);
        metrics.tokens(
            &identity,
            Usage {
                input_tokens: 5,
                output_tokens: 2,
                ..Usage::default()
            },
        );
        metrics.repair();
        metrics.llm_request(&identity, LlmOutcome::Success, Duration::from_secs(2));
        metrics.rpc("Synthesize", Code::Ok);
        let guard = metrics.in_flight();
        let page = metrics.encode().unwrap();
        drop(guard);
        for line in [
            r#"langop_synthesis_duration_seconds_count{outcome="generated"} 1"#,
            r#"langop_synthesis_stage_duration_seconds_count{stage="check"} 1"#,
            r#"langop_synthesis_cache_requests_total{result="miss"} 1"#,
            "langop_synthesis_in_flight 1",
            r#"langop_synthesis_tokens_total{provider="openai",model="m",type="input"} 5"#,
            "langop_synthesis_repairs_total 1",
            r#"langop_llm_request_duration_seconds_count{provider="openai",model="m",outcome="success"} 1"#,
            r#"langop_grpc_requests_total{method="Synthesize",code="OK"} 1"#,
            "# EOF",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(
            metrics
                .encode()
                .unwrap()
                .contains("langop_synthesis_in_flight 0")
        );
    }
}
