//! The same bring-up with the operator of an earlier revision, on a control plane of its own with
//! that revision's definitions and rights: what is better or worse since. The synthesizer is
//! today's, so that only the operator differs.

use anyhow::{Context as _, Result};
use langop_integration_tests::{ControlPlane, processes};

use crate::{
    alone::{self, Workspace},
    bring_up,
    earlier_build::EarlierBuild,
    env::BenchEnv,
    figures::{Figures, progress},
    fleet::Fleet,
    steady,
};

pub(crate) async fn measure(
    cp: &ControlPlane,
    earlier: &EarlierBuild,
    fleet: &Fleet,
    figures: &mut Figures,
) -> Result<()> {
    progress(&format!("the operator of {}", earlier.short()));
    figures.earlier_commit = Some(earlier.commit.clone());
    cp.install_crds_of(&earlier.crds).await?;
    fleet.prepare(cp).await?;
    let mut env = BenchEnv::start(cp, fleet.scale, &earlier.build).await?;
    env.services_run(fleet).await?;
    // What ours has done before its bring-up, this one does too.
    for workspace in [Workspace::Without, Workspace::With] {
        let measured = alone::measure(&env, workspace).await;
        let (most, _) = measured.context("single agents of the earlier revision")?;
        if workspace == Workspace::Without {
            figures.earlier_writes_per_agent = Some(most);
        }
    }
    let done = bring_up::run(&env, fleet).await?;
    figures.earlier_bring_up_seconds = done.times.objects();
    figures.earlier_bring_up_writes = Some(done.times.writes);
    figures.earlier_cpu_seconds = Some(done.cpu_seconds);
    steady::idle(&env).await?;
    let (rss, peak) = processes::memory_mib(env.operator.pid())?;
    (figures.earlier_rss_mib, figures.earlier_rss_peak_mib) = (Some(rss), Some(peak));
    env.operator.stop().await
}
