//! docs/metrics.md, to which tests hold what running programs export: every metric, label and value
//! of a label, every span and attribute must be on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result};

use crate::metrics::families;
use crate::otlp::Span;
use crate::run_dir::workspace_root;

const PAGE: &str = "docs/metrics.md";

/// A label, and its values where they are listed.
type Labels = BTreeMap<String, Option<BTreeSet<String>>>;

/// What the page says of one program.
#[derive(Clone, Debug, Default)]
pub struct TelemetryPage {
    metrics: BTreeMap<String, (String, Labels)>,
    spans: Vec<(String, BTreeSet<String>)>,
}

impl TelemetryPage {
    /// Reads the section of a program, for example `langop-operator`.
    ///
    /// # Errors
    /// If the page has none.
    pub fn of(program: &str) -> Result<Self> {
        let text = fs::read_to_string(workspace_root()?.join(PAGE))?;
        let mut sections = text.split("\n## ");
        let section = sections.find(|section| section.starts_with(&format!("{program}\n")));
        let section = section.with_context(|| format!("{PAGE} says nothing of {program}"))?;
        Ok(Self::parse(section))
    }

    fn parse(section: &str) -> Self {
        let mut page = Self::default();
        let (metrics, spans) = section.split_once("| span |").unwrap_or((section, ""));
        for [name, kind, labels, _] in rows(metrics) {
            let labels = labels.split("; ").filter(|label| !label.is_empty());
            let labels = labels.map(label).collect();
            page.metrics.insert(plain(name), (kind.to_owned(), labels));
        }
        for [name, _, _, attributes] in rows(spans) {
            let attributes = attributes.split(", ").map(plain).collect();
            page.spans.push((plain(name), attributes));
        }
        page
    }

    /// What a program's `/metrics` has that is not on the page.
    pub fn untold_metrics(&self, metrics: &str) -> BTreeSet<String> {
        let mut untold = BTreeSet::new();
        for family in families(metrics) {
            let name = family.asked();
            let Some((kind, labels)) = self.metrics.get(&name) else {
                untold.insert(name);
                continue;
            };
            if !kind.starts_with(&family.kind) {
                untold.insert(format!("{name}: {}", family.kind));
            }
            for (label, values) in family.labels {
                match labels.get(&label) {
                    None => {
                        untold.insert(format!("{name}: {label}"));
                    }
                    Some(listed) => untold.extend(
                        values
                            .iter()
                            .filter(|value| {
                                listed.as_ref().is_some_and(|all| !all.contains(*value))
                            })
                            .map(|value| format!("{name}: {label}={value}")),
                    ),
                }
            }
        }
        untold
    }

    /// What the program's spans have that is not on the page.
    pub fn untold_spans(&self, spans: &[Span]) -> BTreeSet<String> {
        let mut untold = BTreeSet::new();
        for span in spans {
            let mut told = self.spans.iter().filter(|(name, _)| fits(name, &span.name));
            let Some((_, attributes)) = told.next() else {
                untold.insert(span.name.clone());
                continue;
            };
            let names = span
                .attributes
                .keys()
                .filter(|name| !attributes.contains(*name) && !is_of_the_library(name));
            untold.extend(names.map(|name| format!("{}: {name}", span.name)));
        }
        untold
    }
}

/// What `tracing` says of every span.
fn is_of_the_library(attribute: &str) -> bool {
    attribute.starts_with("code.")
        || attribute.starts_with("thread.")
        || matches!(attribute, "busy_ns" | "idle_ns" | "target")
}

/// The rows of tables with four columns, but for their heads.
fn rows(text: &str) -> impl Iterator<Item = [&str; 4]> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|row| {
        let cells = row.trim_matches('|').split(" | ").map(str::trim);
        cells.collect::<Vec<_>>().try_into().ok()
    })
}

fn plain(name: &str) -> String {
    name.trim().trim_matches('`').to_owned()
}

fn label(said: &str) -> (String, Option<BTreeSet<String>>) {
    match said.split_once(": ") {
        Some((name, values)) => (plain(name), Some(values.split(", ").map(plain).collect())),
        None => (plain(said), None),
    }
}

/// Whether a span's name is this one, in which words in capitals stand for any.
fn fits(told: &str, name: &str) -> bool {
    // A slash is a word, too, so that it is none between others.
    let words = |text: &str| {
        let text = text.replace('/', " / ");
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (told, found) = (words(told), words(name));
    let is_any = |word: &str| word.chars().all(|c| c.is_ascii_uppercase());
    told.len() <= found.len()
        && told
            .iter()
            .zip(&found)
            .all(|(told, found)| told == found || is_any(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "langop-x\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n\
        | `a_total` | counter | `kind`; `outcome`: good, bad | A |\n| `b` | gauge |  | B |\n\n\
        | span | kind | what it is | attributes |\n|---|---|---|---|\n| `ask MODEL` | client | asks | `m`, `n` |\n";

    #[test]
    fn what_is_on_the_page_is_told() {
        let page = TelemetryPage::parse(SECTION);
        let metrics = |text: &str| Vec::from_iter(page.untold_metrics(text));
        let right = "# HELP a A\n# TYPE a counter\na_total{kind=\"X\",outcome=\"bad\"} 1\n# HELP b B\n# TYPE b gauge\nb 1\n";
        assert!(metrics(right).is_empty());
        let wrong = "# HELP a A\n# TYPE a counter\na_total{king=\"X\",outcome=\"odd\"} 1\n# HELP b B\n# TYPE b counter\n";
        assert_eq!(
            metrics(wrong),
            ["a_total: king", "a_total: outcome=odd", "b_total"]
        );
    }

    #[test]
    fn a_span_is_told_by_a_name_with_words_for_any() {
        for (told, name, expected) in [
            ("ask MODEL", "ask one two", true),
            ("ask MODEL", "ask", false),
            ("SERVICE/METHOD", "a.b/C", true),
            ("SERVICE/METHOD", "a.b", false),
            ("SERVICE/METHOD", "ask one", false),
            ("ask MODEL", "ask vendor/one", true),
            ("call", "calls", false),
        ] {
            assert_eq!(fits(told, name), expected, "{told} {name}");
        }
    }
}
