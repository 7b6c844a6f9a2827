//! Images of several architectures as one: the layouts that [`crate::Image`] wrote on machines of each,
//! put together under an index, whose digest is that of all of them. It reads and writes files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::image::Layout;

/// The list of layouts in a folder of them.
pub const LIST: &str = "images.json";

/// One line of that list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Name with tag: `registry.example.com/langop/operator:0.1.0`.
    pub image: String,
    /// What a registry will know it by: `sha256:…`.
    pub digest: String,
    /// Folder of its layout, beside the list.
    pub layout: String,
    /// The program in it, as cargo names it, where cargo has linked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// Writes the list.
///
/// # Errors
/// If it cannot be written.
pub fn write_list(folder: &Path, list: &[Listed]) -> Result<PathBuf> {
    let path = folder.join(LIST);
    fs::write(&path, serde_json::to_vec_pretty(list)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Puts the layouts of these folders together into `out`, image by image.
///
/// # Errors
/// If the folders list other images than each other, two are of one architecture, or something cannot be
/// read or written.
pub fn merge(folders: &[PathBuf], out: &Path) -> Result<Vec<Listed>> {
    let lists = folders.iter().map(|folder| read_list(folder));
    let lists: Vec<_> = lists.collect::<Result<_>>()?;
    let (Some(first), true) = (lists.first(), lists.len() > 1) else {
        bail!("nothing to put together: name a folder for each architecture");
    };
    for (folder, list) in folders.iter().zip(&lists) {
        ensure!(
            names(list) == names(first),
            "{} lists other images than {}: build both from the same sources with the same --repository and --tag",
            folder.display(),
            folders[0].display()
        );
    }
    let mut merged = Vec::new();
    for of_first in first {
        let layouts = folders.iter().map(|folder| folder.join(&of_first.layout));
        let layout = together(&of_first.image, &layouts.collect::<Vec<_>>())?;
        layout.write(&out.join(&of_first.layout))?;
        merged.push(Listed {
            digest: layout.digest,
            ..of_first.clone()
        });
    }
    write_list(out, &merged)?;
    Ok(merged)
}

fn read_list(folder: &Path) -> Result<Vec<Listed>> {
    read(&folder.join(LIST))
}

fn names(list: &[Listed]) -> Vec<(&str, &str)> {
    let names = list
        .iter()
        .map(|one| (one.image.as_str(), one.layout.as_str()));
    names.collect()
}

/// One layout of an image that was built for several architectures.
fn together(name: &str, layouts: &[PathBuf]) -> Result<Layout> {
    let mut blobs = BTreeMap::new();
    let mut manifests: BTreeMap<String, Value> = BTreeMap::new();
    for folder in layouts {
        let index: Value = read(&folder.join("index.json"))?;
        let mut entry = index["manifests"][0].clone();
        let manifest: Value = read(&blob(folder, &entry)?)?;
        let config: Value = read(&blob(folder, &manifest["config"])?)?;
        let platform = json!({"architecture": config["architecture"], "os": config["os"]});
        for descriptor in [&entry, &manifest["config"], &manifest["layers"][0]] {
            let path = blob(folder, descriptor)?;
            let content =
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            blobs.insert(path.strip_prefix(folder)?.display().to_string(), content);
        }
        let fields = entry.as_object_mut().context("an index without manifest")?;
        fields.remove("annotations");
        entry["platform"] = platform.clone();
        ensure!(
            manifests.insert(platform.to_string(), entry).is_none(),
            "two layouts of {name} are for {platform}: name one folder for each architecture"
        );
    }
    let manifests: Vec<_> = manifests.into_values().collect();
    Layout::of_index(name, &manifests, blobs.into_iter().collect())
}

/// Where a layout keeps what a descriptor tells of.
fn blob(folder: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"]
        .as_str()
        .context("a descriptor without digest")?;
    Ok(folder.join("blobs").join(digest.replace(':', "/")))
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot understand {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Image;

    /// A folder with a layout as a machine of this architecture writes it.
    fn built(folder: &Path, architecture: &str, name: &str) -> PathBuf {
        let folder = folder.join(architecture);
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("program");
        fs::write(&program, architecture).unwrap();
        let image = Image::new(name).program("/thing", &program);
        let image = image.architecture(architecture);
        let digest = image.write_layout(&folder.join("thing")).unwrap();
        let listed = Listed {
            image: name.to_owned(),
            digest,
            layout: "thing".to_owned(),
            program: Some("langop-thing".to_owned()),
        };
        write_list(&folder, &[listed]).unwrap();
        folder
    }

    #[test]
    fn layouts_of_two_architectures_become_one_of_both() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["arm64", "amd64"].map(|one| built(dir.path(), one, "localhost/thing:1"));
        let out = dir.path().join("out");
        let merged = merge(&folders, &out).unwrap();
        assert_eq!(read_list(&out).unwrap(), merged);

        let layout = out.join("thing");
        let top: Value = read(&layout.join("index.json")).unwrap();
        assert_eq!(top["manifests"][0]["digest"], merged[0].digest);
        let index: Value = read(&blob(&layout, &top["manifests"][0]).unwrap()).unwrap();
        let mut architectures = Vec::new();
        for entry in index["manifests"].as_array().unwrap() {
            let manifest: Value = read(&blob(&layout, entry).unwrap()).unwrap();
            let config: Value = read(&blob(&layout, &manifest["config"]).unwrap()).unwrap();
            assert_eq!(config["architecture"], entry["platform"]["architecture"]);
            assert!(blob(&layout, &manifest["layers"][0]).unwrap().is_file());
            architectures.push(config["architecture"].as_str().unwrap().to_owned());
        }
        assert_eq!(
            architectures,
            ["amd64", "arm64"],
            "whatever order they came in"
        );
    }

    #[test]
    fn what_does_not_belong_together_is_refused_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let one = built(dir.path(), "amd64", "localhost/thing:1");
        let other = built(dir.path(), "arm64", "localhost/thing:2");
        let out = dir.path().join("out");
        for (folders, says) in [
            (vec![one.clone(), other], "lists other images"),
            (
                vec![one.clone(), one.clone()],
                "one folder for each architecture",
            ),
            (vec![one], "name a folder for each architecture"),
        ] {
            let error = merge(&folders, &out).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
