//! Images as a runtime would see them, without one: unpacked into a folder that is a program's root, in
//! which nothing of the machine is.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};
use langop_images::Image;
use serde_json::Value;
use tokio::process::Command;

/// A folder with the layers of images, and what the last of them says of itself.
#[derive(Debug, Default)]
pub struct ImageRoot {
    root: PathBuf,
    layers: BTreeSet<String>,
    config: Value,
}

impl ImageRoot {
    /// In a folder that is there.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            ..Self::default()
        }
    }

    /// Puts an image's layers into the folder, one above the other but for those that are there.
    ///
    /// # Errors
    /// If the image cannot be written or read.
    pub fn unpack(&mut self, image: &Image) -> Result<()> {
        let layout = tempfile::tempdir()?;
        image.write_layout(layout.path())?;
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            layout.path().join("blobs").join(digest.replace(':', "/"))
        };
        let index = read(&layout.path().join("index.json"))?;
        let manifest = read(&blob(&index["manifests"][0]))?;
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            if self.layers.insert(layer["digest"].to_string()) {
                let archive = File::open(blob(layer))?;
                tar::Archive::new(archive).unpack(&self.root)?;
            }
        }
        self.config = read(&blob(&manifest["config"]))?["config"].take();
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// How many layers are in it.
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Whom the program runs as: `USER:GROUP`.
    pub fn user(&self) -> &str {
        self.config["User"].as_str().unwrap_or_default()
    }

    /// What `unshare` is told, to run the image's program in the root.
    pub fn words(&self) -> Vec<String> {
        let root = self.root.display().to_string();
        let unshare = ["--map-root-user", "--wd", "/", "--root", &root];
        unshare
            .into_iter()
            .map(str::to_owned)
            .chain(words(&self.config["Entrypoint"]))
            .collect()
    }

    /// The variables that the image sets.
    pub fn env(&self) -> Vec<(String, String)> {
        let pair = |word: String| {
            let (name, value) = word.split_once('=').unwrap_or((&word, ""));
            (name.to_owned(), value.to_owned())
        };
        words(&self.config["Env"]).into_iter().map(pair).collect()
    }

    /// The image's program in its root, as its configuration says.
    pub fn command(&self) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(self.words())
            .env_clear()
            .envs(self.env())
            .stdin(Stdio::null());
        command
    }
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}
