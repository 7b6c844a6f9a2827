//! `cargo images`: builds the images of all components as OCI image layouts that any standard tool can
//! push. A command-line front end, no more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use langop_images::{
    Component, Components, Image, Profile,
    ruby::{self, Ruby, RubyImage},
};
use serde_json::{Value, json};

/// Builds the images of all components as OCI image layouts, without an engine.
///
/// They hold no times and no paths of the machine. Push one with for example
/// `crane push target/images/operator registry.example.com/langop/operator:0.1.0`.
#[derive(Parser)]
#[command(name = "cargo images", version)]
struct Args {
    /// Registry and first part of the repositories.
    #[arg(long, default_value = "ghcr.io/language-operator")]
    repository: String,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Folder for a layout each and for images.json, which lists them; target/images if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also the images in Ruby, on packages of Debian 12, which apt fetches.
    #[arg(long)]
    ruby: bool,
    /// Write components/ruby/packages.lock anew, with what apt offers now, and nothing else.
    #[arg(long)]
    update_packages: bool,
}

#[tokio::main(flavor = "current_thread")]
#[expect(
    clippy::print_stdout,
    reason = "the front end of a command-line program"
)]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.update_packages {
        return ruby::update().await;
    }
    let target = target()?;
    let out = args.out.unwrap_or_else(|| target.join("images"));
    let name = |image: &str| format!("{}/{image}:{}", args.repository, args.tag);
    let built = Components::build(&target, Profile::Release).await?;
    let mut listed = Vec::new();
    for component in Component::ALL {
        let image = built.image(component, &name(component.name()));
        listed.push(write(&image, &out, component.name())?);
    }
    if args.ruby {
        let built = Ruby::build(&ruby::locked()?, &target).await?;
        for image in RubyImage::ALL {
            let made = built.image(image, &name(image.name()))?;
            listed.push(write(&made, &out, image.name())?);
        }
    }
    let list = out.join("images.json");
    std::fs::write(&list, serde_json::to_vec_pretty(&listed)?)
        .with_context(|| format!("cannot write {}", list.display()))?;
    println!("{} lists them", list.display());
    Ok(())
}

/// Writes an image's layout, says so, and gives its line of the list.
#[expect(
    clippy::print_stdout,
    reason = "the front end of a command-line program"
)]
fn write(image: &Image, out: &Path, layout: &str) -> Result<Value> {
    let digest = image.write_layout(&out.join(layout))?;
    let size = image.size()?;
    let name = image.name();
    println!("{name} {digest} {:.1} MB", megabytes(size));
    Ok(json!({"image": name, "digest": digest, "layout": layout}))
}

/// Cargo's folder, above that of this program.
fn target() -> Result<PathBuf> {
    let program = std::env::current_exe().context("this program has no path")?;
    let folder = program.ancestors().nth(2);
    Ok(folder.context("this program is in no folder")?.to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "for people, one digit")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
