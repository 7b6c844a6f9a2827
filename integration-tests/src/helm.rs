//! `helm` with the chart of this repository, as a person would run it. For tests: it panics where the
//! chart does not do what it must.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "helpers of tests are tests, too"
)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::cluster::Cluster;
use crate::control_plane::extra::{self, Extra};
use crate::run_dir::workspace_root;
use crate::terminal::Terminal;

/// Name of the release that tests install.
pub const RELEASE: &str = "langop";
/// The namespace they install it into.
pub const NAMESPACE: &str = "langop-system";

/// The cluster that is rendered for where there is none: Helm 3, built as a module, takes it for 1.20.
const KUBERNETES: &str = "1.37.0";
/// Whether Helm 3 is wanted: it is built from source.
const HELM3: &str = "LANGOP_HELM3";

/// `helm`, against no cluster or one.
pub struct Helm {
    program: PathBuf,
    /// The chart's folder in the sources.
    pub chart: PathBuf,
    /// Of the cluster, if there is one.
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// It renders only.
    pub async fn offline() -> Self {
        Self::version(Extra::Helm).await
    }

    /// Helm 3, which renders only; `None`, said on stderr, unless `LANGOP_HELM3=1` asks for it.
    pub async fn three_if_wanted() -> Option<Self> {
        if !extra::is_wanted(HELM3, "what Helm 3 renders", "chart") {
            return None;
        }
        Some(Self::version(Extra::Helm3).await)
    }

    async fn version(program: Extra) -> Self {
        Self {
            program: extra::locate(program).await.unwrap(),
            chart: workspace_root().unwrap().join("charts/language-operator"),
            kubeconfig: None,
        }
    }

    /// It acts on this cluster as admin.
    pub async fn of(cluster: &Cluster) -> Self {
        Self {
            kubeconfig: cluster.kubeconfig().map(Into::into),
            ..Self::offline().await
        }
    }

    /// Has a person type `helm`, for the same cluster and beside this repository's folders.
    pub fn typed(&self, terminal: Terminal) -> Terminal {
        for folder in ["charts", "deploy"] {
            let source = workspace_root().unwrap().join(folder);
            symlink(source, terminal.folder().join(folder)).unwrap();
        }
        let kubeconfig = self.kubeconfig.as_deref();
        let kubeconfig = kubeconfig.unwrap_or("/dev/null".as_ref()).to_str().unwrap();
        let terminal = terminal.program("helm", &self.program);
        terminal.env("KUBECONFIG", kubeconfig)
    }

    /// Runs it for the release's namespace.
    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command.args(args).args(["--namespace", NAMESPACE]);
        // Without one, helm would look for a cluster of the person who runs the tests.
        command.env(
            "KUBECONFIG",
            self.kubeconfig.as_deref().unwrap_or("/dev/null".as_ref()),
        );
        command.output().unwrap()
    }

    /// What it prints; panics with its complaint if it fails.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            output.status.success(),
            "helm {args:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        text(&output.stdout)
    }

    /// Its complaint; panics if it has none.
    #[track_caller]
    pub fn refused(&self, values: &Value) -> String {
        let chart = self.chart.to_str().unwrap().to_owned();
        let output = with_values(values, |file| {
            self.run(&["template", RELEASE, &chart, "--values", file])
        });
        assert!(!output.status.success(), "{values} was taken");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The rendered objects for these values.
    #[track_caller]
    pub fn render(&self, values: &Value) -> String {
        let chart = self.chart.to_str().unwrap();
        with_values(values, |file| {
            let kubernetes = ["--kube-version", KUBERNETES];
            let template = ["template", RELEASE, chart, "--values", file];
            self.done(&[&template[..], &kubernetes].concat())
        })
    }
}

fn with_values<T>(values: &Value, run: impl FnOnce(&str) -> T) -> T {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), values.to_string()).unwrap();
    run(file.path().to_str().unwrap())
}
