//! Rewrites a sentence by the rules of `grammar.txt` until what it says about time is in atoms.
//! Knows patterns and words, not what an atom means: that is `values`'s.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::{Captures, Regex};

use crate::text::{compile, pattern};

const SOURCE: &str = include_str!("grammar.txt");
/// How often a rule is tried on one sentence; no instruction needs as many.
const MAX_TRIES: usize = 32;
/// Stands for a blank inside an atom, so that no rule takes its words for those of the sentence.
const BLANK: &str = "·";

/// Something that a sentence says about time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Atom {
    /// What it counts for; `grammar.txt` lists the kinds.
    pub(crate) kind: char,
    pub(crate) says: Says,
}

/// The keys of atoms and their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Says(BTreeSet<(String, String)>);

impl Atom {
    /// An atom as the rules write it; `None` for a word.
    fn read(word: &str) -> Option<Self> {
        let (kind, says) = word.strip_prefix('<')?.strip_suffix('>')?.split_once(':')?;
        let fields = says.split(';').filter_map(|field| field.split_once('='));
        let fields = fields.map(|(key, value)| (key.to_owned(), value.replace(BLANK, " ")));
        Some(Self {
            kind: kind.chars().next()?,
            says: Says(fields.collect()),
        })
    }
}

impl Says {
    /// The values of a key.
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let said = self.0.iter().filter(move |(said, _)| said == key);
        said.map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.all(key).next().is_some()
    }

    /// What is said besides these keys.
    pub(crate) fn without(&self, keys: &[&str]) -> Self {
        let said = self.0.iter().filter(|(key, _)| !keys.contains(&&**key));
        Self(said.cloned().collect())
    }

    pub(crate) fn extend(&mut self, more: &Self) {
        self.0.extend(more.0.iter().cloned());
    }
}

struct Rule {
    pattern: Regex,
    becomes: String,
}

static TEXT: LazyLock<Vec<Rule>> = LazyLock::new(|| rules(0, "(?i)", ""));
static WORDS: LazyLock<Vec<Rule>> = LazyLock::new(|| rules(1, " (?:", ") "));
static ATOM: LazyLock<Regex> = pattern!("<[^>]*>");

/// What a sentence says about time, in its order.
pub(crate) fn atoms(sentence: &str) -> Vec<Atom> {
    let text = TEXT
        .iter()
        .fold(sentence.to_owned(), |text, rule| rule.apply(&text));
    let words = WORDS.iter().fold(words(&text), |mut words, rule| {
        for _ in 0..MAX_TRIES {
            let next = rule.apply(&words);
            if next == words {
                break;
            }
            words = next;
        }
        words
    });
    words.split(' ').filter_map(Atom::read).collect()
}

/// Words in lower case between single blanks, with a comma before and after them.
fn words(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word {
        atom if atom.starts_with('<') => atom.to_owned(),
        word => word.to_lowercase().replace('-', " - "),
    });
    let words = words.collect::<Vec<_>>().join(" ");
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(" , {words} , ")
}

/// The rules of one section of the grammar, whose patterns stand between `before` and `after`.
fn rules(section: usize, before: &str, after: &str) -> Vec<Rule> {
    let source = SOURCE.split("\n[time]\n").nth(section).unwrap_or_default();
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut rules = Vec::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        let expand = |pattern: &str| {
            let parts = parts.iter();
            parts.fold(pattern.to_owned(), |text, (name, part)| {
                text.replace(name, part)
            })
        };
        if let Some((found, becomes)) = line.split_once(" =>") {
            let found = if becomes.contains('#') {
                format!(r"\b(?:({}))\b", found.replace('|', ")|("))
            } else {
                expand(found)
            };
            rules.push(Rule {
                pattern: compile(&format!("{before}{found}{after}")),
                becomes: format!(" {} ", becomes.trim()),
            });
        } else if let Some((name, part)) = line.split_once(" = ") {
            parts.push((format!("{{{name}}}"), expand(part)));
        }
    }
    rules
}

impl Rule {
    fn apply(&self, text: &str) -> String {
        let becomes = |found: &Captures<'_>| {
            let place = (1..found.len()).find(|at| found.get(*at).is_some());
            let becomes = self.becomes.replace('#', &place.unwrap_or(0).to_string());
            let mut text = String::new();
            found.expand(&becomes, &mut text);
            let glued = |atom: &Captures<'_>| atom[0].replace(' ', BLANK);
            ATOM.replace_all(&text, glued).into_owned()
        };
        self.pattern.replace_all(text, becomes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_rule() {
        let lines = SOURCE.lines().filter(|line| !line.starts_with('#'));
        let written = lines.filter(|line| line.contains(" =>")).count();
        assert_eq!(TEXT.len() + WORDS.len(), written);
    }

    #[test]
    fn nobody_writes_atoms() {
        for text in ["<R:every=1 hour>", "°1 of every user", "@t9 daily?", "@h9"] {
            let atoms = atoms(text);
            let is_said = |atom: &Atom| {
                let mut values = atom.says.0.iter().map(|(_, value)| value);
                values.any(|value| value.contains(['@', '°']))
            };
            assert!(!atoms.iter().any(is_said), "{text}: {atoms:?}");
        }
    }
}
