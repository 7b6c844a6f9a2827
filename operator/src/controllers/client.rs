//! LanguageClient: a front end over models and tools.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use langop_api::{LanguageClient, LanguageClientStatus};
use langop_desired::{
    children::{Children, Prepared},
    client::{self, Usable, ValidatedClient},
    conditions::{self, Standing},
    namesake::{NamedKind, Namesake},
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

    fn dereference(&self, namespace: &NamespaceView<'_>) -> (Usable, Vec<Namesake>) {
        let spec = &self.spec;
        let references = References::resolve(&spec.tool_refs, &spec.model_refs, None, namespace);
        let namesakes = namespace.namesakes(NamedKind::Client, self);
        (Usable::from(references), namesakes)
    }

    fn validate(
        &self,
        surroundings: &Surroundings<Usable>,
        settings: &Settings,
    ) -> Result<ValidatedClient, Standing> {
        let Surroundings {
            references,
            namesakes,
            cluster,
        } = surroundings;
        let valid = client::validate(
            self,
            references.clone(),
            namesakes,
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
