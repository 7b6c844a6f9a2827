//! Logs on standard error, and traces to an OTLP collector where the standard OTEL_* variables name
//! one. The one place that sets process-wide telemetry.

use std::io;

use langop_program::telemetry::Traces;
use opentelemetry::trace::TracerProvider as _;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    filter::{FilterExt as _, FilterFn, LevelFilter, ParseError},
    layer::{Filter, SubscriberExt as _},
    util::{SubscriberInitExt as _, TryInitError},
};

use crate::settings::{LogFormat, Settings};

/// `service.name` unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE_NAME: &str = "langop-synthesizer";

/// Why there is no telemetry.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `LANGOP_LOG` is no filter.
    #[error(
        "LANGOP_LOG cannot be read; write a level such as info, or directives such as langop_synthesizer=debug"
    )]
    Filter(#[from] ParseError),
    /// A subscriber is already set.
    #[error("telemetry is already set up")]
    Twice(#[from] TryInitError),
}

/// Sets up logs and traces, whose last spans are sent when the result is dropped. Needs a tokio
/// runtime, in which the exporter sends.
pub fn init(settings: &Settings) -> Result<Traces, TelemetryError> {
    let filter = lines(&settings.log)?;
    let format = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let logs = match settings.log_format {
        LogFormat::Text => format.with_filter(filter).boxed(),
        LogFormat::Json => format.json().with_filter(filter).boxed(),
    };
    let exported = Traces::from_environment(SERVICE_NAME);
    let traces = exported.provider().map(|provider| {
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
    exported.warn();
    Ok(exported)
}

/// What is logged. Lines name the spans they are in only for those who look closely, or who ask for
/// lines by their span: to make and format spans for lines that are never written costs more than
/// the rest of a cache hit. So lines of other levels that are about a request must name it
/// themselves.
fn lines<S: Subscriber>(
    directives: &str,
) -> Result<impl Filter<S> + Send + Sync + 'static, ParseError> {
    let filter = EnvFilter::try_new(directives)?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE);
    let names_spans = most >= LevelFilter::DEBUG || directives.contains('[');
    let spans = FilterFn::new(move |metadata| names_spans || !metadata.is_span());
    // Without the hint everything of every crate would be made, for this filter to look at.
    Ok(filter.and(spans.with_max_level_hint(most)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Written {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The names of the spans that are made, and what is written, for a warning in a span.
    fn warning(directives: &str) -> (bool, String) {
        let written = Written::default();
        let format = tracing_subscriber::fmt::layer()
            .with_writer(written.clone())
            .with_ansi(false)
            .with_filter(lines(directives).unwrap());
        let subscriber = tracing_subscriber::registry().with(format);
        let is_made = tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("surroundings");
            span.in_scope(|| tracing::warn!("attention"));
            !span.is_disabled()
        });
        let written = written.0.lock().unwrap().clone();
        (is_made, String::from_utf8(written).unwrap())
    }

    #[test]
    fn spans_are_made_for_those_who_look_closely() {
        for (directives, names_spans) in [
            ("info", false),
            ("warn", false),
            ("langop_synthesizer=info,h2=warn", false),
            ("debug", true),
            ("warn,langop_synthesizer=debug", true),
            ("off,[surroundings]=info", true),
        ] {
            let (is_made, written) = warning(directives);
            assert!(written.contains("attention"), "{directives}: {written}");
            assert_eq!(is_made, names_spans, "{directives}");
            assert_eq!(written.contains("surroundings"), names_spans, "{written}");
        }
    }

    #[test]
    fn what_nobody_reads_is_not_made() {
        for (directives, most) in [
            ("info", LevelFilter::INFO),
            ("off", LevelFilter::OFF),
            ("warn,langop_synthesizer=debug", LevelFilter::DEBUG),
        ] {
            let filter = lines::<Registry>(directives).unwrap();
            assert_eq!(filter.max_level_hint(), Some(most), "{directives}");
        }
    }
}
