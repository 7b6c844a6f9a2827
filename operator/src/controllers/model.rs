//! LanguageModel: the proxy through which agents reach an LLM. The operator itself never does.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use langop_api::{LanguageModel, LanguageModelStatus};
use langop_desired::{
    children::{Children, Prepared},
    conditions::{self, Summary},
    model::{self, ValidatedModel},
    name_conflict::NameCollision,
    settings::Settings,
};

use super::{
    namespace::NamespaceView,
    service::{Service, StatusInput, Surroundings},
};
use crate::context::now;

impl Service for LanguageModel {
    type References = ();
    type Validated = ValidatedModel;

    fn dereference(&self, _namespace: &NamespaceView<'_>) -> ((), Vec<NameCollision>) {
        ((), Vec::new())
    }

    fn validate(
        &self,
        surroundings: &Surroundings<()>,
        settings: &Settings,
    ) -> Result<ValidatedModel, Summary> {
        Ok(model::validate(
            self,
            surroundings.cluster.as_ref(),
            settings,
        )?)
    }

    fn build(valid: &ValidatedModel, settings: &Settings) -> Children<Prepared> {
        model::build(valid, settings)
    }

    fn deployment_name(&self) -> String {
        model::proxy_name(&self.name_any())
    }

    fn next_status(&self, input: StatusInput<'_, Self>) -> LanguageModelStatus {
        let denied = input.valid.and_then(ValidatedModel::denied);
        let (rollout, settings) = (input.rollout, input.settings);
        model::status(self, input.children, denied, rollout, settings, now())
    }

    fn with_conditions(
        before: LanguageModelStatus,
        generation: i64,
        conditions: Vec<Condition>,
    ) -> LanguageModelStatus {
        LanguageModelStatus {
            observed_generation: Some(generation),
            phase: Some(conditions::service_phase(&conditions)),
            conditions,
            ..before
        }
    }
}
