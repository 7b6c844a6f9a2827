//! What is counted, and how it is shown. Labels come from enums, never from the text of an error or
//! the name of an object. One exception: tokens are summed by namespace, to share out the costs;
//! there are as many as the operator works in.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc, time::Duration};

use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    agent::{AgentPhase, RunTokens, Tokens},
};
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

use crate::cache::kind::Kind;

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
struct PhaseLabels {
    phase: Text,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    namespace: String,
    r#type: Text,
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
    retrying: Gauge,
    agents: Family<PhaseLabels, Gauge>,
    writes: Family<WriteLabels, Counter>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let reconciles = Family::new_with_constructor(reconcile_histogram as fn() -> Histogram);
        let steps = Family::new_with_constructor(step_histogram as fn() -> Histogram);
        let syntheses =
            Family::new_with_constructor(synthesis_histogram as fn() -> TracedHistogram);
        let (in_flight, retrying) = (Gauge::default(), Gauge::default());
        let (agents, writes) = (Family::default(), Family::default());
        let mut registry = Registry::default();
        registry.register(
            "langop_reconcile_duration_seconds",
            "Time of one reconcile; alert on a rate of outcome=\"failed\" or \"timeout\" that does not fall",
            reconciles.clone(),
        );
        registry.register(
            "langop_reconcile_step_duration_seconds",
            "Time of one step of a reconcile; outcome=\"blocked\" is told in the object's conditions, \"abandoned\" was cut off by a timeout or a panic",
            steps.clone(),
        );
        registry.register(
            "langop_synthesis_duration_seconds",
            "Time of one call of the synthesizer as the operator sees it; alert on outcome=\"failed\" or \"disabled\"",
            syntheses.clone(),
        );
        registry.register(
            "langop_synthesis_in_flight",
            "Calls of the synthesizer under way or queued",
            in_flight.clone(),
        );
        registry.register(
            "langop_reconcile_retrying",
            "Objects whose last reconcile failed and is tried again after a pause; alert on one that does not fall to 0",
            retrying.clone(),
        );
        registry.register(
            "langop_agents",
            "LanguageAgents by phase; alert on phase=\"Failed\"",
            agents.clone(),
        );
        registry.register(
            "langop_api_writes",
            "Writes to the API server; in steady state nothing but Leases",
            writes.clone(),
        );
        Self {
            registry: Arc::new(registry),
            reconciles,
            steps,
            syntheses,
            in_flight,
            retrying,
            agents,
            writes,
        }
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

    pub(crate) fn wrote(&self, kind: &'static str, verb: &'static str) {
        self.writes
            .get_or_create(&WriteLabels {
                kind: Text(kind),
                verb: Text(verb),
            })
            .inc();
    }

    /// The text of `/metrics`. Agents, and what they cost, are counted on request.
    pub(crate) fn render<'a>(
        &self,
        agents: impl Iterator<Item = &'a LanguageAgent>,
    ) -> Result<String, std::fmt::Error> {
        let mut counts = PHASES.map(|phase| (phase, 0_i64));
        let (mut syntheses, mut runs) = (BTreeMap::new(), BTreeMap::new());
        for agent in agents {
            let phase = agent.status.as_ref().and_then(|status| status.phase);
            counts
                .iter_mut()
                .filter(|(listed, _)| Some(*listed) == phase)
                .for_each(|(_, count)| *count += 1);
            add_syntheses(&mut syntheses, agent);
            add_runs(&mut runs, agent);
        }
        for (phase, count) in counts {
            self.agents
                .get_or_create(&PhaseLabels {
                    phase: Text(phase_text(phase)),
                })
                .set(count);
        }
        let mut text = String::new();
        encode_registry(&mut text, &self.registry)?;
        encode_registry(&mut text, &tokens_registry(syntheses, runs))?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

fn add_syntheses(sums: &mut BTreeMap<String, Tokens>, agent: &LanguageAgent) {
    let info = agent.status.as_ref();
    let info = info.and_then(|status| status.synthesis_info.as_ref());
    if let Some(spent) = info.and_then(|info| info.tokens) {
        let sum = sums.entry(agent.namespace().unwrap_or_default());
        let sum = sum.or_default();
        sum.input = sum.input.saturating_add(spent.input);
        sum.output = sum.output.saturating_add(spent.output);
    }
}

fn add_runs(sums: &mut BTreeMap<String, RunTokens>, agent: &LanguageAgent) {
    let status = agent.status.as_ref();
    if let Some(usage) = status.and_then(|status| status.usage.as_ref()) {
        let sum = sums.entry(agent.namespace().unwrap_or_default());
        let sum = sum.or_default();
        *sum = sum.plus(usage.total);
    }
}

/// Built on each request, so that a namespace without agents disappears.
fn tokens_registry(
    syntheses: BTreeMap<String, Tokens>,
    runs: BTreeMap<String, RunTokens>,
) -> Registry {
    let of_syntheses = Family::<TokenLabels, Gauge>::default();
    for (namespace, sum) in syntheses {
        set(&of_syntheses, &namespace, "input", sum.input);
        set(&of_syntheses, &namespace, "output", sum.output);
    }
    let of_runs = Family::<TokenLabels, Gauge>::default();
    for (namespace, sum) in runs {
        set(&of_runs, &namespace, "input", sum.input);
        set(&of_runs, &namespace, "output", sum.output);
        set(&of_runs, &namespace, "cached_input", sum.cached_input);
    }
    let mut registry = Registry::default();
    registry.register(
        "langop_agent_synthesis_tokens",
        "Tokens that the code of the LanguageAgents that exist has cost so far, by their statuses",
        of_syntheses,
    );
    registry.register(
        "langop_agent_run_tokens",
        "Tokens that the runs of the LanguageAgents that exist have spent so far, by their statuses",
        of_runs,
    );
    registry
}

fn set(gauges: &Family<TokenLabels, Gauge>, namespace: &str, type_: &'static str, number: i64) {
    let labels = TokenLabels {
        namespace: namespace.to_owned(),
        r#type: Text(type_),
    };
    gauges.get_or_create(&labels).set(number);
}

const PHASES: [AgentPhase; 5] = [
    AgentPhase::Pending,
    AgentPhase::Running,
    AgentPhase::Succeeded,
    AgentPhase::Failed,
    AgentPhase::Suspended,
];

const fn phase_text(phase: AgentPhase) -> &'static str {
    match phase {
        AgentPhase::Pending => "Pending",
        AgentPhase::Running => "Running",
        AgentPhase::Succeeded => "Succeeded",
        AgentPhase::Failed => "Failed",
        AgentPhase::Suspended => "Suspended",
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
        let agents = [
            agent("a", "Running", Some((100, 50))),
            agent("a", "Running", Some((30, 7))),
            agent("b", "Pending", None),
            that_ran("a", 11),
            that_ran("a", 22),
        ];
        let text = metrics.render(agents.iter()).unwrap();
        for line in [
            "langop_reconcile_duration_seconds_count{kind=\"LanguageAgent\",outcome=\"unchanged\"} 1",
            "langop_synthesis_duration_seconds_count{outcome=\"made\"} 1",
            "langop_api_writes_total{kind=\"Deployment\",verb=\"apply\"} 1",
            "langop_synthesis_in_flight 3",
            "langop_agents{phase=\"Running\"} 4",
            "langop_agents{phase=\"Failed\"} 0",
            "langop_agent_synthesis_tokens{namespace=\"a\",type=\"input\"} 130",
            "langop_agent_synthesis_tokens{namespace=\"a\",type=\"output\"} 57",
            "langop_agent_run_tokens{namespace=\"a\",type=\"input\"} 33",
            "langop_agent_run_tokens{namespace=\"a\",type=\"cached_input\"} 2",
            "trace_id=\"0af7651916cd43dd8448eb211c80319c\"",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_namespace_whose_agents_are_gone_or_cost_nothing_is_not_shown() {
        let metrics = Metrics::new();
        let cost = [agent("gone", "Running", Some((1, 1)))];
        assert!(metrics.render(cost.iter()).unwrap().contains("gone"));
        let free = [agent("free", "Running", None)];
        let text = metrics.render(free.iter()).unwrap();
        assert!(!text.contains("gone") && !text.contains("free"), "{text}");
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    fn that_ran(namespace: &str, input: i64) -> LanguageAgent {
        let tokens = serde_json::json!({"input": input, "output": 3, "cachedInput": 1});
        let mut today = tokens.clone();
        today["date"] = "2026-11-29".into();
        let mut agent = agent(namespace, "Running", None);
        let usage = serde_json::json!({"total": tokens, "today": today});
        agent.status.as_mut().unwrap().usage = Some(serde_json::from_value(usage).unwrap());
        agent
    }

    fn agent(namespace: &str, phase: &str, tokens: Option<(i64, i64)>) -> LanguageAgent {
        let tokens = tokens.map(
            |(input, output)| serde_json::json!({"tokens": {"input": input, "output": output}}),
        );
        serde_json::from_value(serde_json::json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
            "metadata": {"name": "a", "namespace": namespace},
            "spec": {"instructions": "i"},
            "status": {"phase": phase, "synthesisInfo": tokens},
        }))
        .unwrap()
    }
}
