//! The real LiteLLM: installed once from the exact versions in peers/litellm into the cache folder, started on loopback as the operator
//! would start it, behind its door.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use langop_integration_tests::{control_plane::binaries, programs, run_dir, wait};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

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
        let program = installed().await.join("bin/litellm");
        let files = tempfile::tempdir().unwrap();
        for (file, text) in &built.files {
            fs::write(files.path().join(file), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = run_dir().unwrap().join(format!("litellm-{name}.log"));
        let guard = Command::new(programs::locate("control-plane").unwrap())
            .args(["guard", "--"])
            .arg(&program)
            .args(on_loopback(&built.args, files.path(), port))
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(built.env.iter().cloned())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .kill_on_drop(true)
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

/// The environment of Python with everything in it: minutes, once.
async fn installed() -> PathBuf {
    let python = run("python3", &["--version".as_ref()]).await;
    let mut hash = Sha256::new();
    for part in [REQUIREMENTS, &python] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let short = digest.iter().take(8);
    let key = short.fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let root = binaries::cache_folder("litellm").unwrap().join(key);
    let (done, venv) = (root.join("done"), root.join("venv"));
    fs::create_dir_all(&root).unwrap();
    let lock = File::create(root.join("lock")).unwrap();
    let what = "another installation's end";
    wait::until(what, Duration::from_hours(1), async || lock.try_lock().ok())
        .await
        .unwrap();
    if !done.is_file() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/litellm/requirements.txt");
        let make = ["-m", "venv", "--clear"].map(Path::new);
        run("python3", &[&make[..], &[venv.as_path()]].concat()).await;
        let pip = venv.join("bin/pip");
        let pip = pip.to_str().unwrap();
        run(
            pip,
            &[
                "install".as_ref(),
                "--quiet".as_ref(),
                "--no-deps".as_ref(),
                "-r".as_ref(),
                &file,
            ],
        )
        .await;
        File::create(done).unwrap();
    }
    venv
}

/// Runs a program to its end and returns what it printed.
async fn run(program: &str, args: &[&Path]) -> String {
    let output = Command::new(program).args(args).output().await;
    let output =
        output.unwrap_or_else(|error| panic!("{program}: {error}; install Python 3.11 or later"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    said
}
