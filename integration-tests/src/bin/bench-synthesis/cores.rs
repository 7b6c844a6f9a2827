//! What scaling out costs by itself: one replica against three on the same cores. Pins processes to
//! CPUs (Linux); what it measures is load's business.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use langop_client::pool::Pool;
use langop_integration_tests::Synthesizer;
use langop_proto::{routing::routing_key, v1::synthesis_service_client::SynthesisServiceClient};
use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use tokio::time::Instant;

use crate::{
    figures::{self, Figures},
    load,
    replicas::pool,
    subject::{self, simulated_llm, synthesizer},
};

/// So many that each of three replicas has its part of them.
const KEYS: usize = 99;

/// Answers per second of one replica and of three, in turns. All replicas share one half of the
/// cores, and whoever asks has the other.
pub(crate) async fn measure(window: Duration, rounds: usize, figures: &mut Figures) -> Result<()> {
    let Some((asking, answering)) = halves()? else {
        figures::progress("one replica and three on the same cores: not measured on one core");
        return Ok(());
    };
    let llm = simulated_llm().await?;
    let one = [synthesizer(&llm).await?];
    let three = [
        synthesizer(&llm).await?,
        synthesizer(&llm).await?,
        synthesizer(&llm).await?,
    ];
    for replica in one.iter().chain(&three) {
        pin(replica.pid(), &answering)?;
    }
    pin(std::process::id(), &asking)?;
    let measured = in_turns(&one, &three, window, rounds, figures).await;
    pin(std::process::id(), &sum(&asking, &answering))?;
    measured
}

async fn in_turns(
    one: &[Synthesizer],
    three: &[Synthesizer],
    window: Duration,
    rounds: usize,
    figures: &mut Figures,
) -> Result<()> {
    let (one, three) = (pool(one)?, pool(three)?);
    for pool in [&one, &three] {
        try_join_all((0..KEYS).map(|key| ask(pool, key))).await?;
    }
    let (mut of_one, mut of_three) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        figures::progress(&format!(
            "one replica and three on the same cores, round {round} of {rounds}"
        ));
        of_one.push(throughput(&one, window).await?);
        of_three.push(throughput(&three, window).await?);
    }
    let (of_one, of_three) = (load::median(&mut of_one), load::median(&mut of_three));
    figures.one_replica_per_second = Some(of_one);
    figures.three_replicas_per_second = Some(of_three);
    figures.three_replicas_ratio_to_one = Some(of_three / of_one);
    Ok(())
}

async fn throughput(pool: &Pool, window: Duration) -> Result<f64> {
    let ask = async |n: usize| ask(pool, n % KEYS).await;
    load::closed_loops(window, &ask).await
}

async fn ask(pool: &Pool, key: usize) -> Result<()> {
    /// Longest time of one request.
    const LONGEST: Duration = Duration::from_mins(1);
    let request = subject::request(key);
    let routing = routing_key(&request);
    let asking = pool.call(&routing, Instant::now() + LONGEST, async |channel| {
        SynthesisServiceClient::new(channel)
            .synthesize(request.clone())
            .await
    });
    asking.await.map(drop).context("a request failed")
}

/// The CPUs this process may use, in two; `None` of a single one.
fn halves() -> Result<Option<(CpuSet, CpuSet)>> {
    let all = sched_getaffinity(None).context("cannot ask for the CPUs")?;
    let mine: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|cpu| all.is_set(*cpu))
        .collect();
    if mine.len() < 2 {
        return Ok(None);
    }
    let (first, second) = mine.split_at(mine.len() / 2);
    Ok(Some((of(first), of(second))))
}

fn of(cpus: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    set
}

fn sum(a: &CpuSet, b: &CpuSet) -> CpuSet {
    let both = |cpu: &usize| a.is_set(*cpu) || b.is_set(*cpu);
    of(&(0..CpuSet::MAX_CPU).filter(both).collect::<Vec<_>>())
}

/// Keeps all threads of a process, and those that they start later, on these CPUs.
fn pin(process: u32, cpus: &CpuSet) -> Result<()> {
    let mut pinned = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("cannot list threads")? {
        let name = thread?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        let id = id
            .and_then(Pid::from_raw)
            .context("a thread has no number")?;
        // One that has ended meanwhile needs no place.
        pinned += usize::from(sched_setaffinity(Some(id), cpus).is_ok());
    }
    ensure!(pinned > 0, "no thread of {process} could be pinned");
    Ok(())
}
