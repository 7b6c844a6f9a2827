//! The client of the API server: our user agent, the fence before all writes but those of Leases,
//! and a count of them.

use std::{
    future::{Ready, ready},
    task::{Context, Poll},
};

use futures::future::Either;
use http::{HeaderValue, Method, Request, header};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, retry::RetryPolicy},
};
use tower::{BoxError, Layer, Service, buffer::BufferLayer, retry::RetryLayer};

use crate::{leader::fence::Fence, run::metrics::Metrics};

/// As which the API server's audit log knows us.
pub(crate) const USER_AGENT: &str = concat!("langop-operator/", env!("CARGO_PKG_VERSION"));

/// Requests that may wait for their turn; as many as kube's own client lets wait.
const BUFFERED: usize = 1024;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no cluster is configured: run inside one, or set KUBECONFIG")]
    Infer(#[source] kube::config::InferConfigError),
    #[error("the cluster's configuration cannot be used")]
    Build(#[source] kube::Error),
}

/// From the pod's service account, or the kubeconfig.
pub(crate) async fn connect(metrics: &Metrics, fence: Fence) -> Result<Client, ClientError> {
    let mut config = Config::infer().await.map_err(ClientError::Infer)?;
    // Ours is above the fence, so that a write which is sent again passes it again.
    config.default_retry = false;
    config
        .headers
        .push((header::USER_AGENT, HeaderValue::from_static(USER_AGENT)));
    let builder = ClientBuilder::try_from(config).map_err(ClientError::Build)?;
    let writes = Writes {
        metrics: metrics.clone(),
        fence,
    };
    // Only what can be cloned can be tried again.
    let shared = BufferLayer::new(BUFFERED);
    let retry = RetryLayer::new(RetryPolicy::server_retry());
    let builder = builder.with_layer(&writes).with_layer(&shared);
    Ok(builder.with_layer(&retry).build())
}

/// What every write must pass.
#[derive(Clone)]
struct Writes {
    metrics: Metrics,
    fence: Fence,
}

impl<S> Layer<S> for Writes {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded {
            inner,
            writes: self.clone(),
        }
    }
}

struct Guarded<S> {
    inner: S,
    writes: Writes,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(verb) = verb(request.method()) {
            let kind = kind(request.uri().path());
            // The Lease is how the fence opens.
            if kind != LEASE
                && let Err(held_back) = self.writes.fence.pass()
            {
                return Either::Right(ready(Err(held_back.into())));
            }
            self.writes.metrics.wrote(kind, verb);
        }
        Either::Left(self.inner.call(request))
    }
}

const LEASE: &str = "Lease";

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
        ("leases", LEASE),
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
