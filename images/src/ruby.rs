//! The images in Ruby: packages of Debian, the SDK above them, and for a tool its file. They are those of
//! `components`, without an engine.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::components::{AUTHORITIES, bundle, described, sources};
use crate::debian::{Lock, Package, Unpacked};
use crate::image::Image;

/// What Ruby and the SDK need, and no package whose work is done by a script.
pub const PACKAGES: Lock = Lock::new(
    "ruby",
    &[
        "libc6",
        "libcrypt1",
        "libffi8",
        "libgcc-s1",
        "libgmp10",
        "libruby3.1",
        "libssl3",
        "libyaml-0-2",
        "ruby",
        "ruby3.1",
        "ruby-webrick",
        "rubygems-integration",
        "tzdata",
        "zlib1g",
    ],
);
/// Where Ruby looks for what is no part of it.
const LIBRARIES: &str = "/usr/lib/ruby/vendor_ruby";

/// An image in Ruby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RubyImage {
    /// The agent.
    Agent,
    /// A tool server, for a file of yours.
    Tool,
    /// Files of a workspace.
    ToolFilesystem,
    /// Pages of the web.
    ToolWeb,
    /// Mail.
    ToolEmail,
}

impl RubyImage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Agent,
        Self::Tool,
        Self::ToolFilesystem,
        Self::ToolWeb,
        Self::ToolEmail,
    ];

    /// Last part of the image's repository.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "ruby-agent",
            Self::Tool => "ruby-tool",
            Self::ToolFilesystem => "ruby-tool-filesystem",
            Self::ToolWeb => "ruby-tool-web",
            Self::ToolEmail => "ruby-tool-email",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Agent => "/usr/bin/langop-agent-ruby",
            _ => "/usr/bin/langop-tool-server",
        }
    }

    /// The folder and file below `components/tools`.
    fn tool(self) -> Option<&'static str> {
        match self {
            Self::Agent | Self::Tool => None,
            Self::ToolFilesystem => Some("filesystem"),
            Self::ToolWeb => Some("web"),
            Self::ToolEmail => Some("email"),
        }
    }
}

/// What all images in Ruby are made of.
#[derive(Clone, Debug)]
pub struct Ruby {
    sources: PathBuf,
    debian: Unpacked,
    authorities: PathBuf,
}

impl Ruby {
    /// Fetches and unpacks the packages below cargo's folder `target`.
    ///
    /// # Errors
    /// If that fails.
    pub async fn build(packages: &[Package], target: &Path) -> Result<Self> {
        let cache = target.join("debian");
        Ok(Self {
            sources: sources(),
            authorities: bundle(&cache)?,
            debian: Unpacked::new(packages, &cache).await?,
        })
    }

    /// An image under this name with a tag.
    ///
    /// # Errors
    /// If the sources cannot be read.
    pub fn image(&self, image: RubyImage, name: &str) -> Result<Image> {
        let sdk = self.sources.join("sdk/ruby");
        let mut built = self
            .debian
            .layer(Image::new(name))
            .file(AUTHORITIES, &self.authorities, 0o644)
            .tree(LIBRARIES, &sdk.join("lib"))?
            .program(
                "/usr/bin/langop-agent-ruby",
                &sdk.join("exe/langop-agent-ruby"),
            )
            .program(
                "/usr/bin/langop-tool-server",
                &sdk.join("exe/langop-tool-server"),
            )
            .layer()
            // Texts are UTF-8; without it programs take them for ASCII.
            .env("LANG", "C.UTF-8")
            .env("SSL_CERT_FILE", AUTHORITIES);
        // By name, since there is no env(1) that a script could ask.
        let mut entrypoint = vec!["/usr/bin/ruby", image.program()];
        let file = image.tool().map(|tool| format!("/tools/{tool}.rb"));
        if let (Some(tool), Some(file)) = (image.tool(), &file) {
            let source = self.sources.join("components/tools").join(tool);
            built = built.file(file, &source.join(format!("{tool}.rb")), 0o644);
            entrypoint.push(file);
        }
        Ok(described(built.entrypoint(&entrypoint), image.name()))
    }
}
