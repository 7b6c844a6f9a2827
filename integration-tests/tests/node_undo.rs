//! A real node leaves nothing behind on the machine, however it ends. In an executable of its own,
//! since there is one node at a time.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use langop_integration_tests::control_plane::{Options, node};
use langop_integration_tests::processes::{all_gone, descendants_of, signal};
use langop_integration_tests::{ControlPlane, Nodes, run_dir};
use rustix::process::Signal;

/// Until the kernel has ended all processes of a node whose owner was killed.
const SOON: Duration = Duration::from_secs(20);

/// What a node changes outside its namespaces.
fn changes() -> Vec<PathBuf> {
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").unwrap();
    let cgroups = hierarchies.map(|entry| entry.unwrap().path().join("langop-node"));
    let link = PathBuf::from("/sys/class/net/langop0");
    cgroups.chain([link]).filter(|path| path.exists()).collect()
}

async fn start(state: &Path) -> ControlPlane {
    let options = Options {
        nodes: Nodes::Real,
        ..Options::default()
    };
    ControlPlane::start_with(state, options).await.unwrap()
}

#[tokio::test]
async fn what_a_node_changed_is_undone_at_its_end_and_after_its_owner_was_killed() {
    if !node::is_available().await {
        return;
    }
    let state = run_dir().unwrap().join("control-plane");

    let first = start(&state).await;
    assert!(!changes().is_empty(), "the test looks in the wrong places");
    let init = first.ready().node.as_ref().unwrap().init;
    let inside = descendants_of(init);
    assert!(inside.len() > 4, "{inside:?}");
    // No process of the owner can do anything any more.
    signal(first.supervisor_pid(), Signal::KILL).unwrap();
    all_gone(&[&[init], &inside[..]].concat(), SOON)
        .await
        .unwrap();

    // The next one finds what the kernel does not remove by itself, and works.
    let other = state.with_file_name("control-plane-after");
    let second = start(&other).await;
    assert!(
        !state.join("node").exists(),
        "file systems of the killed node's containers are left"
    );
    second.stop().await.unwrap();
    let left = changes();
    assert!(left.is_empty(), "{left:?}");
    assert!(!other.join("node").exists());
}
