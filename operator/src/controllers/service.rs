//! What models, tools and clients have in common: their children are applied, and their status follows one Deployment.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use langop_desired::{
    children::{Applied, Children, Prepared},
    conditions::Standing,
    frame::Frame,
    observed::{ChildKind, Observed},
    runners::is_pod_of,
};

use super::{again_at, owner, report};
use crate::{
    apply::{self, Free},
    context::Context,
    dereference::InNamespace,
    error::ReconcileError,
    objects::Stored,
    runner::Done,
    status,
};

/// The live Deployment and pods of a resource.
pub(super) struct Live {
    pub(super) deployment: Option<Arc<Observed>>,
    pub(super) pods: Vec<Arc<Observed>>,
}

/// What became of the children, and how the resource stands without them.
pub(super) struct Applying {
    written: Vec<apply::Written>,
    pub(super) children: Result<Children<Applied>, Standing>,
    pub(super) live: Live,
}

impl Applying {
    /// The children, in the form that statuses are made from.
    pub(super) fn children(&self) -> Result<&Children<Applied>, Standing> {
        self.children.as_ref().map_err(Clone::clone)
    }
}

/// Applies the children of a valid resource; one that is invalid, or held up otherwise, keeps what it has. `deployment` is the name of its Deployment.
pub(super) async fn apply<K: Stored>(
    ctx: &Context,
    object: &K,
    built: Result<Children<Prepared>, impl Into<Standing>>,
    deployment: &str,
) -> Result<Applying, ReconcileError> {
    let owner = owner(object)?;
    let namespace = object.namespace().unwrap_or_default();
    let frame = Frame::of(InNamespace::new(ctx, &namespace).frame().as_ref());
    let built = built
        .map_err(Into::into)
        .and_then(|children| frame.hold_all(children).map_err(Standing::from));
    let (written, children) = match built {
        Ok(children) => apply::children(ctx, &owner, children, &[], &mut Free::default())
            .await?
            .settle(),
        Err(problem) => (Vec::new(), Err(problem)),
    };
    let ours = |observed: &Arc<Observed>| {
        observed
            .controller
            .as_ref()
            .is_some_and(|controller| controller.uid == owner.uid)
    };
    let live = Live {
        deployment: ctx
            .index
            .get(ChildKind::Deployment, &namespace, deployment)
            .filter(ours),
        pods: K::KIND
            .label()
            .map(|label| {
                ctx.index
                    .labelled(label, &namespace, &object.name_any(), ChildKind::Pod)
            })
            .unwrap_or_default()
            .into_iter()
            .filter(|pod| is_pod_of(pod, deployment, &[]))
            .collect(),
    };
    Ok(Applying {
        written,
        children,
        live,
    })
}

/// Writes the status and says how it ended, and when to look again though nothing triggers it.
pub(super) async fn finish<K: Stored>(
    ctx: &Context,
    object: &K,
    applying: &Applying,
    next: &K::Status,
    due: Option<Timestamp>,
) -> Result<Done, ReconcileError> {
    let written = status::write(ctx, object, next).await?;
    let done = report(&applying.written, written, applying.children.as_ref().err());
    Ok(again_at(done, due))
}
