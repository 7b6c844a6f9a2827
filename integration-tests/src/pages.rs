//! Pages of documentation as tests read them: their links, their headings, and their blocks.
//!
//! It knows Markdown, and nothing of what a page says; `terminal.rs` types what is in the blocks.

use std::fs;
use std::mem;

use anyhow::{Context as _, Result, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::run_dir::workspace_root;

/// Languages of blocks that people type: as they stand, or after a prompt with what is shown then.
pub const TYPED: [&str; 2] = ["sh", "console"];

/// Stands before a block that is the output of a snapshot test.
const SNAPSHOT: &str = "<!-- snapshot: ";
const PROMPT: &str = "$ ";

/// One page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Below the workspace's root: `docs/bounds.md`.
    pub path: String,
    /// Where links lead, as they are written.
    pub links: Vec<String>,
    /// Anchors of its headings, as GitHub and mdBook make them.
    pub anchors: Vec<String>,
    /// Its blocks of code.
    pub blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// `sh`, `yaml` and so on; empty if it has none.
    pub language: String,
    /// Its lines.
    pub text: String,
    /// Whether a snapshot test writes it.
    pub is_snapshot: bool,
}

/// A command, and what is shown after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// As it is typed, perhaps in several lines.
    pub command: String,
    /// What the page shows; nothing where it shows nothing, whatever is printed.
    pub shown: String,
}

impl Page {
    /// Reads a page of this workspace.
    ///
    /// # Errors
    /// If there is none at that path.
    pub fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(workspace_root()?.join(path));
        let text = text.with_context(|| format!("cannot read {path}"))?;
        Ok(Self::parse(path, &text))
    }

    fn parse(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        let mut words = String::new();
        let mut block = Block::default();
        for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => words.clear(),
                Event::End(TagEnd::Heading(_)) => page.anchors.push(anchor(&words)),
                Event::Start(Tag::Link { dest_url, .. }) => page.links.push(dest_url.to_string()),
                Event::Html(html) => block.is_snapshot = html.starts_with(SNAPSHOT),
                Event::Start(Tag::CodeBlock(kind)) => {
                    words.clear();
                    if let CodeBlockKind::Fenced(language) = kind {
                        block.language = language.to_string();
                    }
                }
                Event::End(TagEnd::CodeBlock) => {
                    block.text = mem::take(&mut words);
                    page.blocks.push(mem::take(&mut block));
                }
                Event::Text(text) | Event::Code(text) => words.push_str(&text),
                _ => {}
            }
        }
        page
    }

    /// The blocks that people type, but those that a snapshot test writes.
    pub fn typed(&self) -> impl Iterator<Item = &Block> {
        let is_typed = |block: &&Block| TYPED.contains(&block.language.as_str());
        let blocks = self.blocks.iter().filter(is_typed);
        blocks.filter(|block| !block.is_snapshot)
    }

    /// The one block that people type whose first command begins so.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn block(&self, beginning: &str) -> Result<&Block> {
        let mut found = self.typed().filter(|block| block.begins_with(beginning));
        let block = found
            .next()
            .with_context(|| format!("{}: no block begins with {beginning:?}", self.path))?;
        ensure!(
            found.next().is_none(),
            "{}: several blocks begin with {beginning:?}",
            self.path
        );
        Ok(block)
    }
}

/// Lower case, blanks as hyphens, letters, digits, hyphens and underscores.
fn anchor(title: &str) -> String {
    let characters = title.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    });
    characters.flat_map(char::to_lowercase).collect()
}

impl Block {
    /// Whether its first command, after comments, begins so.
    pub fn begins_with(&self, beginning: &str) -> bool {
        let mut lines = self.text.lines().filter(|line| !line.starts_with('#'));
        let first = lines.next().unwrap_or_default();
        first.trim_start_matches(PROMPT).starts_with(beginning)
    }

    /// What is typed, one after the other. A block without prompts is one step.
    pub fn steps(&self) -> Vec<Step> {
        if self.language != "console" {
            return vec![Step {
                command: self.text.clone(),
                shown: String::new(),
            }];
        }
        let mut steps: Vec<Step> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix(PROMPT), steps.last_mut()) {
                (Some(command), _) => steps.push(Step {
                    command: format!("{command}\n"),
                    shown: String::new(),
                }),
                (None, Some(step)) if step.command.ends_with("\\\n") && step.shown.is_empty() => {
                    step.command += line;
                    step.command.push('\n');
                }
                (None, Some(step)) => {
                    step.shown += line;
                    step.shown.push('\n');
                }
                (None, None) => {}
            }
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A `title`, with: signs\n\n[a](b.md#c) | [d][e]\n\n[e]: f.md\n\n1. item\n\n   ```sh\n   # first\n   one\n   ```\n
<!-- snapshot: why gone -->\n```console\n$ two \\\n  three\nshown\n$ four\n```\n\n```yaml\na: b\n```\n\n```console\n$ five\n```\n";

    #[test]
    fn a_page_is_its_links_headings_and_blocks() {
        let page = Page::parse("a.md", PAGE);
        assert_eq!(page.links, ["b.md#c", "f.md"]);
        assert_eq!(page.anchors, ["a-title-with-signs"]);
        assert_eq!(page.blocks.len(), 4);
        let typed: Vec<_> = page.typed().map(|block| block.text.as_str()).collect();
        assert_eq!(typed, ["# first\none\n", "$ five\n"]);
        assert!(page.block("one").is_ok() && page.block("two").is_err());
    }

    #[test]
    fn a_step_is_a_command_of_one_line_or_more_and_what_is_shown() {
        let page = Page::parse("a.md", PAGE);
        let steps = page.blocks[1].steps();
        let steps: Vec<_> = steps
            .iter()
            .map(|s| (s.command.as_str(), s.shown.as_str()))
            .collect();
        assert_eq!(steps, [("two \\\n  three\n", "shown\n"), ("four\n", "")]);
    }
}
