//! LanguageCluster: a namespace with quota, members and isolation, and a count of the agents in it.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use kube::ResourceExt as _;
use langop_api::{
    LanguageCluster,
    cluster::{AgentCounts, PodSecurity},
};
use langop_desired::{
    children::{Children, Prepared},
    cluster::{self, NamespaceUse},
    conditions::Summary,
    observed::{ChildKind, Observed},
};

use super::{budget, publish};
use crate::{
    cache::index::Key,
    context::{Context, now},
    error::{ReconcileError, Stopped},
    run::{
        outcome::Done,
        runner::Reconciled,
        steps::{Step, Steps},
    },
    write::{effects::Effects, look::KnownAbsent, ownership::owner},
};

/// Counts are written at most this often.
const PACE: Duration = Duration::from_secs(10);

impl Reconciled for LanguageCluster {
    async fn reconcile(
        self: Arc<Self>,
        ctx: &Arc<Context>,
        steps: &Steps,
        effects: &mut Effects,
    ) -> Result<Done, Stopped> {
        let owner = owner(&*self)?;
        let absent = &mut KnownAbsent::default();
        let namespace = Key::new(ChildKind::Namespace, "", &cluster::namespace_of(&self));
        let looking = ctx.writer.get_live(absent, &namespace);
        let live = steps.run(Step::Dereference, looking).await?;
        let valid = steps.check(Step::Validate, || {
            cluster::validate(&self, &ctx.settings.build)
        })?;
        let namespace_use = steps.check(Step::Decide, || decide(ctx, &self, live.as_deref()))?;
        let namespace = cluster::build_namespace(&valid, namespace_use);
        let children = steps.compute(Step::Build, || cluster::build(&valid));
        let foreign = foreign_level(live.as_deref(), namespace_use);
        // Nothing is written before the namespace is certainly ours.
        let applying = async {
            ctx.writer.apply_namespace(&namespace, live).await?;
            ctx.writer
                .apply_children(&owner, children, &[], absent, effects)
                .await
        };
        let children = steps.run(Step::Apply, applying).await?;
        let counted = count(ctx, &self);
        let updating = async {
            let paying = ctx.budgets.of(&self.name_any());
            let (seen, _turn) = budget::with_ledger(ctx, &paying, &self).await;
            let next = cluster::status(&seen, Ok(&children), counted.agents, foreign, now());
            ctx.writer.write_status(&seen, &next, effects).await
        };
        let is_written = steps.run(Step::UpdateStatus, updating).await?;
        if is_written && counted.agents != before(&self) {
            note_count(ctx, &self);
        }
        publish(ctx, steps, &*self, effects).await;
        let done = Done::of(effects.changed, None);
        Ok(counted.again.into_iter().fold(done, Done::requeue_after))
    }

    fn interrupted(&self, _ctx: &Context, summary: Summary) -> Option<Self::Status> {
        let agents = before(self);
        Some(cluster::status(self, Err(summary), agents, None, now()))
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let settings = &ctx.settings.build;
        Ok(cluster::validate(self, settings).map_or_else(
            |_| Children::default(),
            |validated| cluster::build(&validated),
        ))
    }
}

/// What this cluster may do with its namespace, beside the other clusters.
fn decide(
    ctx: &Context,
    object: &LanguageCluster,
    live: Option<&Observed>,
) -> Result<NamespaceUse, Summary> {
    let all = ctx.cache.stores.clusters.list(None);
    let others = all.iter().filter_map(|other| other.0.as_ref().ok());
    cluster::decide(object, others, live)
}

/// The Pod Security level in effect, where it is another manager's.
fn foreign_level(live: Option<&Observed>, namespace_use: NamespaceUse) -> Option<PodSecurity> {
    live.filter(|_| namespace_use == NamespaceUse::AdoptLabelled)
        .map(cluster::enforced)
}

/// Agents to be shown, and when to look again if that is not the whole truth.
struct Counted {
    agents: Option<AgentCounts>,
    again: Option<Duration>,
}

impl Counted {
    fn unchanged(cluster: &LanguageCluster) -> Self {
        Self {
            agents: before(cluster),
            again: None,
        }
    }
}

fn before(cluster: &LanguageCluster) -> Option<AgentCounts> {
    cluster.status.as_ref().and_then(|status| status.agents)
}

/// Looks at every agent of the namespace, so not at each change of one of thousands.
fn count(ctx: &Context, object: &LanguageCluster) -> Counted {
    let rest = rest(ctx, object);
    if !rest.is_zero() {
        return Counted {
            again: Some(rest),
            ..Counted::unchanged(object)
        };
    }
    let agents = ctx
        .cache
        .stores
        .agents
        .list(Some(&cluster::namespace_of(object)));
    let phase = |agent: &crate::cache::objects::Guard<langop_api::LanguageAgent>| {
        agent.0.as_ref().ok()?.status.as_ref()?.phase
    };
    Counted {
        agents: Some(cluster::count(
            agents.iter().map(|agent| phase(agent)),
            object.spec.suspend == Some(true),
        )),
        again: None,
    }
}

/// The counts were written now.
fn note_count(ctx: &Context, object: &LanguageCluster) {
    let mut times = ctx.counted.lock().unwrap_or_else(PoisonError::into_inner);
    times.insert(object.name_any(), Instant::now());
}

/// Until counts may be written again.
fn rest(ctx: &Context, object: &LanguageCluster) -> Duration {
    let times = ctx.counted.lock().unwrap_or_else(PoisonError::into_inner);
    times
        .get(&object.name_any())
        .map(|last| PACE.saturating_sub(last.elapsed()))
        .unwrap_or_default()
}
