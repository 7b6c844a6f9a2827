//! What the status of every LanguageAgent adds up to: how many there are, which are not Ready, how
//! their runs ended and what they cost. Built on each request, so that what is gone disappears.
//!
//! Labels are namespaces, of which there are as many as the operator works in, and texts from
//! enums. Agents are named only while they are not Ready, and at most [`MAX_NAMED`] of them.

use std::collections::BTreeMap;

use kube::ResourceExt as _;
use langop_api::{
    LanguageAgent,
    agent::{AgentPhase, RunTokens, Tokens},
    condition::{Reason, types},
};
use langop_desired::conditions;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

/// The most agents that are named. Beyond, somebody looks for what they have in common.
const MAX_NAMED: usize = 100;
/// The reason of an agent that has no condition yet, or one that is not of ours.
const UNKNOWN: &str = "Unknown";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    namespace: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AgentLabels {
    namespace: String,
    name: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    namespace: String,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TokenLabels {
    namespace: String,
    r#type: &'static str,
}

/// What is known of the agents of one namespace.
#[derive(Debug, Default)]
struct Sums {
    not_ready: BTreeMap<&'static str, i64>,
    succeeded: i64,
    failed: i64,
    syntheses: Option<Tokens>,
    runs: Option<RunTokens>,
}

/// An agent that is not Ready.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NotReady {
    /// Seconds since 1970.
    since: i64,
    namespace: String,
    name: String,
    reason: &'static str,
}

/// The metrics of these agents.
pub(super) fn registry<'a>(agents: impl Iterator<Item = &'a LanguageAgent>) -> Registry {
    let mut phases = PHASES.map(|phase| (phase, 0_i64));
    let mut namespaces = BTreeMap::<String, Sums>::new();
    let mut not_ready = Vec::new();
    for agent in agents {
        let phase = agent.status.as_ref().and_then(|status| status.phase);
        let mut counts = phases.iter_mut();
        if let Some((_, count)) = counts.find(|(listed, _)| Some(*listed) == phase) {
            *count += 1;
        }
        let sums = namespaces.entry(agent.namespace().unwrap_or_default());
        sums.or_default().add(agent);
        not_ready.extend(why_not_ready(agent));
    }
    // Whoever waits longest is named.
    not_ready.sort_unstable();
    not_ready.truncate(MAX_NAMED);

    let mut registry = Registry::default();
    register_phases(&mut registry, phases);
    register_not_ready(&mut registry, &namespaces, not_ready);
    register_executions(&mut registry, &namespaces);
    register_tokens(&mut registry, &namespaces);
    registry
}

impl Sums {
    fn add(&mut self, agent: &LanguageAgent) {
        if let Some(not_ready) = why_not_ready(agent) {
            *self.not_ready.entry(not_ready.reason).or_default() += 1;
        }
        let Some(status) = &agent.status else {
            return;
        };
        let executions = [
            (&mut self.succeeded, status.successful_executions),
            (&mut self.failed, status.failed_executions),
        ];
        for (sum, count) in executions {
            *sum = sum.saturating_add(count.unwrap_or_default());
        }
        let info = status.synthesis_info.as_ref();
        if let Some(spent) = info.and_then(|info| info.tokens) {
            let sum = self.syntheses.get_or_insert_default();
            sum.input = sum.input.saturating_add(spent.input);
            sum.output = sum.output.saturating_add(spent.output);
        }
        if let Some(usage) = &status.usage {
            let sum = self.runs.get_or_insert_default();
            *sum = sum.plus(usage.total);
        }
    }
}

/// `None` for an agent that is Ready. One that was never reconciled has been so since it was made.
fn why_not_ready(agent: &LanguageAgent) -> Option<NotReady> {
    let status = agent.status.as_ref();
    let conditions = status.map(|status| status.conditions.as_slice());
    let conditions = conditions.unwrap_or_default();
    if conditions::is_true(conditions, types::READY) {
        return None;
    }
    let ready = conditions::find(conditions, types::READY);
    let since = ready.map(|ready| &ready.last_transition_time);
    let since = since.or(agent.metadata.creation_timestamp.as_ref());
    let reason = ready.and_then(|ready| Reason::from_name(&ready.reason));
    Some(NotReady {
        since: since.map_or(0, |time| time.0.as_second()),
        namespace: agent.namespace().unwrap_or_default(),
        name: agent.name_any(),
        reason: reason.map_or(UNKNOWN, Reason::as_str),
    })
}

fn register_phases(registry: &mut Registry, phases: [(AgentPhase, i64); PHASES.len()]) {
    let gauges = Family::<PhaseLabels, Gauge>::default();
    for (phase, count) in phases {
        let phase = phase_text(phase);
        gauges.get_or_create(&PhaseLabels { phase }).set(count);
    }
    registry.register(
        "langop_agents",
        "LanguageAgents by phase; alert on phase=\"Failed\"",
        gauges,
    );
}

fn register_not_ready(
    registry: &mut Registry,
    namespaces: &BTreeMap<String, Sums>,
    named: Vec<NotReady>,
) {
    let counts = Family::<ReasonLabels, Gauge>::default();
    for (namespace, sums) in namespaces {
        for (reason, count) in &sums.not_ready {
            let labels = ReasonLabels {
                namespace: namespace.clone(),
                reason,
            };
            counts.get_or_create(&labels).set(*count);
        }
    }
    let since = Family::<AgentLabels, Gauge>::default();
    for agent in named {
        let labels = AgentLabels {
            namespace: agent.namespace,
            name: agent.name,
            reason: agent.reason,
        };
        since.get_or_create(&labels).set(agent.since);
    }
    registry.register(
        "langop_agents_not_ready",
        "LanguageAgents whose condition Ready is not True, by its reason; alert on what stays",
        counts,
    );
    registry.register(
        "langop_agent_not_ready_timestamp_seconds",
        "Since when a LanguageAgent is not Ready; of the 100 that wait longest",
        since,
    );
}

fn register_executions(registry: &mut Registry, namespaces: &BTreeMap<String, Sums>) {
    let gauges = Family::<ResultLabels, Gauge>::default();
    for (namespace, sums) in namespaces {
        for (result, count) in [("succeeded", sums.succeeded), ("failed", sums.failed)] {
            let labels = ResultLabels {
                namespace: namespace.clone(),
                result,
            };
            gauges.get_or_create(&labels).set(count);
        }
    }
    registry.register(
        "langop_agent_executions",
        "Ended runs of the LanguageAgents that exist, by their statuses",
        gauges,
    );
}

fn register_tokens(registry: &mut Registry, namespaces: &BTreeMap<String, Sums>) {
    let of_syntheses = Family::<TokenLabels, Gauge>::default();
    let of_runs = Family::<TokenLabels, Gauge>::default();
    for (namespace, sums) in namespaces {
        if let Some(sum) = sums.syntheses {
            set(&of_syntheses, namespace, "input", sum.input);
            set(&of_syntheses, namespace, "output", sum.output);
        }
        if let Some(sum) = &sums.runs {
            set(&of_runs, namespace, "input", sum.input);
            set(&of_runs, namespace, "output", sum.output);
            set(&of_runs, namespace, "cached_input", sum.cached_input);
        }
    }
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
}

fn set(gauges: &Family<TokenLabels, Gauge>, namespace: &str, r#type: &'static str, number: i64) {
    let labels = TokenLabels {
        namespace: namespace.to_owned(),
        r#type,
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

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use serde_json::{Value, json};

    use super::*;

    fn page(agents: &[LanguageAgent]) -> String {
        let mut text = String::new();
        encode(&mut text, &registry(agents.iter())).unwrap();
        text
    }

    fn agent(namespace: &str, name: &str, status: &Value) -> LanguageAgent {
        serde_json::from_value(json!({
            "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "1970-01-01T00:16:40Z"},
            "spec": {"instructions": "i"},
            "status": status,
        }))
        .unwrap()
    }

    fn ready(status: &str, reason: &str, since: &str) -> Value {
        json!([{"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": since}])
    }

    #[track_caller]
    fn assert_lines(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn phases_and_tokens_are_summed() {
        let spent = |input: i64, output: i64| json!({"phase": "Running", "synthesisInfo": {"tokens": {"input": input, "output": output}}});
        let ran = |input: i64| {
            let tokens = json!({"input": input, "output": 3, "cachedInput": 1});
            let mut today = tokens.clone();
            today["date"] = "2026-11-29".into();
            json!({"phase": "Running", "usage": {"total": tokens, "today": today}})
        };
        let text = page(&[
            agent("a", "one", &spent(100, 50)),
            agent("a", "two", &spent(30, 7)),
            agent("b", "three", &json!({"phase": "Pending"})),
            agent("a", "four", &ran(11)),
            agent("a", "five", &ran(22)),
        ]);
        assert_lines(
            &text,
            &[
                "langop_agents{phase=\"Running\"} 4",
                "langop_agents{phase=\"Failed\"} 0",
                "langop_agent_synthesis_tokens{namespace=\"a\",type=\"input\"} 130",
                "langop_agent_synthesis_tokens{namespace=\"a\",type=\"output\"} 57",
                "langop_agent_run_tokens{namespace=\"a\",type=\"input\"} 33",
                "langop_agent_run_tokens{namespace=\"a\",type=\"cached_input\"} 2",
            ],
        );
        assert!(
            !text.contains("tokens{namespace=\"b\""),
            "what costs nothing"
        );
    }

    #[test]
    fn who_is_not_ready_is_named_with_the_reason_and_since_when() {
        let long_ago = ready("False", "ReferenceNotFound", "1970-01-01T00:00:05Z");
        let text = page(&[
            agent(
                "a",
                "fine",
                &json!({"conditions": ready("True", "AsDesired", "1970-01-01T00:00:07Z")}),
            ),
            agent("a", "stuck", &json!({"conditions": long_ago})),
            agent(
                "a",
                "odd",
                &json!({"conditions": ready("False", "Forged", "1970-01-01T00:00:06Z")}),
            ),
            agent("b", "new", &Value::Null),
        ]);
        assert_lines(
            &text,
            &[
                "langop_agents_not_ready{namespace=\"a\",reason=\"ReferenceNotFound\"} 1",
                "langop_agents_not_ready{namespace=\"a\",reason=\"Unknown\"} 1",
                "langop_agent_not_ready_timestamp_seconds{namespace=\"a\",name=\"stuck\",reason=\"ReferenceNotFound\"} 5",
                "langop_agent_not_ready_timestamp_seconds{namespace=\"a\",name=\"odd\",reason=\"Unknown\"} 6",
                "langop_agent_not_ready_timestamp_seconds{namespace=\"b\",name=\"new\",reason=\"Unknown\"} 1000",
            ],
        );
        assert!(!text.contains("fine") && !text.contains("Forged"), "{text}");
    }

    #[test]
    fn those_that_wait_longest_are_named_and_all_are_counted() {
        let waiting = |nth: usize| {
            let since = format!("1970-01-01T00:{:02}:{:02}Z", nth / 60, nth % 60);
            let conditions = ready("False", "RolloutStuck", &since);
            agent("a", &format!("a{nth}"), &json!({"conditions": conditions}))
        };
        let text = page(&(0..=MAX_NAMED).map(waiting).collect::<Vec<_>>());
        let named = "langop_agent_not_ready_timestamp_seconds{";
        assert_eq!(text.matches(named).count(), MAX_NAMED);
        assert!(text.contains("name=\"a0\"") && !text.contains("name=\"a100\""));
        assert_lines(
            &text,
            &["langop_agents_not_ready{namespace=\"a\",reason=\"RolloutStuck\"} 101"],
        );
    }

    #[test]
    fn ended_runs_are_summed_where_there_are_agents() {
        let ran = json!({"successfulExecutions": 3, "failedExecutions": 1});
        let text = page(&[
            agent("a", "one", &ran),
            agent("a", "two", &ran),
            agent("b", "three", &Value::Null),
        ]);
        assert_lines(
            &text,
            &[
                "langop_agent_executions{namespace=\"a\",result=\"succeeded\"} 6",
                "langop_agent_executions{namespace=\"a\",result=\"failed\"} 2",
                "langop_agent_executions{namespace=\"b\",result=\"failed\"} 0",
            ],
        );
    }
}
