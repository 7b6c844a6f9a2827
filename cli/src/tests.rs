//! docs/kubectl-langop.md, held to what the program prints: each of its outputs is a snapshot of a
//! test, and each command is on it. `LANGOP_UPDATE=1` writes the outputs anew.

use std::{env, fmt::Write as _, fs, path::Path};

use clap::CommandFactory as _;

use crate::args::Cli;

const MARK: &str = "<!-- snapshot: ";

fn snapshot(name: &str) -> String {
    let (module, name) = name.split_once(' ').unwrap();
    let file = format!("src/{module}/snapshots/langop_cli__{module}__tests__{name}.snap");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file)).unwrap();
    let (_, body) = text
        .trim_start_matches("---\n")
        .split_once("\n---\n")
        .unwrap();
    body.trim_end().to_owned()
}

/// The page with the outputs of the snapshots; the command of each block stays.
fn written(page: &str) -> String {
    let mut parts = page.split(MARK);
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n```console\n").unwrap();
        let (block, rest) = rest.split_once("```\n").unwrap();
        let command = block.lines().next().unwrap();
        let output = snapshot(name);
        let _ = write!(
            text,
            "{MARK}{name} -->\n```console\n{command}\n{output}\n```\n{rest}"
        );
    }
    text
}

#[test]
fn the_page_shows_what_the_program_prints_and_names_every_command() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/kubectl-langop.md");
    let page = fs::read_to_string(&path).unwrap();
    let right = written(&page);
    if env::var_os("LANGOP_UPDATE").is_some() {
        fs::write(&path, &right).unwrap();
    } else {
        assert_eq!(page, right, "write it anew with LANGOP_UPDATE=1");
    }
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        assert!(
            page.contains(&format!("kubectl langop {name}")),
            "{name} is not on the page"
        );
    }
}
