//! The folder of samples: applied, awaited, and applied again when somebody edits it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use kube::{
    Api, Client,
    api::DynamicObject,
    core::GroupVersionKind,
    discovery::{self, Scope},
};
use langop_integration_tests::{manifests, wait};

use crate::say::{note, warn};

/// The namespace of objects that name none.
pub(crate) const NAMESPACE: &str = "default";

/// The manifests of a folder.
pub(crate) struct Samples {
    folder: PathBuf,
    objects: Vec<DynamicObject>,
}

impl Samples {
    /// Reads every `.yaml` of the folder, in the order of their names.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut objects = Vec::new();
        for file in files(folder)?.keys() {
            objects.extend(manifests::read(file)?);
        }
        if objects.is_empty() {
            bail!("{} holds no manifests", folder.display());
        }
        // As kubectl does: what others live in comes first.
        objects.sort_by_key(rank);
        Ok(Self {
            folder: folder.to_owned(),
            objects,
        })
    }

    /// Lets each object be changed before it is applied.
    pub(crate) fn edit(&mut self, edit: impl FnMut(&mut DynamicObject)) {
        self.objects.iter_mut().for_each(edit);
    }

    /// How many of them are ours and will become Ready.
    pub(crate) fn len(&self) -> usize {
        self.ours().count()
    }

    /// Those of group langop.io.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &DynamicObject> {
        self.objects.iter().filter(|object| is_ours(object))
    }

    /// Applies them all. A namespace that a LanguageCluster is about to make is awaited.
    pub(crate) async fn apply(&self, client: &Client) -> Result<()> {
        for object in &self.objects {
            if let Some(namespace) = &object.metadata.namespace {
                let namespaces: Api<k8s_openapi::api::core::v1::Namespace> =
                    Api::all(client.clone());
                wait::object(namespaces, namespace, Duration::from_secs(30), |_| true).await?;
            }
            manifests::apply(client, object, NAMESPACE).await?;
            note(&format!("{} applied", title(object)));
        }
        Ok(())
    }

    /// Waits until all of ours are Ready, and tells of each.
    pub(crate) async fn until_ready(&self, client: &Client, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        for object in self.ours() {
            let left = deadline.saturating_duration_since(Instant::now());
            let api = api_of(client, object).await?;
            let name = object.metadata.name.clone().unwrap_or_default();
            let what = format!("{} to become Ready", title(object));
            let ready = wait::until(&what, left, async || match api.get(&name).await {
                Ok(live) => readiness(&live),
                Err(error) => Err(error.to_string()),
            });
            note(&format!("{} is Ready: {}", title(object), ready.await?));
        }
        Ok(())
    }

    /// Watches the folder for edits and applies what changed, until an error that is not the
    /// editor's.
    pub(crate) async fn reapply_on_edit(&mut self, client: &Client) -> Result<()> {
        let mut seen = files(&self.folder)?;
        // A library for file events would be a dependency for one use; a look at a few files is
        // cheap.
        let mut look = tokio::time::interval(Duration::from_millis(500));
        loop {
            look.tick().await;
            let now = files(&self.folder)?;
            if now == seen {
                continue;
            }
            seen = now;
            match Self::read(&self.folder) {
                Ok(edited) => self.apply_changes(client, edited).await,
                Err(error) => warn(&format!("{error:#}; nothing was applied")),
            }
        }
    }

    async fn apply_changes(&mut self, client: &Client, edited: Self) {
        let mut applied = Vec::new();
        for object in edited.objects {
            if !self.objects.contains(&object) {
                match manifests::apply(client, &object, NAMESPACE).await {
                    Ok(_) => note(&format!("{} edited and applied", title(&object))),
                    Err(error) => {
                        // Not remembered, so that the next save tries it again.
                        warn(&format!("{error:#}"));
                        continue;
                    }
                }
            }
            applied.push(object);
        }
        self.objects = applied;
    }
}

fn files(folder: &Path) -> Result<BTreeMap<PathBuf, SystemTime>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        match entry.metadata().and_then(|metadata| metadata.modified()) {
            Ok(modified) => drop(files.insert(path, modified)),
            // Editors write by renaming: it was there when the folder was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
    Ok(files)
}

fn is_ours(object: &DynamicObject) -> bool {
    object
        .types
        .as_ref()
        .is_some_and(|types| types.api_version.starts_with("langop.io/"))
}

fn rank(object: &DynamicObject) -> u8 {
    match object.types.as_ref().map(|types| types.kind.as_str()) {
        Some("Namespace" | "LanguageCluster") => 0,
        Some("Secret" | "ConfigMap") => 1,
        _ => 2,
    }
}

/// `kind/name`.
pub(crate) fn title(object: &DynamicObject) -> String {
    let kind = object
        .types
        .as_ref()
        .map_or("?", |types| types.kind.as_str());
    format!("{kind} {}", object.metadata.name.as_deref().unwrap_or("?"))
}

async fn api_of(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let types = object.types.as_ref().context("an object without kind")?;
    let (resource, capabilities) =
        discovery::pinned_kind(client, &GroupVersionKind::try_from(types)?).await?;
    Ok(match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(
            client.clone(),
            object.metadata.namespace.as_deref().unwrap_or(NAMESPACE),
            &resource,
        ),
    })
}

/// The message of condition Ready when it is True for the present generation, else what it says
/// instead.
fn readiness(live: &DynamicObject) -> Result<String, String> {
    let status = &live.data["status"];
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let Some(ready) = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
    else {
        return Err("no condition yet".into());
    };
    let says = format!(
        "{}: {}",
        ready["reason"].as_str().unwrap_or_default(),
        ready["message"].as_str().unwrap_or_default()
    );
    let is_current = status["observedGeneration"].as_i64() == live.metadata.generation;
    if ready["status"] == "True" && is_current {
        Ok(says)
    } else {
        Err(says)
    }
}
