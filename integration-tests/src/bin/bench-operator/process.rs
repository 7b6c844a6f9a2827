//! What the kernel says of a process (Linux: from `/proc`).

use std::fs;

use anyhow::{Context as _, Result};

/// Resident memory in MiB: now, and the most it ever was.
pub(crate) fn memory(pid: u32) -> Result<(f64, f64)> {
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

/// CPU time used so far, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    // Linux shows ticks of 1/100 s here on every architecture.
    const TICKS: f64 = 100.0;
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // After the name, which may hold spaces: utime and stime are fields 14 and 15 of the line.
    let (_, fields) = text
        .rsplit_once(')')
        .with_context(|| format!("{path} has no name"))?;
    let ticks = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse::<f64>)
        .sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}

/// Average number of processes that wanted a CPU in the last minute.
pub(crate) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg")
        .ok()?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
