//! `cargo images`: builds the images of all components as OCI image layouts that any standard tool can
//! push, puts those of several architectures together, and checks that another build makes the same. A
//! command-line front end, no more.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use langop_images::{
    Component, Components, Image, Profile,
    index::{self, Listed},
    model::{self, Model},
    reproduction,
    ruby::{self, Ruby, RubyImage},
};

/// Builds the images of all components as OCI image layouts, without an engine.
///
/// They hold no times and no paths of the machine. Push one with for example
/// `crane push target/images/operator registry.example.com/langop/operator:0.1.0`.
#[derive(Parser)]
#[command(name = "cargo images", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    act: Option<Act>,
    #[command(flatten)]
    names: Names,
    /// Folder for a layout each and for images.json, which lists them; target/images if not given.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Also the images in Ruby, on packages of Debian 12, which apt fetches.
    #[arg(long)]
    ruby: bool,
    /// Also the model proxy, LiteLLM: 610 MB, for which pip fetches 170.
    #[arg(long)]
    model: bool,
}

#[derive(clap::Args)]
struct Names {
    /// Registry and first part of the repositories.
    #[arg(long, default_value = "ghcr.io/language-operator")]
    repository: String,
    /// The images' tag.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

impl Names {
    fn of(&self, image: &str) -> String {
        format!("{}/{image}:{}", self.repository, self.tag)
    }
}

#[derive(Subcommand)]
enum Act {
    /// Puts together what was built on machines of several architectures: a layout each with all of them.
    Merge {
        /// Folder for the layouts and images.json.
        #[arg(long)]
        out: PathBuf,
        /// What `cargo images` wrote on each machine.
        #[arg(required = true, num_args = 2..)]
        folders: Vec<PathBuf>,
    },
    /// Builds twice, the second time from a copy of the sources elsewhere, and compares the digests: twice
    /// the time of a build from nothing.
    Check,
    /// Writes each components/*/packages.lock anew, with what apt offers now.
    UpdatePackages,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    match args.act {
        None => build(&args).await,
        Some(Act::Merge { out, folders }) => merge(&folders, &out),
        Some(Act::Check) => check(&args.names).await,
        Some(Act::UpdatePackages) => {
            ruby::PACKAGES.update().await?;
            model::PACKAGES.update().await
        }
    }
}

async fn build(args: &Args) -> Result<()> {
    let target = target()?;
    let out = args.out.clone().unwrap_or_else(|| target.join("images"));
    let built = Components::build(&target, Profile::Release).await?;
    let mut listed = Vec::new();
    for component in Component::ALL {
        let image = built.image(component, &args.names.of(component.name()));
        let program = Some(component.program().to_owned());
        listed.push(write(&image, &out, component.name(), program)?);
    }
    if args.ruby {
        let built = Ruby::build(&ruby::PACKAGES.packages()?, &target).await?;
        for component in RubyImage::ALL {
            let image = built.image(component, &args.names.of(component.name()))?;
            listed.push(write(&image, &out, component.name(), None)?);
        }
    }
    if args.model {
        let built = Model::build(&model::PACKAGES.packages()?, &target).await?;
        let image = built.image(&args.names.of(model::NAME))?;
        listed.push(write(&image, &out, model::NAME, None)?);
    }
    let list = index::write_list(&out, &listed)?;
    say(&format!("{} lists them", list.display()));
    Ok(())
}

/// Writes an image's layout, says so, and gives its line of the list.
fn write(image: &Image, out: &Path, layout: &str, program: Option<String>) -> Result<Listed> {
    let digest = image.write_layout(&out.join(layout))?;
    let (name, size) = (image.name(), megabytes(image.size()?));
    say(&format!("{name} {digest} {size:.1} MB"));
    Ok(Listed {
        image: name.to_owned(),
        digest,
        layout: layout.to_owned(),
        program,
    })
}

async fn check(names: &Names) -> Result<()> {
    let built = Components::build(&target()?, Profile::Release).await?;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this crate is in no project")?;
    let again =
        reproduction::build_elsewhere(sources, |component| names.of(component.name())).await?;
    let folder = target()?.join("images");
    let mut differ = Vec::new();
    for (component, elsewhere) in again {
        let layout = folder.join(component.name());
        let here = built
            .image(component, &names.of(component.name()))
            .write_layout(&layout)?;
        if here == elsewhere {
            say(&format!("{} {here} twice", component.name()));
        } else {
            differ.push(component.name());
            say(&format!(
                "{} {here} here, {elsewhere} elsewhere",
                component.name()
            ));
        }
    }
    if !differ.is_empty() {
        bail!("another build makes another {}", differ.join(", "));
    }
    Ok(())
}

fn merge(folders: &[PathBuf], out: &Path) -> Result<()> {
    for one in index::merge(folders, out)? {
        say(&format!("{} {}", one.image, one.digest));
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the front end of a command-line program"
)]
fn say(line: &str) {
    println!("{line}");
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
