//! The figures: printed for people, written for machines under the names the design gives.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

/// What was measured. Flat keys: they are compared from run to run.
#[derive(Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) cache_hit_ratio_to_echo: f64,
    pub(crate) cache_hit_p99_ms: f64,
    pub(crate) stampede_llm_calls: usize,
    pub(crate) replicas_llm_calls: usize,
    pub(crate) replicas_failed_requests: usize,
    pub(crate) replicas_regenerated_foreign_keys: usize,
    pub(crate) validate_200_lines_us: f64,
    pub(crate) cache_hit_p99_ratio_to_echo: f64,
    /// Answers per second of three replicas to those of one, on the same cores; `null` on one core.
    pub(crate) three_replicas_ratio_to_one: Option<f64>,
    pub(crate) full_cache_ratio_to_bound: f64,
    /// The parts of the ratio, and the baseline's own latency: without them a ratio says little.
    pub(crate) cache_hit_per_second: f64,
    pub(crate) echo_per_second: f64,
    pub(crate) echo_p99_ms: f64,
    pub(crate) one_replica_per_second: Option<f64>,
    pub(crate) three_replicas_per_second: Option<f64>,
    pub(crate) empty_cache_mib: f64,
    pub(crate) full_cache_mib: f64,
    pub(crate) full_cache_held_mib: f64,
}

impl Figures {
    pub(crate) fn print(&self) {
        println!("\n| what | measured | target |\n|---|---|---|");
        let row = |what: &str, measured: String, target: &str| {
            println!("| {what} | {measured} | {target} |");
        };
        row(
            "cache hit through gRPC to a bare echo, 64 in flight",
            format!(
                "{:.2} ({:.0}/s to {:.0}/s)",
                self.cache_hit_ratio_to_echo, self.cache_hit_per_second, self.echo_per_second
            ),
            "≥ 0.9",
        );
        row(
            "p99 of a cache hit at half load to the echo's at the same rate",
            format!(
                "{:.2} ({:.2} ms to {:.2} ms)",
                self.cache_hit_p99_ratio_to_echo, self.cache_hit_p99_ms, self.echo_p99_ms
            ),
            "≤ 1.1",
        );
        self.print_scale(&row);
        row(
            "LLM calls for 1,000 identical requests at once",
            self.stampede_llm_calls.to_string(),
            "1",
        );
        row(
            "LLM calls for 10,000 requests over 100 keys, 3 replicas",
            self.replicas_llm_calls.to_string(),
            "100",
        );
        row(
            "failed requests, one replica killed midway",
            self.replicas_failed_requests.to_string(),
            "0",
        );
        row(
            "keys of living replicas made again",
            self.replicas_regenerated_foreign_keys.to_string(),
            "0",
        );
        row(
            "validation of a 200-line agent",
            format!("{:.0} µs", self.validate_200_lines_us),
            "< 1000 µs",
        );
    }

    fn print_scale(&self, row: &impl Fn(&str, String, &str)) {
        let on_cores = match (
            self.three_replicas_ratio_to_one,
            self.three_replicas_per_second,
            self.one_replica_per_second,
        ) {
            (Some(ratio), Some(three), Some(one)) => {
                format!("{ratio:.2} ({three:.0}/s to {one:.0}/s)")
            }
            _ => "not measured".to_owned(),
        };
        row(
            "three replicas to one on the same cores",
            on_cores,
            "≥ 0.95",
        );
        row(
            "memory with a full cache to its bound of 64 MiB",
            format!(
                "{:.2} ({:.0} MiB, of which {:.0} are counted; empty {:.0} MiB)",
                self.full_cache_ratio_to_bound,
                self.full_cache_mib,
                self.full_cache_held_mib,
                self.empty_cache_mib
            ),
            "≤ 1.5",
        );
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}

/// What goes on, for whoever waits.
pub(crate) fn progress(what: &str) {
    eprintln!("▸ {what}");
}
