//! The alerts: what somebody must act on. Each has a paragraph in docs/runbook.md under its own
//! name.

use serde::Serialize;

use crate::promql::{OPERATOR, SYNTHESIZER, growth, of, once, quantile, rate, share, sum};

/// Rules that belong together.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Of all groups of the Prometheus.
    pub name: &'static str,
    /// Its alerts.
    pub rules: Vec<Alert>,
}

/// An alert.
#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    /// Its name, also that of its paragraph in the runbook.
    pub alert: &'static str,
    /// When it holds.
    pub expr: String,
    /// How long it must hold.
    pub r#for: &'static str,
    /// What it watches, without its threshold: there while all is well, too.
    #[serde(skip)]
    pub measure: String,
    labels: Labels,
    annotations: Annotations,
}

#[derive(Debug, Clone, Serialize)]
struct Labels {
    severity: Severity,
}

/// How soon somebody must act.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// Now.
    Critical,
    /// Within the day.
    Warning,
}

#[derive(Debug, Clone, Serialize)]
struct Annotations {
    summary: &'static str,
    description: &'static str,
}

/// The file of rules, as Prometheus reads it.
///
/// # Errors
/// If it cannot be written as YAML: a bug.
pub fn yaml() -> Result<String, serde_saphyr::ser::Error> {
    #[derive(Serialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    let head = "# Written from dashboards/src/alerts.rs by LANGOP_UPDATE=1 cargo test -p langop-dashboards.\n";
    let rules = serde_saphyr::to_string(&Rules { groups: groups() })?;
    Ok(format!("{head}{rules}"))
}

/// All groups.
pub fn groups() -> Vec<Group> {
    vec![
        Group {
            name: "langop-agents",
            rules: vec![agents_not_ready(), agent_runs_failing()],
        },
        Group {
            name: "langop-synthesis",
            rules: vec![
                synthesizer_down(),
                synthesis_disabled(),
                synthesis_failing(),
                synthesis_slow(),
                provider_errors(),
            ],
        },
        Group {
            name: "langop-operator",
            rules: vec![
                operator_down(),
                no_leader(),
                reconciles_failing(),
                objects_retried(),
                queue_slow(),
            ],
        },
    ]
}

/// When an alert holds, and for how long it must.
struct Condition {
    measure: String,
    expr: String,
    lasts: &'static str,
}

impl Condition {
    /// `threshold` is a comparison, such as `> 0`.
    fn when(measure: String, threshold: &str, lasts: &'static str) -> Self {
        Self {
            expr: format!("{measure} {threshold}"),
            measure,
            lasts,
        }
    }

    /// No replica can be scraped.
    fn down(job: &str, lasts: &'static str) -> Self {
        let measure = of(job, "up", "");
        Self {
            expr: format!("absent({measure} == 1)"),
            measure,
            lasts,
        }
    }
}

fn alert(
    alert: &'static str,
    severity: Severity,
    condition: Condition,
    summary: &'static str,
    description: &'static str,
) -> Alert {
    Alert {
        alert,
        expr: condition.expr,
        r#for: condition.lasts,
        measure: condition.measure,
        labels: Labels { severity },
        annotations: Annotations {
            summary,
            description,
        },
    }
}

fn agents_not_ready() -> Alert {
    let counts = of(OPERATOR, "langop_agents_not_ready", "");
    let measure = once("namespace, reason", &counts);
    alert(
        "LangopAgentsNotReady",
        Severity::Warning,
        Condition::when(measure, "> 0", "15m"),
        "Agents in {{ $labels.namespace }} are not Ready: {{ $labels.reason }}",
        "{{ $value }} LanguageAgents in namespace {{ $labels.namespace }} have not been Ready for 15 minutes, for the reason {{ $labels.reason }}.",
    )
}

/// Runs that ended in the last hour, by namespace.
fn ended(matchers: &str) -> String {
    let counts = of(OPERATOR, "langop_agent_executions", matchers);
    sum(
        "namespace",
        &once("namespace, result", &growth(&counts, "1h")),
    )
}

fn agent_runs_failing() -> Alert {
    let failed = ended("result=\"failed\"");
    let failing = share(&failed, &ended(""));
    let threshold = format!("> 0.5 and {failed} > 2.5");
    alert(
        "LangopAgentRunsFailing",
        Severity::Warning,
        Condition::when(failing, &threshold, "5m"),
        "Most runs of agents in {{ $labels.namespace }} fail",
        "{{ $value | humanizePercentage }} of the runs that ended in namespace {{ $labels.namespace }} in the last hour have failed.",
    )
}

fn synthesizer_down() -> Alert {
    alert(
        "LangopSynthesizerDown",
        Severity::Critical,
        Condition::down(SYNTHESIZER, "5m"),
        "No synthesizer answers",
        "Prometheus has reached no replica of the synthesizer for 5 minutes. Agents go on with the code they have; new instructions wait.",
    )
}

fn synthesis_disabled() -> Alert {
    let count = "langop_synthesis_duration_seconds_count";
    let calls = of(OPERATOR, count, "outcome=\"disabled\"");
    let condition = Condition {
        // The first of a series has no growth. Longer than the pause between two attempts.
        expr: format!(
            "sum(increase({calls}[90m])) > 0 or sum({calls} unless {calls} offset 90m) > 0"
        ),
        measure: sum("", &calls),
        lasts: "5m",
    };
    alert(
        "LangopSynthesisDisabled",
        Severity::Warning,
        condition,
        "The synthesizer refuses to synthesize until somebody acts",
        "Synthesis is disabled, or the provider refuses the key: {{ $value | humanize }} calls in the last 90 minutes.",
    )
}

fn synthesis_failing() -> Alert {
    let count = |matchers| {
        let metric = "langop_synthesis_duration_seconds_count";
        sum("", &rate(&of(SYNTHESIZER, metric, matchers), "15m"))
    };
    let failing = share(
        &count("outcome=~\"failed|rejected\""),
        &count("outcome!~\"cached|coalesced\""),
    );
    alert(
        "LangopSynthesisFailing",
        Severity::Warning,
        Condition::when(failing, "> 0.2", "15m"),
        "Many syntheses end without code",
        "{{ $value | humanizePercentage }} of the syntheses that the LLM was asked for have failed, or their code was invalid after the repairs.",
    )
}

fn synthesis_slow() -> Alert {
    let metric = "langop_synthesis_duration_seconds_bucket";
    let buckets = of(SYNTHESIZER, metric, "outcome!~\"cached|coalesced\"");
    let p95 = quantile(0.95, "", &buckets, "15m");
    alert(
        "LangopSynthesisSlow",
        Severity::Warning,
        Condition::when(p95, "> 60", "15m"),
        "Syntheses take more than a minute",
        "Of the syntheses that the LLM was asked for, 5 in 100 take longer than {{ $value | humanizeDuration }}. They are ended after LANGOP_REQUEST_TIMEOUT, 120 s by default.",
    )
}

fn provider_errors() -> Alert {
    let count = |matchers| {
        let metric = "langop_llm_request_duration_seconds_count";
        let requests = rate(&of(SYNTHESIZER, metric, matchers), "10m");
        sum("provider, model", &requests)
    };
    let failing = share(&count("outcome!=\"success\""), &count(""));
    alert(
        "LangopProviderErrors",
        Severity::Warning,
        Condition::when(failing, "> 0.25", "10m"),
        "The provider {{ $labels.provider }} does not answer well",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.model }} at {{ $labels.provider }} end without an answer.",
    )
}

fn operator_down() -> Alert {
    alert(
        "LangopOperatorDown",
        Severity::Critical,
        Condition::down(OPERATOR, "5m"),
        "No operator answers",
        "Prometheus has reached no replica of the operator for 5 minutes. Agents go on running; no change of theirs is carried out.",
    )
}

fn no_leader() -> Alert {
    let leaders = sum("", &of(OPERATOR, "langop_leader", ""));
    alert(
        "LangopNoLeader",
        Severity::Critical,
        Condition::when(leaders, "== 0", "5m"),
        "No operator leads",
        "Operators run, and none of them has had the Lease langop-operator for 5 minutes. No change is carried out.",
    )
}

fn reconciles_failing() -> Alert {
    let count = |matchers| {
        let metric = "langop_reconcile_duration_seconds_count";
        sum("kind", &rate(&of(OPERATOR, metric, matchers), "15m"))
    };
    let failing = share(&count("outcome=~\"failed|timeout\""), &count(""));
    alert(
        "LangopReconcilesFailing",
        Severity::Warning,
        Condition::when(failing, "> 0.1", "15m"),
        "Reconciles of {{ $labels.kind }} fail",
        "{{ $value | humanizePercentage }} of the reconciles of {{ $labels.kind }} have failed for 15 minutes.",
    )
}

fn objects_retried() -> Alert {
    let objects = sum("", &of(OPERATOR, "langop_reconcile_retrying", ""));
    alert(
        "LangopObjectsRetried",
        Severity::Warning,
        Condition::when(objects, "> 0", "30m"),
        "Some objects cannot be reconciled",
        "For 30 minutes there have been objects whose reconcile fails again and again: {{ $value }} now.",
    )
}

fn queue_slow() -> Alert {
    let buckets = of(
        OPERATOR,
        "langop_reconcile_queue_duration_seconds_bucket",
        "",
    );
    let p99 = quantile(0.99, "", &buckets, "15m");
    alert(
        "LangopQueueSlow",
        Severity::Warning,
        Condition::when(p99, "> 30", "15m"),
        "The operator does not keep up",
        "Of the objects that change, one in 100 waits longer than {{ $value | humanizeDuration }} for its reconcile.",
    )
}
