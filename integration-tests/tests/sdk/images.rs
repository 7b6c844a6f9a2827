//! The images in Ruby that `cargo images --ruby` makes without an engine, unpacked and run in a root of
//! their own: nothing of the machine is there. With the packages that apt offers today, so that a list
//! which was superseded yesterday fails no test.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
};

use langop_images::{
    debian::Package,
    ruby::{self, PACKAGES, Ruby, RubyImage},
};
use langop_integration_tests::workspace_root;
use serde_json::{Value, json};
use tokio::process::Command;

use super::ruby::{mount, run};

/// Where layouts and packages are kept from one run to the next.
fn cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    home.unwrap().join("langop/ruby-images")
}

/// Puts an image's layers into a folder, one above the other but for those that are there, and gives its
/// configuration.
fn unpack(layout: &Path, root: &Path, there: &mut BTreeSet<String>) -> Value {
    let read = |path: &Path| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
        layout.join("blobs").join(digest)
    };
    let index = read(&layout.join("index.json"));
    let manifest = read(&blob(&index["manifests"][0]));
    for layer in manifest["layers"].as_array().unwrap() {
        if !there.insert(layer["digest"].to_string()) {
            continue;
        }
        tar::Archive::new(File::open(blob(layer)).unwrap())
            .unpack(root)
            .unwrap();
    }
    read(&blob(&manifest["config"]))["config"].clone()
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// The image's program in its root, as its configuration says, with nothing of the machine but what is
/// mounted into the root.
fn contained(root: &Path, config: &Value) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--wd", "/", "--root"])
        .arg(root)
        .args(words(&config["Entrypoint"]))
        .env_clear()
        .stdin(Stdio::null());
    for variable in words(&config["Env"]) {
        let (name, value) = variable.split_once('=').unwrap();
        command.env(name, value);
    }
    command
}

#[tokio::test]
async fn they_run_where_nothing_else_is() {
    let packages = Package::offered(&PACKAGES).await.unwrap();
    let images = Ruby::build(&packages, &cache()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");

    let root = folder.path().join("root");
    let mut there = BTreeSet::new();
    images
        .image(RubyImage::Agent, "localhost/agent:1")
        .unwrap()
        .write_layout(&layout)
        .unwrap();
    let config = unpack(&layout, &root, &mut there);
    assert_eq!(config["User"], "65532:65532");
    let said = run(contained(&root, &config).arg("--version")).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(said.text.starts_with("langop-agent "), "{}", said.text);
    // Texts, zones and numbers are as on a whole machine.
    let definition = json!({"name": "a", "objectives": ["Größe"], "constraints": {}});
    fs::create_dir(root.join("code")).unwrap();
    mount(&root.join("code"), "# never evaluated\n", &definition);
    let mut due = contained(&root, &config);
    due.args(["run"]).envs([
        ("AGENT_MODE", "scheduled"),
        ("AGENT_SCHEDULE", "* * * * *"),
        ("AGENT_SCHEDULE_ONLY", "every 2 weeks from 2999-01-01"),
        ("AGENT_TIME_ZONE", "Europe/Berlin"),
        ("AGENT_CODE_PATH", "/code/agent.rb"),
    ]);
    let said = run(&mut due).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(said.text.contains("not due: "), "{}", said.text);
    let shared = there.len();

    for (image, settings) in [
        (RubyImage::ToolFilesystem, ("WORKSPACE_PATH", "/")),
        (RubyImage::ToolWeb, ("WEB_ALLOWED_ADDRESSES", "")),
        (RubyImage::ToolEmail, ("SMTP_HOST", "mail.example.com")),
    ] {
        images
            .image(image, "localhost/tool:1")
            .unwrap()
            .write_layout(&layout)
            .unwrap();
        let config = unpack(&layout, &root, &mut there);
        // A port that cannot be had ends it once its file was read.
        let mut command = contained(&root, &config);
        command
            .env(settings.0, settings.1)
            .envs([("SMTP_FROM", "a@example.com"), ("PORT", "none")]);
        let said = run(&mut command).await;
        assert!(
            said.text.contains("PORT cannot be read"),
            "{}: {}",
            image.name(),
            said.text
        );
    }
    assert_eq!(there.len(), shared + 3, "a tool adds its file alone");
}

#[test]
fn the_published_ones_have_a_version_of_each_package() {
    let locked = ruby::locked().unwrap();
    let names: Vec<_> = locked.iter().map(|package| &*package.name).collect();
    assert_eq!(names, PACKAGES, "run `cargo images update-packages`");
    assert!(locked.iter().all(|package| package.sha256.len() == 64));
    let dockerfile =
        fs::read_to_string(workspace_root().unwrap().join("components/ruby/Dockerfile")).unwrap();
    for package in ["ruby", "ruby-webrick"] {
        assert!(
            dockerfile.contains(&format!(" {package} ")),
            "{package} is in both"
        );
    }
}
