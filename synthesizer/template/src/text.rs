//! Takes instructions apart into sentences, as people and Markdown write them. Pure; knows nothing
//! of schedules or tools.

use std::{mem, sync::LazyLock};

use regex::{Captures, Regex};

/// One sentence, bullet or heading, on one line and without Markdown marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    /// A heading, or a line that ends with a colon: says what follows.
    pub(crate) is_label: bool,
}

/// A pattern of this crate that is compiled when it is first used.
macro_rules! pattern {
    ($source:literal) => {
        std::sync::LazyLock::new(|| $crate::text::compile($source))
    };
}
pub(crate) use pattern;

/// Fenced code; of a fence that is never closed only the line, so that it hides nothing.
static FENCED: LazyLock<Regex> =
    pattern!(r"(?m)^[ \t>]*(?:```(?:(?s:.*?)\n\s*```)?|~~~(?:(?s:.*?)\n\s*~~~)?).*$");
/// A line, after the marks of quotations: a heading, an item, or text.
static LINE: LazyLock<Regex> = pattern!(
    r"^[\s>]*(?:(?<heading>#+)\s|(?<item>[-*+•–·]|\d{1,2}[.)])\s+(?:\[[ xX]\])?)?\s*(?<text>.*)$"
);
/// Where a line is not over, whatever the next one starts with.
static DANGLING: LazyLock<Regex> =
    pattern!(r"(?i),$|(?:^|\s)(?:a|an|and|at|each|every|for|from|in|of|on|or|the|to)$");
/// The end of a sentence, and before it the full stops that are none: of abbreviations and
/// initials, and those after which it goes on.
static ENDS: LazyLock<Regex> = pattern!(
    r"(?x)
    (?:^|[\s(])(?:\p{Lu}|(?i:approx|ca|dr|e\.g|eg|i\.e|ie|mr|mrs|ms|no|resp|st|vs))\.
    |(?:^|[\s(])(?i:a\.m|co|etc|inc|ltd|p\.m)\.\s+[^\s\p{Lu}]
    |[.!?]\s+\p{Ll}
    |(?<end>[.!?])(?:\s|$)
    |(?<wide_end>。)"
);
static QUOTED: LazyLock<Regex> = pattern!(r#""[^"]*"|`[^`]*`|[“„][^”]*”|«[^»]*»"#);

#[expect(clippy::expect_used, reason = "tests use all of the crate's patterns")]
pub(crate) fn compile(source: &str) -> Regex {
    Regex::new(source).expect("a valid pattern")
}

/// The sentences of `text` in order. Fenced code and lines without a letter or digit are left out.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for block in blocks(text) {
        let text = one_line(&block.text.replace("**", "").replace("__", ""));
        let is_label = block.is_label || text.ends_with(':');
        let parts = if is_label {
            vec![text.trim_end_matches(':')]
        } else {
            split(&text)
        };
        let parts = parts.into_iter().filter(|part| says_something(part));
        sentences.extend(parts.map(|part| Sentence {
            text: part.to_owned(),
            is_label,
        }));
    }
    sentences
}

/// `text` on one line, at most `longest` characters, cut with an ellipsis. Without control
/// characters.
pub(crate) fn clip(text: &str, longest: usize) -> String {
    let line = one_line(text);
    if line.chars().count() <= longest {
        return line;
    }
    let cut: String = line.chars().take(longest.saturating_sub(1)).collect();
    let end = cut.rfind(' ').filter(|end| *end > cut.len() / 2);
    format!("{}…", cut[..end.unwrap_or(cut.len())].trim_end())
}

/// Control characters and runs of white space as single spaces.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether there is a letter or digit in it.
pub(crate) fn says_something(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

/// `text` with `~` for each byte in quotes, so that only what is outside is found.
pub(crate) fn without_quotes(text: &str) -> String {
    let blank = |found: &Captures<'_>| "~".repeat(found[0].len());
    QUOTED.replace_all(text, blank).into_owned()
}

/// Paragraphs, bullets and headings, each still with its marks of emphasis.
fn blocks(text: &str) -> Vec<Sentence> {
    let text = text.replace('\r', "\n");
    let mut blocks: Vec<Sentence> = Vec::new();
    let mut is_open = false;
    for line in FENCED.replace_all(&text, "").split('\n') {
        let line = LINE.captures(line);
        let part = |name| line.as_ref().and_then(|line| line.name(name));
        let text = part("text").map_or("", |text| text.as_str().trim_end());
        let is_label = part("heading").is_some();
        let is_new = !is_open || is_label || part("item").is_some();
        is_open = says_something(text) && !is_label;
        match blocks.last_mut() {
            _ if !says_something(text) => {}
            Some(block) if !is_new && continues(&block.text, text) => {
                block.text.push(' ');
                block.text.push_str(text);
            }
            _ => blocks.push(Sentence {
                text: text.to_owned(),
                is_label,
            }),
        }
    }
    blocks
}

/// Whether `next` is the rest of a wrapped line and not a new thought.
fn continues(previous: &str, next: &str) -> bool {
    next.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit())
        || DANGLING.is_match(previous)
}

/// Splits one line where sentences end outside of quotes.
fn split(line: &str) -> Vec<&str> {
    let unquoted = without_quotes(line);
    let ends = ENDS.captures_iter(&unquoted);
    let ends = ends.filter_map(|found| found.name("end").or(found.name("wide_end")));
    let mut start = 0;
    ends.map(|end| end.end())
        .chain([line.len()])
        .map(|end| line[mem::replace(&mut start, end)..end].trim())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        sentences(text)
            .into_iter()
            .map(|sentence| sentence.text)
            .collect()
    }

    #[test]
    fn finds_the_sentences() {
        for (text, expected) in [
            (
                "Check the mail. Answer it!",
                vec!["Check the mail.", "Answer it!"],
            ),
            (
                "Check the mail\nevery\nMonday at\n5pm",
                vec!["Check the mail every Monday at 5pm"],
            ),
            (
                "Check the mail\nAnswer it",
                vec!["Check the mail", "Answer it"],
            ),
            (
                "- one\n- two\n  and more\n* [ ] three\n4. four",
                vec!["one", "two and more", "three", "four"],
            ),
            (
                "At 9 a.m. send it, e.g. by mail. Then stop.",
                vec!["At 9 a.m. send it, e.g. by mail.", "Then stop."],
            ),
            ("Run at 9 a.m. Send it.", vec!["Run at 9 a.m.", "Send it."]),
            (
                "Reply \"Thanks. Bye.\" to all. Done.",
                vec!["Reply \"Thanks. Bye.\" to all.", "Done."],
            ),
            (
                "Read /etc/a.conf and v1.2 of it",
                vec!["Read /etc/a.conf and v1.2 of it"],
            ),
            ("a **bold** move", vec!["a bold move"]),
            (
                "Look:\n```ruby\nagent 'x' do\nend\n```\nDone",
                vec!["Look", "Done"],
            ),
            ("```\nnever closed", vec!["never closed"]),
            ("---\n\n...\n!!!", vec![]),
            (" \t\u{a0}\n", vec![]),
        ] {
            assert_eq!(texts(text), expected, "{text:?}");
        }
    }

    #[test]
    fn headings_and_lines_with_a_colon_are_labels() {
        let are_labels: Vec<bool> = sentences("# Inbox\nGoals:\n- read")
            .into_iter()
            .map(|sentence| sentence.is_label)
            .collect();
        assert_eq!(are_labels, [true, true, false]);
    }

    #[test]
    fn clips_between_words() {
        assert_eq!(clip("one\ttwo\u{0}three", 99), "one two three");
        assert_eq!(clip("one two three", 9), "one two…");
        assert_eq!(clip("ßßßßßßß", 3), "ßß…");
    }
}
