//! Rewrites a sentence by the rules of `grammar.txt` until what it says about time is in atoms.
//! Knows patterns and words, not what an atom means: that is `meaning`'s.

use std::{borrow::Cow, mem, sync::LazyLock};

use regex::{Captures, Regex};

const SOURCE: &str = include_str!("grammar.txt");
/// How often a rule is tried on one sentence; no instruction needs as many.
const MAX_TRIES: usize = 32;
/// Stands for a blank inside an atom, so that no rule takes its words for those of the sentence.
const BLANK: char = '·';

const ONES: &str = "one two three four five six seven eight nine ten eleven twelve thirteen \
    fourteen fifteen sixteen seventeen eighteen nineteen";
const TENS: &str = "ten twenty thirty forty fifty sixty seventy eighty ninety";
/// Not "second", which is also a unit.
const ORDINALS: &str = "first * third fourth fifth sixth seventh eighth ninth tenth eleventh \
    twelfth thirteenth fourteenth fifteenth";

/// Something that a sentence says about time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Atom {
    /// What it counts for; `grammar.txt` lists the kinds.
    pub(crate) kind: char,
    /// Keys and values.
    pub(crate) says: Vec<(String, String)>,
    /// The words between the atom before and this one.
    pub(crate) before: Vec<String>,
}

impl Atom {
    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let said = self.says.iter().find(|(said, _)| said == key);
        said.map(|(_, value)| value.as_str())
    }
}

struct Rule {
    pattern: Regex,
    becomes: String,
}

/// The rules for text, and those for words.
struct Grammar {
    text: Vec<Rule>,
    words: Vec<Rule>,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    let (text, words) = SOURCE.split_once("\n[time]\n").unwrap_or_default();
    Grammar {
        text: rules(text, |pattern| format!("(?i){pattern}")),
        // Each word has two blanks of its own, so that matches may stand side by side.
        words: rules(words, |pattern| {
            format!(" (?:{}) ", pattern.replace(' ', "  "))
        }),
    }
});

/// What a sentence says about time, in its order.
pub(crate) fn atoms(sentence: &str) -> Vec<Atom> {
    let text = GRAMMAR.text.iter().fold(sentence.to_owned(), |text, rule| {
        let becomes = format!(" {} ", rule.becomes);
        rule.pattern.replace_all(&text, becomes).into_owned()
    });
    let words = GRAMMAR.words.iter().fold(words(&text), rewritten);
    let mut atoms = Vec::new();
    let mut before = Vec::new();
    for word in words.split_whitespace() {
        match atom(word) {
            Some((kind, says)) => atoms.push(Atom {
                kind,
                says,
                before: mem::take(&mut before),
            }),
            None => before.push(word.to_owned()),
        }
    }
    atoms
}

fn atom(word: &str) -> Option<(char, Vec<(String, String)>)> {
    let (kind, says) = word.strip_prefix('<')?.strip_suffix('>')?.split_once(':')?;
    let fields = says.split(';').filter_map(|field| field.split_once('='));
    let words = |value: &str| {
        let words = value.split(BLANK).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(" ")
    };
    let fields = fields.map(|(key, value)| (key.to_owned(), words(value)));
    Some((kind.chars().next()?, fields.collect()))
}

fn rules(source: &str, whole: impl Fn(&str) -> String) -> Vec<Rule> {
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut rules = Vec::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        let expand = |pattern: &str| {
            parts.iter().fold(pattern.to_owned(), |text, (name, part)| {
                text.replace(name, part)
            })
        };
        if let Some((pattern, becomes)) = line.split_once(" =>") {
            rules.extend(Regex::new(&whole(&expand(pattern))).map(|pattern| Rule {
                pattern,
                becomes: becomes.trim().to_owned(),
            }));
        } else if let Some((name, part)) = line.split_once(" = ") {
            parts.push((format!("{{{name}}}"), expand(part)));
        }
    }
    rules
}

/// Text as words between commas: in lower case, numbers in digits, each with two blanks of its own.
fn words(text: &str) -> String {
    let mut words = String::from(", ");
    for word in text.split_whitespace() {
        let lower = word.to_lowercase();
        if word.starts_with('<') {
            words.push_str(word);
        } else if let Some(number) = number(&lower) {
            words.push_str(&number);
        } else {
            let parts = lower.split('-');
            let parts = parts.map(|part| number(part).unwrap_or_else(|| part.to_owned()));
            words.push_str(&parts.collect::<Vec<_>>().join(" - "));
        }
        words.push(' ');
    }
    spaced(&(words + ","))
}

fn rewritten(words: String, rule: &Rule) -> String {
    let mut words = words;
    for _ in 0..MAX_TRIES {
        let next = rule.pattern.replace_all(&words, |found: &Captures<'_>| {
            let mut becomes = String::new();
            found.expand(&rule.becomes, &mut becomes);
            spaced(&becomes)
        });
        match next {
            Cow::Owned(next) if next != words => words = next,
            _ => break,
        }
    }
    words
}

/// Words and atoms with two blanks each.
fn spaced(text: &str) -> String {
    let mut is_inside = false;
    let joined: String = text
        .chars()
        .map(|character| {
            is_inside = character == '<' || (is_inside && character != '>');
            if is_inside && character == ' ' {
                BLANK
            } else {
                character
            }
        })
        .collect();
    let words = joined.split_whitespace();
    words.flat_map(|word| [" ", word, " "]).collect()
}

/// A number or an ordinal in words, in digits.
fn number(word: &str) -> Option<String> {
    if let Some(nth) = place(word, ORDINALS) {
        return Some(format!("°{nth}"));
    }
    let (tens, ones) = word.split_once('-').unwrap_or((word, ""));
    let number = match (place(tens, TENS), place(ones, ONES)) {
        (Some(tens), Some(ones)) if ones < 10 => tens * 10 + ones,
        (Some(tens), None) if ones.is_empty() => tens * 10,
        _ => place(word, ONES)?,
    };
    Some(number.to_string())
}

/// Which of `words` it is, counted from 1.
fn place(word: &str, words: &str) -> Option<usize> {
    let mut words = words.split_ascii_whitespace();
    words.position(|one| one == word).map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_rule() {
        let lines = SOURCE.lines().filter(|line| !line.starts_with('#'));
        let written = lines.filter(|line| line.contains(" =>")).count();
        assert_eq!(GRAMMAR.text.len() + GRAMMAR.words.len(), written);
    }

    #[test]
    fn nobody_writes_atoms() {
        for text in ["<R:every=1 hour>", "°1 of every user", "@t9 daily?", "@h9"] {
            let atoms = atoms(text);
            let is_said = |atom: &Atom| {
                atom.says
                    .iter()
                    .any(|(_, value)| value.contains(['@', '°']))
            };
            assert!(!atoms.iter().any(is_said), "{text}: {atoms:?}");
        }
    }
}
