//! LanguageTool: a Deployment and a Service of its own, or nothing where it is a sidecar of its agents.

use std::sync::Arc;

use kube::ResourceExt as _;
use langop_api::LanguageTool;
use langop_desired::{namesake::NamedKind, tool, workload::Rollout};

use super::service;
use crate::{
    context::{Context, now},
    dereference::InNamespace,
    error::ReconcileError,
    runner::{Done, Reconciled},
};

impl Reconciled for LanguageTool {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let settings = &ctx.settings.build;
        let source = InNamespace::new(&ctx, &namespace);
        let namesakes = source.namesakes(NamedKind::Tool, &*self);
        let frame = source.frame();
        let validated = tool::validate(&self, &namesakes, &[], frame.as_ref(), settings);
        let denied = validated
            .as_ref()
            .ok()
            .and_then(|tool| tool.denied().cloned());
        let built = validated.map(|validated| tool::build(&validated, settings));
        let applying = service::apply(&ctx, &*self, built, &name).await?;
        let rollout = Rollout {
            deployment: applying.live.deployment.as_deref(),
            pods: &applying.live.pods,
        };
        let next = tool::status(
            &self,
            applying.children(),
            denied.as_ref(),
            rollout,
            settings,
            now(),
        );
        service::finish(&ctx, &*self, &applying, &next, rollout.due(now())).await
    }
}
