//! Under which condition a sentence asks for something: "If something is critical, …". Pure. Where
//! a sentence has a condition that is not clear, it says so rather than leave it out.

use crate::text::{closing_quote, one_line};

/// Words that begin a condition, and what they make of it.
const LEADS: [(&str, &str); 6] = [
    ("only if", ""),
    ("only when", ""),
    ("if", ""),
    ("when", ""),
    ("whenever", ""),
    ("unless", "this is not so: "),
];
/// Words by which a sentence depends on something, wherever they stand.
const CONDITIONAL: [&str; 5] = ["if", "unless", "when", "whenever", "whether"];
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
    let (condition, main) = match leading(sentence).or_else(|| trailing(sentence)) {
        Some((condition, main)) => (Some(condition), main),
        None => (None, sentence),
    };
    if is_conditional(main) {
        return None;
    }
    let Some(condition) = condition else {
        return Some(Clause {
            main,
            only_if: None,
        });
    };
    let is_short = condition.chars().count() <= LONGEST;
    let says = condition.chars().any(char::is_alphanumeric);
    (is_short && says).then_some(Clause {
        main,
        only_if: Some(condition),
    })
}

/// "If X, do", "When X then do".
fn leading(sentence: &str) -> Option<(String, &str)> {
    let (meaning, rest) = after_lead(sentence)?;
    let end = outside_quotes(rest, |rest| rest.starts_with(", "))?;
    let main = rest[end..].trim_start_matches([',', ' ']);
    let main = main.strip_prefix("then ").unwrap_or(main);
    Some((in_words(meaning, &rest[..end]), main))
}

/// "Do, if X", "do only if X".
fn trailing(sentence: &str) -> Option<(String, &str)> {
    let begins = |rest: &str| {
        let lead = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(' '));
        let is_only = |lead: &str| {
            lead.get(..5)
                .is_some_and(|only| only.eq_ignore_ascii_case("only "))
        };
        lead.is_some_and(|lead| {
            (rest.starts_with(',') || is_only(lead)) && after_lead(lead).is_some()
        })
    };
    let start = outside_quotes(sentence, begins)?;
    let lead = sentence[start..].trim_start_matches([',', ' ']);
    let (meaning, rest) = after_lead(lead)?;
    let condition = rest.trim_end_matches(['.', '!', '?']);
    // "send it, if it is new, to me": what follows is no condition
    if outside_quotes(condition, |rest| rest.starts_with(',')).is_some() {
        return None;
    }
    Some((in_words(meaning, condition), &sentence[..start]))
}

/// What stands after a word that begins a condition.
fn after_lead(text: &str) -> Option<(&'static str, &str)> {
    LEADS.into_iter().find_map(|(lead, meaning)| {
        let start = text.get(..lead.len())?;
        let rest = text[lead.len()..].strip_prefix(' ')?;
        start.eq_ignore_ascii_case(lead).then_some((meaning, rest))
    })
}

fn in_words(meaning: &str, condition: &str) -> String {
    format!("{meaning}{}", one_line(condition.trim()))
}

/// Where, outside of quotes, the text goes on as `is_there` says.
fn outside_quotes(text: &str, is_there: impl Fn(&str) -> bool) -> Option<usize> {
    let mut quoted_until = 0;
    for (at, character) in text.char_indices() {
        if at < quoted_until {
            continue;
        }
        let after = at + character.len_utf8();
        if let Some(close) = closing_quote(character) {
            quoted_until = text[after..]
                .find(close)
                .map_or(0, |length| after + length + 1);
        } else if is_there(&text[at..]) {
            return Some(at);
        }
    }
    None
}

fn is_conditional(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    words.any(|word| {
        CONDITIONAL
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
    })
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
                prop_assert!(text.contains(clause.main) && !is_conditional(clause.main));
                prop_assert!(clause.only_if.is_none_or(|condition| !condition.trim().is_empty()));
            }
        }
    }
}
