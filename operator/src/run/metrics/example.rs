//! A page of metrics on which each one has a sample, for docs/metrics.md: with every value of labels
//! that have few, and words in capitals for what comes from outside. It must never be served.

use std::time::Duration;

use langop_api::LanguageAgent;
use serde_json::json;

use super::Metrics;
use crate::{
    cache::{
        kind::Kind,
        tally::{Sum as _, Tally},
    },
    run::{outcome::Outcome, steps},
    synthesis::failure::FailureKind,
};

const NO_TIME: Duration = Duration::ZERO;

/// The page.
///
/// # Errors
/// If it cannot be written: a bug.
pub fn page() -> anyhow::Result<String> {
    let metrics = Metrics::new();
    let kind = Kind::Agent;
    let ended = [
        Outcome::Unchanged,
        Outcome::Changed,
        Outcome::Waiting,
        Outcome::Stalled,
    ]
    .map(Outcome::as_str);
    for outcome in ended.into_iter().chain(["failed", "timeout"]) {
        metrics.reconciled(kind, outcome, NO_TIME);
    }
    for step in steps::Step::ALL {
        for outcome in ["ok", "blocked", "failed", "abandoned"] {
            metrics.stepped(kind, step.as_str(), outcome, NO_TIME);
        }
    }
    let failed = [
        FailureKind::Retryable,
        FailureKind::Disabled,
        FailureKind::Invalid,
        FailureKind::TooFewTokens,
        FailureKind::Exhausted,
        FailureKind::Suspended,
    ]
    .map(FailureKind::as_str);
    let made = [
        "generated",
        "repaired",
        "cached",
        "coalesced",
        "rejected",
        "distilled",
    ];
    for outcome in made.into_iter().chain(failed) {
        metrics.synthesized(outcome, NO_TIME, None);
    }
    metrics.set_queued(kind, 0);
    metrics.waited(kind, NO_TIME);
    for verb in ["create", "update", "patch", "delete"] {
        metrics.wrote("KIND", verb);
    }
    let mut agents = Tally::default();
    agents.exchange(None, Some(&agent()?));
    Ok(metrics.render(&agents)?)
}

/// One that has a part in every sum.
fn agent() -> serde_json::Result<LanguageAgent> {
    let spent = json!({"input": 0, "output": 0, "cachedInput": 0});
    let today = json!({"date": "1970-01-01", "input": 0, "output": 0, "cachedInput": 0});
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": "LanguageAgent",
        "metadata": {"name": "NAME", "namespace": "NAMESPACE"},
        "spec": {},
        "status": {
            "synthesisInfo": {"tokens": {"input": 0, "output": 0}},
            "usage": {"total": spent, "today": today},
        },
    }))
}
