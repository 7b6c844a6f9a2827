//! The figures: printed for people, written for machines under the names the design gives.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::process;

/// What was measured; `null` where the run did not come so far. Flat keys: they are compared from
/// run to run.
#[derive(Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) agents: u32,
    pub(crate) idle_writes_60s: Option<usize>,
    pub(crate) noop_touch_writes: Option<usize>,
    pub(crate) writes_per_agent: Option<usize>,
    pub(crate) writes_per_agent_with_workspace: Option<usize>,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) rss_peak_mib: Option<f64>,
    /// To the last object applied.
    pub(crate) bring_up_ratio: Option<f64>,
    /// To the last write of whatever kind: statuses wait for pods, and so for all that the other
    /// controllers do for them, which the baseline does not.
    pub(crate) bring_up_settled_ratio: Option<f64>,
    /// With 64 tools of the largest schemas, and 64 agents that name all of them.
    pub(crate) crowded_rss_mib: Option<f64>,
    pub(crate) crowded_rss_peak_mib: Option<f64>,
    pub(crate) tool_change_p99_ms: Option<f64>,
    pub(crate) tool_change_p99_ms_64_hanging: Option<f64>,
    pub(crate) restart_seconds: Option<f64>,
    pub(crate) restart_writes: Option<usize>,
    pub(crate) restart_rolled_pods: Option<usize>,
    // The parts of ratios, and what explains the figures.
    pub(crate) bring_up_seconds: Option<f64>,
    pub(crate) bring_up_settled_seconds: Option<f64>,
    pub(crate) baseline_seconds: Option<f64>,
    pub(crate) baseline_settled_seconds: Option<f64>,
    pub(crate) bring_up_writes: Option<usize>,
    pub(crate) bring_up_failed_writes: Option<usize>,
    pub(crate) bring_up_operator_cpu_seconds: Option<f64>,
    pub(crate) tool_changes: Option<usize>,
    pub(crate) tool_change_p50_ms: Option<f64>,
    pub(crate) tool_change_p50_ms_64_hanging: Option<f64>,
    pub(crate) restart_ready_seconds: Option<f64>,
    pub(crate) restart_cpu_seconds: Option<f64>,
    pub(crate) restart_rss_mib: Option<f64>,
    pub(crate) cpus: usize,
    /// Before the run: other work on the machine falsifies times.
    pub(crate) load_average: Option<f64>,
}

impl Figures {
    pub(crate) fn new(agents: u32) -> Self {
        Self {
            agents,
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            load_average: process::load_average(),
            ..Self::default()
        }
    }

    fn ratios(&mut self) {
        let ratio = |ours: Option<f64>, theirs: Option<f64>| Some(ours? / theirs?);
        self.bring_up_ratio = ratio(self.bring_up_seconds, self.baseline_seconds);
        self.bring_up_settled_ratio =
            ratio(self.bring_up_settled_seconds, self.baseline_settled_seconds);
    }

    pub(crate) fn print(&mut self) {
        self.ratios();
        let load = self.load_average.map_or_else(String::new, |load| {
            format!(", load {load:.1} before the run")
        });
        println!("\n{} agents, {} CPUs{load}\n", self.agents, self.cpus);
        println!("| what | measured | target |\n|---|---|---|");
        self.print_bring_up();
        self.print_steady();
        self.print_reactions();
        self.print_crowded();
    }

    fn print_bring_up(&self) {
        let to = |unit: &str, ours, theirs| {
            format!("{} to {} {unit}", number(ours, 1), number(theirs, 1))
        };
        let objects = to("s", self.bring_up_seconds, self.baseline_seconds);
        let settled = to(
            "s",
            self.bring_up_settled_seconds,
            self.baseline_settled_seconds,
        );
        row(
            "bring-up to a bare client that repeats the writes, to the last object applied",
            &format!("{} ({objects})", number(self.bring_up_ratio, 2)),
            "≤ 1.5",
        );
        row(
            "the same, to the last write, which waits for pods",
            &format!("{} ({settled})", number(self.bring_up_settled_ratio, 2)),
            "",
        );
        let cpu = number(self.bring_up_operator_cpu_seconds, 1);
        row(
            "writes of the bring-up; operator's CPU",
            &format!(
                "{}, {} failed; {cpu} s",
                count(self.bring_up_writes),
                count(self.bring_up_failed_writes)
            ),
            "",
        );
        row(
            "writes for one autonomous agent",
            &count(self.writes_per_agent),
            "≤ 10",
        );
        row(
            "the same with workspace",
            &count(self.writes_per_agent_with_workspace),
            "≤ 11",
        );
    }

    fn print_steady(&self) {
        row("writes in 60 s idle", &count(self.idle_writes_60s), "0");
        row(
            "writes because of 100 no-op touches",
            &count(self.noop_touch_writes),
            "0",
        );
        let target = if self.agents > 1000 {
            "≤ 200 MiB at 10,000"
        } else {
            "≤ 64 MiB at 1,000"
        };
        row(
            "RSS 60 s after settling (peak)",
            &format!(
                "{} MiB ({} MiB)",
                number(self.rss_mib, 1),
                number(self.rss_peak_mib, 1)
            ),
            target,
        );
    }

    fn print_crowded(&self) {
        row(
            "RSS with 64 tools of 1 MiB of schemas each, and 64 agents that name all (peak)",
            &format!(
                "{} MiB ({} MiB)",
                number(self.crowded_rss_mib, 1),
                number(self.crowded_rss_peak_mib, 1)
            ),
            "≤ 256 MiB",
        );
    }

    fn print_reactions(&self) {
        let times = |p99, p50| format!("{} ms (p50 {} ms)", number(p99, 1), number(p50, 1));
        row(
            "tool port change in the env of its 10 agents, p99",
            &times(self.tool_change_p99_ms, self.tool_change_p50_ms),
            "< 100 ms",
        );
        row(
            "the same while 64 syntheses hang",
            &times(
                self.tool_change_p99_ms_64_hanging,
                self.tool_change_p50_ms_64_hanging,
            ),
            "< 100 ms",
        );
        let restart = format!(
            "{} s (ready after {} s, {} s of CPU, then {} MiB)",
            number(self.restart_seconds, 2),
            number(self.restart_ready_seconds, 2),
            number(self.restart_cpu_seconds, 1),
            number(self.restart_rss_mib, 1),
        );
        row("restart to the last agent looked at", &restart, "< 10 s");
        row(
            "writes because of it; pods rolled",
            &format!(
                "{}; {}",
                count(self.restart_writes),
                count(self.restart_rolled_pods)
            ),
            "0; 0",
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

fn row(what: &str, measured: &str, target: &str) {
    println!("| {what} | {measured} | {target} |");
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(
        || "not measured".to_owned(),
        |value| format!("{value:.digits$}"),
    )
}

fn count(value: Option<usize>) -> String {
    value.map_or_else(|| "not measured".to_owned(), |value| value.to_string())
}

/// What goes on, for whoever waits.
pub(crate) fn progress(what: &str) {
    eprintln!("▸ {what}");
}

/// The lines behind a count, as far as anybody wants to read them.
pub(crate) fn detail(lines: &str) {
    const SHOWN: usize = 20;
    for line in lines.lines().take(SHOWN) {
        eprintln!("    {line}");
    }
    if let Some(more) = lines
        .lines()
        .count()
        .checked_sub(SHOWN)
        .filter(|more| *more > 0)
    {
        eprintln!("    … and {more} more");
    }
}
