//! W3C trace context in gRPC metadata, both ways. Uses a propagator of its own, so it does not
//! depend on a process-wide setting. Here and not in langop-proto, because the SDK is heavy for a
//! crate of types.

use std::{collections::HashMap, sync::LazyLock};

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::{
    codegen::http::HeaderMap,
    metadata::{MetadataKey, MetadataMap, MetadataValue},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";
static W3C: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// The `traceparent` of the current `tracing` span; `None` where nothing is being traced.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HashMap::new();
    W3C.inject_context(&tracing::Span::current().context(), &mut headers);
    headers.remove(TRACEPARENT)
}

/// Reads a `traceparent`, for a link to the trace that made something; `None` when it is not one.
pub fn span_context(traceparent: &str) -> Option<SpanContext> {
    let headers = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    let context = W3C.extract_with_context(&Context::new(), &headers);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Puts the context of the current `tracing` span into the metadata of an outgoing call.
pub fn inject(metadata: &mut MetadataMap) {
    let context = tracing::Span::current().context();
    W3C.inject_context(&context, &mut MetadataInjector(metadata));
}

/// Reads the caller's context from the metadata of an incoming call. Headers that are none are
/// ignored, as W3C requires.
pub fn extract(metadata: &MetadataMap) -> Context {
    extract_from(metadata.as_ref())
}

/// As [`extract`], from the HTTP headers that the metadata travels in.
pub fn extract_from(headers: &HeaderMap) -> Context {
    W3C.extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

struct MetadataInjector<'a>(&'a mut MetadataMap);

impl Injector for MetadataInjector<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let (Ok(key), Ok(value)) = (
            MetadataKey::from_bytes(key.as_bytes()),
            MetadataValue::try_from(value),
        ) {
            self.0.insert(key, value);
        }
    }
}

struct HeaderExtractor<'a>(&'a HeaderMap);

impl Extractor for HeaderExtractor<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0
            .keys()
            .map(tonic::codegen::http::HeaderName::as_str)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_extracted_is_what_was_sent() {
        let mut metadata = MetadataMap::new();
        metadata.insert("traceparent", GOOD.parse().unwrap());
        let cx = extract(&metadata);
        let mut sent = MetadataMap::new();
        W3C.inject_context(&cx, &mut MetadataInjector(&mut sent));
        assert_eq!(sent.get("traceparent").unwrap(), GOOD);
        assert!(cx.span().span_context().is_remote());
    }

    #[test]
    fn headers_that_are_none_are_ignored() {
        for bad in [
            "",
            "00",
            "garbage-in-every-part",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
        ] {
            assert!(span_context(bad).is_none(), "{bad}");
        }
    }
}
