//! Plays the storage provisioner: where a cloud would make a disk for a claim, this makes a
//! `PersistentVolume`, with a folder behind it if there is a real node to mount it. Without it a
//! pod with a workspace would never be scheduled. Owns the `StorageClass` and the volumes, nothing
//! else.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim},
    storage::v1::StorageClass,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};

use super::node;

/// Folder of the volumes of a real node, below the state folder.
const VOLUMES: &str = "node/volumes";

/// What is behind a volume.
#[derive(Clone, Debug)]
pub(super) enum Backing {
    /// Nothing: nobody mounts it.
    Nothing,
    /// A folder below this state folder, on the real node.
    Node(PathBuf),
}

impl Backing {
    /// The part of a volume's spec that says where it is.
    fn source(&self, name: &str) -> Result<Value> {
        let Self::Node(state) = self else {
            return Ok(json!({"hostPath": {"path": "/nowhere"}}));
        };
        let folder = format!("{VOLUMES}/{name}");
        fs::create_dir_all(state.join(&folder))
            .with_context(|| format!("cannot make the folder of volume {name}"))?;
        // Not `hostPath`, which no `fsGroup` applies to.
        let affinity = json!({
            "key": "kubernetes.io/hostname",
            "operator": "In",
            "values": [node::NAME],
        });
        Ok(json!({
            "local": {"path": node::home(&folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [affinity]}]}},
        }))
    }
}

/// Name of the class and of its provisioner.
const CLASS: &str = "langop-tests";

/// Makes the default `StorageClass`.
pub(super) async fn create_class(client: &Client) -> Result<()> {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": format!("langop.io/{CLASS}"),
        "volumeBindingMode": "Immediate",
        "allowVolumeExpansion": true,
    });
    let params = PatchParams::apply(crate::kubeconfig::USER_AGENT).force();
    Api::<StorageClass>::all(client.clone())
        .patch(CLASS, &params, &Patch::Apply(class))
        .await
        .context("cannot create the StorageClass")?;
    Ok(())
}

/// Makes a volume for each claim of the class, for ever.
pub(super) async fn provision(client: Client, backing: Backing) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client);
    let mut changes = watcher(claims, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        .boxed();
    while let Some(claim) = changes.try_next().await? {
        let spec = claim.spec.clone().unwrap_or_default();
        if spec.storage_class_name.as_deref() == Some(CLASS) && spec.volume_name.is_none() {
            create_volume(&volumes, &claim, &backing).await?;
        }
    }
    Ok(())
}

async fn create_volume(
    volumes: &Api<PersistentVolume>,
    claim: &PersistentVolumeClaim,
    backing: &Backing,
) -> Result<()> {
    let spec = claim.spec.clone().unwrap_or_default();
    let name = format!("pvc-{}", claim.uid().unwrap_or_default());
    let mut volume = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "capacity": spec.resources.and_then(|resources| resources.requests),
            "accessModes": spec.access_modes,
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.namespace(),
                "name": claim.name_any(),
                "uid": claim.uid(),
            },
        },
    });
    if let (Some(spec), Value::Object(source)) =
        (volume["spec"].as_object_mut(), backing.source(&name)?)
    {
        spec.extend(source);
    }
    let params = PatchParams::apply(crate::kubeconfig::USER_AGENT).force();
    volumes
        .patch(&name, &params, &Patch::Apply(volume))
        .await
        .with_context(|| format!("cannot create volume {name}"))?;
    Ok(())
}
