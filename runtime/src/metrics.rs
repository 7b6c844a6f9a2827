//! The runtime's metrics. Labels come from enums and from the names in the environment only, so
//! their number is bounded.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::{outcome::Outcome, tokens::Tokens};

/// Upper bounds in seconds of a run.
const BUCKETS: [f64; 10] = [
    0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0,
];

/// What an answer of a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A step's question.
    Ask,
    /// A condition.
    Judge,
    /// A turn of a loop.
    Turn,
}

impl Purpose {
    /// The value of the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Judge => "judge",
            Self::Turn => "turn",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    outcome: String,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PurposeLabel {
    purpose: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabels {
    tool: String,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabel {
    tool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    model: String,
    r#type: String,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    runs: Family<RunLabels, Counter>,
    duration: Histogram,
    steps: Family<OutcomeLabel, Counter>,
    iterations: Family<PurposeLabel, Counter>,
    model_requests: Family<ModelLabels, Counter>,
    tool_calls: Family<ToolLabels, Counter>,
    output_mismatches: Family<ToolLabel, Counter>,
    tokens: Family<TokenLabels, Counter>,
    checkpoint_errors: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("langop_agent"),
            runs: Family::default(),
            duration: Histogram::new(BUCKETS),
            steps: Family::default(),
            iterations: Family::default(),
            model_requests: Family::default(),
            tool_calls: Family::default(),
            output_mismatches: Family::default(),
            tokens: Family::default(),
            checkpoint_errors: Counter::default(),
        };
        metrics.register();
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("runs", "Runs that ended", self.runs.clone());
        registry.register(
            "run_duration_seconds",
            "How long runs took",
            self.duration.clone(),
        );
        registry.register("steps", "Steps that ended", self.steps.clone());
        registry.register(
            "iterations",
            "Answers of models by purpose",
            self.iterations.clone(),
        );
        registry.register(
            "model_requests",
            "Questions to models, repeats not counted",
            self.model_requests.clone(),
        );
        registry.register(
            "tool_calls",
            "Calls of tools, repeats not counted",
            self.tool_calls.clone(),
        );
        registry.register(
            "output_mismatches",
            "Results that were not as the tool's output schema says",
            self.output_mismatches.clone(),
        );
        registry.register("tokens", "Tokens that models used", self.tokens.clone());
        registry.register(
            "checkpoint_errors",
            "Checkpoints that could not be written",
            self.checkpoint_errors.clone(),
        );
    }

    /// A run ended.
    pub fn run(&self, outcome: Outcome, reason: &str, duration: Duration) {
        let labels = RunLabels {
            outcome: outcome.as_str().to_owned(),
            reason: reason.to_owned(),
        };
        self.runs.get_or_create(&labels).inc();
        self.duration.observe(duration.as_secs_f64());
    }

    /// A step ended.
    pub fn step(&self, outcome: &str) {
        let outcome = outcome.to_owned();
        self.steps.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A model answered.
    pub fn iteration(&self, purpose: Purpose) {
        let purpose = purpose.as_str().to_owned();
        self.iterations
            .get_or_create(&PurposeLabel { purpose })
            .inc();
    }

    /// A question to a model ended.
    pub fn model_request(&self, model: &str, outcome: &str) {
        let labels = ModelLabels {
            model: model.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.model_requests.get_or_create(&labels).inc();
    }

    /// A call of a tool ended.
    pub fn tool_call(&self, tool: &str, outcome: &str) {
        let labels = ToolLabels {
            tool: tool.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.tool_calls.get_or_create(&labels).inc();
    }

    /// A result was not as the tool's output schema says.
    pub fn output_mismatch(&self, tool: &str) {
        let tool = tool.to_owned();
        self.output_mismatches
            .get_or_create(&ToolLabel { tool })
            .inc();
    }

    /// A model used tokens, or did not say how many.
    pub fn tokens(&self, model: &str, tokens: Tokens) {
        let kinds = [
            ("input", tokens.input),
            ("output", tokens.output),
            ("cached_input", tokens.cached_input),
            ("missing", tokens.missing),
        ];
        for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
            let labels = TokenLabels {
                model: model.to_owned(),
                r#type: kind.to_owned(),
            };
            self.tokens.get_or_create(&labels).inc_by(count);
        }
    }

    /// A checkpoint could not be written.
    pub fn checkpoint_error(&self) {
        self.checkpoint_errors.inc();
    }

    /// All of them, as text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_names_of_the_contract() {
        let metrics = Metrics::default();
        metrics.run(Outcome::Failed, "tool-error", Duration::from_secs(1));
        metrics.step("done");
        metrics.iteration(Purpose::Judge);
        metrics.model_request("m", "ok");
        metrics.tool_call("t", "ok");
        metrics.output_mismatch("t");
        metrics.tokens("m", Tokens::MISSING);
        metrics.checkpoint_error();
        let page = metrics.encode().unwrap();
        for line in [
            r#"langop_agent_runs_total{outcome="failed",reason="tool-error"} 1"#,
            "langop_agent_run_duration_seconds_count 1",
            r#"langop_agent_steps_total{outcome="done"} 1"#,
            r#"langop_agent_iterations_total{purpose="judge"} 1"#,
            r#"langop_agent_model_requests_total{model="m",outcome="ok"} 1"#,
            r#"langop_agent_tool_calls_total{tool="t",outcome="ok"} 1"#,
            r#"langop_agent_output_mismatches_total{tool="t"} 1"#,
            r#"langop_agent_tokens_total{model="m",type="missing"} 1"#,
            "langop_agent_checkpoint_errors_total 1",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
