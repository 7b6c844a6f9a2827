//! Logs, and traces over OTLP where the standard OTEL_* variables name a receiver.

use anyhow::Context as _;
use langop_program::telemetry::Traces;
use opentelemetry::trace::TracerProvider as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{cli::LogFormat, settings::Settings};

/// Sets up the process-wide subscriber, once. The last traces are sent when the result is dropped.
pub(crate) fn install(settings: &Settings) -> anyhow::Result<Traces> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!(
            "invalid LANGOP_LOG '{}': write for example info",
            settings.log
        )
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> =
        match settings.log_format {
            LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
            LogFormat::Json => lines.json().with_filter(filter).boxed(),
        };
    let exported = Traces::from_environment("langop-operator");
    let traces = exported.provider().map(|provider| {
        // Our own spans only: those of libraries would be roots of unwanted traces.
        let ours =
            filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("langop"))
                .and(LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("langop-operator"))
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines)
        .with(traces)
        .try_init()
        .context("a subscriber is installed already")?;
    exported.warn();
    Ok(exported)
}
