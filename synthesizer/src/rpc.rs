//! A tower layer around every gRPC call: the server span, child of the caller's, the counter of
//! calls by method and code, and the door: `access` says whether the call is let in. Sees headers
//! and trailers only, never a message.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::future::{BoxFuture, Either, ready};
use http::{HeaderMap, Request, Response};
use langop_program::trace;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes},
};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    access::{Access, AccessError, Authorization, ConnectionInfo, UnreadResponse},
    error::Failure,
    grpc,
    metrics::{Metrics, code_name},
};

/// The methods served: path, and label of the metric. Everything else is `other`, so that clients
/// cannot make labels.
const METHODS: [(&str, &str); 8] = [
    (grpc::SYNTHESIZE, "Synthesize"),
    (grpc::SYNTHESIZE_STREAM, "SynthesizeStream"),
    (grpc::DISTILL_PERSONA, "DistillPersona"),
    (grpc::VALIDATE_CODE, "ValidateCode"),
    ("/grpc.health.v1.Health/Check", "Check"),
    ("/grpc.health.v1.Health/Watch", "Watch"),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "ServerReflectionInfo",
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        "ServerReflectionInfo",
    ),
];

/// Makes [`Rpc`] services.
#[derive(Clone)]
pub struct RpcLayer {
    metrics: Arc<Metrics>,
    access: Arc<Access>,
}

impl RpcLayer {
    /// Counts into `metrics`, and lets in whom `access` lets in.
    pub fn new(metrics: Arc<Metrics>, access: Arc<Access>) -> Self {
        Self { metrics, access }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = Rpc<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Rpc {
            inner,
            metrics: Arc::clone(&self.metrics),
            access: Arc::clone(&self.access),
        }
    }
}

/// A service whose calls are observed.
#[derive(Clone)]
pub struct Rpc<S> {
    inner: S,
    metrics: Arc<Metrics>,
    access: Arc<Access>,
}

impl<S> Service<Request<Body>> for Rpc<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let (path, method) = known(request.uri().path());
        let span = server_span(path, request.headers());
        let mut call = Call {
            method,
            span: span.clone(),
            metrics: Arc::clone(&self.metrics),
            ticket: None,
            is_over: false,
        };
        let link = request.extensions().get::<ConnectionInfo>().cloned();
        let response = match self.access.admit(&mut request) {
            Ok(ticket) => {
                call.ticket = Some(ticket);
                let request = self.access.receive(request, refusal);
                Either::Left(self.inner.call(request).instrument(span))
            }
            Err(denied) => Either::Right(ready(Ok(refusal(denied).into_http()))),
        };
        Box::pin(async move {
            let response = response.await?;
            // An error before any message has its status in the headers.
            call.look(response.headers());
            let answer = link.map(|link| link.answers.begin());
            Ok(response.map(|body| Body::new(Observed { body, call, answer })))
        })
    }
}

fn refusal(denied: AccessError) -> Status {
    Failure::from(denied).to_status()
}

fn known(path: &str) -> (&'static str, &'static str) {
    METHODS
        .into_iter()
        .find(|(known, _)| *known == path)
        .unwrap_or(("/other", "other"))
}

fn server_span(path: &'static str, headers: &HeaderMap) -> Span {
    let method = path.trim_start_matches('/');
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = field::Empty,
        "error.type" = field::Empty,
        gen_ai.agent.name = field::Empty,
        k8s.namespace.name = field::Empty,
        langop.synthesis.code_hash = field::Empty,
    );
    let parent = trace::extract_from(headers);
    // Fails only where no OpenTelemetry layer listens, and then the parent is not needed.
    let _ = span.set_parent(parent);
    span
}

/// One call, counted once: when its status is known, or as CANCELLED when it is dropped before.
struct Call {
    method: &'static str,
    span: Span,
    metrics: Arc<Metrics>,
    /// Held until the last byte of the answer is on its way, so that slow readers count, too;
    /// `access` ends the connection of those that are too slow.
    ticket: Option<Authorization>,
    is_over: bool,
}

impl Call {
    fn look(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.end(status.code());
        }
    }

    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.metrics.rpc(self.method, code);
        self.span
            .record("rpc.response.status_code", code_name(code));
        if is_server_error(code) {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", code_name(code));
        }
        let _entered = self.span.enter();
        tracing::debug!(method = self.method, code = code_name(code), "call over");
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

/// The codes that are the server's own failure, by the gRPC semantic conventions.
fn is_server_error(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// A body whose trailers are read as they pass, and which tells whose turn it is: the library asks
/// for a piece once the client has room.
struct Observed {
    body: Body,
    call: Call,
    answer: Option<UnreadResponse>,
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        if let Some(answer) = &self.answer {
            answer.is_wanted();
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready()
            && let Some(answer) = &self.answer
        {
            answer.is_ready();
        }
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            self.call.look(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
