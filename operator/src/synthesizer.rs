//! The synthesizer's client: calls with deadline, trace context and credentials, the one mapping of gRPC status codes, and the news that
//! it is back: its health where it has one address, a new endpoint where it is a Service.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use kube::Client;
use langop_proto::{
    ACCOUNT, PROVIDER_REFUSED_REQUEST, SERVICE_NAME, limits,
    pool::{Address, Pool},
    routing,
    tls::Bearer,
    trace,
    v1::{
        DistillPersonaRequest, DistillPersonaResponse, SynthesizeRequest, SynthesizeResponse,
        synthesis_service_client::SynthesisServiceClient,
    },
};
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Request, Status, service::interceptor::InterceptedService, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, field::Empty};

use crate::{
    error::{bounded, chain},
    replicas::Replicas,
    run::backoff,
};

/// The server has this much longer than the deadline it was told, for the answer's way back.
const MARGIN: Duration = Duration::from_secs(1);
/// Shortest and longest pause before the health stream is opened again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// The synthesizer, whose connections are made when first needed.
pub(crate) struct Synthesizer {
    pool: Pool,
    bearer: Bearer,
    timeout: Duration,
    epoch: AtomicU64,
    addresses: watch::Receiver<Vec<Address>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// One stable sentence: no times, no numbers that change.
    pub(crate) message: String,
    /// When the synthesizer asks to come back, if it does.
    pub(crate) retry_after: Option<Duration>,
    /// Tokens spent all the same: sent, received.
    pub(crate) tokens: (i64, i64),
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Try again later.
    Retryable,
    /// An administrator must act.
    Disabled,
    /// The request itself is refused: another one must be made.
    Invalid,
}

impl FailureKind {
    /// As metrics have it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Retryable => "failed",
            Self::Disabled => "disabled",
            Self::Invalid => "invalid",
        }
    }
}

impl Synthesizer {
    /// No connection is made yet. Must be called within the runtime.
    pub(crate) fn new(replicas: &Replicas, timeout: Duration) -> Self {
        let addresses = replicas.addresses();
        Self {
            pool: Pool::new(addresses.clone()),
            bearer: replicas.settings().credentials.bearer(),
            timeout,
            // More than that of an object that this process has not asked for: whoever was told that synthesis is disabled is asked for once
            // more, because a restart is how an administrator changes that.
            epoch: AtomicU64::new(1),
            addresses,
        }
    }

    /// Follows the replicas, and the news that the synthesizer is back, for ever. `came_back` is called whenever calls that
    /// failed may be tried again.
    pub(crate) async fn follow(&self, replicas: Replicas, client: Client, came_back: impl Fn()) {
        let is_back = || {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            tracing::info!("the synthesizer is back");
            came_back();
        };
        if replicas.settings().service.is_some() {
            // A replica is an endpoint exactly while it is healthy, so a new one is the news.
            replicas.follow(client, is_back).await;
        } else {
            tokio::join!(replicas.follow(client, || ()), self.watch_health(is_back));
        }
    }

    /// Grows whenever the synthesizer comes back.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Code for one agent, on the account of its namespace.
    pub(crate) async fn synthesize(
        &self,
        request: SynthesizeRequest,
    ) -> Result<SynthesizeResponse, Failure> {
        let key = routing::routing_key(&request);
        let span = tracing::info_span!(
            "langop.synthesis.v1.SynthesisService/Synthesize",
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = SERVICE_NAME,
            rpc.method = "Synthesize",
            rpc.grpc.status_code = Empty,
        );
        // Closures that return futures of their own: those of async closures are not known to be Send.
        let deadline = Instant::now() + self.timeout;
        let agent = request.agent.clone().unwrap_or_default();
        let calls = self.pool.call(&key, deadline + MARGIN, |channel| {
            let request = outgoing(request.clone(), deadline, &agent.namespace);
            let mut client = self.client(channel);
            async move { Ok(client.synthesize(request).await?.into_inner()) }
        });
        answer(calls, span).await
    }

    /// The condensed text of a persona, on the account of its namespace.
    pub(crate) async fn distill(
        &self,
        request: DistillPersonaRequest,
        account: &str,
    ) -> Result<DistillPersonaResponse, Failure> {
        let key = routing::persona_key(&request);
        let span = tracing::info_span!(
            "langop.synthesis.v1.SynthesisService/DistillPersona",
            otel.kind = "client",
            otel.status_code = Empty,
            rpc.system = "grpc",
            rpc.service = SERVICE_NAME,
            rpc.method = "DistillPersona",
            rpc.grpc.status_code = Empty,
        );
        let deadline = Instant::now() + self.timeout;
        let calls = self.pool.call(&key, deadline + MARGIN, |channel| {
            let request = outgoing(request.clone(), deadline, account);
            let mut client = self.client(channel);
            async move { Ok(client.distill_persona(request).await?.into_inner()) }
        });
        answer(calls, span).await
    }

    fn client(
        &self,
        channel: Channel,
    ) -> SynthesisServiceClient<InterceptedService<Channel, Bearer>> {
        SynthesisServiceClient::with_interceptor(channel, self.bearer.clone())
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE)
    }

    /// Follows the health of the one address. `came_back` is called each time it serves again after it did not; that it serves at the
    /// start is no news.
    async fn watch_health(&self, came_back: impl Fn()) {
        let mut health = Health::default();
        loop {
            self.follow_health(&mut health, &came_back).await;
            tokio::time::sleep(backoff::between(RECONNECT.0, RECONNECT.1)).await;
        }
    }

    async fn follow_health(&self, health: &mut Health, came_back: &impl Fn()) {
        let channel = match self.addresses.borrow().first() {
            Some(address) => address.endpoint.connect_lazy(),
            None => return,
        };
        // Needs no credentials, but a connection on which nobody says who they are does not last.
        let mut client = HealthClient::with_interceptor(channel, self.bearer.clone());
        let request = HealthCheckRequest {
            service: SERVICE_NAME.to_owned(),
        };
        let mut statuses = match client.watch(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                tracing::debug!(%status, "the synthesizer's health cannot be watched");
                health.is(Serving::No);
                return;
            }
        };
        // An end of the stream says nothing: servers close old connections.
        while let Ok(Some(status)) = statuses.message().await {
            let serving = if status.status() == ServingStatus::Serving {
                Serving::Yes
            } else {
                Serving::No
            };
            if health.is(serving) == News::CameBack {
                came_back();
            }
        }
    }
}

async fn answer<T>(
    calls: impl Future<Output = Result<T, Status>>,
    span: tracing::Span,
) -> Result<T, Failure> {
    let answer = calls.instrument(span.clone()).await;
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
    answer.map_err(|status| failure(&status))
}

/// To be called within the span of the call.
fn outgoing<T>(message: T, deadline: Instant, account: &str) -> Request<T> {
    let mut request = Request::new(message);
    // Names of namespaces can be metadata.
    if let Ok(account) = account.parse() {
        request.metadata_mut().insert(ACCOUNT, account);
    }
    request.set_timeout(deadline.saturating_duration_since(Instant::now()));
    trace::inject(request.metadata_mut());
    request
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    CameBack,
    None,
}

/// What was last heard of the synthesizer; nothing at the start.
#[derive(Debug, Default)]
struct Health(Option<Serving>);

impl Health {
    fn is(&mut self, now: Serving) -> News {
        let before = self.0.replace(now);
        if before == Some(Serving::No) && now == Serving::Yes {
            News::CameBack
        } else {
            News::None
        }
    }
}

/// The one place that reads gRPC status codes, and the reasons by which one code means several things.
fn failure(status: &Status) -> Failure {
    let info = status.get_details_error_info();
    let reason = info.as_ref().map(|info| info.reason.as_str());
    let kind = match status.code() {
        // Whatever its code: what the provider refuses of one request says nothing about the others.
        _ if reason == Some(PROVIDER_REFUSED_REQUEST) => FailureKind::Invalid,
        Code::FailedPrecondition | Code::Unauthenticated | Code::PermissionDenied => {
            FailureKind::Disabled
        }
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => FailureKind::Invalid,
        _ => FailureKind::Retryable,
    };
    let retry_after = status
        .get_details_retry_info()
        .and_then(|info| info.retry_delay);
    let metadata = info.map(|info| info.metadata).unwrap_or_default();
    let tokens = |key: &str| {
        metadata
            .get(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    };
    Failure {
        kind,
        message: message(status),
        retry_after,
        tokens: (tokens("input_tokens"), tokens("output_tokens")),
    }
}

fn message(status: &Status) -> String {
    // Only what this side made up has a source, and its text is the library's; but that time is over is no riddle.
    if let Some(source) = std::error::Error::source(status)
        && status.code() != Code::DeadlineExceeded
    {
        return bounded(&format!(
            "the synthesizer cannot be reached: {}",
            chain(source)
        ));
    }
    let violations = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations);
    let fields: Vec<String> = violations
        .unwrap_or_default()
        .into_iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect();
    if !fields.is_empty() {
        return bounded(&fields.join("; "));
    }
    match status.message() {
        "" => format!("the synthesizer answered {:?}", status.code()),
        said => bounded(said),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use langop_proto::ERROR_DOMAIN;
    use tonic_types::{ErrorDetails, FieldViolation};

    use super::*;

    #[test]
    fn every_code_has_one_meaning() {
        for (code, expected) in [
            (Code::Unavailable, FailureKind::Retryable),
            (Code::DeadlineExceeded, FailureKind::Retryable),
            (Code::ResourceExhausted, FailureKind::Retryable),
            (Code::Internal, FailureKind::Retryable),
            (Code::Unknown, FailureKind::Retryable),
            (Code::FailedPrecondition, FailureKind::Disabled),
            (Code::Unauthenticated, FailureKind::Disabled),
            (Code::InvalidArgument, FailureKind::Invalid),
        ] {
            let failure = failure(&Status::new(code, ""));
            assert_eq!(failure.kind, expected, "{code:?}");
            assert!(!failure.message.is_empty());
        }
    }

    #[test]
    fn what_the_provider_refuses_of_one_request_is_that_requests() {
        for code in [Code::InvalidArgument, Code::FailedPrecondition] {
            for (reason, expected) in [
                (PROVIDER_REFUSED_REQUEST, FailureKind::Invalid),
                ("PROVIDER_REFUSED_KEY", failure(&Status::new(code, "")).kind),
            ] {
                let details = ErrorDetails::with_error_info(reason, ERROR_DOMAIN, HashMap::new());
                let status = Status::with_error_details(code, "no", details);
                assert_eq!(failure(&status).kind, expected, "{code:?} {reason}");
            }
        }
    }

    #[test]
    fn details_are_read() {
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(9)));
        let metadata = HashMap::from([("input_tokens".to_owned(), "7".to_owned())]);
        details.set_error_info("PROVIDER_RATE_LIMITED", ERROR_DOMAIN, metadata);
        let failed = failure(&Status::with_error_details(
            Code::ResourceExhausted,
            "slow down",
            details,
        ));
        assert_eq!(
            (failed.retry_after, failed.tokens),
            (Some(Duration::from_secs(9)), (7, 0))
        );
        assert_eq!(failed.message, "slow down");

        let details = ErrorDetails::with_bad_request(vec![FieldViolation::new(
            "instructions",
            "is too long",
        )]);
        let refused = failure(&Status::with_error_details(
            Code::InvalidArgument,
            "bad",
            details,
        ));
        assert_eq!(refused.message, "instructions: is too long");
    }

    #[test]
    fn only_a_return_is_news() {
        let mut health = Health::default();
        assert_eq!(health.is(Serving::Yes), News::None, "the start");
        assert_eq!(health.is(Serving::Yes), News::None, "a new connection");
        assert_eq!(health.is(Serving::No), News::None);
        assert_eq!(health.is(Serving::Yes), News::CameBack);
        let mut late = Health::default();
        late.is(Serving::No);
        assert_eq!(
            late.is(Serving::Yes),
            News::CameBack,
            "it was down at the start"
        );
    }
}
