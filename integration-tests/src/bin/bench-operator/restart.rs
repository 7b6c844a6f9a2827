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
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use langop_integration_tests::{audit, processes, wait};
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
    let (begun, start) = (Instant::now(), Timestamp::now());
    env.operator.start_again().await?;
    figures.restart_ready_seconds = Some(begun.elapsed().as_secs_f64());
    env.all_looked_at(fleet).await?;
    let end = last_look(env, start).await?;
    figures.restart_seconds = Some(end.duration_since(start).as_secs_f64());
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

/// When the operator had looked at everything, by its own word: its metrics, by which it is waited
/// for, are made once in a second.
async fn last_look(env: &BenchEnv<'_>, start: Timestamp) -> Result<Timestamp> {
    let log = env.operator.log();
    wait::until("word of the last look", env.scale.soon(), async || {
        let text = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
        let mut told = text.lines().filter_map(time_of_last_look);
        told.rfind(|time| *time >= start)
            .ok_or_else(|| format!("none in {}", log.display()))
    })
    .await
}

/// The time of a line of the operator's log, if it tells of that.
fn time_of_last_look(line: &str) -> Option<Timestamp> {
    let (time, told) = line.split_once(' ')?;
    told.contains("every object was looked at")
        .then(|| time.parse().ok())?
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

#[cfg(test)]
mod tests {
    use super::time_of_last_look;

    #[test]
    fn the_line_of_the_last_look_is_known_by_its_words() {
        let line = |words: &str| {
            format!("2026-12-01T16:07:06.611045Z  INFO langop_operator::run: {words}")
        };
        let time = time_of_last_look(&line("every object was looked at")).unwrap();
        assert_eq!(time.to_string(), "2026-12-01T16:07:06.611045Z");
        assert_eq!(time_of_last_look(&line("all watches have listed")), None);
    }
}
