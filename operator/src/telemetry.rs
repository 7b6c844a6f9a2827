//! Logs, and traces over OTLP where the standard OTEL_* variables name a receiver.

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, filter_fn},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{cli::LogFormat, settings::Settings};

/// Either of these switches traces on.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Sends what is left when dropped.
#[must_use = "traces are lost when this is dropped early"]
pub(crate) struct Telemetry(Option<SdkTracerProvider>);

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were lost");
        }
    }
}

/// Sets up the process-wide subscriber, once.
pub(crate) fn install(settings: &Settings) -> anyhow::Result<Telemetry> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| {
        format!(
            "LANGOP_LOG '{}' is no filter; write for example info",
            settings.log
        )
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync> =
        match settings.log_format {
            LogFormat::Text => lines.with_ansi(false).with_filter(filter).boxed(),
            LogFormat::Json => lines.json().with_filter(filter).boxed(),
        };
    let provider = provider()?;
    let traces = provider.as_ref().map(|provider| {
        // Our own spans only: those of libraries would be roots of traces nobody asked for.
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
    Ok(Telemetry(provider))
}

fn provider() -> anyhow::Result<Option<SdkTracerProvider>> {
    let is_set = |name: &&str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if !ENDPOINTS.iter().any(is_set) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .build()
        .context("the OTLP exporter cannot be made from OTEL_*")?;
    let name = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "langop-operator".to_owned());
    let resource = Resource::builder().with_service_name(name).build();
    Ok(Some(
        SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build(),
    ))
}
