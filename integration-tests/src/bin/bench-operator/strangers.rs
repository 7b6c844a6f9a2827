//! What others keep in the cluster must cost the operator nothing: `ConfigMap`s and Secrets that
//! are not ours are neither received nor held.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};

use langop_integration_tests::processes;

use crate::{
    byte_counter::ByteCounter,
    env::BenchEnv,
    figures::{Figures, progress},
    fleet::Fleet,
};

/// Of each object's content.
const BYTES: usize = 10_000;
/// Requests under way.
const CREATORS: usize = 16;
/// The API server tells each watch once in so long how far it is: both spans must hold as many of
/// these.
const BOOKMARKS: Duration = Duration::from_mins(1);

/// With an operator that has just started, and reaches the API server through a port that counts.
/// Leaves no operator behind, and all of these objects.
pub(crate) async fn measure(
    env: &mut BenchEnv<'_>,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<()> {
    let counter = ByteCounter::start(&env.cp.ready().server).await?;
    env.operator.stop().await?;
    env.operator = env
        .another_operator()
        .by_way_of(counter.url())
        .start()
        .await?;
    env.all_looked_at(fleet).await?;
    env.settled(env.audit.mark()?, Duration::from_secs(5))
        .await?;

    progress(&format!("{} s idle, bytes counted", BOOKMARKS.as_secs()));
    let begun = counter.received();
    // The time itself is what is measured.
    tokio::time::sleep(BOOKMARKS).await;
    let idle = counter.received() - begun;
    let rss = processes::memory_mib(env.operator.pid())?.0;

    let strangers = Strangers::beside(fleet);
    progress(&format!(
        "{} ConfigMaps and {} Secrets of {BYTES} bytes that are not ours",
        strangers.config_maps, strangers.secrets
    ));
    let (begun, start) = (counter.received(), Instant::now());
    strangers.create(&env.client, fleet).await?;
    let spans = spans(start.elapsed());
    tokio::time::sleep((BOOKMARKS * spans).saturating_sub(start.elapsed())).await;
    let received = counter.received() - begun;

    figures.strangers_config_maps = Some(strangers.config_maps);
    figures.strangers_secrets = Some(strangers.secrets);
    let more = processes::memory_mib(env.operator.pid())?.0 - rss;
    figures.strangers_rss_kib = Some(more * 1024.0);
    figures.strangers_idle_bytes = Some(idle * u64::from(spans));
    figures.strangers_bytes = Some(received);
    env.operator.stop().await
}

/// The whole spans that so long takes.
fn spans(time: Duration) -> u32 {
    let whole = time.as_secs() / BOOKMARKS.as_secs();
    u32::try_from(whole).unwrap_or(u32::MAX).saturating_add(1)
}

/// How many there are.
struct Strangers {
    config_maps: usize,
    secrets: usize,
}

impl Strangers {
    /// Fewer where there are few agents.
    fn beside(fleet: &Fleet) -> Self {
        let agents = fleet.agents().len();
        Self {
            config_maps: (10 * agents).min(10_000),
            secrets: (2 * agents).min(2_000),
        }
    }

    /// In the namespaces of the agents, by turns.
    async fn create(&self, client: &Client, fleet: &Fleet) -> Result<()> {
        let namespaces: Vec<&str> = fleet.namespaces().map(|(name, _)| name).collect();
        stream::iter(0..self.config_maps + self.secrets)
            .map(Ok)
            .try_for_each_concurrent(CREATORS, async |n: usize| {
                let namespace = namespaces[n % namespaces.len()];
                if n < self.config_maps {
                    create_config_map(client, namespace, n).await
                } else {
                    create_secret(client, namespace, n).await
                }
            })
            .await
    }
}

fn named(n: usize) -> ObjectMeta {
    ObjectMeta {
        name: Some(format!("stranger-{n:05}")),
        ..ObjectMeta::default()
    }
}

async fn create_config_map(client: &Client, namespace: &str, n: usize) -> Result<()> {
    let object = ConfigMap {
        metadata: named(n),
        data: Some(BTreeMap::from([("text".to_owned(), "s".repeat(BYTES))])),
        ..ConfigMap::default()
    };
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let made = api.create(&PostParams::default(), &object).await;
    made.map(|_| ()).context("cannot create a ConfigMap")
}

async fn create_secret(client: &Client, namespace: &str, n: usize) -> Result<()> {
    let content = ByteString(vec![b's'; BYTES]);
    let object = Secret {
        metadata: named(n),
        data: Some(BTreeMap::from([("text".to_owned(), content)])),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let made = api.create(&PostParams::default(), &object).await;
    made.map(|_| ()).context("cannot create a Secret")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::spans;

    #[test]
    fn a_span_that_has_begun_counts_whole() {
        let of = |seconds| spans(Duration::from_secs(seconds));
        assert_eq!([of(0), of(59), of(60), of(150)], [1, 1, 2, 3]);
    }
}
