//! A real prometheus-adapter on loopback, behind the API server, so that autoscalers may ask a
//! Prometheus for what pods say of themselves. It must not know of which metrics.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use tempfile::TempDir;
use tokio::process::Child;

use crate::control_plane::extra::{self, Extra};
use crate::control_plane::{ControlPlane, ports};
use crate::prometheus::Prometheus;
use crate::{manifests, peers, run_dir, wait};

/// Until the API server asks it.
const SOON: Duration = Duration::from_mins(1);
/// The API that it serves.
const API: &str = "v1beta1.custom.metrics.k8s.io";

/// The adapter. It ends when this value is dropped, or this process ends in whatever way; so should
/// the control plane, which goes on naming it.
pub struct PrometheusAdapter {
    _certificates: TempDir,
    _process: Child,
}

impl PrometheusAdapter {
    /// Starts one with the rules of this file, and waits until the API server has its metrics.
    ///
    /// # Errors
    /// If it cannot be built, or the API server does not reach it.
    pub async fn start(cp: &ControlPlane, prometheus: &Prometheus, rules: &Path) -> Result<Self> {
        let program = extra::locate(Extra::PrometheusAdapter).await?;
        let [port] = ports::free()?;
        let certificates = tempfile::tempdir()?;
        let log = run_dir()?.join(format!("prometheus-adapter-{port}.log"));
        let kubeconfig = cp.ready().kubeconfig.display();
        let process = peers::guarded(&program)?
            .arg(format!("--secure-port={port}"))
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--cert-dir={}", certificates.path().display()))
            .arg(format!("--config={}", rules.display()))
            .arg(format!("--prometheus-url={}", prometheus.url()))
            // How soon it knows a metric that is new; how long it keeps one that is gone.
            .arg("--metrics-relist-interval=2s")
            .arg("--metrics-max-age=1m")
            .arg(format!("--lister-kubeconfig={kubeconfig}"))
            .arg(format!("--authentication-kubeconfig={kubeconfig}"))
            .arg(format!("--authorization-kubeconfig={kubeconfig}"))
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        let this = Self {
            _certificates: certificates,
            _process: process,
        };
        let said = || format!("prometheus-adapter logs to {}", log.display());
        register(cp, port).await.with_context(said)?;
        Ok(this)
    }
}

/// Says to the API server where it is, and that autoscalers may ask it.
async fn register(cp: &ControlPlane, port: u16) -> Result<()> {
    let client = cp.client().await?;
    for object in manifests::parse(&registration(port))? {
        manifests::apply(&client, &object, "kube-system").await?;
    }
    let services: Api<APIService> = Api::all(client);
    wait::object(services, API, SOON, |service| {
        let conditions = service.status.iter().flat_map(|status| &status.conditions);
        conditions
            .flatten()
            .any(|condition| condition.type_ == "Available" && condition.status == "True")
    })
    .await?;
    Ok(())
}

/// As its own manifests have it, but for the Service: an address outside of the cluster.
fn registration(port: u16) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: prometheus-adapter}}
spec: {{type: ExternalName, externalName: localhost}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {{name: {API}}}
spec:
  group: custom.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: {{namespace: kube-system, name: prometheus-adapter, port: {port}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: custom-metrics-server-resources}}
rules:
- {{apiGroups: [custom.metrics.k8s.io], resources: ['*'], verbs: ['*']}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: hpa-controller-custom-metrics}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: custom-metrics-server-resources}}
subjects:
- {{kind: ServiceAccount, name: horizontal-pod-autoscaler, namespace: kube-system}}
"
    )
}
