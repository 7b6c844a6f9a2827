//! What is counted, and how it is shown. Labels come from enums, never from the text of an error or
//! the name of an object; [`agents`] says what it excepts, and why that is bounded.

mod agents;
pub(crate) mod example;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{
        EncodeLabelSet, EncodeLabelValue, LabelValueEncoder,
        text::{encode_eof, encode_registry},
    },
    metrics::{
        counter::Counter, exemplar::HistogramWithExemplars, family::Family, gauge::Gauge,
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::cache::{kind::Kind, tally::Tally};

/// A label from a fixed list of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text(pub(crate) &'static str);

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0)
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReconcileLabels {
    kind: Kind,
    outcome: Text,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: Kind,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StepLabels {
    kind: Kind,
    step: Text,
    outcome: Text,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: Text,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    kind: Text,
    verb: Text,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct TraceLabels {
    trace_id: String,
}

type TracedHistogram = HistogramWithExemplars<TraceLabels>;

/// All metrics of the operator. Clones share the values.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    reconciles: Family<ReconcileLabels, Histogram, fn() -> Histogram>,
    steps: Family<StepLabels, Histogram, fn() -> Histogram>,
    syntheses: Family<OutcomeLabels, TracedHistogram, fn() -> TracedHistogram>,
    in_flight: Gauge,
    queued: Family<KindLabels, Gauge>,
    waits: Family<KindLabels, Histogram, fn() -> Histogram>,
    retrying: Gauge,
    leader: Gauge,
    writes: Family<WriteLabels, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let reconciles = Family::new_with_constructor(reconcile_histogram as fn() -> Histogram);
        let steps = Family::new_with_constructor(step_histogram as fn() -> Histogram);
        let syntheses =
            Family::new_with_constructor(synthesis_histogram as fn() -> TracedHistogram);
        let metrics = Self {
            registry: Arc::default(),
            reconciles,
            steps,
            syntheses,
            in_flight: Gauge::default(),
            queued: Family::default(),
            waits: Family::new_with_constructor(reconcile_histogram as fn() -> Histogram),
            retrying: Gauge::default(),
            leader: Gauge::default(),
            writes: Family::default(),
        };
        Self {
            registry: Arc::new(metrics.register()),
            ..metrics
        }
    }

    fn register(&self) -> Registry {
        let mut registry = Registry::default();
        registry.register(
            "langop_reconcile_duration_seconds",
            "Time of one reconcile; alert on a rate of outcome=\"failed\" or \"timeout\" that does not fall",
            self.reconciles.clone(),
        );
        registry.register(
            "langop_reconcile_step_duration_seconds",
            "Time of one step of a reconcile; outcome=\"blocked\" is told in the object's conditions, \"abandoned\" was cut off by a timeout or a panic",
            self.steps.clone(),
        );
        registry.register(
            "langop_synthesis_duration_seconds",
            "Time of one call of the synthesizer as the operator sees it; alert on outcome=\"failed\" or \"disabled\"",
            self.syntheses.clone(),
        );
        registry.register(
            "langop_synthesis_in_flight",
            "Calls of the synthesizer under way or queued",
            self.in_flight.clone(),
        );
        registry.register(
            "langop_reconcile_queue",
            "Objects that something has triggered and whose reconcile has not begun",
            self.queued.clone(),
        );
        registry.register(
            "langop_reconcile_queue_duration_seconds",
            "Time from the first trigger of an object to the beginning of its reconcile",
            self.waits.clone(),
        );
        registry.register(
            "langop_reconcile_retrying",
            "Objects whose last reconcile failed and is tried again after a pause; alert on one that does not fall to 0",
            self.retrying.clone(),
        );
        registry.register(
            "langop_leader",
            "1 where this process reconciles, 0 where it stands by; alert on a sum of 0",
            self.leader.clone(),
        );
        registry.register(
            "langop_api_writes",
            "Writes to the API server; in steady state nothing but Leases",
            self.writes.clone(),
        );
        registry
    }

    pub(crate) fn reconciled(&self, kind: Kind, outcome: &'static str, took: Duration) {
        let labels = ReconcileLabels {
            kind,
            outcome: Text(outcome),
        };
        self.reconciles
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A reconcile begins, so long after what triggered it.
    pub(crate) fn waited(&self, kind: Kind, time: Duration) {
        self.waits
            .get_or_create(&KindLabels { kind })
            .observe(time.as_secs_f64());
    }

    /// One step of a reconcile has ended, or was abandoned.
    pub(crate) fn stepped(
        &self,
        kind: Kind,
        step: &'static str,
        outcome: &'static str,
        took: Duration,
    ) {
        let labels = StepLabels {
            kind,
            step: Text(step),
            outcome: Text(outcome),
        };
        self.steps
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// `traceparent` becomes the exemplar.
    pub(crate) fn synthesized(
        &self,
        outcome: &'static str,
        took: Duration,
        traceparent: Option<&str>,
    ) {
        let trace_id = traceparent
            .and_then(|header| header.split('-').nth(1))
            .map(str::to_owned);
        let exemplar = trace_id.map(|trace_id| TraceLabels { trace_id });
        let labels = OutcomeLabels {
            outcome: Text(outcome),
        };
        self.syntheses
            .get_or_create(&labels)
            .observe(took.as_secs_f64(), exemplar, None);
    }

    pub(crate) fn set_in_flight(&self, number: usize) {
        self.in_flight
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_retrying(&self, number: usize) {
        self.retrying.set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub(crate) fn set_queued(&self, kind: Kind, number: usize) {
        self.queued
            .get_or_create(&KindLabels { kind })
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// This process reconciles from now on; it ends when another one does.
    pub(crate) fn leads(&self) {
        self.leader.set(1);
    }

    pub(crate) fn wrote(&self, kind: &'static str, verb: &'static str) {
        self.writes
            .get_or_create(&WriteLabels {
                kind: Text(kind),
                verb: Text(verb),
            })
            .inc();
    }

    /// The text of `/metrics`, with what the agents add up to.
    pub(crate) fn render(&self, agents: &Tally) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &agents::registry(agents))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn reconcile_histogram() -> Histogram {
    Histogram::new([
        0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        30.0, 60.0,
    ])
}

/// Coarser than that of whole reconciles: there are as many of these as steps and outcomes.
fn step_histogram() -> Histogram {
    Histogram::new([0.001, 0.01, 0.1, 1.0, 10.0, 60.0])
}

fn synthesis_histogram() -> TracedHistogram {
    TracedHistogram::new(
        [
            0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0, 120.0,
        ]
        .into_iter(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_of_the_design_is_shown() {
        let metrics = Metrics::new();
        metrics.reconciled(Kind::Agent, "unchanged", Duration::from_millis(2));
        metrics.synthesized(
            "made",
            Duration::from_secs(3),
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        );
        metrics.wrote("Deployment", "apply");
        metrics.set_in_flight(3);
        metrics.set_queued(Kind::Tool, 2);
        metrics.waited(Kind::Tool, Duration::from_millis(1));
        let standby = metrics.render(&Tally::default()).unwrap();
        metrics.leads();
        let text = metrics.render(&Tally::default()).unwrap();
        assert!(standby.contains("langop_leader 0"), "{standby}");
        for line in [
            "langop_reconcile_duration_seconds_count{kind=\"LanguageAgent\",outcome=\"unchanged\"} 1",
            "langop_reconcile_queue{kind=\"LanguageTool\"} 2",
            "langop_reconcile_queue_duration_seconds_count{kind=\"LanguageTool\"} 1",
            "langop_synthesis_duration_seconds_count{outcome=\"made\"} 1",
            "langop_api_writes_total{kind=\"Deployment\",verb=\"apply\"} 1",
            "langop_synthesis_in_flight 3",
            "langop_leader 1",
            "langop_agents{phase=\"Failed\"} 0",
            "trace_id=\"0af7651916cd43dd8448eb211c80319c\"",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
    }
}
