//! LanguageClient: a front end over models and tools.

use std::sync::Arc;

use kube::ResourceExt as _;
use langop_api::{LanguageClient, LanguageClientStatus};
use langop_desired::{
    children::{Children, Prepared},
    client::{self, Usable},
    conditions::{self, Standing},
    namesake::NamedKind,
    references::References,
    workload::Rollout,
};

use super::service;
use crate::{
    context::{Context, now},
    dereference::InNamespace,
    error::ReconcileError,
    runner::{Done, Reconciled},
};

impl Reconciled for LanguageClient {
    async fn reconcile(self: Arc<Self>, ctx: Arc<Context>) -> Result<Done, ReconcileError> {
        let (namespace, name) = (self.namespace().unwrap_or_default(), self.name_any());
        let settings = &ctx.settings.build;
        let source = InNamespace::new(&ctx, &namespace);
        let references =
            References::resolve(&self.spec.tool_refs, &self.spec.model_refs, None, &source);
        let references = Usable::from(references);
        let namesakes = source.namesakes(NamedKind::Client, &*self);
        let validated = client::validate(
            &self,
            references.clone(),
            &namesakes,
            &[],
            source.frame().as_ref(),
            settings,
        );
        let built = match (validated, client::held(&references)) {
            (Err(invalid), _) => Err(invalid.into()),
            (Ok(_), Some(standing)) => Err(standing),
            (Ok(validated), None) => Ok(client::build(&validated, settings)),
        };
        let applying = service::apply(&ctx, &*self, built, &name).await?;
        let rollout = Rollout {
            deployment: applying.live.deployment.as_deref(),
            pods: &applying.live.pods,
        };
        let next = client::status(
            &self,
            &references,
            applying.children(),
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
        Some(LanguageClientStatus {
            observed_generation: Some(generation),
            phase: Some(conditions::service_phase(&conditions)),
            conditions,
            ..previous
        })
    }

    async fn closing(&self, ctx: &Context) -> Result<Children<Prepared>, ReconcileError> {
        let namespace = self.namespace().unwrap_or_default();
        let source = InNamespace::new(ctx, &namespace);
        let references =
            References::resolve(&self.spec.tool_refs, &self.spec.model_refs, None, &source);
        let references = Usable::from(references);
        if client::held(&references).is_some() {
            return Ok(Children::default());
        }
        let (settings, frame) = (&ctx.settings.build, source.frame());
        let validated = client::validate(self, references, &[], &[], frame.as_ref(), settings);
        Ok(validated.map_or_else(
            |_| Children::default(),
            |validated| client::build(&validated, settings).policies(),
        ))
    }
}
