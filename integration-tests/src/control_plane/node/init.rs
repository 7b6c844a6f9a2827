//! `control-plane node`: the first process of a real node, in namespaces that `unshare` made. It
//! mounts, configures the network, starts the node's programs, and collects orphans. When it ends,
//! by whatever cause, the kernel ends every process of the node and drops its mounts and its
//! network.
//!
//! It changes nothing outside its namespaces, but for files below the state folder, where it
//! starts.

use std::fs::{self, File};
use std::io::BufRead as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::process::{WaitOptions, wait};

use super::config::{self, CONTAINERD_SOCKET, IMAGES, OWN, SPEC, STATE, home};
use super::machine::{INNER_LINK, ip};
use super::names::{ADDRESS, NAME, SERVICES};
use super::programs::Programs;
use super::requirements::SYSTEM_PATH;
use crate::control_plane::go::say;
use crate::control_plane::process::tail;

/// Lines on the standard input, each when something it waits for is there.
pub(super) const NETWORK: &str = "network";
pub(super) const API_SERVER: &str = "api-server";
/// Until containerd answers.
const CONTAINERD: Duration = Duration::from_secs(30);
/// What the kubelet insists on, and would write for the whole machine if it did not find it.
const SYSCTLS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Runs the node until one of its programs ends.
///
/// # Errors
/// Always in the end, with what ended.
pub fn run() -> Result<()> {
    let spec = fs::read(SPEC).with_context(|| format!("cannot read {SPEC}"))?;
    let programs: Programs = serde_json::from_slice(&spec)?;
    let start = Instant::now();
    let stage = |what: &str| say(&format!("node: {what} after {:?}", start.elapsed()));

    mount_file_systems()?;
    rustix::system::sethostname(NAME.as_bytes()).context("cannot set the host name")?;
    write_configuration(&programs)?;
    await_line(NETWORK)?;
    configure_network()?;
    stage("network configured");
    let mut daemons = vec![start_containerd(&programs)?];
    stage("containerd is up");
    import_images(&programs)?;
    stage("images are imported");
    await_line(API_SERVER)?;
    daemons.push(Daemon::start(
        "kubelet",
        &programs.kubelet,
        &config::kubelet_flags(),
    )?);
    let proxy = format!("--config={OWN}/kube-proxy.yaml");
    daemons.push(Daemon::start("kube-proxy", &programs.kube_proxy, &[proxy])?);
    daemons.push(Daemon::start(
        "netpold",
        &programs.netpold,
        &config::netpold_flags(),
    )?);
    stage("all programs are started");
    collect(&daemons)
}

/// A tree of mounts of our own: whatever the programs write to `/run`, `/var` and `/etc` is in
/// memory and gone with the node.
fn mount_file_systems() -> Result<()> {
    // Mounts of the kubelet must reach its containers, as on every node.
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    mount_change("/", shared).context("cannot share mounts")?;
    mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).context("cannot mount /run")?;
    fs::create_dir_all(STATE)?;
    // The working directory is the state folder itself, even where /run hides its path by now.
    mount_bind(".", STATE).context("cannot mount the state folder")?;
    std::env::set_current_dir(STATE)?;
    for folder in ["var", "etc"] {
        let (upper, work) = (
            format!("{OWN}/overlay/{folder}"),
            format!("{OWN}/overlay/{folder}-work"),
        );
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let options = format!("lowerdir=/{folder},upperdir={upper},workdir={work}");
        let options = std::ffi::CString::new(options)?;
        let target = format!("/{folder}");
        mount(
            "overlay",
            &target,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .with_context(|| format!("cannot mount an overlay on {target}"))?;
    }
    for (name, value) in SYSCTLS {
        let file = format!("{OWN}/sysctl/{name}");
        write(&file, value)?;
        mount_bind(&file, format!("/proc/sys/{name}"))
            .with_context(|| format!("cannot hide the sysctl {name}"))?;
    }
    Ok(())
}

fn write_configuration(programs: &Programs) -> Result<()> {
    for (name, content) in config::files(programs) {
        write(&format!("{OWN}/{name}"), &content)?;
    }
    for folder in ["containerd", "kubelet", "volumes"] {
        fs::create_dir_all(home(&format!("node/{folder}")))?;
    }
    Ok(())
}

fn write(path: &str, content: &str) -> Result<()> {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write {path}"))
}

/// Waits until the supervisor says that something is there.
fn await_line(line: &str) -> Result<()> {
    let mut read = String::new();
    std::io::stdin().lock().read_line(&mut read)?;
    ensure!(
        read.trim_end() == line,
        "the supervisor said {read:?}, not {line:?}"
    );
    Ok(())
}

fn configure_network() -> Result<()> {
    ip("link set lo up")?;
    ip(&format!("address add {ADDRESS}/30 dev {INNER_LINK}"))?;
    ip(&format!("link set {INNER_LINK} up"))?;
    // There is no default route. The node's own processes need some route to a Service's address
    // until kube-proxy's rules replace it by that of a pod.
    ip(&format!("route add {SERVICES} dev lo src {ADDRESS}"))?;
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("cannot let the node forward packets")
}

/// A program of the node that must not end.
struct Daemon {
    name: &'static str,
    child: Child,
}

impl Daemon {
    /// Starts it with both outputs going to a log of its own.
    fn start(name: &'static str, program: &Path, args: &[String]) -> Result<Self> {
        let log = File::create(log_of(name)).with_context(|| format!("no log for {name}"))?;
        let child = Command::new(program)
            .args(args)
            .env("PATH", search_path(program))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        Ok(Self { name, child })
    }

    fn ended(&self, how: &str) -> anyhow::Error {
        let log = log_of(self.name);
        anyhow::anyhow!(
            "{} ended with {how}; the end of its log:\n{}",
            self.name,
            tail(Path::new(&log), 15)
        )
    }
}

fn log_of(name: &str) -> String {
    home(&format!("logs/{name}.log"))
}

/// A program finds its siblings (containerd its shim) and those of the system.
fn search_path(program: &Path) -> String {
    let own = program.parent().unwrap_or(Path::new("/"));
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:{SYSTEM_PATH}", own.display())
}

fn start_containerd(programs: &Programs) -> Result<Daemon> {
    let config = format!("--config={OWN}/containerd.toml");
    let mut containerd = Daemon::start("containerd", &programs.containerd, &[config])?;
    let start = Instant::now();
    while UnixStream::connect(CONTAINERD_SOCKET).is_err() {
        if let Some(status) = containerd.child.try_wait()? {
            return Err(containerd.ended(&status.to_string()));
        }
        if start.elapsed() > CONTAINERD {
            bail!("containerd does not answer after {CONTAINERD:?}; see its log");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(containerd)
}

fn import_images(programs: &Programs) -> Result<()> {
    for entry in fs::read_dir(home(IMAGES))? {
        let archive = entry?.path();
        let output = Command::new(&programs.ctr)
            .args(import_arguments())
            .arg(&archive)
            .output()?;
        ensure!(
            output.status.success(),
            "cannot import {}: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// What `ctr` is told before the archive: the kubelet looks for images in this namespace only.
pub(super) fn import_arguments() -> [&'static str; 6] {
    [
        "--address",
        CONTAINERD_SOCKET,
        "--namespace",
        "k8s.io",
        "images",
        "import",
    ]
}

/// Collects ended processes until one of the daemons is among them. The others are orphans: the
/// first process of a PID namespace inherits them.
fn collect(daemons: &[Daemon]) -> Result<()> {
    loop {
        let Some((pid, status)) = wait(WaitOptions::empty())? else {
            continue;
        };
        let pid = pid.as_raw_nonzero().get().unsigned_abs();
        if let Some(daemon) = daemons.iter().find(|daemon| daemon.child.id() == pid) {
            return Err(daemon.ended(&format!("{status:?}")));
        }
    }
}
