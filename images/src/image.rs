//! Container images without an engine: layers of files and a configuration, written as a tar archive
//! that containerd, Docker and Podman can import.
//!
//! The archive is an OCI image layout with Docker's `manifest.json` beside it; the layout can be written
//! as a folder, too. The same files and configuration always make the same bytes. It reads and writes
//! files, and runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// As times of all files and of the image: whoever builds it later makes the same bytes.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// Paths in a layer, without the leading slash, and what is there.
type Layer = BTreeMap<String, Entry>;

#[derive(Clone, Debug)]
enum Entry {
    /// A file: where its content is, and its mode.
    File(PathBuf, u32),
    /// A symbolic link.
    Link(String),
}

/// An image to be written.
#[derive(Clone, Debug, Default)]
pub struct Image {
    name: String,
    /// The layers below the one that is being filled.
    below: Vec<Layer>,
    files: Layer,
    entrypoint: Vec<String>,
    env: Vec<String>,
    user: Option<String>,
    /// As Go names it; this machine's if not given.
    architecture: Option<String>,
    labels: BTreeMap<String, String>,
}

impl Image {
    /// An empty image of this name, with a tag: `localhost/probe:1`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds a program: the file `source` as `path`, executable by everybody.
    #[must_use]
    pub fn program(self, path: &str, source: &Path) -> Self {
        self.file(path, source, 0o755)
    }

    /// Adds the file `source` as `path`, owned by root. Folders are made as needed.
    #[must_use]
    pub fn file(mut self, path: &str, source: &Path, mode: u32) -> Self {
        let path = path.trim_start_matches('/').to_owned();
        let entry = Entry::File(source.to_path_buf(), mode);
        self.files.insert(path, entry);
        self
    }

    /// Adds a symbolic link to `target` as `path`.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        let path = path.trim_start_matches('/').to_owned();
        self.files.insert(path, Entry::Link(target.to_owned()));
        self
    }

    /// Begins another layer, above what is there. Images whose first layers are equal share them.
    #[must_use]
    pub fn layer(mut self) -> Self {
        self.below.push(std::mem::take(&mut self.files));
        self
    }

    /// Adds all files of `folder`, with their modes, as `path`. Symbolic links are left out.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn tree(mut self, path: &str, folder: &Path) -> Result<Self> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            let name = name.to_str().context("a name that is not UTF-8")?;
            let to = format!("{path}/{name}");
            if kind.is_dir() {
                self = self.tree(&to, &entry.path())?;
            } else if kind.is_file() {
                let mode = entry.metadata()?.permissions().mode() & 0o777;
                self = self.file(&to, &entry.path(), mode);
            }
        }
        Ok(self)
    }

    /// What its containers run unless a pod says otherwise.
    #[must_use]
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(|word| (*word).to_owned()).collect();
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push(format!("{name}={value}"));
        self
    }

    /// Who its containers run as unless a pod says otherwise: `65532:65532`.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// Says that its programs are for machines of this architecture, not of this one's: `arm64`.
    #[must_use]
    pub fn architecture(mut self, name: &str) -> Self {
        self.architecture = Some(name.to_owned());
        self
    }

    /// Sets a label, as the OCI's annotation keys name them.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Its name with the tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size of its files in bytes.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn size(&self) -> Result<u64> {
        let mut size = 0;
        for entry in self
            .below
            .iter()
            .chain([&self.files])
            .flat_map(BTreeMap::values)
        {
            if let Entry::File(source, _) = entry {
                let found = fs::metadata(source);
                size += found
                    .with_context(|| format!("cannot read {}", source.display()))?
                    .len();
            }
        }
        Ok(size)
    }

    /// Writes the archive; it appears whole or not at all. Returns the digest of what it holds.
    ///
    /// # Errors
    /// If the name has no tag, a source cannot be read, or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<String> {
        let layout = self.layout()?;
        let temporary = archive.with_extension("tar.new");
        let file = File::create(&temporary)
            .with_context(|| format!("cannot write {}", temporary.display()))?;
        let mut tar = Builder::new(BufWriter::new(file));
        for (path, content) in layout.files {
            append(&mut tar, &path, &content, 0o644)?;
        }
        tar.into_inner()?.flush()?;
        fs::rename(&temporary, archive)
            .with_context(|| format!("cannot write {}", archive.display()))?;
        Ok(layout.digest)
    }

    /// Writes the OCI image layout as a folder, which is emptied first. Returns the digest that a
    /// registry will know the image by: `sha256:…`.
    ///
    /// # Errors
    /// If the name has no tag, a source cannot be read, or the folder cannot be written.
    pub fn write_layout(&self, folder: &Path) -> Result<String> {
        let layout = self.layout()?;
        layout.write(folder)?;
        Ok(layout.digest)
    }

    fn layout(&self) -> Result<Layout> {
        let mut blobs = Vec::new();
        // One that was begun and not filled is none.
        let is_filled = !self.files.is_empty() || self.below.is_empty();
        let layers = self.below.iter().chain(is_filled.then_some(&self.files));
        let layers = layers
            .map(|layer| Ok(Blob::add(&mut blobs, LAYER, archived(layer)?)))
            .collect::<Result<Vec<_>>>()?;
        let config = self.config(&layers);
        let config = Blob::add(&mut blobs, CONFIG, serde_json::to_vec(&config)?);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(),
            "layers": layers.iter().map(Blob::descriptor).collect::<Vec<_>>(),
        });
        let paths: Vec<_> = layers.iter().map(Blob::path).collect();
        let docker = json!([{"Config": config.path(), "RepoTags": [self.name], "Layers": paths}]);
        let manifest = Blob::add(&mut blobs, MANIFEST, serde_json::to_vec(&manifest)?);
        let mut layout = Layout::of(&self.name, &manifest, blobs)?;
        let docker = ("manifest.json".to_owned(), serde_json::to_vec(&docker)?);
        layout.files.insert(2, docker);
        Ok(layout)
    }

    fn config(&self, layers: &[Blob]) -> Value {
        json!({
            "created": EPOCH,
            "architecture": self.architecture.as_deref().unwrap_or(architecture()),
            "os": "linux",
            "config": {
                "Entrypoint": self.entrypoint,
                "Env": self.env,
                "User": self.user.as_deref().unwrap_or_default(),
                "WorkingDir": "/",
                "Labels": self.labels,
            },
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(Blob::digest).collect::<Vec<_>>()},
        })
    }
}

/// The tar archive of a layer, folders first.
fn archived(layer: &Layer) -> Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for folder in folders(layer.keys()) {
        let mut header = header(0, 0o755, EntryType::Directory);
        tar.append_data(&mut header, format!("{folder}/"), std::io::empty())?;
    }
    for (path, entry) in layer {
        match entry {
            Entry::File(source, mode) => {
                let content = fs::read(source)
                    .with_context(|| format!("cannot read {}", source.display()))?;
                append(&mut tar, path, &content, *mode)?;
            }
            Entry::Link(target) => {
                let mut header = header(0, 0o777, EntryType::Symlink);
                tar.append_link(&mut header, path, target)
                    .with_context(|| format!("cannot archive {path}"))?;
            }
        }
    }
    Ok(tar.into_inner()?)
}

/// An OCI image layout.
pub(crate) struct Layout {
    /// Path and content.
    files: Vec<(String, Vec<u8>)>,
    /// What a registry will know it by.
    pub(crate) digest: String,
}

impl Layout {
    /// One that leads from the name, which has a tag, to `top`, a manifest or an index among the blobs.
    fn of(name: &str, top: &Blob, blobs: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let (_, tag) = name.rsplit_once(':').unwrap_or_default();
        ensure!(
            !tag.is_empty() && !tag.contains('/'),
            "image name '{name}' has no tag: write for example {name}:1"
        );
        let mut entry = top.descriptor();
        entry["annotations"] = json!({
            "io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
        let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
        let mut files = vec![
            ("oci-layout".to_owned(), version.to_vec()),
            ("index.json".to_owned(), serde_json::to_vec(&index)?),
        ];
        files.extend(blobs);
        Ok(Self {
            files,
            digest: top.digest(),
        })
    }

    /// One of an index over these manifests, whose content is among the blobs.
    pub(crate) fn of_index(
        name: &str,
        manifests: &[Value],
        mut blobs: Vec<(String, Vec<u8>)>,
    ) -> Result<Self> {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
        let index = Blob::add(&mut blobs, INDEX, serde_json::to_vec(&index)?);
        Self::of(name, &index, blobs)
    }

    /// Writes it as a folder, which is emptied first.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        for (path, content) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap_or(folder))
                .and_then(|()| fs::write(&path, content))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

/// Content that is named by its digest.
struct Blob {
    media_type: &'static str,
    sha256: String,
    size: usize,
}

impl Blob {
    fn add(blobs: &mut Vec<(String, Vec<u8>)>, media_type: &'static str, content: Vec<u8>) -> Self {
        // Not by the crate sha2, which takes seconds for a program in unoptimised builds.
        let digest = digest::digest(&digest::SHA256, &content);
        let this = Self {
            media_type,
            sha256: digest
                .as_ref()
                .iter()
                .fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
            size: content.len(),
        };
        blobs.push((this.path(), content));
        this
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.size})
    }
}

/// All folders that lead to the paths, each before those in it.
fn folders<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let ends = paths.flat_map(|path| path.match_indices('/').map(move |(at, _)| &path[..at]));
    ends.collect()
}

fn append(
    tar: &mut Builder<impl std::io::Write>,
    path: &str,
    content: &[u8],
    mode: u32,
) -> Result<()> {
    let mut header = header(u64::try_from(content.len())?, mode, EntryType::Regular);
    tar.append_data(&mut header, path, content)
        .with_context(|| format!("cannot archive {path}"))
}

fn header(size: u64, mode: u32, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

/// This machine's architecture, as Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn image(dir: &Path) -> Image {
        fs::write(dir.join("program"), "#!").unwrap();
        Image::new("localhost/thing:2")
            .program("/usr/bin/thing", &dir.join("program"))
            .file("/etc/thing", &dir.join("program"), 0o644)
            .entrypoint(&["/usr/bin/thing", "serve"])
            .user("65532:65532")
    }

    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, entry.header().mode().unwrap(), content)
        });
        entries.collect()
    }

    fn parsed(entries: &[(String, u32, Vec<u8>)], path: &str) -> Value {
        let (_, _, content) = entries.iter().find(|(name, _, _)| name == path).unwrap();
        serde_json::from_slice(content).unwrap()
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one.tar"), dir.path().join("two.tar"));
        image(dir.path()).write(&one).unwrap();
        // Other times of the source.
        let file = File::options().write(true).open(dir.path().join("program"));
        file.unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        image(dir.path()).write(&two).unwrap();
        assert_eq!(fs::read(one).unwrap(), fs::read(two).unwrap());
    }

    #[test]
    fn descriptors_lead_from_the_index_to_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("thing.tar");
        image(dir.path()).write(&archive).unwrap();
        let files = entries(&fs::read(archive).unwrap());
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            format!("blobs/{}", digest.replace(':', "/"))
        };
        let index = parsed(&files, "index.json");
        let entry = &index["manifests"][0];
        assert_eq!(
            entry["annotations"]["io.containerd.image.name"],
            "localhost/thing:2"
        );
        let manifest = parsed(&files, &blob(entry));
        let config = parsed(&files, &blob(&manifest["config"]));
        assert_eq!(config["config"]["Entrypoint"][1], "serve");
        assert_eq!(
            config["rootfs"]["diff_ids"][0],
            manifest["layers"][0]["digest"]
        );
        let docker = parsed(&files, "manifest.json");
        assert_eq!(docker[0]["Config"], blob(&manifest["config"]));
        let layer = blob(&manifest["layers"][0]);
        let (_, _, layer) = files.iter().find(|(name, _, _)| *name == layer).unwrap();
        let names: Vec<_> = entries(layer)
            .into_iter()
            .map(|(name, mode, _)| format!("{name} {mode:o}"))
            .collect();
        assert_eq!(
            names,
            [
                "etc/ 755",
                "usr/ 755",
                "usr/bin/ 755",
                "etc/thing 644",
                "usr/bin/thing 755"
            ]
        );
    }

    #[test]
    fn a_folder_holds_what_the_archive_holds_but_what_is_dockers_own() {
        let dir = tempfile::tempdir().unwrap();
        let (archive, folder) = (dir.path().join("thing.tar"), dir.path().join("layout"));
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(folder.join("blobs/sha256/old"), "of an image before").unwrap();
        image(dir.path()).write(&archive).unwrap();
        let digest = image(dir.path()).write_layout(&folder).unwrap();
        let files = entries(&fs::read(archive).unwrap());
        for (path, _, content) in &files {
            assert_eq!(&fs::read(folder.join(path)).unwrap(), content, "{path}");
        }
        assert!(!folder.join("blobs/sha256/old").exists());
        let index = parsed(&files, "index.json");
        assert_eq!(index["manifests"][0]["digest"], digest);
    }

    #[test]
    fn layers_are_in_their_order_and_equal_ones_are_one_blob() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout");
        let other = Image::new("localhost/other:1")
            .link("/lib", "usr/lib")
            .layer();
        let other = other.file("/etc/thing", &dir.path().join("program"), 0o600);
        image(dir.path()).write_layout(&layout).unwrap();
        other.write_layout(&layout).unwrap();
        let blob = |name: &Value| {
            let (_, digest) = name.as_str().unwrap().split_once(':').unwrap();
            fs::read(layout.join("blobs/sha256").join(digest)).unwrap()
        };
        let index: Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let manifest: Value =
            serde_json::from_slice(&blob(&index["manifests"][0]["digest"])).unwrap();
        let names = |at: usize| entries(&blob(&manifest["layers"][at]["digest"]));
        assert_eq!(names(0), [("lib".to_owned(), 0o777, Vec::new())]);
        assert_eq!(names(1)[1].0, "etc/thing");
        let config: Value = serde_json::from_slice(&blob(&manifest["config"]["digest"])).unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][1],
            manifest["layers"][1]["digest"]
        );
        let base = |name| Image::new(name).link("/lib", "usr/lib").layer();
        let first = |image: Image| image.layout().unwrap().files[3].0.clone();
        assert_eq!(
            first(base("localhost/a:1")),
            first(base("localhost/b:2").link("/x", "y"))
        );
    }

    #[test]
    fn a_name_without_tag_is_refused_with_advice() {
        let error = Image::new("localhost:5000/thing")
            .write(Path::new("/nowhere"))
            .unwrap_err();
        assert!(
            error.to_string().contains("localhost:5000/thing:1"),
            "{error}"
        );
    }
}
