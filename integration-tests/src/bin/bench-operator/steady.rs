//! The steady state: silence, memory after it, and what a change that means nothing costs.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use langop_api::LanguageAgent;
use langop_integration_tests::{AuditEvent, audit, processes, wait};
use serde_json::json;

use crate::{
    env::BenchEnv,
    figures::{Figures, detail, progress},
    fleet::Fleet,
};

/// How long nothing may be written.
const IDLE: Duration = Duration::from_mins(1);
/// Agents that are touched, if there are so many.
const TOUCHED: usize = 100;

pub(crate) async fn measure(
    env: &BenchEnv<'_>,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<()> {
    let writes = idle(env).await?;
    detail(&audit::pretty(&writes));
    figures.idle_writes_60s = Some(writes.len());
    let (rss, peak) = processes::memory_mib(env.operator.pid())?;
    (figures.rss_mib, figures.rss_peak_mib) = (Some(rss), Some(peak));
    figures.noop_touch_writes = Some(touch(env, fleet).await?);
    Ok(())
}

/// What the operator writes while nobody else does anything.
pub(crate) async fn idle(env: &BenchEnv<'_>) -> Result<Vec<AuditEvent>> {
    progress(&format!("{} s idle", IDLE.as_secs()));
    let mark = env.audit.mark()?;
    // The time itself is what is measured.
    tokio::time::sleep(IDLE).await;
    env.audit.writes_since(mark, &env.operator.writes())
}

/// Writes because of annotations that mean nothing to the operator.
async fn touch(env: &BenchEnv<'_>, fleet: &Fleet) -> Result<usize> {
    let touched = &fleet.agents()[..fleet.agents().len().min(TOUCHED)];
    progress(&format!(
        "touching {} agents without changing anything",
        touched.len()
    ));
    let (mark, before) = (env.audit.mark()?, env.reconciles().await?);
    stream::iter(touched)
        .map(Ok)
        .try_for_each_concurrent(16, async |agent: &LanguageAgent| {
            let api: Api<LanguageAgent> =
                Api::namespaced(env.client.clone(), &agent.namespace().unwrap_or_default());
            let touch = Patch::Merge(
                json!({"metadata": {"annotations": {"bench.example/touched": "yes"}}}),
            );
            api.patch(&agent.name_any(), &PatchParams::default(), &touch)
                .await
                .map(|_| ())
        })
        .await?;
    // Silence says something only once the operator has looked.
    #[expect(clippy::cast_precision_loss, reason = "at most 100")]
    let all = before + touched.len() as f64;
    wait::until(
        "a reconcile of each touched agent",
        env.scale.soon(),
        async || {
            let now = env.reconciles().await.map_err(|error| error.to_string())?;
            if now >= all {
                Ok(())
            } else {
                Err(format!("{} of {}", now - before, touched.len()))
            }
        },
    )
    .await?;
    let writes = env.settled(mark, Duration::from_secs(3)).await?;
    detail(&audit::pretty(&writes));
    Ok(writes.len())
}
