//! Finds the control plane's programs: in `KUBEBUILDER_ASSETS` (envtest's convention), else in a
//! cache folder, where they are built once from the pinned Go modules of
//! integration-tests/control-plane.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest as _, Sha256};

use super::go::{self, Linking, Module, Toolchain, say};
use crate::wait;

const ASSETS: &str = "KUBEBUILDER_ASSETS";

pub(crate) const ETCD: Module = Module {
    name: "etcd",
    folder: "control-plane/etcd",
    linking: Linking::Default,
    packages: &[("go.etcd.io/etcd/server/v3", "etcd")],
    usual: "half a minute",
};
pub(crate) const KUBERNETES: Module = Module {
    name: "kubernetes",
    folder: "control-plane/kubernetes",
    linking: Linking::Default,
    packages: &[
        ("k8s.io/kubernetes/cmd/kube-apiserver", "kube-apiserver"),
        (
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "kube-controller-manager",
        ),
        ("k8s.io/kubernetes/cmd/kube-scheduler", "kube-scheduler"),
        ("k8s.io/kubernetes/cmd/kubectl", "kubectl"),
    ],
    usual: "7 minutes",
};
pub(crate) const KWOK: Module = Module {
    name: "kwok",
    folder: "control-plane/kwok",
    linking: Linking::Default,
    packages: &[("sigs.k8s.io/kwok/cmd/kwok", "kwok")],
    usual: "a minute",
};
/// What makes kwok's Node and pods ready, below kustomize/stage of its module.
const STAGES: [&str; 5] = [
    "node/fast/node-initialize.yaml",
    "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
];
/// Folder of the stage files beside kwok, where somebody prepared one.
const STAGES_DIR: &str = "kwok-stages";

/// Programs of a control plane that fit each other.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// The key-value store.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Runs the built-in controllers.
    pub kube_controller_manager: PathBuf,
    /// Assigns pods to nodes.
    pub kube_scheduler: PathBuf,
    /// For people.
    pub kubectl: PathBuf,
    /// Plays the kubelet.
    pub kwok: PathBuf,
    /// What kwok does to nodes and pods.
    pub stages: Vec<PathBuf>,
}

impl Binaries {
    fn of(bin: &Path, kwok: PathBuf, stages: Vec<PathBuf>) -> Self {
        Self {
            etcd: bin.join("etcd"),
            kube_apiserver: bin.join("kube-apiserver"),
            kube_controller_manager: bin.join("kube-controller-manager"),
            kube_scheduler: bin.join("kube-scheduler"),
            kubectl: bin.join("kubectl"),
            kwok,
            stages,
        }
    }
}

/// Finds the programs, building what is missing (minutes, once; progress on stderr).
///
/// # Errors
/// If `KUBEBUILDER_ASSETS` lacks some, or a build is needed and Go is missing or too old, or fails.
pub async fn locate() -> Result<Binaries> {
    match std::env::var_os(ASSETS).filter(|dir| !dir.is_empty()) {
        Some(dir) => in_assets(Path::new(&dir)).await,
        None => build().await,
    }
}

async fn in_assets(dir: &Path) -> Result<Binaries> {
    let dir = std::path::absolute(dir)?;
    let missing = missing(&dir, &[&ETCD, &KUBERNETES]);
    if !missing.is_empty() {
        bail!(
            "{ASSETS}={} lacks {}; add them (`control-plane build` makes them all), or unset it to have them built",
            dir.display(),
            missing.join(", ")
        );
    }
    let kwok = if dir.join("kwok").is_file() {
        dir.join("kwok")
    } else {
        cache(&[&KWOK]).await?.program("kwok")
    };
    let stages = match stages_in(&dir.join(STAGES_DIR)) {
        Some(stages) => stages,
        None => stages_of_module()
            .await
            .with_context(|| format!("{ASSETS}={} has no folder {STAGES_DIR}", dir.display()))?,
    };
    Ok(Binaries::of(&dir, kwok, stages))
}

async fn stages_of_module() -> Result<Vec<PathBuf>> {
    cache(&[]).await?.stages().await
}

/// The programs from the cache, building what it lacks.
///
/// # Errors
/// If a build is needed and Go is missing or too old, or the build fails.
pub async fn build() -> Result<Binaries> {
    let cache = cache(&[&ETCD, &KWOK, &KUBERNETES]).await?;
    let stages = cache.stages().await?;
    Ok(Binaries::of(&cache.bin, cache.program("kwok"), stages))
}

/// The control plane's cache folder, holding the programs of `modules`.
async fn cache(modules: &[&Module]) -> Result<Cache> {
    let cache = Cache::of_control_plane().await?;
    if missing(&cache.bin, modules).is_empty() {
        return Ok(cache);
    }
    let _lock = cache.lock().await?;
    let wanted: Vec<_> = modules
        .iter()
        .filter(|module| !missing(&cache.bin, &[module]).is_empty())
        .collect();
    say(&format!(
        "building its programs into {}",
        cache.bin.display()
    ));
    for (nth, module) in wanted.iter().enumerate() {
        go::build(module, &cache.bin, (nth + 1, wanted.len())).await?;
    }
    Ok(cache)
}

/// Folders below `of` that hold the programs of each module, building what is missing. Each module
/// has a folder of its own, so that a change of one builds only that one again.
///
/// # Errors
/// If a build is needed and Go is missing or too old, or the build fails.
pub(crate) async fn folders_of(of: &str, modules: &[&Module]) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::with_capacity(modules.len());
    for (nth, module) in modules.iter().enumerate() {
        let cache = Cache::of(&format!("{of}/{}", module.name), &[module]).await?;
        if !missing(&cache.bin, &[module]).is_empty() {
            let _lock = cache.lock().await?;
            if !missing(&cache.bin, &[module]).is_empty() {
                go::build(module, &cache.bin, (nth + 1, modules.len())).await?;
            }
        }
        folders.push(cache.bin);
    }
    Ok(folders)
}

/// The folder below `of` with a module's programs, if none of them need be built any more.
pub(crate) async fn built(of: &str, module: &Module) -> Result<Option<PathBuf>> {
    let cache = Cache::of(&format!("{of}/{}", module.name), &[module]).await?;
    Ok(missing(&cache.bin, &[module])
        .is_empty()
        .then_some(cache.bin))
}

/// Names of the programs that `dir` lacks.
fn missing(dir: &Path, modules: &[&Module]) -> Vec<&'static str> {
    let programs = modules
        .iter()
        .flat_map(|module| module.packages)
        .map(|(_, program)| *program);
    programs
        .filter(|program| !dir.join(program).is_file())
        .collect()
}

/// Where things that are made once may be kept.
///
/// # Errors
/// If the environment names no folder for that.
pub fn cache_folder(of: &str) -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(base
        .context(
            "neither XDG_CACHE_HOME nor HOME is set; set one to say where programs may be cached",
        )?
        .join("langop")
        .join(of))
}

/// Everything that the programs depend on.
fn key(modules: &[&Module], go: &Toolchain) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(&go.identity);
    for module in modules {
        let flags = [module.ldflags()?]
            .into_iter()
            .chain(module.linking.identity());
        for text in module.sources()?.into_iter().chain(flags) {
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
    }
    let digest = hash.finalize();
    let short = digest.iter().take(8);
    Ok(short.fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

struct Cache {
    root: PathBuf,
    bin: PathBuf,
}

impl Cache {
    async fn of_control_plane() -> Result<Self> {
        Self::of("control-plane", &[&ETCD, &KUBERNETES, &KWOK]).await
    }

    /// The folder below `of` that belongs to the content of all of `modules`.
    async fn of(of: &str, modules: &[&Module]) -> Result<Self> {
        let go = Toolchain::find(modules).await?;
        let root = cache_folder(of)?.join(key(modules, &go)?);
        Ok(Self {
            bin: root.join("bin"),
            root,
        })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// One process builds, the others wait for it.
    async fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.root)
            .with_context(|| format!("cannot make {}", self.root.display()))?;
        let lock = File::create(self.root.join("lock"))?;
        if lock.try_lock().is_err() {
            say("another process is preparing its programs; waiting for that");
            wait::until(
                "the other build's end",
                Duration::from_hours(1),
                async || lock.try_lock().ok(),
            )
            .await?;
        }
        Ok(lock)
    }

    /// kwok's stage files, copied from its module's source.
    async fn stages(&self) -> Result<Vec<PathBuf>> {
        let dir = self.bin.join(STAGES_DIR);
        if let Some(stages) = stages_in(&dir) {
            return Ok(stages);
        }
        let _lock = self.lock().await?;
        let source = go::source_of(&KWOK, "sigs.k8s.io/kwok")
            .await?
            .join("kustomize/stage");
        fs::create_dir_all(&dir)?;
        for stage in STAGES {
            let text = fs::read(source.join(stage))
                .with_context(|| format!("kwok's module has no {stage}"))?;
            let target = stage_path(&dir, stage);
            let temporary = target.with_extension("new");
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &target)?;
        }
        stages_in(&dir).context("kwok's stage files vanished")
    }
}

fn stage_path(dir: &Path, stage: &str) -> PathBuf {
    dir.join(stage.rsplit('/').next().unwrap_or(stage))
}

fn stages_in(dir: &Path) -> Option<Vec<PathBuf>> {
    let stages: Vec<_> = STAGES.iter().map(|stage| stage_path(dir, stage)).collect();
    stages.iter().all(|stage| stage.is_file()).then_some(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_depends_on_the_toolchain_and_the_modules() {
        let go = |identity: &str| Toolchain {
            identity: identity.to_owned(),
        };
        let one = key(&[&ETCD], &go("go1")).unwrap();
        assert_eq!(one.len(), 16);
        assert_ne!(one, key(&[&ETCD], &go("go2")).unwrap());
        assert_ne!(one, key(&[&ETCD, &KWOK], &go("go1")).unwrap());
    }

    #[tokio::test]
    async fn incomplete_assets_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for program in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(dir.path().join(program), "").unwrap();
        }
        let error = in_assets(dir.path()).await.unwrap_err().to_string();
        assert!(
            error.contains("lacks kube-controller-manager, kube-scheduler;"),
            "{error}"
        );
    }
}
