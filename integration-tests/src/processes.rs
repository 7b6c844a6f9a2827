//! Looks at processes from outside, as `/proc` shows them, and signals them: for tests of what is
//! left behind, and of what they cost. Starts none.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// How long a process has kept a CPU busy since it began, all of its threads together.
///
/// # Errors
/// If there is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("no process {pid}"))?;
    // After the name, which may hold anything, come the fields from the third on.
    let (_, fields) = stat.rsplit_once(") ").context("not as proc(5) has it")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>()?;
    // A hundredth of a second each, whatever the kernel counts by.
    Ok(Duration::from_millis(10 * ticks))
}

/// Resident memory of a process in MiB: now, and the most it ever was.
///
/// # Errors
/// If there is no such process.
pub fn memory_mib(pid: u32) -> Result<(f64, f64)> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let mib = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let kib: Option<f64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.map(|kib| kib / 1024.0)
            .with_context(|| format!("{path} has no {key}"))
    };
    Ok((mib("VmRSS:")?, mib("VmHWM:")?))
}

/// Average number of processes that wanted a CPU in the last minute.
pub fn load_average() -> Option<f64> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Sends a signal.
///
/// # Errors
/// If there is no such process, or it is somebody else's.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .context("no such process id")?;
    kill_process(pid, signal).with_context(|| format!("cannot signal process {pid:?}"))
}

/// Waits until none of them is alive.
///
/// # Errors
/// After `within`, naming those that are left.
pub async fn all_gone(pids: &[u32], within: Duration) -> Result<()> {
    wait::until("the end of all processes", within, async || {
        let left: Vec<_> = pids.iter().filter(|pid| alive(**pid)).collect();
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?} are left"))
        }
    })
    .await
}

/// The processes that a process's threads have started and that it has not waited for.
pub fn children_of(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let texts =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    texts
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Its children, theirs, and so on.
pub fn descendants_of(pid: u32) -> Vec<u32> {
    let children = children_of(pid);
    let further = children.iter().copied().flat_map(descendants_of);
    let further: Vec<u32> = further.collect();
    [children, further].concat()
}
