//! Programs that only some tests need, from pinned Go modules (integration-tests/programs); each is
//! built when it is first asked for.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use tokio::process::Command;

use super::binaries;
use super::go::{self, Linking, Module};
use crate::programs;

/// Name of the cache's folder for them.
const CACHE: &str = "programs";

const HELM: Module = Module {
    name: "helm",
    folder: "programs/helm",
    linking: Linking::Default,
    packages: &[("helm.sh/helm/v4/cmd/helm", "helm")],
    usual: "2 minutes",
};
const HELM3: Module = Module {
    name: "helm3",
    folder: "programs/helm3",
    linking: Linking::Default,
    packages: &[("helm.sh/helm/v3/cmd/helm", "helm3")],
    usual: "2 minutes",
};
const COLLECTOR: Module = Module {
    name: "collector",
    folder: "programs/collector",
    linking: Linking::Default,
    packages: &[(".", "collector")],
    usual: "3 minutes",
};
const GRPCURL: Module = Module {
    name: "grpcurl",
    folder: "programs/grpcurl",
    linking: Linking::Default,
    packages: &[("github.com/fullstorydev/grpcurl/cmd/grpcurl", "grpcurl")],
    usual: "1 minute",
};
const KREW: Module = Module {
    name: "krew",
    folder: "programs/krew",
    linking: Linking::Default,
    packages: &[("sigs.k8s.io/krew/cmd/krew", "krew")],
    usual: "1 minute",
};
const PROMETHEUS_ADAPTER: Module = Module {
    name: "prometheus-adapter",
    folder: "programs/prometheus-adapter",
    linking: Linking::Default,
    packages: &[(
        "sigs.k8s.io/prometheus-adapter/cmd/adapter",
        "prometheus-adapter",
    )],
    usual: "3 minutes",
};
const CERT_MANAGER: Module = Module {
    name: "cert-manager",
    folder: "programs/cert-manager",
    linking: Linking::Default,
    packages: &[(".", "cert-manager")],
    usual: "3 minutes",
};

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Extra {
    /// Helm 4.
    Helm,
    /// Helm 3, which must render the chart as well.
    Helm3,
    /// An OpenTelemetry Collector.
    Collector,
    /// A client of any gRPC server, as people use it.
    Grpcurl,
    /// What installs plugins of kubectl.
    Krew,
    /// What lets autoscalers ask a Prometheus.
    PrometheusAdapter,
    /// What makes Secrets of Certificates.
    CertManager,
}

impl Extra {
    fn module(self) -> &'static Module {
        match self {
            Self::Helm => &HELM,
            Self::Helm3 => &HELM3,
            Self::Collector => &COLLECTOR,
            Self::Grpcurl => &GRPCURL,
            Self::Krew => &KREW,
            Self::PrometheusAdapter => &PROMETHEUS_ADAPTER,
            Self::CertManager => &CERT_MANAGER,
        }
    }
}

/// Whether `variable` is 1, which asks for what takes minutes to build; if not, stderr has `what` is
/// left out and how it is asked for.
#[expect(
    clippy::print_stderr,
    reason = "what is left out must be seen by the person who runs the tests"
)]
pub fn is_wanted(variable: &str, what: &str, tests: &str) -> bool {
    let wanted = std::env::var_os(variable).is_some_and(|value| value == "1");
    if !wanted {
        eprintln!(
            "LEFT OUT: {what}; {variable}=1 cargo test --workspace --test {tests} tries it (built from source once, in minutes)"
        );
    }
    wanted
}

/// The program from the cache, built if it is not there.
///
/// # Errors
/// If a build is needed and Go is missing or too old, or the build fails.
pub async fn build(extra: Extra) -> Result<PathBuf> {
    let module = extra.module();
    let folders = binaries::folders_of(CACHE, &[module]).await?;
    let folder = folders.first().context("no folder for one module")?;
    Ok(folder.join(module.name))
}

/// The same, for a process that is not the program `control-plane` and so cannot bind `go` to its
/// own end: that program builds it.
///
/// # Errors
/// If a build is needed and Go is missing or too old, or the build fails.
pub async fn locate(extra: Extra) -> Result<PathBuf> {
    let module = extra.module();
    if let Some(folder) = binaries::built(CACHE, module).await? {
        return Ok(folder.join(module.name));
    }
    let mut build = Command::new(programs::locate("control-plane")?);
    // Progress goes to stderr, as that of all builds.
    build
        .args(["build", "--only", module.name])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let status = build.status().await.context("cannot run control-plane")?;
    if !status.success() {
        bail!(
            "`control-plane build --only {}` ended with {status}: see its output above",
            module.name
        );
    }
    let folder = binaries::built(CACHE, module).await?;
    let folder = folder.with_context(|| format!("{} was built in vain", module.name))?;
    Ok(folder.join(module.name))
}

/// The folder with the source of a module that one of them is made of.
///
/// # Errors
/// If Go is missing, or has not got it and cannot.
pub async fn source(extra: Extra, dependency: &str) -> Result<PathBuf> {
    go::source_of_unbound(extra.module(), dependency).await
}
