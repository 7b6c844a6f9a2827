//! The figures: printed for people, written for machines under the names the design gives.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::peers::Kind;

/// Of one peer.
#[derive(Default)]
pub(crate) struct Measured {
    /// From the start of the process to its first call of a tool.
    pub(crate) start_ms: f64,
    /// Most memory that was resident by then.
    pub(crate) rss_mib: f64,
    /// A whole run with many calls.
    pub(crate) calls_ms: f64,
}

/// What was measured.
#[derive(Default)]
pub(crate) struct Figures {
    runtime: Measured,
    bare: Measured,
    python: Measured,
    ruby: Measured,
    pub(crate) image_mb: f64,
    pub(crate) workflow_planning_tokens: usize,
    pub(crate) objectives_planning_tokens: usize,
}

impl Figures {
    pub(crate) fn of(&mut self, kind: Kind) -> &mut Measured {
        match kind {
            Kind::Runtime => &mut self.runtime,
            Kind::Bare => &mut self.bare,
            Kind::Python => &mut self.python,
            Kind::Ruby => &mut self.ruby,
        }
    }

    pub(crate) fn print(&self) {
        println!(
            "\n| what | runtime | bare client | Python | Ruby SDK | target |\n|---|---|---|---|---|---|"
        );
        let row = |what: &str, of: &dyn Fn(&Measured) -> f64, unit: &str, target: &str| {
            let all = [&self.runtime, &self.bare, &self.python, &self.ruby];
            let [runtime, bare, python, ruby] = all.map(of);
            println!(
                "| {what} | {runtime:.1} {unit} | {bare:.1} {unit} (ratio {:.2}) | {python:.1} {unit} (ratio 1/{:.0}) | {ruby:.1} {unit} (ratio 1/{:.0}) | {target} |",
                runtime / bare,
                python / runtime,
                ruby / runtime
            );
        };
        row(
            "start to first tool call",
            &|of| of.start_ms,
            "ms",
            "≤ 1.3 × bare, ≤ 1/20 of Python",
        );
        row(
            "peak memory by then",
            &|of| of.rss_mib,
            "MiB",
            "≤ 12 MiB, ≤ 1/6 of Python",
        );
        row("1,000 tool calls", &|of| of.calls_ms, "ms", "≤ 1.15 × bare");
        println!("| image | {:.1} MB | | | | ≤ 15 MB |", self.image_mb);
        println!(
            "| tokens sent to plan: workflow; as objectives | {}; {} | | | | 0; beside it |",
            self.workflow_planning_tokens, self.objectives_planning_tokens
        );
    }

    /// Flat keys: they are compared from run to run.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let Self {
            runtime,
            bare,
            python,
            ruby,
            ..
        } = self;
        let all = json!({
            "start_ms": runtime.start_ms,
            "start_bare_ms": bare.start_ms,
            "start_python_ms": python.start_ms,
            "start_ruby_ms": ruby.start_ms,
            "start_ratio_to_bare": runtime.start_ms / bare.start_ms,
            "start_ratio_to_python": runtime.start_ms / python.start_ms,
            "rss_mib": runtime.rss_mib,
            "rss_bare_mib": bare.rss_mib,
            "rss_python_mib": python.rss_mib,
            "rss_ruby_mib": ruby.rss_mib,
            "rss_ratio_to_python": runtime.rss_mib / python.rss_mib,
            "calls_ms": runtime.calls_ms,
            "calls_bare_ms": bare.calls_ms,
            "calls_python_ms": python.calls_ms,
            "calls_ruby_ms": ruby.calls_ms,
            "calls_ratio_to_bare": runtime.calls_ms / bare.calls_ms,
            "image_mb": self.image_mb,
            "workflow_planning_tokens": self.workflow_planning_tokens,
            "objectives_planning_tokens": self.objectives_planning_tokens,
        });
        let text = serde_json::to_string_pretty(&all)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The middle one; 0 of none.
pub(crate) fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn progress(what: &str) {
    eprintln!("… {what}");
}
