//! The images in Ruby that `cargo images --ruby` makes without an engine, unpacked and run in a root of
//! their own: nothing of the machine is there. With the packages that apt offers today, so that a list
//! which was superseded yesterday fails no test.

use std::{fs, path::PathBuf};

use langop_images::{
    debian::Package,
    model,
    ruby::{PACKAGES, Ruby, RubyImage},
};
use langop_integration_tests::{ImageRoot, workspace_root};
use serde_json::json;

use super::ruby::{mount, run};

/// Where layouts and packages are kept from one run to the next.
fn cache() -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    home.unwrap().join("langop/ruby-images")
}

#[tokio::test]
async fn they_run_where_nothing_else_is() {
    let packages = Package::offered(PACKAGES.names()).await.unwrap();
    let images = Ruby::build(&packages, &cache()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut root = ImageRoot::new(folder.path());
    let agent = images.image(RubyImage::Agent, "localhost/agent:1").unwrap();
    root.unpack(&agent).unwrap();
    assert_eq!(root.user(), "65532:65532");
    let said = run(root.command().arg("--version")).await;
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(said.text.starts_with("langop-agent "), "{}", said.text);
    // Texts, zones and numbers are as on a whole machine.
    let definition = json!({"name": "a", "objectives": ["Größe"], "constraints": {}});
    let code = folder.path().join("code");
    fs::create_dir(&code).unwrap();
    mount(&code, "# never evaluated\n", &definition);
    let mut due = root.command();
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
    let shared = root.layers();

    for (image, settings) in [
        (RubyImage::ToolFilesystem, ("WORKSPACE_PATH", "/")),
        (RubyImage::ToolWeb, ("WEB_ALLOWED_ADDRESSES", "")),
        (RubyImage::ToolEmail, ("SMTP_HOST", "mail.example.com")),
    ] {
        let tool = images.image(image, "localhost/tool:1").unwrap();
        root.unpack(&tool).unwrap();
        // A port that cannot be had ends it once its file was read.
        let mut command = root.command();
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
    assert_eq!(root.layers(), shared + 3, "a tool adds its file alone");
}

#[test]
fn the_published_ones_have_a_version_of_each_package() {
    for lock in [PACKAGES, model::PACKAGES] {
        let locked = lock.packages().unwrap();
        let names: Vec<_> = locked.iter().map(|package| &*package.name).collect();
        assert_eq!(names, lock.names(), "run `cargo images update-packages`");
        assert!(locked.iter().all(|package| package.sha256.len() == 64));
    }
    let dockerfile =
        fs::read_to_string(workspace_root().unwrap().join("components/ruby/Dockerfile")).unwrap();
    for package in ["ruby", "ruby-webrick"] {
        assert!(
            dockerfile.contains(&format!(" {package} ")),
            "{package} is in both"
        );
    }
}
