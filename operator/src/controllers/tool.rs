//! LanguageTool: a Deployment and a Service of its own, or nothing where it is a sidecar of its
//! agents.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use langop_api::{LanguageTool, LanguageToolStatus};
use langop_desired::{
    children::{Children, Prepared},
    conditions::{self, Summary},
    name_conflict::{NameCollision, NamedKind},
    settings::Settings,
    tool::{self, ValidatedTool},
};

use super::{
    namespace::NamespaceView,
    service::{Service, StatusInput, Surroundings},
};
use crate::context::now;

impl Service for LanguageTool {
    type References = ();
    type Validated = ValidatedTool;

    fn dereference(&self, namespace: &NamespaceView<'_>) -> ((), Vec<NameCollision>) {
        ((), namespace.same_name(NamedKind::Tool, self))
    }

    fn validate(
        &self,
        surroundings: &Surroundings<()>,
        settings: &Settings,
    ) -> Result<ValidatedTool, Summary> {
        let cluster = surroundings.cluster.as_ref();
        Ok(tool::validate(
            self,
            &surroundings.same_name,
            cluster,
            settings,
        )?)
    }

    fn build(valid: &ValidatedTool, settings: &Settings) -> Children<Prepared> {
        tool::build(valid, settings)
    }

    fn next_status(&self, input: StatusInput<'_, Self>) -> LanguageToolStatus {
        let denied = input.valid.and_then(ValidatedTool::denied);
        let (rollout, settings) = (input.rollout, input.settings);
        tool::status(self, input.children, denied, rollout, settings, now())
    }

    fn with_conditions(
        before: LanguageToolStatus,
        generation: i64,
        conditions: Vec<Condition>,
    ) -> LanguageToolStatus {
        LanguageToolStatus {
            observed_generation: Some(generation),
            phase: Some(conditions::service_phase(&conditions)),
            conditions,
            ..before
        }
    }
}
