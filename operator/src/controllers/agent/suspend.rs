//! A suspended namespace, as one agent's workloads follow it: what the reconcile has left running
//! is stopped after it, however it ended, and what was stopped so is put back before the next one.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{ResourceExt as _, api::PropagationPolicy};
use langop_api::{LanguageAgent, condition::Reason};
use langop_desired::{agent::suspension, observed::Observed};

use super::dereference::observed;
use crate::{
    context::Context, controllers::namespace::NamespaceView, error::Stopped,
    write::effects::Effects,
};

/// The LanguageCluster that suspends the agent's namespace, if one does.
pub(super) fn suspending(ctx: &Context, agent: &ObjectMeta) -> Option<String> {
    let namespace = agent.namespace.as_deref().unwrap_or_default();
    let cluster = NamespaceView::new(ctx, namespace).managing_cluster();
    cluster
        .filter(|cluster| cluster.suspended)
        .map(|cluster| cluster.name)
}

/// Puts back what was stopped here. A LanguageCluster that cannot be read lets nothing go on.
pub(super) async fn restore(
    ctx: &Context,
    agent: &LanguageAgent,
    effects: &mut Effects,
) -> Result<(), Stopped> {
    let uid = agent.uid().unwrap_or_default();
    let children = ctx.cache.index.controlled_by(&uid);
    if !children.iter().any(|child| suspension::is_noted(child)) {
        return Ok(());
    }
    let observed = observed(ctx, &agent.metadata);
    let is_suspended = agent.spec.suspend == Some(true);
    let changes = suspension::to_restore(&observed, is_suspended);
    if changes.is_empty() || !is_readable(ctx, agent) {
        return Ok(());
    }
    let writer = &ctx.writer;
    writer.change_workloads(&changes, "resume", effects).await
}

fn is_readable(ctx: &Context, agent: &LanguageAgent) -> bool {
    let namespace = agent.namespace().unwrap_or_default();
    let cluster = NamespaceView::new(ctx, &namespace).managing_cluster();
    cluster.is_none_or(|cluster| cluster.is_readable())
}

/// Stops what still runs, and ends the runs under way; of an agent that cannot be read, too.
pub(super) async fn enforce(
    ctx: &Context,
    agent: &ObjectMeta,
    cluster: &str,
    effects: &mut Effects,
) -> Result<(), Stopped> {
    let running = suspension::to_stop(&observed(ctx, agent));
    let writer = &ctx.writer;
    writer
        .change_workloads(&running, "suspend", effects)
        .await?;
    // Only then: a CronJob that still fires would make the next one.
    for run in suspension::to_end(&observed(ctx, agent)) {
        writer.delete(&run, PropagationPolicy::Background).await?;
        effects.changed = true;
        effects.normal(Reason::RunEnded, ended(&run, cluster));
    }
    Ok(())
}

fn ended(run: &Observed, cluster: &str) -> String {
    format!(
        "deleted Job '{}', which was running: the LanguageCluster '{cluster}' suspends the namespace",
        run.name
    )
}
