//! The gRPC calls, over a pool of replicas. Everything that can go wrong with one becomes a
//! [`CallError`]; how it is shown is `failure`'s business.

use std::{cell::RefCell, error::Error as _, time::Duration};

use langop_client::{
    credentials::{Bearer, Credentials},
    pool::Pool,
};
use langop_proto::{
    limits, routing,
    v1::{
        DistillPersonaRequest, DistillPersonaResponse, SynthesizeRequest, SynthesizeResponse,
        SynthesizeStreamRequest, ValidateCodeRequest, ValidateCodeResponse,
        synthesis_service_client::SynthesisServiceClient, synthesize_stream_response::Event,
    },
};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Channel};

use crate::endpoints::{self, EndpointError};

/// Added to the deadline that the server knows: its own error says more than ours.
const MARGIN: Duration = Duration::from_millis(500);
/// How often a watcher may show that time passes.
const TICK: Duration = Duration::from_millis(250);

type Client = SynthesisServiceClient<InterceptedService<Channel, Bearer>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error("no synthesizer answers at {endpoints}")]
    Unreachable {
        endpoints: String,
        #[source]
        source: Box<Status>,
    },
    #[error(transparent)]
    Refused(Box<Status>),
}

/// What a watcher sees of a call.
pub(crate) enum Sight<'a> {
    Event(&'a Event),
    /// Time passes.
    Tick,
}

/// The synthesizer, all its replicas.
pub(crate) struct Synthesizer {
    pool: Pool,
    bearer: Bearer,
    /// As they were written.
    endpoints: String,
    timeout: Duration,
}

impl Synthesizer {
    /// Finds the replicas behind `endpoints`; each call may take `timeout`.
    pub(crate) async fn find(
        endpoints: &[String],
        credentials: &Credentials,
        timeout: Duration,
    ) -> Result<Self, CallError> {
        Ok(Self {
            pool: Pool::fixed(endpoints::resolve(endpoints, credentials).await?),
            bearer: credentials.bearer(),
            endpoints: endpoints.join(", "),
            timeout,
        })
    }

    /// Synthesizes without progress.
    pub(crate) async fn synthesize(
        &self,
        request: SynthesizeRequest,
    ) -> Result<SynthesizeResponse, CallError> {
        let key = routing::routing_key(&request);
        let attempt =
            async |mut client: Client, request| Ok(client.synthesize(request).await?.into_inner());
        self.call(&key, request, attempt).await
    }

    /// Synthesizes; `watch` sees each event before the result.
    pub(crate) async fn synthesize_stream(
        &self,
        request: SynthesizeRequest,
        watch: impl FnMut(Sight<'_>),
    ) -> Result<SynthesizeResponse, CallError> {
        let key = routing::routing_key(&request);
        let request = SynthesizeStreamRequest {
            request: Some(request),
        };
        let watch = RefCell::new(watch);
        let attempt = |client, request| follow(client, request, &watch);
        self.call(&key, request, attempt).await
    }

    /// Checks code.
    pub(crate) async fn validate(
        &self,
        request: ValidateCodeRequest,
    ) -> Result<ValidateCodeResponse, CallError> {
        // Nothing is kept of it, so any replica will do.
        let key = Sha256::digest(&request.code);
        let attempt = async |mut client: Client, request| {
            Ok(client.validate_code(request).await?.into_inner())
        };
        self.call(&key, request, attempt).await
    }

    /// Condenses a persona.
    pub(crate) async fn distill(
        &self,
        request: DistillPersonaRequest,
    ) -> Result<DistillPersonaResponse, CallError> {
        let key = routing::persona_key(&request);
        let attempt = async |mut client: Client, request| {
            Ok(client.distill_persona(request).await?.into_inner())
        };
        self.call(&key, request, attempt).await
    }

    async fn call<M: Clone, T, F>(
        &self,
        key: &[u8],
        message: M,
        attempt: impl Fn(Client, Request<M>) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + self.timeout;
        let attempts = self.pool.call(key, deadline + MARGIN, |channel| {
            let client = SynthesisServiceClient::with_interceptor(channel, self.bearer.clone())
                .max_decoding_message_size(limits::MESSAGE);
            let mut request = Request::new(message.clone());
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            attempt(client, request)
        });
        match attempts.await {
            Ok(answer) => Ok(answer),
            // Only what this side made up has a source: all it says then is that it gave up.
            Err(status) if status.source().is_some() && Instant::now() >= deadline => {
                Err(self.too_late())
            }
            Err(status) if status.source().is_some() => Err(CallError::Unreachable {
                endpoints: self.endpoints.clone(),
                source: Box::new(status),
            }),
            Err(status) => Err(CallError::Refused(Box::new(status))),
        }
    }

    fn too_late(&self) -> CallError {
        let text = format!("there was no answer within {:?}", self.timeout);
        CallError::Refused(Box::new(Status::deadline_exceeded(text)))
    }
}

/// Reads one stream to its result.
async fn follow(
    mut client: Client,
    request: Request<SynthesizeStreamRequest>,
    watch: &RefCell<impl FnMut(Sight<'_>)>,
) -> Result<SynthesizeResponse, Status> {
    let mut stream = client.synthesize_stream(request).await?.into_inner();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = stream.message() => match message?.map(|message| message.event) {
                Some(Some(Event::Result(response))) => return Ok(response),
                Some(Some(event)) => (watch.borrow_mut())(Sight::Event(&event)),
                // One that a newer server knows.
                Some(None) => {}
                None => return Err(Status::unknown("the stream ended without a result")),
            },
            _ = ticks.tick() => (watch.borrow_mut())(Sight::Tick),
        }
    }
}
