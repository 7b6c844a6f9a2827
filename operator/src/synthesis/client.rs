//! The synthesizer's client: calls with deadline, trace context and credentials, and detection of
//! its recovery: by its health where it has one address, by a new endpoint where it is a Service.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use kube::Client;
use langop_client::{
    credentials::Bearer,
    pool::{Address, Pool},
};
use langop_program::trace;
use langop_proto::{
    ACCOUNT, SERVICE_NAME, limits, routing,
    v1::{
        DistillPersonaRequest, DistillPersonaResponse, SynthesizeRequest, SynthesizeResponse,
        synthesis_service_client::SynthesisServiceClient,
    },
};
use tokio::{sync::watch, time::Instant};
use tonic::{Code, Request, Status, service::interceptor::InterceptedService, transport::Channel};
use tracing::{Instrument as _, field::Empty};

use crate::synthesis::{
    endpoints::Replicas,
    failure::{Failure, failure, is_cost_untold},
    health,
};

/// How much longer the client waits than the deadline it sends, for the way of the response.
const MARGIN: Duration = Duration::from_secs(1);
/// The synthesizer, whose connections are made when first needed.
pub(crate) struct Synthesizer {
    pool: Pool,
    bearer: Bearer,
    timeout: Duration,
    epoch: AtomicU64,
    addresses: watch::Receiver<Vec<Address>>,
}

impl Synthesizer {
    /// No connection is made yet. Must be called within the runtime.
    pub(crate) fn new(replicas: &Replicas, timeout: Duration) -> Self {
        let addresses = replicas.addresses();
        Self {
            pool: Pool::new(addresses.clone()),
            bearer: replicas.settings().credentials.bearer(),
            timeout,
            // More than that of an object that this process has not asked for: whoever was told
            // that synthesis is disabled is asked for once more, because a restart is how an
            // administrator changes that.
            epoch: AtomicU64::new(1),
            addresses,
        }
    }

    /// Follows the replicas and the recovery of the synthesizer, without end. `on_recovery` is
    /// called whenever calls that failed may be tried again.
    pub(crate) async fn follow(&self, replicas: Replicas, client: Client, on_recovery: impl Fn()) {
        let note_recovery = || {
            self.epoch.fetch_add(1, Ordering::AcqRel);
            tracing::info!("the synthesizer is back");
            on_recovery();
        };
        if replicas.settings().service.is_some() {
            // A replica is an endpoint exactly while it is healthy, so a new one is the news.
            replicas.follow(client, note_recovery).await;
        } else {
            tokio::join!(
                replicas.follow(client, || ()),
                health::follow(&self.addresses, &self.bearer, note_recovery)
            );
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
        // Closures that return futures of their own: those of async closures are not known to be
        // Send.
        let deadline = Instant::now() + self.timeout;
        let agent = request.agent.clone().unwrap_or_default();
        let options = request.options.as_ref();
        let tries = Tries::new(options.is_some_and(|options| options.max_tokens.is_some()));
        let calls = self.pool.call(&key, deadline + MARGIN, |channel| {
            let request = outgoing(request.clone(), deadline, &agent.namespace);
            let (mut client, tries) = (self.client(channel), tries.clone());
            let call = async move { Ok(client.synthesize(request).await?.into_inner()) };
            Box::pin(async move { tries.note(call).await })
        });
        answer(calls, span, &tries).await
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
        let tries = Tries::new(request.max_tokens.is_some());
        let calls = self.pool.call(&key, deadline + MARGIN, |channel| {
            let request = outgoing(request.clone(), deadline, account);
            let (mut client, tries) = (self.client(channel), tries.clone());
            let call = async move { Ok(client.distill_persona(request).await?.into_inner()) };
            Box::pin(async move { tries.note(call).await })
        });
        answer(calls, span, &tries).await
    }

    fn client(
        &self,
        channel: Channel,
    ) -> SynthesisServiceClient<InterceptedService<Channel, Bearer>> {
        SynthesisServiceClient::with_interceptor(channel, self.bearer.clone())
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE)
    }
}

/// The tries of one call. What the synthesizer may have begun and nobody tells the end of is not
/// begun a second time where tokens are counted: the two could cost more than was reserved.
#[derive(Clone)]
struct Tries {
    is_counted: bool,
    /// Whether any was made.
    made: Arc<AtomicBool>,
    /// Whether one of them may have cost what nobody tells.
    untold: Arc<AtomicBool>,
}

impl Tries {
    fn new(is_counted: bool) -> Self {
        Self {
            is_counted,
            made: Arc::default(),
            untold: Arc::default(),
        }
    }

    async fn note<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        self.made.store(true, Ordering::Release);
        if self.is_counted && self.untold.load(Ordering::Acquire) {
            return Err(Status::aborted(
                "the connection to the synthesizer broke; what the call may have cost counts as spent, and it is made again later",
            ));
        }
        let answer = call.await;
        if answer.as_ref().is_err_and(is_cost_untold) {
            self.untold.store(true, Ordering::Release);
        }
        answer
    }

    /// Whether what the call has cost is what its failure says.
    fn is_cost_known(&self, status: &Status) -> bool {
        let is_made = self.made.load(Ordering::Acquire);
        !is_made || !(self.untold.load(Ordering::Acquire) || is_cost_untold(status))
    }
}

async fn answer<T>(
    calls: impl Future<Output = Result<T, Status>>,
    span: tracing::Span,
    tries: &Tries,
) -> Result<T, Failure> {
    let answer = calls.instrument(span.clone()).await;
    let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
    answer.map_err(|status| Failure {
        is_cost_known: tries.is_cost_known(&status),
        ..failure(&status)
    })
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

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn broken<T>() -> Result<T, Status> {
        let error = std::io::Error::other("connection reset");
        Err(Status::from_error(Box::new(error)))
    }

    #[tokio::test]
    async fn what_may_have_begun_is_begun_once_where_tokens_are_counted() {
        let tries = Tries::new(true);
        assert!(tries.is_cost_known(&Status::unavailable("no endpoint")));
        tries.note(ready(broken::<()>())).await.unwrap_err();
        let second = tries.note(async { panic!("asked again") });
        let second: Result<(), Status> = second.await;
        let status = second.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        assert!(!tries.is_cost_known(&status));

        let tries = Tries::new(false);
        tries.note(ready(broken::<()>())).await.unwrap_err();
        assert_eq!(tries.note(ready(Ok(7))).await.unwrap(), 7);
    }
}
