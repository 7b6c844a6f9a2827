//! The client of the API server: our user agent, and a count of all writes.

use std::task::{Context, Poll};

use http::{HeaderValue, Method, Request, header};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// As which the API server's audit log knows us.
pub(crate) const USER_AGENT: &str = concat!("langop-operator/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no cluster is configured: run inside one, or set KUBECONFIG")]
    Infer(#[source] kube::config::InferConfigError),
    #[error("the cluster's configuration cannot be used")]
    Build(#[source] kube::Error),
}

/// From the pod's service account, or the kubeconfig.
pub(crate) async fn connect(metrics: &Metrics) -> Result<Client, ClientError> {
    let mut config = Config::infer().await.map_err(ClientError::Infer)?;
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let builder = ClientBuilder::try_from(config).map_err(ClientError::Build)?;
    Ok(builder.with_layer(&CountWrites(metrics.clone())).build())
}

struct CountWrites(Metrics);

impl<S> Layer<S> for CountWrites {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Counted {
            inner,
            metrics: self.0.clone(),
        }
    }
}

struct Counted<S> {
    inner: S,
    metrics: Metrics,
}

impl<S: Service<Request<Body>>> Service<Request<Body>> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(verb) = verb(request.method()) {
            self.metrics.wrote(kind(request.uri().path()), verb);
        }
        self.inner.call(request)
    }
}

/// The writing verb, as RBAC names it.
fn verb(method: &Method) -> Option<&'static str> {
    match *method {
        Method::POST => Some("create"),
        Method::PUT => Some("update"),
        Method::PATCH => Some("patch"),
        Method::DELETE => Some("delete"),
        _ => None,
    }
}

/// The kind a path speaks of; the writes of a kind's status are counted apart.
fn kind(path: &str) -> &'static str {
    const KINDS: [(&str, &str); 18] = [
        ("configmaps", "ConfigMap"),
        ("cronjobs", "CronJob"),
        ("deployments", "Deployment"),
        ("events", "Event"),
        ("languageagents", "LanguageAgent"),
        ("languageclients", "LanguageClient"),
        ("languageclusters", "LanguageCluster"),
        ("languagemodels", "LanguageModel"),
        ("languagepersonas", "LanguagePersona"),
        ("languagetools", "LanguageTool"),
        ("leases", "Lease"),
        ("limitranges", "LimitRange"),
        ("networkpolicies", "NetworkPolicy"),
        ("persistentvolumeclaims", "PersistentVolumeClaim"),
        ("resourcequotas", "ResourceQuota"),
        ("rolebindings", "RoleBinding"),
        ("services", "Service"),
        ("namespaces", "Namespace"),
    ];
    let segments: Vec<&str> = path.split('/').collect();
    // "namespaces" is last in the list: in most paths it only says where.
    KINDS
        .iter()
        .find(|(plural, _)| segments.contains(plural))
        .map_or("other", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_kind() {
        for (path, expected) in [
            ("/apis/apps/v1/namespaces/demo/deployments/a", "Deployment"),
            (
                "/apis/langop.io/v1alpha1/namespaces/demo/languageagents/a/status",
                "LanguageAgent",
            ),
            ("/api/v1/namespaces/demo", "Namespace"),
            ("/apis/events.k8s.io/v1/namespaces/demo/events", "Event"),
            ("/apis/example.com/v1/namespaces/demo", "Namespace"),
            ("/version", "other"),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }

    #[test]
    fn reads_are_not_counted() {
        assert_eq!(verb(&Method::GET), None);
        assert_eq!(verb(&Method::PATCH), Some("patch"));
    }
}
