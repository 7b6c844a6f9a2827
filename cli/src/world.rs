//! The edge to the API server: who asks, where, and pages of objects. Reads only what kubectl's
//! user may read; judges nothing.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use futures::{Stream, TryStreamExt as _};
use http::{HeaderName, HeaderValue, header};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use langop_api::LanguageCluster;

use crate::{facts::Read, failure::Failure, kind::Kind};

/// Whose fields a change of ours is.
pub(crate) const FIELD_MANAGER: &str = "kubectl-langop";
/// What the program calls itself.
const USER_AGENT: &str = concat!("kubectl-langop/", env!("CARGO_PKG_VERSION"));
/// Objects of one page.
const PAGE: u32 = 500;
/// Longest time for a connection.
pub(crate) const CONNECT: Duration = Duration::from_secs(10);

/// Which cluster, who and where: as kubectl has them.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Connect {
    /// The namespace; the context's when absent
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// The context of the kubeconfig; the current one when absent
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig; KUBECONFIG and then ~/.kube/config when absent
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// A cluster, as one user sees it.
pub(crate) struct World {
    client: Client,
    /// The namespace of commands about one object.
    pub(crate) namespace: String,
}

impl World {
    /// By the kubeconfig's rules. No call is made.
    pub(crate) async fn connect(connect: &Connect) -> Result<Self, Failure> {
        // Several crates bring providers; who comes second finds one installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut config = config(connect).await?;
        config.connect_timeout = Some(CONNECT);
        config.headers.push(user_agent());
        let namespace = connect
            .namespace
            .clone()
            .unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| Failure::NoCluster(langop_dsl::clean(&error.to_string())))?;
        Ok(Self { client, namespace })
    }

    /// Access to a resource in the command's namespace, or everywhere.
    pub(crate) fn api(&self, resource: &ApiResource, everywhere: bool) -> Api<DynamicObject> {
        if everywhere {
            Api::all_with(self.client.clone(), resource)
        } else {
            Api::namespaced_with(self.client.clone(), &self.namespace, resource)
        }
    }

    /// Access to a type in the command's namespace.
    pub(crate) fn typed<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// An object of ours, which must be there.
    pub(crate) async fn get(&self, kind: Kind, name: &str) -> Result<DynamicObject, Failure> {
        let act = format!(
            "read {} '{name}' in namespace '{}'",
            kind.word(),
            self.namespace
        );
        let found = self.api(&kind.resource(), false).get_opt(name).await;
        found
            .map_err(|error| Failure::of_call(act, &error))?
            .ok_or_else(|| self.absent(kind, name))
    }

    /// Changes an object of ours as `kubectl patch --type merge` does.
    pub(crate) async fn patch(
        &self,
        kind: Kind,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<(), Failure> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(&kind.resource(), false);
        match api.patch(name, &params, &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Err(self.absent(kind, name)),
            Err(error) => {
                let act = format!(
                    "change {} '{name}' in namespace '{}'",
                    kind.word(),
                    self.namespace
                );
                Err(Failure::of_call(act, &error))
            }
        }
    }

    /// Who asks, as the API server knows them.
    pub(crate) async fn user(&self) -> Result<String, Failure> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api
            .create(&PostParams::default(), &SelfSubjectReview::default())
            .await
            .map_err(|error| Failure::of_call("ask the API server who you are", &error))?;
        let user = review.status.and_then(|status| status.user_info?.username);
        user.ok_or_else(|| {
            Failure::told(
                "the API server does not say who you are",
                "see what `kubectl auth whoami` says",
            )
        })
    }

    /// All LanguageClusters.
    pub(crate) async fn clusters(&self) -> Result<Vec<LanguageCluster>, Failure> {
        let found = Api::<LanguageCluster>::all(self.client.clone())
            .list(&ListParams::default())
            .await;
        found
            .map(|list| list.items)
            .map_err(|error| of_administrators("list LanguageClusters", &error))
    }

    /// Changes `spec.suspend` of a LanguageCluster.
    pub(crate) async fn suspend_cluster(&self, name: &str, suspend: bool) -> Result<(), Failure> {
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = serde_json::json!({"spec": {"suspend": suspend}});
        let api = Api::<LanguageCluster>::all(self.client.clone());
        let changed = api.patch(name, &params, &Patch::Merge(&patch)).await;
        let act = || format!("change LanguageCluster '{name}'");
        changed
            .map(drop)
            .map_err(|error| of_administrators(&act(), &error))
    }

    fn absent(&self, kind: Kind, name: &str) -> Failure {
        let Self { namespace, .. } = self;
        let (word, short) = (kind.word(), kind.short());
        Failure::told(
            format!("there is no {word} '{name}' in namespace '{namespace}'"),
            format!("`kubectl get {short} -A` lists all of them; name a namespace by -n"),
        )
    }

    /// All objects of ours of a kind, page by page.
    pub(crate) async fn list(
        &self,
        kind: Kind,
        everywhere: bool,
    ) -> Result<Vec<DynamicObject>, Failure> {
        let resource = kind.resource();
        let found = self
            .pages(&resource, everywhere, &ListParams::default())
            .await;
        found.map_err(|error| self.no_list(kind, everywhere, &error))
    }

    /// Why objects of ours cannot be listed.
    pub(crate) fn no_list(&self, kind: Kind, everywhere: bool, error: &kube::Error) -> Failure {
        match error {
            // A list is never missing, its definition may be.
            kube::Error::Api(status) if status.is_not_found() => {
                Failure::NoDefinitions(format!("{}s", kind.name()))
            }
            _ => Failure::of_call(self.list_act(kind.word(), everywhere), error),
        }
    }

    /// What happens to the objects of a resource: first all there are, in pages. It never ends;
    /// what fails is tried again, less and less often.
    pub(crate) fn watch(
        &self,
        resource: &ApiResource,
        everywhere: bool,
        config: watcher::Config,
    ) -> impl Stream<Item = watcher::Result<Event<DynamicObject>>> + use<> {
        let events = watcher(self.api(resource, everywhere), config.page_size(PAGE));
        events.default_backoff().map_ok(|event| {
            // Who wrote what is most of an object, and nobody here asks.
            event.modify(|object| object.managed_fields_mut().clear())
        })
    }

    /// All objects of a resource that `params` select, if this user may list them.
    pub(crate) async fn select(
        &self,
        resource: &ApiResource,
        everywhere: bool,
        params: &ListParams,
    ) -> Result<Read<Vec<DynamicObject>>, Failure> {
        let found = self.pages(resource, everywhere, params).await;
        allowed(found, &self.list_act(&resource.kind, everywhere))
    }

    /// In words of a failure.
    pub(crate) fn list_act(&self, what: &str, everywhere: bool) -> String {
        if everywhere {
            format!("list {what}s in all namespaces")
        } else {
            format!("list {what}s in namespace '{}'", self.namespace)
        }
    }

    async fn pages(
        &self,
        resource: &ApiResource,
        everywhere: bool,
        params: &ListParams,
    ) -> kube::Result<Vec<DynamicObject>> {
        let api = self.api(resource, everywhere);
        let mut params = params.clone().limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = api.list(&params).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(found),
            }
        }
    }
}

/// Who asks, in a request's header.
pub(crate) const fn user_agent() -> (HeaderName, HeaderValue) {
    (header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
}

/// What a role in a namespace does not give.
fn of_administrators(act: &str, error: &kube::Error) -> Failure {
    match Failure::of_call(act, error) {
        forbidden @ Failure::Forbidden { .. } => Failure::told(
            forbidden.to_string(),
            "LanguageClusters are administrators': ask one, or name the agents",
        ),
        failure => failure,
    }
}

/// What was read, or that it may not be.
pub(crate) fn allowed<T>(found: kube::Result<T>, act: &str) -> Result<Read<T>, Failure> {
    match found {
        Ok(found) => Ok(Read::Got(found)),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Ok(Read::Denied(langop_dsl::clean(&status.message)))
        }
        Err(error) => Err(Failure::of_call(act, &error)),
    }
}

async fn config(connect: &Connect) -> Result<Config, Failure> {
    let wrong =
        |error: &dyn std::fmt::Display| Failure::NoCluster(langop_dsl::clean(&error.to_string()));
    let is_named = connect.kubeconfig.is_some() || connect.context.is_some();
    let file = match &connect.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let file = match (file, is_named) {
        (Ok(file), _) => file,
        (Err(error), true) => return Err(wrong(&error)),
        // In a pod, kubectl is the pod's account.
        (Err(error), false) => return Config::incluster().map_err(|_| wrong(&error)),
    };
    let options = KubeConfigOptions {
        context: connect.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(file, &options).await;
    config.map_err(|error| wrong(&error))
}
