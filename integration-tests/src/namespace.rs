//! A namespace of its own for each test, so that all may share one control plane.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, Resource};

use crate::cluster::{Cluster, Nodes};
use crate::wait;

/// A fresh namespace that enforces Pod Security `restricted`.
///
/// On simulated nodes it is not deleted at the end: a started control plane is thrown away whole. A real
/// node is small: what still runs there requests so much of its CPU that pods of later tests stay Pending.
/// So the namespaces that tests have dropped are deleted by the next one that makes one.
#[derive(Clone)]
pub struct TestNamespace {
    shared: Arc<Shared>,
    client: Client,
}

/// What all clones share, and whose end is theirs.
struct Shared {
    name: String,
    is_on_a_real_node: bool,
}

/// Namespaces on a real node that their tests have dropped.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl Drop for Shared {
    fn drop(&mut self) {
        if self.is_on_a_real_node {
            ended().push(std::mem::take(&mut self.name));
        }
    }
}

fn ended() -> MutexGuard<'static, Vec<String>> {
    ENDED.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn delete_ended(client: &Client) -> Result<()> {
    let ended = std::mem::take(&mut *ended());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in ended {
        let deleted = namespaces.delete(&name, &DeleteParams::default()).await;
        deleted.with_context(|| format!("cannot delete namespace {name}"))?;
    }
    Ok(())
}

impl TestNamespace {
    /// Makes `<prefix>-<unique>` and waits until pods may be created in it.
    ///
    /// # Errors
    /// If the API server refuses it, e.g. since `prefix` is no DNS label.
    pub async fn create(cluster: &Cluster, prefix: &str) -> Result<Self> {
        let name = unique(prefix);
        Self::create_with(
            cluster,
            &name,
            &[("pod-security.kubernetes.io/enforce", "restricted")],
        )
        .await
    }

    /// As [`Self::create`], with exactly this name and these labels.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn create_with(
        cluster: &Cluster,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<Self> {
        let client = cluster.client().await?;
        delete_ended(&client).await?;
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels),
                ..Default::default()
            },
            ..Default::default()
        };
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("cannot create namespace {name}"))?;
        let shared = Shared {
            name: name.to_owned(),
            is_on_a_real_node: cluster.nodes() == Nodes::Real,
        };
        let this = Self {
            shared: Arc::new(shared),
            client,
        };
        // The ServiceAccount admission plugin refuses every pod until the controller has made it.
        wait::object(
            this.api::<ServiceAccount>(),
            "default",
            Duration::from_secs(30),
            |_| true,
        )
        .await?;
        Ok(this)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The admin client, as user agent [`crate::USER_AGENT`].
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Objects of kind `K` in this namespace, as admin.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.shared.name)
    }
}

/// Unique over the processes and the time that may share one cluster.
fn unique(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis()
        % 0x1000_0000;
    let nth = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}-{millis:07x}{:x}{nth}", std::process::id())
}
