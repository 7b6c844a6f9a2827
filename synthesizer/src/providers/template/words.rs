//! The words of a sentence, compared without their endings. Crude on purpose: "files" is "file", and that is all.

use std::collections::BTreeSet;

/// Words that say nothing about what a tool is for.
const EMPTY: &[&str] = &[
    "about", "after", "all", "also", "and", "any", "are", "below", "between", "can", "each",
    "every", "first", "for", "from", "get", "give", "has", "have", "into", "its", "last", "make",
    "most", "new", "newest", "not", "one", "only", "other", "our", "over", "return", "run", "set",
    "some", "team", "than", "that", "the", "their", "them", "then", "there", "this", "time", "use",
    "used", "using", "was", "what", "when", "which", "will", "with", "you", "your",
];

/// The words of `text` that mean something, without endings. Names split at `-`, `_` and capitals.
pub(super) fn stems(text: &str) -> impl Iterator<Item = String> {
    let joined = text.replace("e-mail", "email").replace("E-mail", "email");
    let mut spaced = String::with_capacity(joined.len());
    let mut was_lower = false;
    for character in joined.chars() {
        if character.is_uppercase() && was_lower {
            spaced.push(' ');
        }
        was_lower = character.is_lowercase();
        spaced.push(if character.is_alphanumeric() {
            character
        } else {
            ' '
        });
    }
    let words: Vec<String> = spaced
        .split(' ')
        .map(|word| stem(&word.to_lowercase()))
        .collect();
    words
        .into_iter()
        .filter(|word| word.chars().count() > 2 && !EMPTY.contains(&word.as_str()))
}

/// `word` without the ending of a plural or a verb.
fn stem(word: &str) -> String {
    let shorter = ["ies", "es", "s"].into_iter().find_map(|ending| {
        let stem = word
            .strip_suffix(ending)
            .filter(|stem| stem.len() >= 3 && !stem.ends_with('s'))?;
        match ending {
            "ies" => Some(format!("{stem}y")),
            "es" => stem.ends_with(['h', 'x', 'z']).then(|| stem.to_owned()),
            _ => Some(stem.to_owned()),
        }
    });
    shorter.unwrap_or_else(|| word.to_owned())
}

/// The stems of one sentence.
pub(super) struct Words {
    in_order: Vec<String>,
    verb: Option<String>,
}

impl Words {
    /// `order` is the part of the sentence that says what to do, verb first.
    pub(super) fn of(sentence: &str, order: &str) -> Self {
        Self {
            in_order: stems(sentence).collect(),
            verb: stems(order).next(),
        }
    }

    pub(super) fn contains(&self, word: &str) -> bool {
        self.in_order.iter().any(|own| own == word)
    }

    /// The word that says what to do.
    pub(super) fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// How many of `words` are there.
    pub(super) fn count(&self, words: &BTreeSet<String>) -> usize {
        words.iter().filter(|word| self.contains(word)).count()
    }

    /// Whether `words`, at least one, stand side by side.
    pub(super) fn hold_in_a_row(&self, words: &[String]) -> bool {
        !words.is_empty()
            && self
                .in_order
                .windows(words.len())
                .any(|window| window == words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_without_endings() {
        for (text, expected) in [
            ("Lists the files", "list file"),
            (
                "list_files readFile web-search",
                "list file read file web search",
            ),
            (
                "searches, summaries; glass boxes",
                "search summary glass box",
            ),
            ("E-mail the e-mails", "email email"),
            ("a b c 5 \u{0} ßß", ""),
        ] {
            assert_eq!(
                stems(text).collect::<Vec<_>>().join(" "),
                expected,
                "{text}"
            );
        }
    }
}
