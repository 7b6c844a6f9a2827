//! Images of the reference components: the runtime and the tool servers, linked statically and alone in
//! their images.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::image::Image;
use crate::run_dir;

/// Who the containers run as.
const USER: &str = "65532:65532";

/// The programs, linked statically.
#[derive(Clone, Debug)]
pub struct Reference {
    folder: PathBuf,
}

impl Reference {
    /// Builds what changed (minutes the first time; cargo's progress on stderr).
    ///
    /// # Errors
    /// If the build fails.
    pub async fn build() -> Result<Self> {
        let script = run_dir::workspace_root()?.join("runtime/build-static.sh");
        let programs = run_dir::programs_dir()?;
        let target = programs.parent().unwrap_or(&programs);
        let output = Command::new("sh")
            .arg(&script)
            .env("CARGO_TARGET_DIR", target)
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run sh")?;
        ensure!(
            output.status.success(),
            "{} failed; what it says is above",
            script.display()
        );
        let said = String::from_utf8(output.stdout)?;
        let agent = said.split_whitespace().nth(1);
        let agent = Path::new(agent.context("the build names no program")?);
        let folder = agent.parent().context("the build names no folder")?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    /// An image of the runtime.
    pub fn agent(&self, name: &str) -> Image {
        self.image(name, "langop-agent")
    }

    /// An image of the tool server `filesystem`, `web` or `email`.
    pub fn tool(&self, tool: &str, name: &str) -> Image {
        self.image(name, &format!("langop-tool-{tool}"))
    }

    /// An image of the adapter for tools that speak over their standard input and output.
    pub fn adapter(&self, name: &str) -> Image {
        self.image(name, "langop-tool")
    }

    fn image(&self, name: &str, program: &str) -> Image {
        let path = format!("/{program}");
        Image::new(name)
            .program(&path, &self.folder.join(program))
            .entrypoint(&[&path])
            .user(USER)
    }
}
