//! LanguageClient: a front end over models and tools.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use langop_api::{LanguageClient, LanguageClientStatus};
use langop_desired::{
    children::{Children, Prepared},
    client::{self, Usable, ValidatedClient},
    conditions::{self, Summary},
    name_conflict::{NameCollision, NamedKind},
    references::References,
    settings::Settings,
};

use super::{
    namespace::NamespaceView,
    service::{Service, StatusInput, Surroundings},
};
use crate::context::now;

impl Service for LanguageClient {
    type References = Usable;
    type Validated = ValidatedClient;

    fn dereference(&self, namespace: &NamespaceView<'_>) -> (Usable, Vec<NameCollision>) {
        let spec = &self.spec;
        let references = References::resolve(&spec.tool_refs, &spec.model_refs, None, namespace);
        let same_name = namespace.same_name(NamedKind::Client, self);
        (Usable::from(references), same_name)
    }

    fn validate(
        &self,
        surroundings: &Surroundings<Usable>,
        settings: &Settings,
    ) -> Result<ValidatedClient, Summary> {
        let Surroundings {
            references,
            same_name,
            cluster,
        } = surroundings;
        let valid = client::validate(
            self,
            references.clone(),
            same_name,
            cluster.as_ref(),
            settings,
        )?;
        client::held(references).map_or(Ok(valid), Err)
    }

    fn build(valid: &ValidatedClient, settings: &Settings) -> Children<Prepared> {
        client::build(valid, settings)
    }

    fn next_status(&self, input: StatusInput<'_, Self>) -> LanguageClientStatus {
        let (references, children) = (input.references, input.children);
        let (rollout, settings) = (input.rollout, input.settings);
        client::status(self, references, children, rollout, settings, now())
    }

    fn with_conditions(
        before: LanguageClientStatus,
        generation: i64,
        conditions: Vec<Condition>,
    ) -> LanguageClientStatus {
        LanguageClientStatus {
            observed_generation: Some(generation),
            phase: Some(conditions::service_phase(&conditions)),
            conditions,
            ..before
        }
    }
}
