//! What a machine must have for a real node to run on it. Looks, and changes nothing.

use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use tokio::process::Command;

use super::programs::cannot_build_runc;

/// Programs of the system that are run, and the Debian package of each.
const TOOLS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
];
/// Where `ip` and `nft` lie is not in everybody's `PATH`.
pub(super) const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Why no real node can run here, and what to do about it; `None` if one can.
///
/// # Errors
/// If the cache of programs cannot be looked at.
pub async fn unavailable() -> Result<Option<String>> {
    if !cfg!(target_os = "linux") {
        return Ok(Some("a real node needs Linux".to_owned()));
    }
    if !rustix::process::geteuid().is_root() {
        return Ok(Some(
            "a real node needs root: run the tests as root, in a container or a virtual machine"
                .to_owned(),
        ));
    }
    let missing = TOOLS.iter().filter(|(tool, _)| !is_installed(tool));
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let packages = missing.join(" ");
        return Ok(Some(format!(
            "a real node needs programs that are missing: apt-get install {packages}"
        )));
    }
    if !Path::new("/sys/fs/cgroup/memory/cgroup.procs").is_file() {
        return Ok(Some("a real node needs the hierarchies of cgroup v1 below /sys/fs/cgroup; this machine has none (boot it with systemd.unified_cgroup_hierarchy=0)".to_owned()));
    }
    if let Some(problem) = cannot_unshare().await {
        return Ok(Some(problem));
    }
    cannot_build_runc().await
}

/// Set to `required` where tests of a real node must run, as `.ci/run` does on a machine that can.
const REQUIRED: &str = "LANGOP_NODE";

/// Whether tests of a real node can run here. If not, it says so on stderr: the test is to return.
///
/// # Panics
/// If they cannot although `LANGOP_NODE=required` says that they must.
pub async fn is_available() -> bool {
    let problem = match unavailable().await {
        Ok(None) => return true,
        Ok(Some(problem)) => problem,
        Err(error) => format!("{error:#}"),
    };
    let is_required = std::env::var(REQUIRED).is_ok_and(|value| value == "required");
    assert!(
        !is_required,
        "{problem}; {REQUIRED}=required says that tests of a real node must run here"
    );
    // Not by a macro, whose output the test runner keeps to itself. Nobody reads it: nothing to do.
    let _ = writeln!(
        std::io::stderr(),
        "\nSKIPPED: tests of a real node. {problem}\n"
    );
    false
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut folders = path.split(':').chain(SYSTEM_PATH.split(':'));
    folders.any(|folder| Path::new(folder).join(tool).is_file())
}

async fn cannot_unshare() -> Option<String> {
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true",
    ]);
    let problem = match unshare.output().await {
        Ok(output) if output.status.success() => return None,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Some(format!(
        "a real node needs namespaces of its own, and this machine refuses them ({problem}): allow CAP_SYS_ADMIN"
    ))
}
