//! The metrics of what all `LanguageAgent`s add up to ([`Tally`]). Built on each request, so that
//! what is gone disappears.
//!
//! Labels are namespaces, of which there are as many as the operator works in, and texts from
//! enums. Agents are named only while they are not Ready, and at most [`MAX_NAMED`] of them.

use std::collections::BTreeMap;

use langop_api::agent::AgentPhase;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::cache::tally::{NotReady, Sums, Tally};

/// The most agents that are named. Beyond, somebody looks for what they have in common.
const MAX_NAMED: usize = 100;

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

/// The metrics of all agents.
pub(super) fn registry(agents: &Tally) -> Registry {
    let mut registry = Registry::default();
    register_phases(&mut registry, agents);
    // Whoever waits longest is named.
    let named = agents.not_ready.iter().take(MAX_NAMED);
    register_not_ready(&mut registry, &agents.namespaces, named);
    register_executions(&mut registry, &agents.namespaces);
    register_tokens(&mut registry, &agents.namespaces);
    registry
}

fn register_phases(registry: &mut Registry, agents: &Tally) {
    let gauges = Family::<PhaseLabels, Gauge>::default();
    for phase in PHASES {
        let count = agents.phases.get(&phase).copied().unwrap_or_default();
        let phase = phase_text(phase);
        gauges.get_or_create(&PhaseLabels { phase }).set(count);
    }
    registry.register(
        "langop_agents",
        "LanguageAgents by phase; alert on phase=\"Failed\"",
        gauges,
    );
}

fn register_not_ready<'a>(
    registry: &mut Registry,
    namespaces: &BTreeMap<String, Sums>,
    named: impl Iterator<Item = &'a NotReady>,
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
            namespace: agent.namespace.clone(),
            name: agent.name.clone(),
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
            gauges.get_or_create(&labels).set(count.get());
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
        if let Some([input, output]) = sums.syntheses.get() {
            set(&of_syntheses, namespace, "input", input);
            set(&of_syntheses, namespace, "output", output);
        }
        if let Some([input, output, cached_input]) = sums.runs.get() {
            set(&of_runs, namespace, "input", input);
            set(&of_runs, namespace, "output", output);
            set(&of_runs, namespace, "cached_input", cached_input);
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
    use langop_api::LanguageAgent;
    use prometheus_client::encoding::text::encode;
    use serde_json::{Value, json};

    use crate::cache::tally::Sum as _;

    use super::*;

    fn page(agents: &[LanguageAgent]) -> String {
        let mut tally = Tally::default();
        for agent in agents {
            tally.exchange(None, Some(agent));
        }
        let mut text = String::new();
        encode(&mut text, &registry(&tally)).unwrap();
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
