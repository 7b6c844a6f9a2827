//! How much memory a synthesizer takes whose cache is full: many different requests, until what is
//! held grows no more.

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use langop_integration_tests::{FakeLlm, Reply, Synthesizer, metrics::metric_value, processes};

use crate::{
    figures::{self, Figures},
    load::{self, Client, IN_FLIGHT},
    subject::{agent_code, request, synthesizer},
};

/// The bound, by default.
const BOUND_MIB: f64 = 64.0;
/// Requests between two looks.
const STEP: usize = 2_000;
/// No cache of this size holds as many answers.
const MOST: usize = 200_000;

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let llm = FakeLlm::start().await?;
    llm.reply_with(|_| Reply::Code(agent_code(40)));
    let synthesizer = synthesizer(&llm).await?;
    figures.empty_cache_mib = processes::memory_mib(synthesizer.pid())?.0;
    let client = load::connect(synthesizer.grpc_url()).await?;
    let mut asked = 0;
    loop {
        let before = held_mib(&synthesizer).await?;
        fill(&client, asked..asked + STEP).await?;
        llm.forget();
        asked += STEP;
        let held = held_mib(&synthesizer).await?;
        figures::progress(&format!("filling the cache: {held:.1} MiB of {BOUND_MIB}"));
        if held - before < 0.1 {
            break;
        }
        ensure!(asked < MOST, "the cache is never full");
    }
    // Once more as many as it holds: what goes makes room for what comes.
    fill(&client, asked..2 * asked).await?;
    figures.full_cache_held_mib = held_mib(&synthesizer).await?;
    figures.full_cache_mib = processes::memory_mib(synthesizer.pid())?.0;
    figures.full_cache_ratio_to_bound = figures.full_cache_mib / BOUND_MIB;
    Ok(())
}

async fn fill(client: &Client, keys: std::ops::Range<usize>) -> Result<()> {
    stream::iter(keys)
        .map(|key| {
            let mut client = client.clone();
            async move { client.synthesize(request(key)).await.map(drop) }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<()>()
        .await?;
    Ok(())
}

/// What it counts of its answers itself.
async fn held_mib(synthesizer: &Synthesizer) -> Result<f64> {
    let page = synthesizer.metrics().await?;
    let bytes = metric_value(&page, "langop_synthesis_cache_bytes", &[]);
    Ok(bytes.unwrap_or_default() / f64::from(1 << 20))
}
