//! Under which condition a sentence asks for something: "If something is critical, …". Pure. Where
//! a sentence has a condition that is not clear, it says so rather than leave it out.

use std::sync::LazyLock;

use regex::Regex;

use crate::text::{one_line, pattern, says_something, without_quotes};

/// "If X, do", "When X then do".
static LEADING: LazyLock<Regex> = pattern!(
    r"(?xi) ^ (?:(?:only\ )?(?:if|when)|whenever|(?<unless>unless))
    \ (?<condition>.*?),\ [,\ ]*(?:then\ )?(?<main>.*) $"
);
/// "Do, if X", "do only if X"; what follows another comma is no condition.
static TRAILING: LazyLock<Regex> = pattern!(
    r"(?xi) ^ (?<main>.*?)
    (?:,\ (?:(?:only\ )?(?:if|when)|whenever|(?<unless>unless))|\ only\ (?:if|when))
    \ (?<condition>[^,]*?)[.!?]* $"
);
/// Words by which a sentence depends on something, wherever they stand.
static CONDITIONAL: LazyLock<Regex> =
    pattern!(r"(?i)(?:\b|_)(?:if|unless|when|whenever|whether)(?:\b|_)");
/// Longest condition, in characters.
const LONGEST: usize = 200;

/// A sentence taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause<'a> {
    /// What is asked for.
    pub(crate) main: &'a str,
    /// Under which condition, in words; absent: always.
    pub(crate) only_if: Option<String>,
}

/// The condition and the rest of a sentence; `None` where it has one that is not clear.
pub(crate) fn split(sentence: &str) -> Option<Clause<'_>> {
    let sentence = sentence.trim();
    let unquoted = without_quotes(sentence);
    let found = LEADING.captures(&unquoted);
    let found = found.or_else(|| TRAILING.captures(&unquoted));
    let part = |name| Some(&sentence[found.as_ref()?.name(name)?.range()]);
    let main = part("main").unwrap_or(sentence);
    let condition = part("condition").map(one_line);
    let is_clear = condition
        .as_ref()
        .is_none_or(|words| says_something(words) && words.chars().count() <= LONGEST);
    let not = part("unless").map_or("", |_| "this is not so: ");
    let only_if = condition.map(|condition| format!("{not}{condition}"));
    (is_clear && !CONDITIONAL.is_match(main)).then_some(Clause { main, only_if })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn conditions_that_are_clear_are_found_and_others_make_no_step() {
        for (sentence, expected) in [
            ("List files.", Some(("List files.", None))),
            (
                "If something is critical, mail it",
                Some(("mail it", Some("something is critical"))),
            ),
            (
                "if a file changed, then list files.",
                Some(("list files.", Some("a file changed"))),
            ),
            (
                "When the word \"a, b\" is in it, mail it",
                Some(("mail it", Some("the word \"a, b\" is in it"))),
            ),
            (
                "Unless it is a holiday, list files",
                Some(("list files", Some("this is not so: it is a holiday"))),
            ),
            (
                "List files, if a file changed.",
                Some(("List files", Some("a file changed"))),
            ),
            (
                "List files only if a file changed",
                Some(("List files", Some("a file changed"))),
            ),
            // what is tested is no condition, and neither is what has two or an odd end
            ("Check if the site is up", None),
            ("List files if a file changed", None),
            ("Find out whether list files works", None),
            ("If a, list files if b", None),
            ("Send it, if it is new, to me", None),
            ("If", None),
            ("Only if, ", None),
        ] {
            let expected = expected.map(|(main, only_if)| Clause {
                main,
                only_if: only_if.map(str::to_owned),
            });
            assert_eq!(split(sentence), expected, "{sentence}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_in_bounds(text in "(if |unless |only if |, |\"|\\PC){0,40}") {
            if let Some(clause) = split(&text) {
                prop_assert!(text.contains(clause.main) && !CONDITIONAL.is_match(clause.main));
                prop_assert!(clause.only_if.is_none_or(|condition| !condition.trim().is_empty()));
            }
        }
    }
}
