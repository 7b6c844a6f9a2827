//! What the objects of an agent hold of its traces: the id of the synthesis of its code in its
//! status, and that of a run in the termination message of its pod. Both are the word of others.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use kube::ResourceExt as _;
use langop_api::{LanguageAgent, agent::SynthesisInfo};
use langop_dsl::clean;
use serde::{Deserialize, Serialize};

use super::spans::Span;
use crate::ui::time;

/// Version of the account of a run that is understood.
const VERSION: i64 = 1;

/// What is known of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Known {
    /// `None`: there is no code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) synthesis: Option<Synthesis>,
    /// `None`: none has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<Run>,
}

/// A trace, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trace {
    #[serde(rename = "traceId", skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
    /// Each behind the one that caused it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) spans: Vec<Span>,
}

/// The synthesis of the active code.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Synthesis {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    /// As the status has it: `2.4s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) took: Option<String>,
    /// An attempt that failed later; no object holds its trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_since: Option<Timestamp>,
    #[serde(flatten)]
    pub(crate) trace: Trace,
}

/// The run that ended last.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    /// `None`: it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<String>,
    /// `succeeded`, `failed`, `skipped`, or what else it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) says: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) milliseconds: Option<u64>,
    /// Answers of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iterations: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<u64>,
    #[serde(flatten)]
    pub(crate) trace: Trace,
}

/// What the reference runtime says of a run, and others that keep to its contract.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Account {
    v: i64,
    outcome: Option<String>,
    step: Option<String>,
    duration_ms: Option<u64>,
    iterations: Option<u64>,
    tool_calls: Option<u64>,
    traceparent: Option<String>,
}

/// What is known of an agent's traces, from its status and its pods.
pub(crate) fn known(agent: &LanguageAgent, pods: &[Pod]) -> Known {
    let status = agent.status.clone().unwrap_or_default();
    let synthesis = status.synthesis_info.as_ref().and_then(synthesis);
    let name = agent.name_any();
    let of_pods = pods.iter().filter_map(|pod| of_pod(&name, pod));
    let last = of_pods.max_by_key(|run| run.ended);
    let run = last.or_else(|| {
        let result = status.last_execution_result.as_deref()?;
        let (outcome, says) = result.split_once(": ").unwrap_or((result, ""));
        Some(Run {
            outcome: Some(clean(outcome).to_lowercase()),
            says: text(says),
            ended: time::parse(status.last_execution_time.as_deref()),
            ..Run::default()
        })
    });
    Known { synthesis, run }
}

fn synthesis(info: &SynthesisInfo) -> Option<Synthesis> {
    info.code_hash.as_ref()?;
    let ended = time::parse(info.last_synthesis_time.as_deref());
    let failed = time::parse(info.last_failure_time.as_deref());
    Some(Synthesis {
        revision: info.revision,
        model: info.synthesis_model.as_deref().and_then(text),
        ended,
        took: info.synthesis_duration.as_deref().and_then(text),
        failed_since: failed.filter(|failed| ended.is_none_or(|ended| *failed > ended)),
        trace: trace(info.traceparent.as_deref()),
    })
}

/// Of the end of a pod's first container, which is the agent's.
fn of_pod(agent: &str, pod: &Pod) -> Option<Run> {
    let first = &pod.spec.as_ref()?.containers.first()?.name;
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status = statuses.iter().find(|status| status.name == *first)?;
    let mut ends = [&status.state, &status.last_state].into_iter().flatten();
    let ended = ends.find_map(|state| state.terminated.as_ref())?;
    Some(Run {
        pod: Some(pod.name_any()),
        ended: ended.finished_at.as_ref().map(|time| time.0),
        ..of_end(agent, ended)
    })
}

fn of_end(agent: &str, ended: &ContainerStateTerminated) -> Run {
    let mut lines = ended.message.as_deref().unwrap_or_default().lines();
    let says = lines.next().and_then(text);
    let account = lines
        .next()
        .and_then(|line| serde_json::from_str(line).ok());
    let Some(account) = account.filter(|account: &Account| account.v == VERSION) else {
        let outcome = if ended.exit_code == 0 {
            "succeeded"
        } else {
            "failed"
        };
        return Run {
            outcome: Some(outcome.to_owned()),
            says: says.or_else(|| ended.reason.as_deref().and_then(text)),
            ..Run::default()
        };
    };
    let trace = trace(account.traceparent.as_deref());
    let spans = trace.id.as_ref().map(|_| told(agent, &account));
    Run {
        outcome: account.outcome.as_deref().and_then(text),
        says,
        milliseconds: account.duration_ms,
        iterations: account.iterations,
        tool_calls: account.tool_calls,
        trace: Trace {
            spans: spans.unwrap_or_default(),
            ..trace
        },
        ..Run::default()
    }
}

/// The spans that an account tells of: the run, and the step that failed.
fn told(agent: &str, account: &Account) -> Vec<Span> {
    let has_failed = account.outcome.as_deref() == Some("failed");
    let run = Span {
        name: format!("invoke_agent {agent}"),
        service: Some(agent.to_owned()),
        milliseconds: account.duration_ms.map(milliseconds),
        is_error: has_failed,
        ..Span::default()
    };
    let step = account
        .step
        .as_ref()
        .filter(|_| has_failed)
        .map(|step| Span {
            depth: 1,
            name: clean(&format!("langop.step {step}")),
            service: Some(agent.to_owned()),
            is_error: true,
            ..Span::default()
        });
    std::iter::once(run).chain(step).collect()
}

pub(crate) fn milliseconds(taken: u64) -> f64 {
    Duration::from_millis(taken).as_secs_f64() * 1e3
}

fn trace(traceparent: Option<&str>) -> Trace {
    Trace {
        id: traceparent.and_then(trace_id),
        ..Trace::default()
    }
}

/// The trace id of a W3C traceparent: `00-TRACE-SPAN-FLAGS`.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.trim().split('-').nth(1)?;
    let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_id && id.bytes().any(|byte| byte != b'0')).then(|| id.to_ascii_lowercase())
}

fn text(text: &str) -> Option<String> {
    Some(clean(text.trim())).filter(|text| !text.is_empty())
}
