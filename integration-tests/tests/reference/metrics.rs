//! docs/metrics.md: the metrics of the three programs, as their registries show them, and their
//! spans. What running programs export is held to the page where tests look at them
//! (`src/telemetry_page.rs`).

use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

use langop_integration_tests::{
    metrics::{Family, families},
    workspace_root,
};
use langop_proto::v1::{SynthesisOutcome, Usage};
use langop_runtime::{
    metrics::{Metrics as OfAgent, Purpose},
    outcome::{Outcome, Reason},
    tokens::Tokens,
};
use langop_synthesizer::{
    identity::Identity,
    metrics::{CacheResult, LlmOutcome, Metrics as OfSynthesizer, Refusal, Stage},
    settings::ProviderKind,
};
use tonic::Code;

use crate::{WRITTEN, cell, hold, spans};

const HEAD: &str = "# Metrics and spans

What the programs say of themselves: metrics at `/metrics` of their admin ports (an agent's own port), in the OpenMetrics format, and spans over OTLP
where an endpoint is set. [Boards, alerts and traces](observability.md) says how to collect and look at them. Words in capitals stand for what
differs; neither metrics nor spans have contents: no instructions, no code, no answers of models or tools. A histogram `NAME` is asked for as
`NAME_bucket`, `NAME_sum` and `NAME_count`. Every span also has what the library says of it: `code.*`, `thread.*`, `target`, `busy_ns` and `idle_ns`.
";

const NO_TIME: Duration = Duration::ZERO;
/// More values of a label are not listed.
const MAX_VALUES: usize = 12;

/// A program, what is to be known before its tables, and its page of metrics.
fn programs() -> [(&'static str, &'static str, String); 3] {
    [
        (
            "langop-operator",
            "Metrics that begin with `langop_agent` are sums over the statuses of the agents that exist, and fall when one is deleted. \
             A trace begins with `reconcile`.",
            langop_operator::example_metrics().unwrap(),
        ),
        (
            "langop-synthesizer",
            "All its histograms have exemplars (`trace_id`), and so has the operator's `langop_synthesis_duration_seconds`.",
            of_synthesizer(),
        ),
        (
            "langop-agent",
            "The reference runtime; `langop-chat` has the same. A run's trace is linked to that of the synthesis that made its code; the traceparent of its \
             calls goes on to tools and models.",
            of_agent(),
        ),
    ]
}

fn of_synthesizer() -> String {
    let metrics = OfSynthesizer::default();
    let identity = Identity {
        provider: ProviderKind::Openai,
        model: "MODEL".to_owned(),
    };
    let made = [
        SynthesisOutcome::Generated,
        SynthesisOutcome::Repaired,
        SynthesisOutcome::Cached,
        SynthesisOutcome::Coalesced,
        SynthesisOutcome::Rejected,
    ];
    for outcome in made.map(Some).into_iter().chain([None]) {
        metrics.synthesis(outcome, NO_TIME);
    }
    for stage in [Stage::Prompt, Stage::Llm, Stage::Check] {
        metrics.stage(stage, NO_TIME);
    }
    for result in [CacheResult::Hit, CacheResult::Miss, CacheResult::Coalesced] {
        metrics.cache_request(result);
    }
    for provider in [
        ProviderKind::Anthropic,
        ProviderKind::Openai,
        ProviderKind::Ollama,
        ProviderKind::Template,
    ] {
        let identity = Identity {
            provider,
            ..identity.clone()
        };
        metrics.tokens(&identity, Usage::default());
        metrics.llm_request(&identity, LlmOutcome::Success, NO_TIME);
    }
    for outcome in [
        LlmOutcome::RateLimited,
        LlmOutcome::Refused,
        LlmOutcome::ServerError,
        LlmOutcome::Transport,
        LlmOutcome::Timeout,
        LlmOutcome::Unreadable,
    ] {
        metrics.llm_request(&identity, outcome, NO_TIME);
    }
    metrics.repair();
    metrics.rpc("METHOD", Code::Ok);
    for refusal in [Refusal::Limit, Refusal::AddressLimit, Refusal::Handshake] {
        metrics.connection_refused(refusal);
    }
    metrics.encode().unwrap()
}

fn of_agent() -> String {
    let metrics = OfAgent::default();
    for (outcome, reason) in [
        (Outcome::Succeeded, ""),
        (Outcome::Skipped, ""),
        (Outcome::Failed, "REASON"),
        (Outcome::Stopped, "REASON"),
    ] {
        metrics.run(outcome, reason, NO_TIME);
    }
    for outcome in ["done", "skipped", "failed", "not-run"] {
        metrics.step(outcome);
    }
    for purpose in [Purpose::Ask, Purpose::Judge, Purpose::Turn] {
        metrics.iteration(purpose);
    }
    for outcome in ["ok"]
        .into_iter()
        .chain(Reason::ALL.iter().map(|reason| reason.as_str()))
    {
        metrics.model_request("MODEL", outcome);
        metrics.tool_call("TOOL", outcome);
    }
    metrics.output_mismatch("TOOL");
    let tokens = Tokens {
        input: 1,
        output: 1,
        cached_input: 1,
        missing: 1,
    };
    metrics.tokens("MODEL", tokens);
    metrics.checkpoint_error();
    metrics.encode().unwrap()
}

fn page() -> String {
    let mut text = format!("{HEAD}{WRITTEN}");
    for (program, says, metrics) in programs() {
        write!(
            text,
            "\n## {program}\n\n{says}\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n"
        )
        .unwrap();
        for family in families(&metrics) {
            text += &row(&family);
        }
        text += &spans::table(program);
    }
    text
}

fn row(family: &Family) -> String {
    let Family {
        name, kind, help, ..
    } = family;
    let unit = if name.ends_with("_timestamp_seconds") {
        ", seconds since 1970"
    } else if name.ends_with("_seconds") {
        ", seconds"
    } else {
        ""
    };
    let labels = family.labels.iter().map(|(name, values)| {
        let listed = listed(values);
        format!("`{name}`{listed}")
    });
    let labels = labels.collect::<Vec<_>>().join("; ");
    let help = cell(help.trim_end_matches('.'));
    format!(
        "| `{}` | {kind}{unit} | {labels} | {help} |\n",
        family.asked()
    )
}

/// The values of a label that has few, each a word of ours.
fn listed(values: &BTreeSet<String>) -> String {
    let is_word = |value: &String| {
        value
            .chars()
            .all(|c| c.is_ascii_lowercase() || "_-".contains(c))
    };
    if values.len() > MAX_VALUES || !values.iter().all(is_word) {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    format!(": {}", values.join(", "))
}

#[test]
fn the_page_of_metrics_and_spans_is_what_the_code_has() {
    hold("docs/metrics.md", &page());
}

#[test]
fn every_metric_has_a_name_of_the_project_and_a_help() {
    for (program, _, metrics) in programs() {
        let families = families(&metrics);
        assert!(families.len() > 8, "{program}: {families:#?}");
        for family in families {
            assert!(family.name.starts_with("langop_"), "{family:?}");
            assert!(family.help.len() > 10, "{family:?}");
        }
    }
}

/// A metric without an example would not be on the page.
#[test]
fn every_metric_that_is_registered_is_on_the_page() {
    let page = fs::read_to_string(workspace_root().unwrap().join("docs/metrics.md")).unwrap();
    for (file, prefix) in [
        ("operator/src/run/metrics/mod.rs", ""),
        ("operator/src/run/metrics/agents.rs", ""),
        ("synthesizer/src/metrics.rs", ""),
        ("runtime/src/metrics.rs", "langop_agent_"),
    ] {
        let source = fs::read_to_string(workspace_root().unwrap().join(file)).unwrap();
        let registered = source.split(".register(").skip(1);
        let names =
            registered.filter_map(|part| part.trim_start().strip_prefix('"')?.split('"').next());
        let names: Vec<_> = names.collect();
        assert!(names.len() > 3, "{file}: {names:?}");
        for name in names {
            let [plain, counted] = ["", "_total"].map(|end| format!("| `{prefix}{name}{end}` |"));
            assert!(page.contains(&plain) || page.contains(&counted), "{name}");
        }
    }
}
