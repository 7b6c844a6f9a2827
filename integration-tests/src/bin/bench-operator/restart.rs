//! The operator is killed and started again: how long until it has looked at everything, beside a
//! bare list of the same objects, and whether anybody notices.

use std::{
    collections::HashMap,
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::Result;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, batch::v1::CronJob},
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use langop_integration_tests::{audit, processes};
use serde::de::DeserializeOwned;

use crate::{
    bare_list,
    env::BenchEnv,
    figures::{Figures, detail, progress},
    fleet::Fleet,
    replay,
};

/// Bare lists, of which the median counts.
const LISTS: usize = 3;

pub(crate) async fn measure(
    env: &mut BenchEnv<'_>,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<()> {
    progress("killing the operator and starting it again");
    let before = generations(&env.client).await?;
    env.operator.kill().await?;
    let mark = env.audit.mark()?;
    let begun = Instant::now();
    env.operator.start_again().await?;
    figures.restart_ready_seconds = Some(begun.elapsed().as_secs_f64());
    env.all_looked_at(fleet).await?;
    figures.restart_seconds = Some(begun.elapsed().as_secs_f64());
    figures.restart_cpu_seconds = Some(processes::cpu_time(env.operator.pid())?.as_secs_f64());
    let lists = bare_list::recorded(env.audit, mark, env.operator.user())?;

    let writes = env.settled(mark, Duration::from_secs(5)).await?;
    detail(&audit::pretty(&writes));
    figures.restart_writes = Some(writes.len());
    let after = generations(&env.client).await?;
    let is_rolled = |name: &String, generation: &i64| after.get(name) != Some(generation);
    let rolled = before.iter().filter(|(name, old)| is_rolled(name, old));
    figures.restart_rolled_pods = Some(rolled.count());
    figures.restart_rss_mib = Some(processes::memory_mib(env.operator.pid())?.0);
    list_bare(env, &lists, figures).await
}

/// The operator, which is at rest, costs nothing meanwhile.
async fn list_bare(env: &BenchEnv<'_>, lists: &[String], figures: &mut Figures) -> Result<()> {
    progress(&format!(
        "a bare client lists the same {} kinds, {LISTS} times",
        lists.len()
    ));
    let mut times = Vec::new();
    for _ in 0..LISTS {
        // As new as the operator's: it has no connection yet.
        let client = replay::client_of(&env.operator).await?;
        let (time, objects) = bare_list::list(&client, lists).await?;
        times.push(time);
        figures.restart_listed_objects = Some(objects);
    }
    times.sort();
    figures.restart_bare_list_seconds = times.get(LISTS / 2).map(Duration::as_secs_f64);
    Ok(())
}

/// Of all Deployments and `CronJob`s, whose pods are those of agents, tools and models: whoever
/// changes what their pods are raises it.
async fn generations(client: &Client) -> Result<HashMap<String, i64>> {
    let mut all = HashMap::new();
    add_generations::<Deployment>(client, "Deployment", &mut all).await?;
    add_generations::<CronJob>(client, "CronJob", &mut all).await?;
    Ok(all)
}

async fn add_generations<K>(
    client: &Client,
    kind: &str,
    all: &mut HashMap<String, i64>,
) -> Result<()>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let mut page = ListParams::default().limit(500);
    loop {
        let list = api.list_metadata(&page).await?;
        all.extend(list.items.into_iter().map(|object: PartialObjectMeta<K>| {
            let namespace = object.namespace().unwrap_or_default();
            let name = format!("{kind} {namespace}/{}", object.name_any());
            (name, object.metadata.generation.unwrap_or_default())
        }));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}
