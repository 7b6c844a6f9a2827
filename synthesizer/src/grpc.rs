//! `SynthesisService` on the wire: which method is meant, and how its messages are read and
//! written. In place of the server that is generated, because an answer of the cache is sent as it
//! is kept there, and a request that was seen before is known without being read.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::BoxFuture;
use langop_proto::{ProstCodec, SERVICE_NAME, limits};
use prost::bytes::{Buf as _, Bytes};
use tonic::{
    Status,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{Grpc, NamedService},
};
use tower::service_fn;

use crate::{pipeline::Answered, service::Service};

/// `Synthesize`.
pub const SYNTHESIZE: &str = "/langop.synthesis.v1.SynthesisService/Synthesize";
/// `SynthesizeStream`.
pub const SYNTHESIZE_STREAM: &str = "/langop.synthesis.v1.SynthesisService/SynthesizeStream";
/// `DistillPersona`.
pub const DISTILL_PERSONA: &str = "/langop.synthesis.v1.SynthesisService/DistillPersona";
/// `ValidateCode`.
pub const VALIDATE_CODE: &str = "/langop.synthesis.v1.SynthesisService/ValidateCode";

/// The service as tonic serves it.
#[derive(Clone)]
pub struct SynthesisServer(Arc<Service>);

impl SynthesisServer {
    /// Serves `service`.
    pub fn new(service: Service) -> Self {
        Self(Arc::new(service))
    }
}

impl NamedService for SynthesisServer {
    const NAME: &'static str = SERVICE_NAME;
}

impl tower::Service<http::Request<Body>> for SynthesisServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = Arc::clone(&self.0);
        match request.uri().path() {
            SYNTHESIZE => Box::pin(async move {
                let method = service_fn(async |request| service.synthesize(request).await);
                Ok(bounded(AnswerCodec).unary(method, request).await)
            }),
            SYNTHESIZE_STREAM => Box::pin(async move {
                let method = service_fn(async |request| service.synthesize_stream(request).await);
                let mut grpc = bounded(ProstCodec::default());
                Ok(grpc.server_streaming(method, request).await)
            }),
            DISTILL_PERSONA => Box::pin(async move {
                let method = service_fn(async |request| service.distill_persona(request).await);
                Ok(bounded(ProstCodec::default()).unary(method, request).await)
            }),
            VALIDATE_CODE => Box::pin(async move {
                let method = service_fn(async |request| service.validate_code(request).await);
                Ok(bounded(ProstCodec::default()).unary(method, request).await)
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

fn bounded<C: Codec>(codec: C) -> Grpc<C> {
    Grpc::new(codec).apply_max_message_size_config(Some(limits::MESSAGE), Some(limits::MESSAGE))
}

/// Gives requests as they come, and writes answers as they are kept.
struct AnswerCodec;

impl Codec for AnswerCodec {
    type Encode = Answered;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AnswerCodec {
    type Item = Answered;
    type Error = Status;

    fn encode(&mut self, answer: Answered, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        answer
            .encode(to)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for AnswerCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
