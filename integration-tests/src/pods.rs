//! Looks into containers of a real node: runs commands in them, and brings images to them; and
//! starts Jobs as people do.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use langop_images::Image;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::node::PROBE_IMAGE;
use crate::control_plane::{ControlPlane, ReadyNode, node};
use crate::run_dir;

/// How a command in a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code; 1 also if the command could not be run.
    pub code: i32,
    /// What it wrote, stdout before stderr.
    pub output: String,
}

/// Exit codes of `probe get` and `probe dial`; see integration-tests/node/probe.
pub mod exit {
    /// The other side answered.
    pub const ANSWERED: i32 = 0;
    /// Nobody answered in time: the packets were dropped.
    pub const TIMED_OUT: i32 = 10;
    /// The packets arrived where nobody listens.
    pub const REFUSED: i32 = 11;
    /// Something else went wrong, for example a file could not be written.
    pub const FAILED: i32 = 13;
}

/// A pod that runs the node's probe with these words, and that Pod Security `restricted` admits.
pub fn probe(name: &str, words: &[&str]) -> Value {
    let command: Vec<&str> = [&["/probe"], words].concat();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe",
                "image": PROBE_IMAGE,
                "command": command,
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                },
            }],
        },
    })
}

impl ControlPlane {
    /// Runs a command in a pod's first container, as `kubectl exec` does.
    ///
    /// # Errors
    /// If kubectl cannot be run, or is killed.
    pub async fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<Executed> {
        let mut kubectl = Command::new(&self.ready().kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(&self.ready().kubeconfig)
            .args(["--namespace", namespace, "exec", pod, "--"])
            .args(command)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        executed(kubectl).await
    }

    /// Runs a CronJob now, as the Job of this name.
    ///
    /// # Errors
    /// If kubectl cannot be run, or says why not.
    pub async fn run_now(&self, namespace: &str, cron_job: &str, job: &str) -> Result<()> {
        let mut kubectl = Command::new(&self.ready().kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(&self.ready().kubeconfig)
            .arg("--cache-dir")
            .arg(run_dir::run_dir()?.join("kubectl-cache"))
            .args(["--namespace", namespace, "create", "job", job])
            .arg(format!("--from=cronjob/{cron_job}"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let executed = executed(kubectl).await?;
        ensure!(executed.code == 0, "{}", executed.output);
        Ok(())
    }

    /// Runs the node's `probe` with these words on the node itself, outside of pods: no policy
    /// applies.
    ///
    /// # Errors
    /// If the nodes are simulated, or the probe cannot be run.
    pub async fn probe_on_node(&self, words: &[&str]) -> Result<Executed> {
        let node = self.real_node()?;
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &node.init.to_string(), "--net", "--"])
            .arg(&node.probe)
            .args(words)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        executed(command).await
    }

    /// Makes an image known to the real node, under its name; pods need no pull.
    ///
    /// # Errors
    /// If the nodes are simulated, the image cannot be written, another one has its name, or containerd
    /// refuses it.
    pub async fn import(&self, image: &Image) -> Result<()> {
        let node = self.real_node()?;
        let folder = tempfile::tempdir_in(run_dir::run_dir()?)?;
        let archive = folder.path().join("image.tar");
        let (written, to) = (image.clone(), archive.clone());
        let digest = tokio::task::spawn_blocking(move || written.write(&to)).await??;
        claim(image.name(), &digest)?;
        let output = node::import_command(node)
            .stdin(File::open(&archive)?)
            .output()
            .await
            .context("cannot run nsenter")?;
        ensure!(
            output.status.success(),
            "containerd refuses image {}: {}",
            image.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// An image of the node's `probe`, which runs it with these words.
    ///
    /// # Errors
    /// If the nodes are simulated.
    pub fn probe_image(&self, name: &str, words: &[&str]) -> Result<Image> {
        let entrypoint = [&["/probe"], words].concat();
        Ok(Image::new(name)
            .program("/probe", &self.real_node()?.probe)
            .entrypoint(&entrypoint))
    }

    pub(crate) fn real_node(&self) -> Result<&ReadyNode> {
        let node = self.ready().node.as_ref();
        node.context("the nodes of this control plane are simulated; start it with Nodes::Real")
    }
}

/// Tests share the node: one that gave its own image the name of another's would change what that one's
/// pods run, now and then.
fn claim(name: &str, digest: &str) -> Result<()> {
    static CLAIMED: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let first = claimed
        .entry(name.to_owned())
        .or_insert_with(|| digest.to_owned());
    ensure!(
        *first == digest,
        "the node already has another image {name}; give this one a name of its own"
    );
    Ok(())
}

async fn executed(mut command: Command) -> Result<Executed> {
    let output = command.output().await.context("cannot run a command")?;
    let text = [output.stdout, output.stderr].concat();
    Ok(Executed {
        code: output.status.code().context("a command was killed")?,
        output: String::from_utf8_lossy(&text).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::claim;

    #[test]
    fn a_name_stands_for_one_image() {
        claim("localhost/a:1", "sha256:1").unwrap();
        claim("localhost/a:1", "sha256:1").unwrap();
        claim("localhost/b:1", "sha256:2").unwrap();
        let refused = claim("localhost/a:1", "sha256:2");
        assert!(refused.unwrap_err().to_string().contains("another image"));
    }
}
