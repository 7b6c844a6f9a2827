//! The real LiteLLM: installed once from the exact versions of components/model into the cache folder, or
//! in the image `model`; started on loopback as the operator would start it, behind its door.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use langop_images::{
    debian::Package,
    model::{Model, PACKAGES},
};
use langop_integration_tests::{
    ImageRoot, control_plane::binaries, peers, run_dir, wait, workspace_root,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Child, sync::OnceCell};

use crate::built::{Built, FOLDER};

/// The versions of everything.
pub(crate) const REQUIREMENTS: &str = include_str!("../../../components/model/requirements.txt");
/// Fifteen seconds of CPU, on a machine that does other things.
const START: Duration = Duration::from_mins(6);

/// A running proxy. It ends when this is dropped, or this process ends in whatever way.
pub(crate) struct LiteLlm {
    pub url: String,
    pub client: reqwest::Client,
    _guard: Child,
    _folder: TempDir,
}

impl LiteLlm {
    pub(crate) async fn start(name: &str, built: &Built) -> Self {
        let place = Place::of(name).await;
        for (file, text) in &built.files {
            fs::write(place.files.join(file), text).unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let log = run_dir().unwrap().join(format!("litellm-{name}.log"));
        let guard = peers::guarded(&place.program)
            .unwrap()
            .args(&place.words)
            .args(on_loopback(&built.args, &place.seen, port))
            .envs(place.env)
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
            _folder: place.folder,
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

/// What is started, and where its files are.
struct Place {
    program: PathBuf,
    /// Before LiteLLM's own.
    words: Vec<String>,
    env: Vec<(String, String)>,
    /// For its files, and what the program takes that for.
    files: PathBuf,
    seen: PathBuf,
    folder: TempDir,
}

impl Place {
    async fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if std::env::var("LANGOP_LITELLM").as_deref() == Ok("image") {
            return Self::in_image(name, folder).await;
        }
        let requirements = workspace_root().unwrap().join("components/model");
        let venv = peers::python_of("litellm", &requirements).await.unwrap();
        Self {
            program: venv.join("bin/litellm"),
            words: Vec::new(),
            env: Vec::new(),
            files: folder.path().to_owned(),
            seen: folder.path().to_owned(),
            folder,
        }
    }

    /// With the packages that apt offers today, so that a list which was superseded yesterday fails no
    /// test.
    async fn in_image(name: &str, folder: TempDir) -> Self {
        static ROOT: OnceCell<ImageRoot> = OnceCell::const_new();
        let root = ROOT.get_or_init(async || {
            let cache = binaries::cache_folder("model-image").unwrap();
            let packages = Package::offered(PACKAGES.names()).await.unwrap();
            let model = Model::build(&packages, &cache).await.unwrap();
            let image = model.image("localhost/model:1").unwrap();
            eprintln!(
                "the image `model` has {} MB",
                image.size().unwrap() / 1_000_000
            );
            let folder = run_dir().unwrap().join("model-image");
            fs::create_dir_all(folder.join("tmp")).unwrap();
            let mut root = ImageRoot::new(&folder);
            root.unpack(&image).unwrap();
            root
        });
        let root = root.await;
        let seen = Path::new(FOLDER).join(name);
        let files = root.path().join(seen.strip_prefix("/").unwrap());
        fs::create_dir_all(&files).unwrap();
        Self {
            program: "/usr/bin/unshare".into(),
            words: root.words(),
            env: root.env(),
            files,
            seen,
            folder,
        }
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
