//! Images of programs of others, made of this machine's own interpreters and libraries: what somebody
//! who publishes an MCP server or an agent would have built. No package is fetched here that the test
//! did not pin.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use langop_images::Image;
use tokio::process::Command;

use crate::peers;

/// Whom the programs run as.
const USER: &str = "65532:65532";
/// What is no part of Python's library for a program: its own tests, what pip installed, what was
/// compiled before.
const NO_LIBRARY: [&str; 4] = ["__pycache__", "dist-packages", "site-packages", "test"];

/// An image of this name with the packages of `peers/<peer>` below `/app`. `node` is in its path.
///
/// # Errors
/// If Node.js or npm is missing, or the packages cannot be installed.
pub async fn node(name: &str, peer: &str) -> Result<Image> {
    let packages = peers::npm(peer).await?.join("node_modules");
    let node = says("node", &["-p", "process.execPath"]).await?;
    let image = Image::new(name)
        .program("/usr/bin/node", Path::new(&node))
        .tree("/app/node_modules", &packages)?
        .env("PATH", "/usr/bin")
        .user(USER);
    with_libraries(image, [node.into()].into()).await
}

/// An image of this name that runs a file on Python, with the packages of `requirements.txt` beside it;
/// `place` is the name of their place in the cache.
///
/// # Errors
/// If there is no Python with `venv`, or the packages cannot be installed.
pub async fn python(name: &str, place: &str, file: &Path) -> Result<Image> {
    let folder = file.parent().context("a file without a folder")?;
    let venv = peers::python_of(place, folder).await?;
    let ask = "import os, sys, sysconfig; print(os.path.realpath(sys.executable), sysconfig.get_path('stdlib'), sysconfig.get_path('purelib'), sep='\\n')";
    let program = venv.join("bin/python");
    let said = says(
        program.to_str().context("a name that is not UTF-8")?,
        &["-c", ask],
    )
    .await?;
    let [program, library, packages] = said.lines().collect::<Vec<_>>()[..] else {
        anyhow::bail!("Python says '{said}'");
    };
    let version = Path::new(library)
        .file_name()
        .and_then(|name| name.to_str());
    let version = version.context("a library without a version")?;
    let mut image = Image::new(name).program("/usr/bin/python3", Path::new(program));
    for entry in std::fs::read_dir(library)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().context("a name that is not UTF-8")?;
        let to = format!("/usr/lib/{version}/{name}");
        if entry.file_type()?.is_file() {
            image = image.file(&to, &entry.path(), 0o644);
        } else if !NO_LIBRARY.contains(&name) && !name.starts_with("config-") {
            image = image.tree(&to, &entry.path())?;
        }
    }
    let mut loaded = BTreeSet::from([PathBuf::from(program)]);
    extensions(&Path::new(library).join("lib-dynload"), &mut loaded)?;
    extensions(Path::new(packages), &mut loaded)?;
    let image = image
        .tree("/app/packages", Path::new(packages))?
        .file("/app/main.py", file, 0o644)
        .env("PYTHONHOME", "/usr")
        .env("PYTHONPATH", "/app/packages")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .user(USER)
        .entrypoint(&["/usr/bin/python3", "/app/main.py"]);
    with_libraries(image, loaded).await
}

/// Adds the modules below a folder that the dynamic linker loads.
fn extensions(folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            extensions(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "so") {
            found.insert(path);
        }
    }
    Ok(())
}

/// What a program says, in words without the space around them.
async fn says(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().await;
    let output = output.with_context(|| format!("cannot run {program}; install it"))?;
    ensure!(output.status.success(), "{program} fails");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The image with what the dynamic linker would load for these files, itself included, as ldd tells.
async fn with_libraries(image: Image, files: BTreeSet<PathBuf>) -> Result<Image> {
    let output = Command::new("ldd").args(&files).output().await?;
    ensure!(output.status.success(), "ldd fails for {files:?}");
    let said = String::from_utf8(output.stdout)?;
    let libraries: BTreeSet<&str> = said
        .lines()
        .filter(|line| line.starts_with('\t'))
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .collect();
    Ok(libraries.iter().fold(image, |image, library| {
        image.file(library, Path::new(library), 0o755)
    }))
}
