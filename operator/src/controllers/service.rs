//! What models, tools and clients have in common: their children are applied, and their status follows one Deployment.
//!
//! A kind says what it refers to, what it builds and what its status is ([`Service`]); everything else is here, once.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource as _, ResourceExt as _};
use langop_desired::{
    agent::ClusterView,
    children::{Applied, Children, Prepared},
    conditions::{self, Standing},
    frame::Frame,
    meta::Owner,
    namesake::Namesake,
    observed::{ChildKind, Observed},
    runners::is_pod_of,
    settings::Settings,
    workload::Rollout,
};

use super::outcome::{again_at, owner, report};
use crate::{
    cache::objects::Stored,
    context::{Context, now},
    controllers::namespace::InNamespace,
    error::ReconcileError,
    run::{outcome::Done, runner::Reconciled},
    write::{
        apply::{self, Free},
        status,
    },
};

/// A kind that runs one Deployment behind one Service.
pub(super) trait Service: Stored {
    /// What it refers to by name.
    type References: Send + Sync;
    /// It, when its spec can be carried out.
    type Validated: Send + Sync;

    /// What it refers to, and the others of its name.
    fn dereference(&self, namespace: &InNamespace<'_>) -> (Self::References, Vec<Namesake>);

    /// Checks what the API server could not. An error is how it stands with the children it has.
    fn validate(
        &self,
        surroundings: &Surroundings<Self::References>,
        settings: &Settings,
    ) -> Result<Self::Validated, Standing>;

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
    pub(super) namesakes: Vec<Namesake>,
    /// The LanguageCluster that frames its namespace.
    pub(super) cluster: Option<ClusterView>,
}

/// What a status is made from.
pub(super) struct StatusInput<'a, K: Service + ?Sized> {
    pub(super) references: &'a K::References,
    /// The resource, if its spec can be carried out.
    pub(super) valid: Option<&'a K::Validated>,
    /// Its children, or what kept them from being.
    pub(super) children: Result<&'a Children<Applied>, Standing>,
    pub(super) rollout: Rollout<'a>,
    pub(super) settings: &'a Settings,
}

impl<K: Service> Reconciled for K {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let settings = &ctx.settings.build;
        let owner = owner(&*self)?;
        let surroundings = surroundings(&ctx, &*self);
        let valid = self.validate(&surroundings, settings);
        let frame = Frame::of(surroundings.cluster.as_ref());
        let built = valid
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|valid| Ok(frame.hold_all(K::build(valid, settings))?));
        let (written, children) = match built {
            Ok(children) => apply::children(&ctx, &owner, children, &[], &mut Free::default())
                .await?
                .settle(),
            Err(problem) => (Vec::new(), Err(problem)),
        };
        let live = live(&ctx, &*self, &owner);
        let rollout = Rollout {
            deployment: live.deployment.as_deref(),
            pods: &live.pods,
        };
        let next = self.next_status(StatusInput {
            references: &surroundings.references,
            valid: valid.as_ref().ok(),
            children: children.as_ref().map_err(Clone::clone),
            rollout,
            settings,
        });
        let changed = status::write(&ctx, &*self, &next).await?;
        let done = report(&written, changed, children.as_ref().err());
        Ok(again_at(done, rollout.due(now())))
    }

    fn interrupted(&self, _ctx: &Context, standing: Standing) -> Option<Self::Status> {
        let before = self.status().cloned().unwrap_or_default();
        let generation = self.meta().generation.unwrap_or_default();
        let conditions =
            conditions::interrupted(K::conditions(&before), generation, standing, now());
        Some(K::with_conditions(before, generation, conditions))
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let settings = &ctx.settings.build;
        let surroundings = Surroundings {
            namesakes: Vec::new(),
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
    let view = InNamespace::new(ctx, &namespace);
    let (references, namesakes) = object.dereference(&view);
    Surroundings {
        references,
        namesakes,
        cluster: view.frame(),
    }
}

/// The live Deployment and pods of a resource.
struct Live {
    deployment: Option<Arc<Observed>>,
    pods: Vec<Arc<Observed>>,
}

fn live<K: Service>(ctx: &Context, object: &K, owner: &Owner) -> Live {
    let namespace = object.namespace().unwrap_or_default();
    let name = object.deployment_name();
    let ours = |observed: &Arc<Observed>| {
        let controller = observed.controller.as_ref();
        controller.is_some_and(|controller| controller.uid == owner.uid)
    };
    let deployment = ctx
        .cache
        .index
        .get(ChildKind::Deployment, &namespace, &name);
    let mut pods = K::KIND.label().map_or_else(Vec::new, |label| {
        ctx.cache
            .index
            .labelled(label, &namespace, &object.name_any(), ChildKind::Pod)
    });
    pods.retain(|pod| is_pod_of(pod, &name, &[]));
    Live {
        deployment: deployment.filter(ours),
        pods,
    }
}
