//! The operator is killed and started again: how long until it has looked at everything, and
//! whether anybody notices.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::Result;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PartialObjectMeta},
};
use langop_integration_tests::{audit, wait};

use crate::{
    env::{BenchEnv, SOON},
    figures::{Figures, detail, progress},
    fleet::Fleet,
    process,
};

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
    let agents = fleet.agents().len();
    wait::until("a reconcile of each agent", SOON, async || {
        let done = env.reconciles().await.map_err(|error| error.to_string())?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        if done >= agents as f64 {
            Ok(())
        } else {
            Err(format!("{done} of {agents}"))
        }
    })
    .await?;
    figures.restart_seconds = Some(begun.elapsed().as_secs_f64());
    figures.restart_cpu_seconds = Some(process::cpu_seconds(env.operator.pid())?);

    let writes = env.settled(mark, Duration::from_secs(5)).await?;
    detail(&audit::pretty(&writes));
    figures.restart_writes = Some(writes.len());
    let after = generations(&env.client).await?;
    figures.restart_rolled_pods = Some(
        before
            .iter()
            .filter(|(name, generation)| after.get(*name) != Some(*generation))
            .count(),
    );
    figures.restart_rss_mib = Some(process::memory(env.operator.pid())?.0);
    Ok(())
}

/// Of all Deployments, each of which has one pod: whoever rolls pods raises it.
async fn generations(client: &Client) -> Result<HashMap<String, i64>> {
    let deployments: Api<Deployment> = Api::all(client.clone());
    let list = deployments.list_metadata(&ListParams::default()).await?;
    let row = |deployment: PartialObjectMeta<Deployment>| {
        let name = format!(
            "{}/{}",
            deployment.namespace().unwrap_or_default(),
            deployment.name_any()
        );
        (name, deployment.metadata.generation.unwrap_or_default())
    };
    Ok(list.items.into_iter().map(row).collect())
}
