//! W3C trace context in gRPC metadata, both ways. Uses its own propagator, so it does not depend on a process-wide setting.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use tonic::{
    codegen::http::HeaderMap,
    metadata::{MetadataKey, MetadataMap, MetadataValue},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

mod propagator {
    //! W3C Trace Context level 1, `traceparent` and `tracestate`, as <https://www.w3.org/TR/trace-context/> has it.

    use opentelemetry::{
        Context,
        propagation::{Extractor, Injector, TextMapPropagator, text_map_propagator::FieldIter},
        trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
    };
    use std::{str::FromStr as _, sync::LazyLock};

    pub(super) const TRACEPARENT: &str = "traceparent";
    const TRACESTATE: &str = "tracestate";
    static FIELDS: LazyLock<[String; 2]> =
        LazyLock::new(|| [TRACEPARENT.into(), TRACESTATE.into()]);

    /// The SDK has the same propagator, but the SDK is a heavy dependency for a crate of types.
    #[derive(Debug)]
    pub(super) struct W3c;

    impl TextMapPropagator for W3c {
        fn inject_context(&self, cx: &Context, injector: &mut dyn Injector) {
            let span = cx.span();
            let context = span.span_context();
            if context.is_valid() {
                injector.set(TRACEPARENT, super::format(context));
                injector.set(TRACESTATE, context.trace_state().header());
            }
        }

        fn extract_with_context(&self, cx: &Context, extractor: &dyn Extractor) -> Context {
            let state = extractor.get(TRACESTATE).unwrap_or_default();
            match extractor
                .get(TRACEPARENT)
                .and_then(|header| parse(header, state))
            {
                Some(span) => cx.with_remote_span_context(span),
                None => cx.clone(),
            }
        }

        fn fields(&self) -> FieldIter<'_> {
            FieldIter::new(FIELDS.as_ref())
        }
    }

    pub(super) fn parse(header: &str, state: &str) -> Option<SpanContext> {
        let mut parts = header.trim().split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_known = version != "ff" && (version != "00" || parts.next().is_none());
        if !is_known
            || version.len() != 2
            || trace.len() != 32
            || span.len() != 16
            || flags.len() != 2
        {
            return None;
        }
        let context = SpanContext::new(
            TraceId::from_hex(trace).ok()?,
            SpanId::from_hex(span).ok()?,
            TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
            true,
            TraceState::from_str(state).unwrap_or_default(),
        );
        context.is_valid().then_some(context)
    }
}

fn format(context: &opentelemetry::trace::SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags()
    )
}

/// The `traceparent` of the current `tracing` span; `None` where nothing is being traced.
pub fn current_traceparent() -> Option<String> {
    let cx = tracing::Span::current().context();
    let span = cx.span();
    span.span_context()
        .is_valid()
        .then(|| format(span.span_context()))
}

/// Reads a `traceparent`, for a link to the trace that made something; `None` when it is not one.
pub fn span_context(traceparent: &str) -> Option<opentelemetry::trace::SpanContext> {
    propagator::parse(traceparent, "")
}

/// Puts the context of the current `tracing` span into the metadata of an outgoing call.
pub fn inject(metadata: &mut MetadataMap) {
    propagator::W3c.inject_context(
        &tracing::Span::current().context(),
        &mut MetadataInjector(metadata),
    );
}

/// Reads the caller's context from the metadata of an incoming call. Headers that are none are ignored, as W3C requires.
pub fn extract(metadata: &MetadataMap) -> Context {
    extract_from(metadata.as_ref())
}

/// As [`extract`], from the HTTP headers that the metadata travels in.
pub fn extract_from(headers: &HeaderMap) -> Context {
    propagator::W3c.extract_with_context(&Context::new(), &HeaderExtractor(headers))
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
        assert_eq!(format(cx.span().span_context()), GOOD);
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
