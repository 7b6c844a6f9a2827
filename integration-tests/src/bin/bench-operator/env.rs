//! What most measurements need: the control plane, its audit log, the synthesizer and the operator
//! under test.

use std::time::Duration;

use anyhow::Result;
use kube::{Api, Client};
use langop_api::{LanguageModel, LanguageTool, model::ServicePhase};
use langop_integration_tests::{
    AuditEvent, AuditLog, ControlPlane, Mark, Operator, Synthesizer, metrics::metric_value,
    programs::OperatorBuilder, wait,
};

use crate::{
    figures::progress,
    fleet::{Fleet, MODEL},
};

/// Until something that takes seconds must have happened, on a machine under load.
pub(crate) const SOON: Duration = Duration::from_mins(2);

pub(crate) struct BenchEnv<'a> {
    pub(crate) cp: &'a ControlPlane,
    pub(crate) client: Client,
    pub(crate) audit: &'a AuditLog,
    pub(crate) synthesizer: Synthesizer,
    pub(crate) operator: Operator,
}

impl<'a> BenchEnv<'a> {
    /// A synthesizer that needs no LLM, and an operator that works everywhere; settings as the
    /// harness has them, with one replica of each.
    pub(crate) async fn start(cp: &'a ControlPlane) -> Result<Self> {
        progress("starting synthesizer and operator");
        // All agents at once are one caller.
        let synthesizer = Synthesizer::template()
            .env("LANGOP_CALLER_REQUESTS_PER_MINUTE", "0")
            .start()
            .await?;
        let operator = operator(cp, &synthesizer).start().await?;
        Ok(Self {
            cp,
            client: cp.client().await?,
            audit: cp.audit()?,
            synthesizer,
            operator,
        })
    }

    /// Waits until all tools and models run and nothing is written any more.
    pub(crate) async fn services_run(&self, fleet: &Fleet) -> Result<()> {
        for (namespace, tools) in fleet.namespaces() {
            let api: Api<LanguageTool> = Api::namespaced(self.client.clone(), namespace);
            for tool in tools {
                let runs = |tool: &LanguageTool| {
                    tool.status
                        .as_ref()
                        .is_some_and(|status| status.phase == Some(ServicePhase::Running))
                };
                wait::object(api.clone(), tool, SOON, runs).await?;
            }
            let api: Api<LanguageModel> = Api::namespaced(self.client.clone(), namespace);
            let runs = |model: &LanguageModel| {
                model
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase == Some(ServicePhase::Running))
            };
            wait::object(api, MODEL, SOON, runs).await?;
        }
        self.settled(self.audit.mark()?, Duration::from_secs(3))
            .await?;
        Ok(())
    }

    /// The operator's writes since the mark, once it has written nothing for so long.
    pub(crate) async fn settled(&self, mark: Mark, quiet: Duration) -> Result<Vec<AuditEvent>> {
        self.audit
            .settle(mark, &self.operator.writes(), quiet)
            .await
    }

    /// A metric of the operator, summed over the labels not given; 0 where it has not been
    /// observed.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(metric_value(&self.operator.metrics().await?, name, labels).unwrap_or_default())
    }

    /// Reconciles of agents so far.
    pub(crate) async fn reconciles(&self) -> Result<f64> {
        self.metric(
            "langop_reconcile_duration_seconds_count",
            &[("kind", "LanguageAgent")],
        )
        .await
    }
}

/// An operator for all namespaces.
pub(crate) fn operator(cp: &ControlPlane, synthesizer: &Synthesizer) -> OperatorBuilder {
    Operator::builder(cp)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
}
