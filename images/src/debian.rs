//! Packages of Debian as a layer of an image, without an engine: fetched by apt in exact versions, checked
//! by their digests, and unpacked. Nothing of theirs is run, so that only packages will do which need no
//! script to work.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::digest::{Context, SHA256};
use tar::{Archive, EntryType};
use tokio::process::Command;

use crate::components::sources;
use crate::image::Image;

/// Folders at the root that are links to those below `usr`. Packages of Debian 12 still use both.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// What no program reads. Copyrights stay.
const LEFT_OUT: [&str; 6] = ["doc", "info", "lintian", "locale", "man", "ri"];

/// A package in an exact version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with the epoch.
    pub version: String,
    /// Of the file, in hex.
    pub sha256: String,
}

impl Package {
    /// Reads a list: name, version and digest on each line; what begins with `#` is a comment.
    ///
    /// # Errors
    /// If a line is something else.
    pub fn list(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
                [name, version, sha256] => Ok(Self {
                    name: name.to_owned(),
                    version: version.to_owned(),
                    sha256: sha256.to_owned(),
                }),
                _ => bail!("'{line}' is no package: write its name, version and SHA-256"),
            })
            .collect()
    }

    /// As a line of a list.
    pub fn line(&self) -> String {
        format!("{} {} {}", self.name, self.version, self.sha256)
    }

    /// The packages of these names as apt offers them now.
    ///
    /// # Errors
    /// If there is no apt, or it does not know one.
    pub async fn offered(names: &[&str]) -> Result<Vec<Self>> {
        let output = Command::new("apt-get")
            .args(["download", "--print-uris"])
            .args(names)
            .output()
            .await
            .context("cannot run apt-get: this needs Debian 12")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let said = String::from_utf8(output.stdout)?;
        let found = said.lines().map(of_uri).collect::<Result<Vec<_>>>()?;
        let find = |name: &&str| found.iter().find(|package| package.name == **name).cloned();
        names
            .iter()
            .map(|name| find(name).with_context(|| format!("apt does not offer {name}")))
            .collect()
    }

    /// The file in `cache`, fetched if it is not there.
    async fn fetch(&self, cache: &Path) -> Result<PathBuf> {
        let file = cache.join(format!("{}.deb", self.sha256));
        if file.exists() {
            return Ok(file);
        }
        let folder = cache.join(format!("{}.new", self.sha256));
        fs::create_dir_all(&folder)?;
        let output = Command::new("apt-get")
            .args(["download", "-qq"])
            .arg(format!("{}={}", self.name, self.version))
            .current_dir(&folder)
            .output()
            .await
            .context("cannot run apt-get: this needs Debian 12")?;
        ensure!(
            output.status.success(),
            "{} {} cannot be fetched; if it is superseded, run `cargo images update-packages`: {}",
            self.name,
            self.version,
            String::from_utf8_lossy(&output.stderr)
        );
        let fetched = fs::read_dir(&folder)?.next();
        let fetched = fetched.context("apt-get download left no file")??.path();
        let found = sha256(&fetched)?;
        ensure!(
            found == self.sha256,
            "{} {} has the digest {found}, not {}",
            self.name,
            self.version,
            self.sha256
        );
        fs::rename(&fetched, &file)?;
        fs::remove_dir_all(&folder)?;
        Ok(file)
    }
}

/// `'http://…/NAME_VERSION_ARCH.deb' NAME_VERSION_ARCH.deb SIZE SHA256:DIGEST`.
fn of_uri(line: &str) -> Result<Package> {
    let read = || {
        let mut words = line.split(' ').skip(1);
        let file = words.next()?;
        let sha256 = words.nth(1)?.strip_prefix("SHA256:")?;
        let mut parts = file.split('_');
        Some(Package {
            name: parts.next()?.to_owned(),
            version: parts.next()?.replace("%3a", ":"),
            sha256: sha256.to_owned(),
        })
    };
    read().with_context(|| format!("apt-get says '{line}'"))
}

fn sha256(file: &Path) -> Result<String> {
    let mut context = Context::new(&SHA256);
    context.update(&fs::read(file)?);
    let digest = context.finish();
    let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    Ok(hex.collect())
}

/// The packages that an image is published with: a list in the sources, and the names on it.
#[derive(Clone, Copy, Debug)]
pub struct Lock {
    component: &'static str,
    names: &'static [&'static str],
}

impl Lock {
    /// Of `components/<component>`.
    pub const fn new(component: &'static str, names: &'static [&'static str]) -> Self {
        Self { component, names }
    }

    /// The names that must be on it.
    pub fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// What is on it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn packages(&self) -> Result<Vec<Package>> {
        let path = self.path();
        let text = fs::read_to_string(&path);
        Package::list(&text.with_context(|| format!("cannot read {}", path.display()))?)
    }

    /// Writes it anew, with what apt offers now.
    ///
    /// # Errors
    /// If there is no apt, or the list cannot be written.
    pub async fn update(&self) -> Result<()> {
        let mut text = format!(
            "# Packages of Debian 12 (amd64) in images of components/{}; written by `cargo images update-packages`.\n",
            self.component
        );
        for package in Package::offered(self.names).await? {
            text += &package.line();
            text.push('\n');
        }
        let path = self.path();
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn path(&self) -> PathBuf {
        sources()
            .join("components")
            .join(self.component)
            .join("packages.lock")
    }
}

/// Packages, unpacked.
#[derive(Clone, Debug, Default)]
pub struct Unpacked {
    files: BTreeMap<String, (PathBuf, u32)>,
    links: BTreeMap<String, String>,
}

impl Unpacked {
    /// Fetches and unpacks packages into the folder `cache`.
    ///
    /// # Errors
    /// If one cannot be fetched, is not what the list says, or holds what an image cannot.
    pub async fn new(packages: &[Package], cache: &Path) -> Result<Self> {
        let mut unpacked = Self::default();
        for name in MERGED {
            let target = format!("usr/{name}");
            unpacked.links.insert(name.to_owned(), target);
        }
        for package in packages {
            let file = package.fetch(cache).await?;
            let folder = cache.join(&package.sha256);
            unpacked
                .add(&file, &folder)
                .with_context(|| format!("cannot unpack {}", package.name))?;
        }
        Ok(unpacked)
    }

    /// Adds what is unpacked as a layer.
    #[must_use]
    pub fn layer(&self, image: Image) -> Image {
        let files = self.files.iter();
        let image = files.fold(image, |image, (path, (source, mode))| {
            image.file(path, source, *mode)
        });
        let links = self.links.iter();
        links
            .fold(image, |image, (path, target)| image.link(path, target))
            .layer()
    }

    fn add(&mut self, package: &Path, folder: &Path) -> Result<()> {
        let mut unpacking = std::process::Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(package)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run dpkg-deb")?;
        let output = unpacking.stdout.take().context("dpkg-deb says nothing")?;
        let added = self.add_entries(Archive::new(output), folder);
        // A failure of dpkg-deb is the cause of one of reading.
        ensure!(unpacking.wait()?.success(), "dpkg-deb failed");
        added
    }

    fn add_entries(&mut self, mut archive: Archive<impl io::Read>, folder: &Path) -> Result<()> {
        for (number, entry) in archive.entries()?.enumerate() {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            let Some(path) = place(&entry.path()?)? else {
                continue;
            };
            match kind {
                EntryType::Directory => {}
                EntryType::Regular => {
                    fs::create_dir_all(folder)?;
                    let source = folder.join(number.to_string());
                    io::copy(&mut entry, &mut File::create(&source)?)?;
                    let mode = entry.header().mode()? & 0o755;
                    self.files.insert(path, (source, mode));
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name()?.context("a link to nothing")?;
                    let target = target.to_str().context("a name that is not UTF-8")?;
                    self.add_link(path, target, kind)?;
                }
                other => bail!("{path} is of the kind {other:?}, which an image cannot hold"),
            }
        }
        Ok(())
    }

    fn add_link(&mut self, path: String, target: &str, kind: EntryType) -> Result<()> {
        if kind == EntryType::Symlink {
            self.links.insert(path, target.to_owned());
            return Ok(());
        }
        let other = place(Path::new(target))?.context("a link to what is left out")?;
        let file = self.files.get(&other).cloned();
        let file =
            file.with_context(|| format!("{path} is linked to {other}, which is not there"))?;
        self.files.insert(path, file);
        Ok(())
    }
}

/// Where an entry of a package goes; none for what is left out.
fn place(path: &Path) -> Result<Option<String>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => {
                parts.push(part.to_str().context("a name that is not UTF-8")?);
            }
            _ => bail!("{} leads out of the image", path.display()),
        }
    }
    if parts.first().is_some_and(|first| MERGED.contains(first)) {
        parts.insert(0, "usr");
    }
    let is_left_out =
        matches!(parts[..], ["usr", "share", folder, ..] if LEFT_OUT.contains(&folder));
    let is_copyright = matches!(parts[..], [_, _, "doc", _, "copyright"]);
    let stays = !parts.is_empty() && (!is_left_out || is_copyright);
    Ok(stays.then(|| parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_below_usr_and_what_no_program_reads_is_left_out() {
        let placed = |path: &str| place(Path::new(path)).unwrap();
        assert_eq!(placed("./lib/x.so").as_deref(), Some("usr/lib/x.so"));
        assert_eq!(placed("./usr/bin/ruby").as_deref(), Some("usr/bin/ruby"));
        assert_eq!(placed("./usr/share/man/man1/ruby.1.gz"), None);
        let copyright = "usr/share/doc/ruby/copyright";
        assert_eq!(
            placed(&format!("./{copyright}")).as_deref(),
            Some(copyright)
        );
        assert_eq!(placed("./"), None);
        assert!(place(Path::new("./../x")).is_err());
    }

    #[test]
    fn what_apt_says_and_what_the_list_says_are_one() {
        let line =
            "'http://deb.example/r/ruby_1%3a3.1_amd64.deb' ruby_1%3a3.1_amd64.deb 5868 SHA256:ab12";
        let package = of_uri(line).unwrap();
        assert_eq!(package.line(), "ruby 1:3.1 ab12");
        let list = Package::list("# Pinned.\nruby 1:3.1 ab12\n").unwrap();
        assert_eq!(list, [package]);
        assert!(of_uri("nonsense").is_err());
        assert!(Package::list("ruby 1:3.1").is_err());
    }
}
