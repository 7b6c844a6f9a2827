//! The chart's certificates as a real cert-manager makes them, of an authority of the cluster.

use std::{collections::BTreeMap, fs};

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use langop_integration_tests::{
    ControlPlane, Helm, Page,
    cert_manager::CertManager,
    control_plane::extra,
    helm::{NAMESPACE, RELEASE},
    manifests, run_dir, wait,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::{SOON, release::they_let_in_whoever_has_one};

/// What asks for this test: cert-manager is built from source.
const WANTED: &str = "LANGOP_CERT_MANAGER";
const SECRETS: [&str; 2] = ["langop-synthesizer-tls", "langop-operator-tls"];

/// An Issuer that signs by an authority in a Secret, and the namespace of both.
fn issuer() -> String {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (certificate, key) = (authority.pem(), authority.key().serialize_pem());
    format!(
        "
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: authority}}
type: kubernetes.io/tls
stringData: {{tls.crt: {certificate:?}, tls.key: {key:?}}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata: {{name: authority}}
spec: {{ca: {{secretName: authority}}}}
"
    )
}

/// The values that a page has people write.
fn shown() -> String {
    let blocks = Page::read("docs/clusters.md").unwrap().blocks;
    let mut blocks = blocks.into_iter().map(|block| block.text);
    let block = blocks.find(|text| text.contains("mode: cert-manager"));
    block.unwrap()
}

type Data = BTreeMap<String, ByteString>;

/// What both Secrets hold, once it differs from this in certificate and key.
async fn issued(client: &Client, other_than: &[Data]) -> Vec<Data> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let mut issued = Vec::new();
    for (nth, name) in SECRETS.into_iter().enumerate() {
        let other_than = other_than.get(nth);
        let differs = |data: &Data, key: &str| {
            let found = data.get(key);
            found.is_some_and(|found| other_than.is_none_or(|other| &other[key] != found))
        };
        let is_new = |found: &Secret| {
            let data = found.data.as_ref();
            data.is_some_and(|data| differs(data, "tls.crt") && differs(data, "tls.key"))
        };
        let secret = wait::object(secrets.clone(), name, 2 * SOON, is_new).await;
        issued.push(secret.unwrap().data.unwrap());
    }
    issued
}

#[tokio::test]
async fn cert_manager_issues_and_renews_what_the_chart_asks_for() {
    if !extra::is_wanted(WANTED, "the chart's Certificates", "chart cert_manager") {
        return;
    }
    let state = run_dir().unwrap().join("chart-cert-manager");
    let cp = ControlPlane::start(&state).await.unwrap();
    let client = cp.client().await.unwrap();
    let _cert_manager = CertManager::start(&cp).await.unwrap();
    for object in manifests::parse(&issuer()).unwrap() {
        manifests::apply(&client, &object, NAMESPACE).await.unwrap();
    }
    let helm = Helm::of(&cp).await;
    let chart = helm.chart.to_str().unwrap();
    let folder = TempDir::new().unwrap();
    let values = folder.path().join("values.yaml");
    fs::write(&values, shown()).unwrap();
    // Each is renewed 30 s after it was issued.
    let soon = "tls.certManager.duration=1h,tls.certManager.renewBefore=59m30s";
    let values = values.to_str().unwrap();
    helm.done(&[
        "install", RELEASE, chart, "--wait", "--values", values, "--set", soon,
    ]);

    let first = issued(&client, &[]).await;
    they_let_in_whoever_has_one(&client).await;
    let second = issued(&client, &first).await;
    let authority =
        |all: &[Data]| -> Vec<_> { all.iter().map(|data| data["ca.crt"].clone()).collect() };
    assert_eq!(authority(&first), authority(&second));
    they_let_in_whoever_has_one(&client).await;
    cp.stop().await.unwrap();
}
