//! LanguageClient: a front end over models and tools.

use std::sync::Arc;

use kube::ResourceExt as _;
use langop_api::LanguageClient;
use langop_desired::{
    client::{self, Usable},
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
}
