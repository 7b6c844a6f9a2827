//! LanguageTool: a Deployment and a Service of its own, or nothing where it is a sidecar of its agents.

use std::sync::Arc;

use kube::ResourceExt as _;
use langop_api::{LanguageTool, LanguageToolStatus};
use langop_desired::{
    children::{Children, Prepared},
    conditions::{self, Standing},
    namesake::NamedKind,
    tool,
    workload::Rollout,
};

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

    fn interrupted(&self, _ctx: &Context, standing: Standing) -> Option<Self::Status> {
        let previous = self.status.clone().unwrap_or_default();
        let generation = self.metadata.generation.unwrap_or_default();
        let conditions = conditions::interrupted(&previous.conditions, generation, standing, now());
        Some(LanguageToolStatus {
            observed_generation: Some(generation),
            phase: Some(conditions::service_phase(&conditions)),
            conditions,
            ..previous
        })
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let settings = &ctx.settings.build;
        let namespace = self.namespace().unwrap_or_default();
        let frame = InNamespace::new(ctx, &namespace).frame();
        let validated = tool::validate(self, &[], &[], frame.as_ref(), settings);
        Ok(validated.map_or_else(
            |_| Children::default(),
            |validated| tool::build(&validated, settings).policies(),
        ))
    }
}
