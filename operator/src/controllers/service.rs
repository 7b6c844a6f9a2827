//! What models, tools and clients have in common: their children are applied, and their status
//! follows one Deployment.
//!
//! A kind says what it refers to, what it builds and what its status is ([`Service`]); everything
//! else is here, once.

use std::sync::Arc;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Condition, jiff::Timestamp};
use kube::ResourceExt as _;
use langop_desired::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{self, Summary},
    frame::Frame,
    name_conflict::NameCollision,
    observed::{ChildKind, Observed},
    runners::is_pod_of,
    settings::Settings,
    workload::Rollout,
};

use super::{namespace::NamespaceView, publish};
use crate::{
    cache::objects::Stored,
    context::{Context, now},
    error::{ReconcileError, Stopped},
    run::{
        outcome::Done,
        runner::Reconciled,
        steps::{Step, Steps},
    },
    write::{effects::Effects, look::KnownAbsent, ownership::owner},
};

/// A kind that runs one Deployment behind one Service.
pub(super) trait Service: Stored {
    /// What it refers to by name.
    type References: Send + Sync;
    /// It, when its spec can be carried out.
    type Validated: Send + Sync;

    /// What it refers to, and the others of its name.
    fn dereference(&self, namespace: &NamespaceView<'_>) -> (Self::References, Vec<NameCollision>);

    /// Checks what the API server could not. An error is how it stands with the children it has.
    fn validate(
        &self,
        surroundings: &Surroundings<Self::References>,
        settings: &Settings,
    ) -> Result<Self::Validated, Summary>;

    /// Its children.
    fn build(valid: &Self::Validated, settings: &Settings) -> Children<Prepared>;

    /// The name of its Deployment.
    fn deployment_name(&self) -> String {
        self.name_any()
    }

    /// Its status.
    fn next_status(&self, input: StatusInput<'_, Self>) -> Self::Status;

    /// Its status with these conditions and what follows from them, and all else as before.
    fn with_conditions(
        before: Self::Status,
        generation: i64,
        conditions: Vec<Condition>,
    ) -> Self::Status;
}

/// What surrounds a resource.
pub(super) struct Surroundings<References> {
    /// What it refers to by name.
    pub(super) references: References,
    /// The others of its name.
    pub(super) same_name: Vec<NameCollision>,
    /// The LanguageCluster that manages its namespace.
    pub(super) cluster: Option<ClusterView>,
}

/// What a status is made from.
pub(super) struct StatusInput<'a, K: Service> {
    pub(super) references: &'a K::References,
    /// The resource, if its spec can be carried out.
    pub(super) valid: Option<&'a K::Validated>,
    /// Its children, or what kept them from being.
    pub(super) children: Result<&'a Children<Applied>, Summary>,
    pub(super) rollout: Rollout<'a>,
    pub(super) settings: &'a Settings,
}

impl<K: Service> Reconciled for K {
    async fn reconcile(
        self: Arc<Self>,
        ctx: &Arc<Context>,
        steps: &Steps,
        effects: &mut Effects,
    ) -> Result<Done, Stopped> {
        let settings = &ctx.settings.build;
        let owner = owner(&*self)?;
        let surroundings = steps.compute(Step::Dereference, || surroundings(ctx, &*self));
        let valid = steps.check(Step::Validate, || self.validate(&surroundings, settings))?;
        let children = steps.check(Step::Build, || {
            let frame = Frame::of(surroundings.cluster.as_ref());
            frame.hold_all(K::build(&valid, settings))
        })?;
        let absent = &mut KnownAbsent::default();
        let applying = ctx
            .writer
            .apply_children(&owner, children, &[], absent, effects);
        let children = steps.run(Step::Apply, applying).await?;
        let live = live(ctx, &*self);
        let status = self.next_status(StatusInput {
            references: &surroundings.references,
            valid: Some(&valid),
            children: Ok(&children),
            rollout: live.rollout(),
            settings,
        });
        let writing = ctx.writer.write_status(&*self, &status, effects);
        steps.run(Step::UpdateStatus, writing).await?;
        publish(ctx, steps, &*self, effects).await;
        Ok(Done::of(effects.changed, None).requeue_at(live.rollout().due(now())))
    }

    fn blocked(&self, ctx: &Context, summary: Summary) -> Option<Self::Status> {
        let surroundings = surroundings(ctx, self);
        Some(self.next_status(StatusInput {
            references: &surroundings.references,
            valid: None,
            children: Err(summary),
            rollout: live(ctx, self).rollout(),
            settings: &ctx.settings.build,
        }))
    }

    fn due(&self, ctx: &Context) -> Option<Timestamp> {
        live(ctx, self).rollout().due(now())
    }

    fn interrupted(&self, _ctx: &Context, summary: Summary) -> Option<Self::Status> {
        let before = self.status().cloned().unwrap_or_default();
        let generation = self.meta().generation.unwrap_or_default();
        let conditions =
            conditions::interrupted(K::conditions(&before), generation, summary, now());
        Some(K::with_conditions(before, generation, conditions))
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let settings = &ctx.settings.build;
        let surroundings = Surroundings {
            same_name: Vec::new(),
            ..surroundings(ctx, self)
        };
        let valid = self.validate(&surroundings, settings);
        Ok(valid.map_or_else(
            |_| Children::default(),
            |valid| K::build(&valid, settings).policies(),
        ))
    }
}

fn surroundings<K: Service>(ctx: &Context, object: &K) -> Surroundings<K::References> {
    let namespace = object.namespace().unwrap_or_default();
    let view = NamespaceView::new(ctx, &namespace);
    let (references, same_name) = object.dereference(&view);
    Surroundings {
        references,
        same_name,
        cluster: view.managing_cluster(),
    }
}

/// The live Deployment and pods of a resource.
struct Live {
    deployment: Option<Arc<Observed>>,
    pods: Vec<Arc<Observed>>,
}

impl Live {
    fn rollout(&self) -> Rollout<'_> {
        Rollout {
            deployment: self.deployment.as_deref(),
            pods: &self.pods,
        }
    }
}

fn live<K: Service>(ctx: &Context, object: &K) -> Live {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.deployment_name();
    let uid = object.uid();
    let ours = |observed: &Arc<Observed>| {
        let controller = observed.controller.as_ref();
        controller.is_some_and(|controller| Some(&controller.uid) == uid.as_ref())
    };
    let index = &ctx.cache.index;
    let deployment = index.get(ChildKind::Deployment, &namespace, &name);
    let mut pods = K::KIND.label().map_or_else(Vec::new, |label| {
        index.labelled(label, &namespace, &object.name_any(), ChildKind::Pod)
    });
    pods.retain(|pod| is_pod_of(pod, &name, &[]));
    Live {
        deployment: deployment.filter(ours),
        pods,
    }
}
