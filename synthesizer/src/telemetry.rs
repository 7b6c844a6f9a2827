//! Logs on standard error, and traces to an OTLP collector where the standard OTEL_* variables name one. The one place
//! that sets process-wide telemetry.

use std::{env, io};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterFn, LevelFilter},
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::settings::{LogFormat, Settings};

/// `service.name` unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE_NAME: &str = "langop-synthesizer";

/// Sends the last spans when dropped.
#[must_use = "dropping it ends the traces"]
pub struct Guard(Option<SdkTracerProvider>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown()
        {
            tracing::warn!("the last spans may be lost: {error}");
        }
    }
}

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `LANGOP_LOG` is no filter.
    #[error(
        "LANGOP_LOG cannot be read; write a level such as info, or directives such as langop_synthesizer=debug"
    )]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The `OTEL_*` variables contradict each other.
    #[error("the OTLP exporter cannot be made; check the OTEL_EXPORTER_OTLP_* variables")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Somebody else was first.
    #[error("telemetry is already set up")]
    Twice(#[from] TryInitError),
}

/// Sets up logs and traces. Needs a tokio runtime, in which the exporter sends.
pub fn init(settings: &Settings) -> Result<Guard, TelemetryError> {
    let filter = EnvFilter::try_new(&settings.log)?;
    let format = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let logs = match settings.log_format {
        LogFormat::Text => format.with_filter(filter).boxed(),
        LogFormat::Json => format.json().with_filter(filter).boxed(),
    };
    let provider = is_exported().then(provider).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        let layer =
            tracing_opentelemetry::layer::<Registry>().with_tracer(provider.tracer(SERVICE_NAME));
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
        .try_init()?;
    Ok(Guard(provider))
}

/// Off by default: without a collector the exporter would only log that there is none.
fn is_exported() -> bool {
    let is = |name: &str, value: &str| {
        env::var(name).is_ok_and(|found| found.eq_ignore_ascii_case(value))
    };
    let is_set = |name: &str| env::var(name).is_ok_and(|value| !value.is_empty());
    let endpoint =
        is_set("OTEL_EXPORTER_OTLP_ENDPOINT") || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    endpoint && !is("OTEL_SDK_DISABLED", "true") && !is("OTEL_TRACES_EXPORTER", "none")
}

fn provider() -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder().with_tonic().build()?;
    let mut resource = Resource::builder();
    if env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(SERVICE_NAME);
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}
