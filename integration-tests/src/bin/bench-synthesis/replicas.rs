//! Three replicas behind the client's rendezvous hash: they must be as one cache, also when one is killed midway.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use langop_integration_tests::{FakeLlm, Synthesizer};
use langop_proto::{
    pool::Pool, routing::routing_key, v1::synthesis_service_client::SynthesisServiceClient,
};
use tokio::time::Instant;
use tonic::transport::Endpoint;

use crate::figures::{self, Figures};

const KEYS: usize = 100;
const REQUESTS: usize = 10_000;
const IN_FLIGHT: usize = 64;
/// Longest time a request may take.
const LONGEST: Duration = Duration::from_mins(2);

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let llm = crate::simulated_llm().await?;
    figures::progress("10,000 requests over 100 keys, three replicas");
    let replicas = [
        crate::synthesizer(&llm).await?,
        crate::synthesizer(&llm).await?,
        crate::synthesizer(&llm).await?,
    ];
    let pool = pool(&replicas)?;
    figures.replicas_failed_requests = run(&pool, REQUESTS).await;
    figures.replicas_llm_calls = llm.count();
    drop(replicas);

    figures::progress("the same, and one of the three is killed midway");
    let (failed, foreign) = with_a_loss(&llm).await?;
    figures.replicas_failed_requests += failed;
    figures.replicas_regenerated_foreign_keys = foreign;
    Ok(())
}

/// Failed requests, and keys that were made again though their replica lived.
async fn with_a_loss(llm: &FakeLlm) -> Result<(usize, usize)> {
    let mut replicas = vec![
        crate::synthesizer(llm).await?,
        crate::synthesizer(llm).await?,
        crate::synthesizer(llm).await?,
    ];
    let pool = pool(&replicas)?;
    let before = llm.count();
    let mut failed = run(&pool, REQUESTS / 2).await;
    let made = llm.count() - before;
    let homes: BTreeSet<usize> = (0..KEYS)
        .filter(|key| home(&pool, *key) == replicas[0].grpc_url())
        .collect();
    let mut lost = replicas.remove(0);
    let (rest, killed) = tokio::join!(run(&pool, REQUESTS / 2), lost.kill());
    killed?;
    failed += rest;
    let again = llm.count() - before - made;
    let beyond_first = made - KEYS.min(made);
    Ok((failed, again.saturating_sub(homes.len()) + beyond_first))
}

fn pool(replicas: &[Synthesizer]) -> Result<Pool> {
    let endpoints: Result<Vec<_>, _> = replicas
        .iter()
        .map(|r| Endpoint::from_shared(r.grpc_url().to_owned()))
        .collect();
    Ok(Pool::fixed(endpoints.context("an endpoint is no URL")?))
}

/// The replica that a key prefers.
fn home(pool: &Pool, key: usize) -> String {
    let preferred = pool.preference(&routing_key(&crate::request(key)));
    preferred
        .first()
        .map(|name| name.trim_end_matches('/').to_owned())
        .unwrap_or_default()
}

/// Makes so many requests over the keys in turn, and counts those that failed.
async fn run(pool: &Pool, requests: usize) -> usize {
    let failed = AtomicUsize::new(0);
    stream::iter(0..requests)
        .for_each_concurrent(IN_FLIGHT, |n| {
            let failed = &failed;
            async move {
                let request = crate::request(n % KEYS);
                let key = routing_key(&request);
                let deadline = Instant::now() + LONGEST;
                let answer = pool.call(&key, deadline, async |channel| {
                    SynthesisServiceClient::new(channel)
                        .synthesize(request.clone())
                        .await
                });
                if answer.await.is_err() {
                    failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
        .await;
    failed.into_inner()
}
