//! Ruby, with the SDK of this repository built and installed into an empty folder, once for all tests.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use langop_integration_tests::workspace_root;
use tempfile::TempDir;
use tokio::{process::Command, sync::OnceCell};

static INSTALLED: OnceCell<Gem> = OnceCell::const_new();

/// The gem, installed.
pub(crate) struct Gem {
    home: TempDir,
}

/// What a program said and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

/// Where the sources are.
pub(crate) fn sources() -> PathBuf {
    workspace_root().unwrap().join("sdk/ruby")
}

impl Gem {
    pub(crate) async fn installed() -> &'static Self {
        INSTALLED
            .get_or_init(|| async {
                let home = tempfile::tempdir().unwrap();
                let file = home.path().join("langop.gem");
                let mut build = plain("gem");
                build.args(["build", "--strict", "langop.gemspec", "--output"]);
                run_well(build.arg(&file).current_dir(sources())).await;
                let gem = Self { home };
                let mut install = gem.command("gem");
                install.args(["install", "--local", "--no-document"]);
                run_well(install.arg(&file)).await;
                gem
            })
            .await
    }

    /// A program, which finds the gem and its programs and nothing of the sources.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = plain(program);
        command.envs(self.variables());
        command
    }

    /// By which programs find the gem.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let home = self.home.path().display();
        [
            ("GEM_HOME", home.to_string()),
            ("PATH", format!("{home}/bin:/usr/bin:/bin")),
        ]
    }

    /// A program of the gem.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.home.path().join("bin").join(name)
    }
}

fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Ruby on the sources.
pub(crate) fn on_sources() -> Command {
    let mut command = plain("ruby");
    command
        .args(["-w", "-Ilib", "-Itest"])
        .current_dir(sources());
    command
}

pub(crate) async fn run(command: &mut Command) -> Said {
    let output = command.output().await;
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; install ruby, ruby-webrick and ruby-minitest")
    });
    let said = [output.stdout, output.stderr].concat();
    Said {
        code: output.status.code(),
        text: String::from_utf8_lossy(&said).into_owned(),
    }
}

pub(crate) async fn run_well(command: &mut Command) -> String {
    let said = run(command).await;
    assert_eq!(said.code, Some(0), "{command:?}: {}", said.text);
    said.text
}

/// Writes code and what lies beside it, as the operator mounts them.
pub(crate) fn mount(folder: &Path, code: &str, definition: &serde_json::Value) -> PathBuf {
    let path = folder.join("agent.rb");
    std::fs::write(&path, code).unwrap();
    std::fs::write(folder.join("definition.json"), definition.to_string()).unwrap();
    path
}
