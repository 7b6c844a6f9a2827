//! LanguageModel: the proxy through which agents reach an LLM. The operator itself never does.

use std::sync::Arc;

use kube::ResourceExt as _;
use langop_api::{LanguageModel, LanguageModelStatus};
use langop_desired::{
    children::{Children, Prepared},
    conditions::{self, Standing},
    model,
    workload::Rollout,
};

use super::service;
use crate::{
    context::{Context, now},
    dereference::InNamespace,
    error::ReconcileError,
    runner::{Done, Reconciled},
};

impl Reconciled for LanguageModel {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let settings = &ctx.settings.build;
        let namespace = self.namespace().unwrap_or_default();
        let frame = InNamespace::new(&ctx, &namespace).frame();
        let validated = model::validate(&self, &[], frame.as_ref(), settings);
        let denied = validated
            .as_ref()
            .ok()
            .and_then(|model| model.denied().cloned());
        let built = validated.map(|validated| model::build(&validated, settings));
        let applying =
            service::apply(&ctx, &*self, built, &model::proxy_name(&self.name_any())).await?;
        let rollout = Rollout {
            deployment: applying.live.deployment.as_deref(),
            pods: &applying.live.pods,
        };
        let next = model::status(
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
        Some(LanguageModelStatus {
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
        Ok(
            model::validate(self, &[], frame.as_ref(), settings).map_or_else(
                |_| Children::default(),
                |validated| model::build(&validated, settings).policies(),
            ),
        )
    }
}
