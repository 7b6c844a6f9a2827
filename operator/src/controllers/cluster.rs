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
    children::{Applied, Children, Prepared},
    cluster::{self, NamespaceUse},
    conditions::Standing,
    observed::ChildKind,
};

use super::outcome::{owner, report};
use crate::{
    cache::index::Key,
    context::{Context, now},
    error::ReconcileError,
    run::{outcome::Done, runner::Reconciled},
    write::{
        apply::{self, Free},
        status::{self, Written},
    },
};

/// Counts are written at most this often.
const PACE: Duration = Duration::from_secs(10);

impl Reconciled for LanguageCluster {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let (written, framed) = frame(&ctx, &self).await?;
        let counted = if framed.is_ok() {
            count(&ctx, &self)
        } else {
            Counted::unchanged(&self)
        };
        let next = cluster::status(
            &self,
            framed
                .as_ref()
                .map(|framed| &framed.children)
                .map_err(Clone::clone),
            counted.agents,
            framed.as_ref().ok().and_then(|framed| framed.foreign),
            now(),
        );
        let status = status::write(&ctx, &*self, &next).await?;
        if status == Written::Yes && counted.agents != before(&self) {
            let mut times = ctx.counted.lock().unwrap_or_else(PoisonError::into_inner);
            times.insert(self.name_any(), Instant::now());
        }
        let done = report(&written, status, framed.as_ref().err());
        Ok(match counted.again {
            Some(again) => done.again_in(again),
            None => done,
        })
    }

    fn interrupted(&self, _ctx: &Context, standing: Standing) -> Option<Self::Status> {
        Some(cluster::status(
            self,
            Err(standing),
            before(self),
            None,
            now(),
        ))
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let settings = &ctx.settings.build;
        Ok(cluster::validate(self, settings).map_or_else(
            |_| Children::default(),
            |validated| cluster::build(&validated),
        ))
    }
}

/// What is in the namespace.
struct Framed {
    children: Children<Applied>,
    /// The Pod Security level in effect, where it is another manager's.
    foreign: Option<PodSecurity>,
}

/// The namespace and what is in it, or why not. Nothing is written before the namespace is certainly ours.
async fn frame(
    ctx: &Context,
    object: &LanguageCluster,
) -> Result<(Vec<apply::Written>, Result<Framed, Standing>), ReconcileError> {
    let not = |standing: Standing| Ok((Vec::new(), Err(standing)));
    let owner = owner(object)?;
    let validated = match cluster::validate(object, &ctx.settings.build) {
        Ok(validated) => validated,
        Err(invalid) => return not(invalid.into()),
    };
    let all = ctx.cache.stores.clusters.list(None);
    let others = all.iter().filter_map(|other| other.0.as_ref().ok());
    let live = apply::look(
        ctx,
        &mut Free::default(),
        &Key::new(ChildKind::Namespace, "", &validated.namespace),
    )
    .await?;
    let namespace_use = match cluster::decide(object, others, live.as_deref()) {
        Ok(namespace_use) => namespace_use,
        Err(standing) => return not(standing),
    };
    let foreign = live
        .as_deref()
        .filter(|_| namespace_use == NamespaceUse::AdoptLabelled)
        .map(cluster::enforced);
    let namespace = cluster::build_namespace(&validated, namespace_use);
    if let Err(standing) = apply::namespace(ctx, &namespace, live).await? {
        return not(standing);
    }
    let children = cluster::build(&validated);
    let (written, children) = apply::children(ctx, &owner, children, &[], &mut Free::default())
        .await?
        .settle();
    Ok((
        written,
        children.map(|children| Framed { children, foreign }),
    ))
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
        agents: Some(cluster::count(agents.iter().map(|agent| phase(agent)))),
        again: None,
    }
}

/// Until counts may be written again.
fn rest(ctx: &Context, object: &LanguageCluster) -> Duration {
    let times = ctx.counted.lock().unwrap_or_else(PoisonError::into_inner);
    times
        .get(&object.name_any())
        .map(|last| PACE.saturating_sub(last.elapsed()))
        .unwrap_or_default()
}
