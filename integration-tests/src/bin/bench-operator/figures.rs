//! The figures: printed for people, written for machines under the names the design gives.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the front end of a command-line program"
)]

use std::{fmt::Display, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use langop_integration_tests::processes;

use crate::scale::{Scale, Shape};

/// What was measured; `null` where the run did not come so far. Flat keys: they are compared from
/// run to run.
#[derive(Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) agents: u32,
    /// They are scheduled and suspended, but for the ten whose tool changes.
    pub(crate) suspended: bool,
    /// What a bare client had made before the operator saw its first agent.
    pub(crate) prepared: Option<String>,
    pub(crate) idle_writes_60s: Option<usize>,
    pub(crate) noop_touch_writes: Option<usize>,
    pub(crate) writes_per_agent: Option<usize>,
    pub(crate) writes_per_agent_with_workspace: Option<usize>,
    pub(crate) rss_mib: Option<f64>,
    pub(crate) rss_peak_mib: Option<f64>,
    pub(crate) rss_peak_ratio: Option<f64>,
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
    /// To a bare client that makes the same writes.
    pub(crate) tool_change_p99_ratio: Option<f64>,
    pub(crate) tool_change_p99_ratio_64_hanging: Option<f64>,
    pub(crate) restart_seconds: Option<f64>,
    /// To a bare list of the same objects.
    pub(crate) restart_ratio: Option<f64>,
    pub(crate) restart_writes: Option<usize>,
    pub(crate) restart_rolled_pods: Option<usize>,
    /// All agents' instructions changed at once against an LLM of two seconds and sixteen places:
    /// agents without their new code at the end, agents told where they stand while most of them
    /// wait, seconds until the ten of a namespace of their own have it, and until all have.
    pub(crate) overload_lost: Option<usize>,
    pub(crate) overload_told: Option<usize>,
    pub(crate) overload_few_seconds: Option<f64>,
    pub(crate) overload_all_seconds: Option<f64>,
    pub(crate) overload_rss_before_mib: Option<f64>,
    pub(crate) overload_rss_peak_mib: Option<f64>,
    pub(crate) overload_synthesizer_peak_mib: Option<f64>,
    /// `ConfigMap`s and Secrets that are not ours.
    pub(crate) strangers_rss_kib: Option<f64>,
    pub(crate) strangers_extra_bytes: Option<i64>,
    /// The revision that ours is compared with, and ours to it.
    pub(crate) earlier_commit: Option<String>,
    pub(crate) earlier_cpu_ratio: Option<f64>,
    pub(crate) earlier_rss_ratio: Option<f64>,
    pub(crate) earlier_bring_up_ratio: Option<f64>,
    // The parts of ratios, and what explains the figures.
    pub(crate) bring_up_seconds: Option<f64>,
    pub(crate) bring_up_settled_seconds: Option<f64>,
    pub(crate) baseline_seconds: Option<f64>,
    pub(crate) baseline_settled_seconds: Option<f64>,
    pub(crate) bring_up_writes: Option<usize>,
    pub(crate) bring_up_failed_writes: Option<usize>,
    pub(crate) bring_up_operator_cpu_seconds: Option<f64>,
    pub(crate) tool_changes: Option<usize>,
    pub(crate) tool_change_writes: Option<usize>,
    pub(crate) tool_change_p50_ms: Option<f64>,
    pub(crate) tool_change_p50_ms_64_hanging: Option<f64>,
    pub(crate) tool_change_bare_p99_ms: Option<f64>,
    pub(crate) tool_change_bare_p99_ms_64_hanging: Option<f64>,
    pub(crate) restart_ready_seconds: Option<f64>,
    pub(crate) restart_cpu_seconds: Option<f64>,
    pub(crate) restart_rss_mib: Option<f64>,
    pub(crate) restart_bare_list_seconds: Option<f64>,
    pub(crate) restart_listed_objects: Option<usize>,
    pub(crate) strangers_config_maps: Option<usize>,
    pub(crate) strangers_secrets: Option<usize>,
    pub(crate) strangers_bytes: Option<u64>,
    /// In as long a time without them.
    pub(crate) strangers_idle_bytes: Option<u64>,
    /// How long the changes themselves took.
    pub(crate) overload_changed_seconds: Option<f64>,
    pub(crate) etcd_mib: Option<f64>,
    pub(crate) etcd_in_use_mib: Option<f64>,
    pub(crate) etcd_quota_mib: Option<f64>,
    pub(crate) earlier_writes_per_agent: Option<usize>,
    pub(crate) earlier_bring_up_seconds: Option<f64>,
    pub(crate) earlier_bring_up_writes: Option<usize>,
    pub(crate) earlier_cpu_seconds: Option<f64>,
    pub(crate) earlier_rss_mib: Option<f64>,
    pub(crate) earlier_rss_peak_mib: Option<f64>,
    pub(crate) cpus: usize,
    /// Before the run: other work on the machine falsifies times.
    pub(crate) load_average: Option<f64>,
}

impl Figures {
    pub(crate) fn new(scale: Scale) -> Self {
        Self {
            agents: scale.agents,
            suspended: scale.shape == Shape::Suspended,
            cpus: std::thread::available_parallelism().map_or(0, Into::into),
            load_average: processes::load_average(),
            ..Self::default()
        }
    }

    fn ratios(&mut self) {
        let ratio = |ours: Option<f64>, theirs: Option<f64>| Some(ours? / theirs?);
        self.bring_up_ratio = ratio(self.bring_up_seconds, self.baseline_seconds);
        self.bring_up_settled_ratio =
            ratio(self.bring_up_settled_seconds, self.baseline_settled_seconds);
        self.rss_peak_ratio = ratio(self.rss_peak_mib, self.rss_mib);
        self.tool_change_p99_ratio = ratio(self.tool_change_p99_ms, self.tool_change_bare_p99_ms);
        self.tool_change_p99_ratio_64_hanging = ratio(
            self.tool_change_p99_ms_64_hanging,
            self.tool_change_bare_p99_ms_64_hanging,
        );
        self.restart_ratio = ratio(self.restart_seconds, self.restart_bare_list_seconds);
        self.earlier_cpu_ratio =
            ratio(self.bring_up_operator_cpu_seconds, self.earlier_cpu_seconds);
        self.earlier_rss_ratio = ratio(self.rss_mib, self.earlier_rss_mib);
        self.earlier_bring_up_ratio = ratio(self.bring_up_seconds, self.earlier_bring_up_seconds);
        let difference = |more: u64, less: u64| i64::try_from(i128::from(more) - i128::from(less));
        self.strangers_extra_bytes = self
            .strangers_bytes
            .zip(self.strangers_idle_bytes)
            .and_then(|(more, less)| difference(more, less).ok());
    }

    pub(crate) fn print(&mut self) {
        self.ratios();
        self.print_what();
        println!("| what | measured | target |\n|---|---|---|");
        self.print_bring_up();
        self.print_steady();
        self.print_strangers();
        self.print_tool_change();
        self.print_restart();
        self.print_crowded();
        self.print_overload();
        if let Some(commit) = &self.earlier_commit {
            self.print_earlier(commit.get(..7).unwrap_or(commit));
        }
    }

    /// What the figures are of.
    fn print_what(&self) {
        let load = self.load_average.map_or_else(String::new, |load| {
            format!(", load {load:.1} before the run")
        });
        let which = if self.suspended {
            "agents, scheduled and suspended but for ten"
        } else {
            "agents"
        };
        println!("\n{} {which}, {} CPUs{load}", self.agents, self.cpus);
        if let Some(prepared) = &self.prepared {
            println!(
                "A bare client made {prepared} first, and then, with the operator at work, the \
                 agents. All else is the operator's and the controllers'."
            );
        }
        println!();
    }

    fn print_bring_up(&self) {
        let to = |ours, theirs| format!("{} to {} s", number(ours, 1), number(theirs, 1));
        let objects = to(self.bring_up_seconds, self.baseline_seconds);
        let settled = to(self.bring_up_settled_seconds, self.baseline_settled_seconds);
        row(
            "bring-up to a bare client that repeats the writes, to the last object applied",
            &format!("{} ({objects})", number(self.bring_up_ratio, 2)),
            "≤ 1.10",
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
            "writes for one autonomous agent; the same with workspace",
            &format!(
                "{}; {}",
                count(self.writes_per_agent),
                count(self.writes_per_agent_with_workspace)
            ),
            "≤ 7; ≤ 8",
        );
        let mib = |value| number(value, 0);
        row(
            "etcd after it: database, of which in use; quota",
            &format!(
                "{} MiB, {} MiB; {} MiB",
                mib(self.etcd_mib),
                mib(self.etcd_in_use_mib),
                mib(self.etcd_quota_mib)
            ),
            "",
        );
    }

    fn print_steady(&self) {
        row(
            "writes in 60 s idle; because of 100 no-op touches",
            &format!(
                "{}; {}",
                count(self.idle_writes_60s),
                count(self.noop_touch_writes)
            ),
            "0; 0",
        );
        let target = match self.agents {
            ..=1_000 => "≤ 24 MiB at 1,000",
            1_001..=10_000 => "≤ 64 MiB at 10,000",
            _ => "≤ 512 MiB at 100,000",
        };
        row(
            "RSS 60 s after settling",
            &format!("{} MiB", number(self.rss_mib, 1)),
            target,
        );
        row(
            "the most it ever was, to that",
            &format!(
                "{} ({} MiB)",
                number(self.rss_peak_ratio, 2),
                number(self.rss_peak_mib, 1)
            ),
            "≤ 1.2",
        );
    }

    fn print_strangers(&self) {
        let what = format!(
            "{} ConfigMaps and {} Secrets of 10 KB that are not ours: RSS; bytes received",
            count(self.strangers_config_maps),
            count(self.strangers_secrets)
        );
        row(
            &what,
            &format!(
                "{} KiB; {} ({} to {} in as long without, bookmarks included)",
                signed(self.strangers_rss_kib),
                count(self.strangers_extra_bytes),
                count(self.strangers_bytes),
                count(self.strangers_idle_bytes)
            ),
            "± 1024 KiB; 0",
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

    fn print_overload(&self) {
        let Some(all) = self.overload_all_seconds else {
            return;
        };
        row(
            "instructions of all agents changed at once, 16 syntheses of 2 s at a time: lost; told where they stand",
            &format!(
                "{}; {} of {}",
                count(self.overload_lost),
                count(self.overload_told),
                self.agents
            ),
            "0; all",
        );
        row(
            "then: ten agents in a namespace of their own have new code after; all others",
            &format!("{} s; {all:.0} s", number(self.overload_few_seconds, 1)),
            "not behind",
        );
        row(
            "then: RSS of the operator before, and the most; of the synthesizer",
            &format!(
                "{} MiB, {} MiB; {} MiB",
                number(self.overload_rss_before_mib, 1),
                number(self.overload_rss_peak_mib, 1),
                number(self.overload_synthesizer_peak_mib, 1)
            ),
            "bounded",
        );
    }

    fn print_earlier(&self, commit: &str) {
        let to = |ratio, ours, theirs, unit: &str| {
            format!(
                "{} ({} to {} {unit})",
                number(ratio, 2),
                number(ours, 1),
                number(theirs, 1)
            )
        };
        row(
            &format!("CPU of the operator for the bring-up, to {commit}'s"),
            &to(
                self.earlier_cpu_ratio,
                self.bring_up_operator_cpu_seconds,
                self.earlier_cpu_seconds,
                "s",
            ),
            "≤ 0.5 at 1,000",
        );
        row(
            &format!("RSS 60 s after settling, to {commit}'s"),
            &to(
                self.earlier_rss_ratio,
                self.rss_mib,
                self.earlier_rss_mib,
                "MiB",
            ),
            "",
        );
        row(
            &format!("bring-up to the last object applied, to {commit}'s"),
            &to(
                self.earlier_bring_up_ratio,
                self.bring_up_seconds,
                self.earlier_bring_up_seconds,
                "s",
            ),
            "",
        );
        row(
            &format!("writes for one autonomous agent, and {commit}'s"),
            &format!(
                "{}; {}",
                count(self.writes_per_agent),
                count(self.earlier_writes_per_agent)
            ),
            "",
        );
    }

    fn print_tool_change(&self) {
        let what = format!(
            "tool port change in the env of its 10 agents, p99, to a bare client that makes the \
             same {} writes",
            count(self.tool_change_writes)
        );
        let times = |ratio, p99, bare, p50| {
            format!(
                "{} ({} to {} ms; p50 {} ms)",
                number(ratio, 2),
                number(p99, 1),
                number(bare, 1),
                number(p50, 1)
            )
        };
        row(
            &what,
            &times(
                self.tool_change_p99_ratio,
                self.tool_change_p99_ms,
                self.tool_change_bare_p99_ms,
                self.tool_change_p50_ms,
            ),
            "≤ 1.25",
        );
        row(
            "the same while 64 syntheses hang",
            &times(
                self.tool_change_p99_ratio_64_hanging,
                self.tool_change_p99_ms_64_hanging,
                self.tool_change_bare_p99_ms_64_hanging,
                self.tool_change_p50_ms_64_hanging,
            ),
            "≤ 1.35",
        );
    }

    fn print_restart(&self) {
        let what = format!(
            "restart to the last agent looked at, to a bare list of the same {} objects",
            count(self.restart_listed_objects)
        );
        row(
            &what,
            &format!(
                "{} ({} to {} s)",
                number(self.restart_ratio, 2),
                number(self.restart_seconds, 2),
                number(self.restart_bare_list_seconds, 2)
            ),
            "≤ 1.5",
        );
        row(
            "then: ready after; operator's CPU; RSS",
            &format!(
                "{} s; {} s; {} MiB",
                number(self.restart_ready_seconds, 2),
                number(self.restart_cpu_seconds, 1),
                number(self.restart_rss_mib, 1)
            ),
            "",
        );
        row(
            "writes because of it; rolled",
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

fn signed(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".to_owned(), |value| format!("{value:+.0}"))
}

fn count(value: Option<impl Display>) -> String {
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
