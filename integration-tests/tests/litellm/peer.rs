//! The real LiteLLM: installed once from the exact versions in peers/litellm into the cache folder,
//! started on loopback as the operator would start it, behind its door.

use std::{
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Duration,
};

use langop_integration_tests::{peers, run_dir, wait};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Child};

use crate::built::{Built, FOLDER};

/// The versions of everything.
pub(crate) const REQUIREMENTS: &str = include_str!("../../peers/litellm/requirements.txt");
/// Fifteen seconds of CPU, on a machine that does other things.
const START: Duration = Duration::from_mins(6);

/// A running proxy. It ends when this is dropped, or this process ends in whatever way.
pub(crate) struct LiteLlm {
    pub url: String,
    pub client: reqwest::Client,
    _guard: Child,
    _files: TempDir,
}

impl LiteLlm {
    pub(crate) async fn start(name: &str, built: &Built) -> Self {
        let venv = peers::python("litellm").await.unwrap();
        let files = tempfile::tempdir().unwrap();
        for (file, text) in &built.files {
            fs::write(files.path().join(file), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = run_dir().unwrap().join(format!("litellm-{name}.log"));
        let guard = peers::guarded(&venv.join("bin/litellm"))
            .unwrap()
            .args(on_loopback(&built.args, files.path(), port))
            .envs(built.env.iter().cloned())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let this = Self {
            url: format!("http://127.0.0.1:{port}"),
            client,
            _guard: guard,
            _files: files,
        };
        let ready = format!("{}/health/readiness", this.url);
        let what = format!("LiteLLM to become ready (see {})", log.display());
        wait::until(&what, START, async || {
            let answer = this.client.get(&ready).send().await;
            let status = answer.map_err(|error| error.to_string())?.status();
            if status == 200 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await
        .unwrap();
        this
    }
}

/// The arguments, with the folder, host and port of this machine instead of the pod's.
fn on_loopback(args: &[String], folder: &Path, port: u16) -> Vec<String> {
    let mut all: Vec<String> = args
        .iter()
        .map(|arg| arg.replace(FOLDER, folder.to_str().unwrap()))
        .collect();
    for (name, value) in [
        ("--host", "127.0.0.1".to_owned()),
        ("--port", port.to_string()),
    ] {
        let at = all.iter().position(|arg| arg == name).unwrap();
        all[at + 1] = value;
    }
    all
}
