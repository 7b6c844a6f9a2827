//! What a real node changes on the machine outside its namespaces, and how that is undone: one
//! network link with a route, and one subtree of each cgroup hierarchy. Both have fixed names, so
//! there is one node at a time, and whoever comes next finds what a killed owner left.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::config::SPEC;
use super::names::{ADDRESS, MACHINE, NAME, PODS};
use super::requirements::SYSTEM_PATH;
use crate::control_plane::go::say;
use crate::wait;

/// Held by the node's owner as long as it lives; holds the path of its state folder.
const LOCK: &str = "/run/langop-node.lock";
/// The machine's end of the link, and the node's.
const LINK: &str = "langop0";
pub(super) const INNER_LINK: &str = "uplink0";
const CGROUPS: &str = "/sys/fs/cgroup";
/// Until another node of this machine has ended.
const TURN: Duration = Duration::from_mins(15);
/// Until the kernel has let go of what a killed node had.
const UNDOING: Duration = Duration::from_secs(20);

/// The right to be this machine's node. Dropping it undoes what the node did to the machine.
#[derive(Debug)]
pub(super) struct Claim {
    lock: File,
    released: bool,
}

impl Claim {
    /// Waits for the turn, removes what a killed owner left, and makes the cgroups.
    pub(super) async fn take(state: &Path) -> Result<Self> {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(LOCK)
            .with_context(|| format!("cannot write {LOCK}"))?;
        if lock.try_lock().is_err() {
            say("this machine's one real node is in use; waiting for its end");
            wait::until("the end of the other node", TURN, async || {
                lock.try_lock().ok()
            })
            .await
            .with_context(|| format!("{LOCK} is locked by another process"))?;
        }
        let mut this = Self {
            lock,
            released: false,
        };
        tokio::task::spawn_blocking(sweep).await??;
        this.lock.write_all(state.to_string_lossy().as_bytes())?;
        make_cgroups()?;
        Ok(this)
    }

    /// Undoes what the node did to the machine, and lets the next one in.
    pub(super) async fn release(mut self) -> Result<()> {
        self.released = true;
        tokio::task::spawn_blocking(sweep).await?
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.released
            && let Err(error) = sweep()
        {
            say(&format!("cannot put the machine in order: {error:#}"));
        }
    }
}

/// Removes all that the last node left; its processes are dead or dying.
fn sweep() -> Result<()> {
    let start = Instant::now();
    loop {
        if is_linked() {
            // An error says that the kernel was quicker.
            let _ = ip(&format!("link delete {LINK}"));
        }
        let cgroups = remove_cgroups()?;
        if cgroups.is_empty() && !is_linked() {
            return remove_data();
        }
        if start.elapsed() > UNDOING {
            bail!(
                "of a node that ended there are left: {}",
                left(&cgroups).join(", ")
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn left(cgroups: &[PathBuf]) -> Vec<String> {
    let link = is_linked().then(|| format!("network link {LINK}"));
    let cgroups = cgroups.iter().map(|path| path.display().to_string());
    cgroups.chain(link).collect()
}

/// The containers' file systems and the volumes are large, and useless without their node.
fn remove_data() -> Result<()> {
    let state = fs::read_to_string(LOCK).unwrap_or_default();
    let data = Path::new(&state).join("node");
    if data.is_absolute() && data.with_file_name(SPEC).is_file() && data.is_dir() {
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))?;
    }
    // Whoever comes next has nothing to do.
    fs::write(LOCK, "").with_context(|| format!("cannot write {LOCK}"))
}

fn is_linked() -> bool {
    Path::new("/sys/class/net").join(LINK).exists()
}

/// The node's subtrees that may exist, one in each hierarchy.
fn cgroups() -> Result<Vec<PathBuf>> {
    let hierarchies = fs::read_dir(CGROUPS).with_context(|| format!("cannot read {CGROUPS}"))?;
    hierarchies
        .map(|entry| Ok(entry?.path().join(NAME)))
        .collect()
}

fn make_cgroups() -> Result<()> {
    for cgroup in cgroups()? {
        let Some(hierarchy) = cgroup.parent() else {
            continue;
        };
        // The hierarchy of cgroup v2 beside those of v1 is runc's own business.
        if hierarchy.ends_with("unified") || !hierarchy.join("cgroup.procs").is_file() {
            continue;
        }
        fs::create_dir_all(&cgroup).with_context(|| format!("cannot make {}", cgroup.display()))?;
        // A cpuset without CPUs takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if hierarchy.join(file).is_file() {
                fs::write(cgroup.join(file), fs::read(hierarchy.join(file))?)?;
            }
        }
    }
    Ok(())
}

/// Removes the subtrees as far as they are empty of processes, and returns those that are left.
fn remove_cgroups() -> Result<Vec<PathBuf>> {
    let mut left = cgroups()?;
    left.retain(|cgroup| cgroup.is_dir() && !remove_cgroup(cgroup));
    Ok(left)
}

/// Files of a cgroup cannot be removed, and go with it; so this is no `remove_dir_all`.
fn remove_cgroup(cgroup: &Path) -> bool {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for folder in folders {
        remove_cgroup(&folder.path());
    }
    fs::remove_dir(cgroup).is_ok()
}

/// Makes the link to the namespace of process `init`.
pub(super) async fn link(init: u32) -> Result<()> {
    let commands = [
        format!("link add {LINK} type veth peer name {INNER_LINK} netns {init}"),
        format!("address add {MACHINE}/30 dev {LINK}"),
        format!("link set {LINK} up"),
        format!("route add {PODS} via {ADDRESS} dev {LINK}"),
    ];
    let run = move || commands.iter().try_for_each(|words| ip(words));
    tokio::task::spawn_blocking(run).await?
}

/// Runs `ip` with these words.
pub(super) fn ip(words: &str) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("ip")
        .args(words.split_whitespace())
        .env("PATH", format!("{path}:{SYSTEM_PATH}"))
        .output()
        .context("cannot run ip")?;
    ensure!(
        output.status.success(),
        "`ip {words}` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
