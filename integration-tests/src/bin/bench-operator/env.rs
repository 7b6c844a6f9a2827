//! What most measurements need: the control plane, its audit log, the synthesizer and the operator
//! under test.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use kube::{Api, Client};
use langop_api::{LanguageModel, LanguageTool, model::ServicePhase};
use langop_images::{Component, Profile};
use langop_integration_tests::{
    AuditEvent, AuditLog, ControlPlane, Mark, Operator, Synthesizer,
    metrics::metric_value,
    programs::{self, OperatorBuilder},
    wait, workspace_root,
};

use crate::{
    figures::progress,
    fleet::{Fleet, MODEL},
    scale::Scale,
};

pub(crate) struct BenchEnv<'a> {
    pub(crate) scale: Scale,
    pub(crate) cp: &'a ControlPlane,
    build: &'a Build,
    pub(crate) client: Client,
    pub(crate) audit: &'a AuditLog,
    pub(crate) synthesizer: Synthesizer,
    pub(crate) operator: Operator,
}

/// An operator, and the rights that it needs.
pub(crate) struct Build {
    pub(crate) program: PathBuf,
    pub(crate) rights: PathBuf,
}

impl Build {
    /// `program`, or that of the images: what users run is what is measured, and it is not built as
    /// other releases are.
    pub(crate) async fn of(program: Option<PathBuf>) -> Result<Self> {
        let program = if let Some(program) = program {
            program
        } else {
            let components = programs::components(Profile::Release).await?;
            components.program(Component::Operator)
        };
        Ok(Self {
            program,
            rights: workspace_root()?.join("deploy/rbac.yaml"),
        })
    }
}

impl<'a> BenchEnv<'a> {
    /// A synthesizer that needs no LLM, and this operator, which works everywhere; settings as the
    /// harness has them, with one replica of each.
    pub(crate) async fn start(
        cp: &'a ControlPlane,
        scale: Scale,
        build: &'a Build,
    ) -> Result<Self> {
        progress("starting synthesizer and operator");
        // All agents at once are one caller.
        let synthesizer = Synthesizer::template()
            .env("LANGOP_CALLER_REQUESTS_PER_MINUTE", "0")
            .start()
            .await?;
        let operator = operator(cp, &synthesizer, scale, build).start().await?;
        Ok(Self {
            scale,
            cp,
            build,
            client: cp.client().await?,
            audit: cp.audit()?,
            synthesizer,
            operator,
        })
    }

    /// Another operator of the same build, which asks the synthesizer that there is now.
    pub(crate) fn another_operator(&self) -> OperatorBuilder {
        operator(self.cp, &self.synthesizer, self.scale, self.build)
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
                wait::object(api.clone(), tool, self.scale.soon(), runs).await?;
            }
            let api: Api<LanguageModel> = Api::namespaced(self.client.clone(), namespace);
            let runs = |model: &LanguageModel| {
                model
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase == Some(ServicePhase::Running))
            };
            wait::object(api, MODEL, self.scale.soon(), runs).await?;
        }
        self.settled(self.audit.mark()?, Duration::from_secs(3))
            .await?;
        Ok(())
    }

    /// The operator's writes since the mark, once it has written nothing for so long.
    pub(crate) async fn settled(&self, mark: Mark, quiet: Duration) -> Result<Vec<AuditEvent>> {
        self.audit
            .settle_within(mark, &self.operator.writes(), quiet, self.scale.soon())
            .await
    }

    /// A metric of the operator, summed over the labels not given; 0 where it has not been
    /// observed.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(metric_value(&self.operator.metrics().await?, name, labels).unwrap_or_default())
    }

    /// Agents that run, or are suspended: with code, and all that belongs to them.
    pub(crate) async fn agents_at_rest(&self) -> Result<f64> {
        let page = self.operator.metrics().await?;
        let of = |phase| metric_value(&page, "langop_agents", &[("phase", phase)]);
        Ok(of("Running").unwrap_or_default() + of("Suspended").unwrap_or_default())
    }

    /// Waits until `count` says at least `all`, and tells how far it is. Gives up when it stops
    /// rising.
    pub(crate) async fn until_counted(
        &self,
        what: &str,
        all: usize,
        pause: Duration,
        count: impl AsyncFn(&Self) -> Result<f64>,
    ) -> Result<()> {
        const TELL: Duration = Duration::from_secs(10);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let all = all as f64;
        let (mut most, mut rose, mut told) = (0.0, Instant::now(), Instant::now());
        loop {
            let now = count(self).await?;
            if now >= all {
                return Ok(());
            }
            if now > most {
                (most, rose) = (now, Instant::now());
            }
            if rose.elapsed() > self.scale.soon() {
                bail!(
                    "{now} of {all} agents {what}, and for {:?} no other; the operator's log: {}",
                    rose.elapsed(),
                    self.operator.log().display()
                );
            }
            if told.elapsed() > TELL {
                progress(&format!("  {now} of {all} agents {what}"));
                told = Instant::now();
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Waits until the operator, which has just started, has looked at all agents.
    pub(crate) async fn all_looked_at(&self, fleet: &Fleet) -> Result<()> {
        let (all, pause) = (fleet.agents().len(), self.scale.between_polls());
        self.until_counted("were looked at", all, pause, Self::reconciles)
            .await
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
fn operator(
    cp: &ControlPlane,
    synthesizer: &Synthesizer,
    scale: Scale,
    build: &Build,
) -> OperatorBuilder {
    Operator::builder(cp)
        .other_build(&build.program, &build.rights)
        .cluster_wide()
        .synthesizer(synthesizer.grpc_url())
        .ready_within(scale.soon())
}
