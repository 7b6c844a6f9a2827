//! Logs as JSON lines on standard output, and traces to an OTLP collector where the standard OTEL_*
//! variables name one. The one place that sets process-wide telemetry.

use std::io;

use langop_program::telemetry::Traces;
use opentelemetry::trace::TracerProvider as _;
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, FilterFn, LevelFilter},
    fmt::writer::BoxMakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::outcome::{Failure, Reason};

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// Standard output, as Kubernetes collects it.
    Output,
    /// Standard error, because a person reads the output.
    Error,
}

/// Sets up logs by `directives`, and traces of `service`, whose last spans are sent when the result is dropped.
/// Needs a tokio runtime.
///
/// # Errors
/// If the directives cannot be read.
pub fn init(service: &'static str, directives: &str, to: LogTo) -> Result<Traces, Failure> {
    let filter = EnvFilter::try_new(directives).map_err(|_| {
        let message = "LANGOP_LOG cannot be read: write a level such as info, or directives such as langop_runtime=debug";
        Failure::new(Reason::Configuration, message)
    })?;
    let logs = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(match to {
            LogTo::Output => BoxMakeWriter::new(io::stdout),
            LogTo::Error => BoxMakeWriter::new(io::stderr),
        })
        // A line says itself of what it speaks; fields of spans would be written anew for each.
        .with_filter(filter.and(FilterFn::new(|metadata: &Metadata<'_>| metadata.is_event())));
    let exported = Traces::from_environment(service);
    let traces = exported.provider().map(|provider| {
        let layer =
            tracing_opentelemetry::layer::<Registry>().with_tracer(provider.tracer(service));
        // Spans of the libraries, the exporter's own among them, would never end.
        layer
            .with_filter(FilterFn::new(|metadata| {
                metadata.is_span() && metadata.target().starts_with("langop")
            }))
            .with_filter(LevelFilter::INFO)
    });
    tracing_subscriber::registry()
        .with(traces)
        .with(logs)
        .try_init()
        .map_err(|_| Failure::new(Reason::Configuration, "telemetry is already set up"))?;
    exported.warn();
    Ok(exported)
}
