//! An image with Node.js and a package of npm, made of this machine's own files: what somebody who
//! publishes an MCP server would have built.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use langop_images::Image;
use tokio::process::Command;

use crate::peers;

/// An image of this name with the packages of `peers/<peer>` below `/app`. `node` is in its path.
///
/// # Errors
/// If Node.js or npm is missing, or the packages cannot be installed.
pub async fn build(name: &str, peer: &str) -> Result<Image> {
    let packages = peers::npm(peer).await?.join("node_modules");
    let node = which_node().await?;
    let mut image = Image::new(name)
        .program("/usr/bin/node", &node)
        .tree("/app/node_modules", &packages)?
        .env("PATH", "/usr/bin")
        .user("65532:65532");
    for library in libraries(&node).await? {
        let path = library.to_str().context("a name that is not UTF-8")?;
        image = image.file(path, &library, 0o755);
    }
    Ok(image)
}

async fn which_node() -> Result<PathBuf> {
    let output = Command::new("node")
        .args(["-p", "process.execPath"])
        .output()
        .await
        .context("cannot run node; install Node.js 20 or later")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// What the dynamic linker would load, itself included, as ldd tells.
async fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().await?;
    ensure!(
        output.status.success(),
        "ldd fails for {}",
        program.display()
    );
    let said = String::from_utf8(output.stdout)?;
    let words = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/'))
    });
    Ok(words.map(PathBuf::from).collect())
}
