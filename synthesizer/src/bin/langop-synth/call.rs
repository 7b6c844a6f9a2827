//! The gRPC calls. Everything that can go wrong with one becomes a [`CallError`]; how it is shown is `failure`'s business.

use std::time::Duration;

use langop_proto::{
    limits,
    tls::{Bearer, CredentialsError},
    v1::{
        DistillPersonaRequest, DistillPersonaResponse, SynthesizeRequest, SynthesizeResponse,
        SynthesizeStreamRequest, ValidateCodeRequest, ValidateCodeResponse,
        synthesis_service_client::SynthesisServiceClient, synthesize_stream_response::Event,
    },
};
use tonic::{
    Request, Status,
    service::interceptor::InterceptedService,
    transport::{Channel, Endpoint},
};

use crate::args::Args;

/// Longest time to make a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(
        "{endpoint} is no address of a synthesizer; write for example http://127.0.0.1:50051 or https://synthesizer.example.com"
    )]
    Endpoint { endpoint: String },
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("no synthesizer answers at {endpoint}")]
    Unreachable {
        endpoint: String,
        #[source]
        source: tonic::transport::Error,
    },
    #[error(transparent)]
    Refused(Box<Status>),
    #[error("the stream ended without a result")]
    NoResult,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A connection to one synthesizer.
pub(crate) struct Connection {
    client: SynthesisServiceClient<InterceptedService<Channel, Bearer>>,
    timeout: Duration,
}

impl Connection {
    /// Connects as the arguments say.
    pub(crate) async fn open(args: &Args) -> Result<Self, CallError> {
        let (endpoint, timeout) = (args.endpoint.as_str(), args.timeout);
        let credentials = args.credentials.credentials();
        let illegal = || CallError::Endpoint {
            endpoint: endpoint.to_owned(),
        };
        let target = Endpoint::from_shared(endpoint.to_owned()).map_err(|_| illegal())?;
        let is_address = matches!(target.uri().scheme_str(), Some("http" | "https"))
            && target.uri().host().is_some();
        let target = is_address.then_some(target).ok_or_else(illegal)?;
        let target = credentials.secure(target)?;
        let channel = target.connect_timeout(CONNECT.min(timeout)).connect().await;
        let channel = channel.map_err(|source| CallError::Unreachable {
            endpoint: endpoint.to_owned(),
            source,
        })?;
        let client = SynthesisServiceClient::with_interceptor(channel, credentials.bearer())
            .max_decoding_message_size(limits::MESSAGE);
        Ok(Self { client, timeout })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Synthesizes without progress.
    pub(crate) async fn synthesize(
        &mut self,
        request: SynthesizeRequest,
    ) -> Result<SynthesizeResponse, CallError> {
        let request = self.request(request);
        Ok(self.client.synthesize(request).await?.into_inner())
    }

    /// Synthesizes; `progress` sees each event before the result.
    pub(crate) async fn synthesize_stream(
        &mut self,
        request: SynthesizeRequest,
        mut progress: impl FnMut(&Event),
    ) -> Result<SynthesizeResponse, CallError> {
        let request = self.request(SynthesizeStreamRequest {
            request: Some(request),
        });
        let mut stream = self.client.synthesize_stream(request).await?.into_inner();
        while let Some(message) = stream.message().await? {
            match message.event {
                Some(Event::Result(response)) => return Ok(response),
                Some(event) => progress(&event),
                // one that a newer server knows
                None => {}
            }
        }
        Err(CallError::NoResult)
    }

    /// Checks code.
    pub(crate) async fn validate(
        &mut self,
        request: ValidateCodeRequest,
    ) -> Result<ValidateCodeResponse, CallError> {
        let request = self.request(request);
        Ok(self.client.validate_code(request).await?.into_inner())
    }

    /// Condenses a persona.
    pub(crate) async fn distill(
        &mut self,
        request: DistillPersonaRequest,
    ) -> Result<DistillPersonaResponse, CallError> {
        let request = self.request(request);
        Ok(self.client.distill_persona(request).await?.into_inner())
    }
}
