//! A person at a terminal who types what a page says: bash, in a folder of its own, with the programs
//! of this workspace. What it begins in the background ends with it.
//!
//! It knows no page; the addresses and names that a page makes up are given by the test.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use crate::pages::{Block, Step};
use crate::programs;
use crate::run_dir::run_dir;

/// Separates what one step prints from what the next one does.
const SEPARATOR: char = '\u{1e}';

/// Our own programs that pages have people type.
const PROGRAMS: [&str; 2] = [SERVER, "langop-synth"];
const SERVER: &str = "langop-synthesizer";

/// Where commands of pages are typed.
pub struct Terminal {
    folder: TempDir,
    /// Of the page, and what stands for it here.
    replaced: Vec<(String, String)>,
    /// Lines that come before what is typed.
    before: Vec<String>,
    env: Vec<(String, String)>,
    /// What a line with `&` at its end has to listen at before the next one is typed.
    serves: Option<String>,
}

impl Terminal {
    /// One in an empty folder.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir_in(run_dir()?)?,
            replaced: Vec::new(),
            before: Vec::new(),
            env: Vec::new(),
            serves: None,
        })
    }

    /// The folder in which it types.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Types `here` where a page says `of_page`: a registry, a host.
    #[must_use]
    pub fn replacing(mut self, of_page: &str, here: &str) -> Self {
        self.replaced.push((of_page.to_owned(), here.to_owned()));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has `name` mean this program.
    #[must_use]
    pub fn program(self, name: &str, path: &Path) -> Self {
        let path = path.display();
        self.line(&format!("{name}() {{ '{path}' \"$@\"; }}"))
    }

    /// Types a line of the test's own before all others.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        self.before.push(line.to_owned());
        self
    }

    /// Waits, after a line with `&` at its end, until somebody listens on this port of loopback.
    #[must_use]
    pub fn serving(mut self, port: u16) -> Self {
        self.serves = Some(format!("/dev/tcp/127.0.0.1/{port}"));
        self
    }

    /// Types all of the blocks, one after the other in one shell, and gives what was printed, both outputs together.
    ///
    /// # Errors
    /// If a command fails that does not say so (`# exit code 1`), or prints something else than the page
    /// shows. The page shows the end of it: a terminal wipes out lines of progress.
    pub async fn types(&self, blocks: &[&Block]) -> Result<String> {
        let steps: Vec<_> = blocks.iter().flat_map(|block| block.steps()).collect();
        let script = self.script(&steps)?;
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.folder())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run bash")?;
        let printed = String::from_utf8(output.stdout)?;
        let mut parts = printed.split(SEPARATOR);
        for step in &steps {
            let said = parts.next().unwrap_or_default();
            let (said, code) = said.rsplit_once("exit code ").unwrap_or((said, "missing"));
            let expected = match step.command.split_once("# exit code ") {
                Some((_, code)) => code.trim(),
                None => "0",
            };
            ensure!(
                code == expected,
                "exit code {code} of\n{}\n{said}",
                step.command
            );
            ensure!(
                timeless(said).ends_with(&timeless(&self.here(&step.shown))),
                "the page shows\n{}\nafter\n{}\nbut it prints\n{said}",
                step.shown,
                step.command
            );
        }
        Ok(printed)
    }

    /// What stands here for a text of a page.
    fn here(&self, text: &str) -> String {
        let replaced = self.replaced.iter();
        replaced.fold(text.to_owned(), |text, (of_page, here)| {
            text.replace(of_page, here)
        })
    }

    fn script(&self, steps: &[Step]) -> Result<String> {
        let mut script = vec!["exec 2>&1; set -o pipefail".to_owned()];
        for name in PROGRAMS {
            script.push(ours(name)?);
        }
        script.extend_from_slice(&self.before);
        for step in steps {
            let command = self.here(&step.command);
            script.push(if is_script(&command) {
                // As soon as one of its lines fails, the block has failed.
                format!("(set -e\n{command})")
            } else {
                command.clone()
            });
            script.push("code=$?".to_owned());
            if let Some(address) = self
                .serves
                .as_ref()
                .filter(|_| command.trim_end().ends_with('&'))
            {
                script.push(format!(
                    "until (exec 3<>{address}) 2>/dev/null; do kill -0 $! || break; sleep 0.05; done"
                ));
            }
            script.push(format!("printf 'exit code %s{SEPARATOR}' $code"));
        }
        Ok(script.join("\n"))
    }
}

/// Whether these are several commands, and not one in several lines.
fn is_script(command: &str) -> bool {
    command.replace("\\\n", "").trim().lines().count() > 1
}

/// A program of ours as a function of bash. A server is typed with `&`: the kernel ends it with the
/// shell.
fn ours(name: &str) -> Result<String> {
    let path = programs::locate(name)?;
    let path = path.display();
    if name != SERVER {
        return Ok(format!("{name}() {{ '{path}' \"$@\"; }}"));
    }
    let guard = programs::locate("control-plane")?;
    let guard = guard.display();
    Ok(format!(
        "{name}() {{ exec '{guard}' exec --parent $$ -- '{path}' \"$@\" >{name}.log 2>&1; }}"
    ))
}

/// The text with `0.0 s` for every time in seconds.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
    let mut words: Vec<&str> = text.split(' ').collect();
    for at in 1..words.len() {
        let is_unit = words[at].trim_end() == "s" || words[at].starts_with("s\n");
        if is_unit && is_time(words[at - 1]) {
            words[at - 1] = "0.0";
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_commands_are_told_from_one_in_several_lines() {
        assert!(is_script("one\ntwo\n"));
        assert!(!is_script("one \\\n  more\n"));
    }

    #[test]
    fn times_in_seconds_are_all_alike() {
        let of = |time: &str| timeless(&format!("made, {time} s\n2 of 3.5 things in {time} s"));
        assert_eq!(of("0.0"), of("1.25"));
        assert!(of("0.0").contains("2 of 3.5 things"));
        assert_ne!(timeless("2 s"), timeless("3 s"));
    }
}
