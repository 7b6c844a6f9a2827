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
    error::ReconcileError,
    runner::{Done, Reconciled},
};

impl Reconciled for LanguageModel {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let settings = &ctx.settings.build;
        let built = model::validate(&self, &[]).map(|validated| model::build(&validated, settings));
        let applying =
            service::apply(&ctx, &*self, built, &model::proxy_name(&self.name_any())).await?;
        let rollout = Rollout {
            deployment: applying.live.deployment.as_deref(),
            pods: &applying.live.pods,
        };
        let next = model::status(&self, applying.children(), rollout, settings, now());
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
        Ok(model::validate(self, &[]).map_or_else(
            |_| Children::default(),
            |validated| model::build(&validated, &ctx.settings.build).policies(),
        ))
    }
}
