//! `langop-tool` in front of a stdio server.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::{process::Command, time::timeout};

use super::process::{LONGEST, Program, eras, kill};

async fn adapter(root: &tempfile::TempDir) -> Program {
    let root = root.path().display().to_string();
    let filesystem = env!("CARGO_BIN_EXE_langop-tool-filesystem");
    let arguments = ["--", filesystem, "--stdio"];
    Program::start(
        env!("CARGO_BIN_EXE_langop-tool"),
        &arguments,
        &[("WORKSPACE_PATH", &root)],
    )
    .await
}

/// The process that a process started.
fn child_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let of_any_thread = || {
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        threads.flatten().find_map(|thread| {
            let children = fs::read_to_string(thread.path().join("children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    };
    children
        .split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok())
        .or_else(of_any_thread)
}

#[tokio::test]
async fn a_stdio_server_is_served_in_both_eras_and_started_again_when_it_dies() {
    let root = tempfile::tempdir().unwrap();
    let mut program = adapter(&root).await;
    for era in eras() {
        let client = program.client(era).await;
        assert_eq!(client.0.list_all_tools().await.unwrap().len(), 5);
        let written = json!({"path": "a.txt", "content": "x"});
        let written = client.call("write_file", written).await.unwrap();
        assert_eq!(written.is_error, Some(false));
        let unknown = client.call("nothing", json!({})).await.unwrap_err();
        assert!(
            unknown.to_string().contains("Unknown tool: nothing"),
            "{unknown}"
        );

        let before = child_of(program.pid()).unwrap();
        kill("-KILL", before);
        let read = timeout(LONGEST, async {
            loop {
                match client.call("read_file", json!({"path": "a.txt"})).await {
                    Ok(read) => return read,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        let read = read.await.unwrap();
        assert_eq!(read.content[0].as_text().unwrap().text, "x");
        assert_ne!(child_of(program.pid()), Some(before));
    }
    let child = child_of(program.pid()).unwrap();
    program.signal("-TERM");
    let ended = timeout(LONGEST, program.child.wait()).await.unwrap();
    assert!(ended.unwrap().success());
    assert!(
        !fs::exists(format!("/proc/{child}")).unwrap(),
        "it outlives the adapter"
    );
}

#[tokio::test]
async fn a_server_that_ends_again_and_again_is_given_up_and_none_at_all_is_an_error() {
    for (command, said) in [
        (&["sh", "-c", "exit 3"][..], "giving up"),
        (&["/nowhere/server"], "cannot be started"),
    ] {
        let program = Command::new(env!("CARGO_BIN_EXE_langop-tool"))
            .arg("--")
            .args(command)
            .env("LANGOP_TOOL_HOST", "127.0.0.1")
            .env("PORT", super::process::free_port().to_string())
            .kill_on_drop(true)
            .output();
        let output = timeout(LONGEST, program).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(said), "{log}");
    }
    let usage = Command::new(env!("CARGO_BIN_EXE_langop-tool"))
        .output()
        .await
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
