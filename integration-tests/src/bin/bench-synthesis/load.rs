//! Load: closed loops for throughput, an open loop for latency.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::future::try_join_all;
use langop_proto::v1::synthesis_service_client::SynthesisServiceClient;
use tonic::transport::Channel;

use crate::subject::request;

pub(crate) type Client = SynthesisServiceClient<Channel>;

/// Requests that are always under way in a closed loop.
pub(crate) const IN_FLIGHT: usize = 64;

/// A connection to whoever answers at `url`.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let channel = Channel::from_shared(url.to_owned())?.connect().await?;
    Ok(SynthesisServiceClient::new(channel))
}

/// Answers per second with 64 in flight.
pub(crate) async fn throughput(client: &Client, window: Duration) -> Result<f64> {
    let ask = async |_| {
        client.clone().synthesize(request(0)).await?;
        Ok(())
    };
    closed_loops(window, &ask).await
}

/// How often per second `ask`, which is told a number of its own, ends if 64 are under way.
pub(crate) async fn closed_loops(
    window: Duration,
    ask: &impl AsyncFn(usize) -> Result<()>,
) -> Result<f64> {
    let begun = Instant::now();
    let loops = (0..IN_FLIGHT).map(async |first| {
        let mut done = 0_u32;
        for number in (first..).step_by(IN_FLIGHT) {
            if begun.elapsed() >= window {
                break;
            }
            ask(number).await?;
            done += 1;
        }
        Ok::<_, anyhow::Error>(done)
    });
    let done: u32 = try_join_all(loops).await?.into_iter().sum();
    Ok(f64::from(done) / begun.elapsed().as_secs_f64())
}

/// 99th percentile of the latency in milliseconds when requests come at a steady rate, whatever the
/// answers do.
pub(crate) async fn p99_ms(client: &Client, per_second: f64, window: Duration) -> Result<f64> {
    let pause = Duration::from_secs_f64(1.0 / per_second.max(1.0));
    let mut due = Instant::now();
    let end = due + window;
    let mut pending = tokio::task::JoinSet::new();
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        // The timer is coarser than the pause: all that are due are sent, each measured from when
        // it was due.
        while due <= Instant::now() && due < end {
            let (mut client, sent) = (client.clone(), due);
            pending
                .spawn(async move { client.synthesize(request(0)).await.map(|_| sent.elapsed()) });
            due += pause;
        }
    }
    let mut times = Vec::new();
    while let Some(done) = pending.join_next().await {
        times.push(done??.as_secs_f64() * 1e3);
    }
    if times.len() < 100 {
        bail!("only {} answers: too few for a percentile", times.len());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() * 99 / 100])
}

/// The middle of a few.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
