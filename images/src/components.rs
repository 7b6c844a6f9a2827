//! Which images there are, and the programs in them, linked statically.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io::Write as _};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::process::Command;

use crate::image::Image;

/// Who the containers run as.
const USER: &str = "65532:65532";
/// Where TLS libraries look for the authorities they trust.
pub(crate) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const BUNDLE: &str = "ca-certificates.crt";
const BASE64_LINE: usize = 64;

/// One image: a program alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The control plane.
    Operator,
    /// What turns instructions into code.
    Synthesizer,
    /// What issues the certificates between the two.
    Certificates,
    /// The runtime of agents.
    Agent,
    /// What lets servers that speak over their standard input and output be tools.
    ToolAdapter,
    /// Files of a workspace.
    ToolFilesystem,
    /// Pages of the web.
    ToolWeb,
    /// Mail.
    ToolEmail,
    /// The front end for people.
    Client,
}

impl Component {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Operator,
        Self::Synthesizer,
        Self::Certificates,
        Self::Agent,
        Self::ToolAdapter,
        Self::ToolFilesystem,
        Self::ToolWeb,
        Self::ToolEmail,
        Self::Client,
    ];

    /// Last part of the image's repository: `tool-web`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Synthesizer => "synthesizer",
            Self::Certificates => "certificates",
            Self::Agent => "agent",
            Self::ToolAdapter => "tool-adapter",
            Self::ToolFilesystem => "tool-filesystem",
            Self::ToolWeb => "tool-web",
            Self::ToolEmail => "tool-email",
            Self::Client => "client",
        }
    }

    /// The program in it: `langop-tool-web`.
    pub fn program(self) -> &'static str {
        match self {
            Self::Operator => "langop-operator",
            Self::Synthesizer => "langop-synthesizer",
            Self::Certificates => "langop-certificates",
            Self::Agent => "langop-agent",
            Self::ToolAdapter => "langop-tool",
            Self::ToolFilesystem => "langop-tool-filesystem",
            Self::ToolWeb => "langop-tool-web",
            Self::ToolEmail => "langop-tool-email",
            Self::Client => "langop-chat",
        }
    }
}

/// How the programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Small, as they are published; minutes for the last step alone.
    Release,
    /// For tests: soon done.
    Quick,
}

impl Profile {
    /// As Cargo.toml names it.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "static",
            Self::Quick => "static-quick",
        }
    }
}

/// The programs, built.
#[derive(Clone, Debug)]
pub struct Components {
    folder: PathBuf,
}

impl Components {
    /// Builds what changed into cargo's folder `target` (minutes the first time; cargo's progress on
    /// stderr).
    ///
    /// # Errors
    /// If the build fails.
    pub async fn build(target: &Path, profile: Profile) -> Result<Self> {
        Self::build_of(Path::new(env!("CARGO_MANIFEST_DIR")), target, profile, &[]).await
    }

    /// The same of other sources, `folder` being that of this crate there, in this environment beside the
    /// process's own.
    pub(crate) async fn build_of(
        folder: &Path,
        target: &Path,
        profile: Profile,
        env: &[(&str, &Path)],
    ) -> Result<Self> {
        let script = folder.join("build.sh");
        let output = Command::new("sh")
            .arg(&script)
            .arg(profile.name())
            .env("CARGO_TARGET_DIR", target)
            .envs(env.iter().copied())
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
        let folder = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        bundle(&folder)?;
        Ok(Self { folder })
    }

    /// The program of one that was built.
    pub fn program(&self, component: Component) -> PathBuf {
        self.folder.join(component.program())
    }

    /// The image of one that was built, under this name with a tag.
    pub fn image(&self, component: Component, name: &str) -> Image {
        let program = component.program();
        let path = format!("/{program}");
        let image = Image::new(name)
            .program(&path, &self.program(component))
            .file(AUTHORITIES, &self.folder.join(BUNDLE), 0o644)
            .entrypoint(&[&path]);
        described(image, program)
    }
}

/// The image with what all of ours say of themselves, run by nobody.
pub(crate) fn described(image: Image, title: &str) -> Image {
    image
        .user(USER)
        .label("org.opencontainers.image.title", title)
        .label(
            "org.opencontainers.image.version",
            env!("CARGO_PKG_VERSION"),
        )
        .label(
            "org.opencontainers.image.licenses",
            env!("CARGO_PKG_LICENSE"),
        )
}

/// The sources of this project.
pub(crate) fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes the authorities into a folder, and gives the file.
pub(crate) fn bundle(folder: &Path) -> Result<PathBuf> {
    let file = folder.join(BUNDLE);
    let trusted = authorities()?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&file, trusted))
        .with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(file)
}

/// Mozilla's authorities as PEM, from the crate that the lock file pins: the machine's own would make
/// other images on other machines.
fn authorities() -> Result<Vec<u8>> {
    let mut pem = Vec::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        writeln!(pem, "-----BEGIN CERTIFICATE-----")?;
        for line in BASE64.encode(certificate).as_bytes().chunks(BASE64_LINE) {
            pem.extend_from_slice(line);
            pem.push(b'\n');
        }
        writeln!(pem, "-----END CERTIFICATE-----")?;
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_certificates_in_pem() {
        let pem = String::from_utf8(authorities().unwrap()).unwrap();
        let count = pem.matches("-----BEGIN CERTIFICATE-----\n").count();
        assert_eq!(count, webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(count > 50, "{count}");
        assert!(pem.lines().all(|line| line.len() <= BASE64_LINE), "{pem}");
    }
}
