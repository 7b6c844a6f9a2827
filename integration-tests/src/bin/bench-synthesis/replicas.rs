//! Three replicas behind the client's rendezvous hash: they must be as one cache, also when one is
//! killed midway.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use langop_client::pool::Pool;
use langop_integration_tests::{FakeLlm, Synthesizer};
use langop_proto::{routing::routing_key, v1::synthesis_service_client::SynthesisServiceClient};
use serde_json::Value;
use tokio::time::Instant;
use tonic::transport::Endpoint;

use crate::figures::{self, Figures};
use crate::load::IN_FLIGHT;
use crate::subject::{self, THING, simulated_llm, synthesizer};

const KEYS: usize = 100;
const REQUESTS: usize = 10_000;
/// Longest time a request may take.
const LONGEST: Duration = Duration::from_mins(2);

pub(crate) async fn measure(figures: &mut Figures) -> Result<()> {
    let llm = simulated_llm().await?;
    figures::progress("10,000 requests over 100 keys, three replicas");
    let replicas = [
        synthesizer(&llm).await?,
        synthesizer(&llm).await?,
        synthesizer(&llm).await?,
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
        synthesizer(llm).await?,
        synthesizer(llm).await?,
        synthesizer(llm).await?,
    ];
    let pool = pool(&replicas)?;
    let before = llm.count();
    let lost_keys: BTreeSet<usize> = (0..KEYS)
        .filter(|key| home(&pool, *key) == replicas[0].grpc_url())
        .collect();
    let mut failed = run(&pool, REQUESTS / 2).await;
    let mut lost = replicas.remove(0);
    let (rest, killed) = tokio::join!(run(&pool, REQUESTS / 2), lost.kill());
    killed?;
    failed += rest;
    let foreign = made(llm, before)?
        .into_iter()
        .filter(|(key, times)| *times > 1 && !lost_keys.contains(key))
        .count();
    Ok((failed, foreign))
}

/// How often the LLM was asked for each key, its first `before` requests aside.
fn made(llm: &FakeLlm, before: usize) -> Result<BTreeMap<usize, usize>> {
    let mut made = BTreeMap::new();
    for request in llm.requests().into_iter().skip(before) {
        let key = key_of(&request.body).context("a prompt names no key")?;
        *made.entry(key).or_default() += 1;
    }
    Ok(made)
}

/// The key whose instructions a prompt holds.
fn key_of(body: &Value) -> Option<usize> {
    let messages = body["messages"].as_array()?;
    let mut texts = messages.iter().filter_map(|it| it["content"].as_str());
    let (_, rest) = texts.find_map(|text| text.split_once(THING))?;
    rest.split_once('.')?.0.parse().ok()
}

pub(crate) fn pool(replicas: &[Synthesizer]) -> Result<Pool> {
    let endpoints: Result<Vec<_>, _> = replicas
        .iter()
        .map(|r| Endpoint::from_shared(r.grpc_url().to_owned()))
        .collect();
    Ok(Pool::fixed(endpoints.context("an endpoint is no URL")?))
}

/// The replica that a key prefers.
fn home(pool: &Pool, key: usize) -> String {
    let preferred = pool.preference(&routing_key(&subject::request(key)));
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
                let request = subject::request(n % KEYS);
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
