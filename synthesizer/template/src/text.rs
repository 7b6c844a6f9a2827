//! Takes instructions apart into sentences, as people and Markdown write them. Pure; knows nothing
//! of schedules or tools.

/// One sentence, bullet or heading, on one line and without Markdown marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sentence {
    pub(crate) text: String,
    pub(crate) role: Role,
}

/// What a sentence is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Says something.
    Statement,
    /// A heading, or a line that ends with a colon: says what follows.
    Label,
}

/// The words after which a line is not over, whatever the next line starts with.
const DANGLING: &[&str] = &[
    "a", "an", "and", "at", "each", "every", "for", "from", "in", "of", "on", "or", "the", "to",
];

/// Words whose full stop ends no sentence.
const ABBREVIATIONS: &[&str] = &[
    "approx", "ca", "dr", "e.g", "eg", "i.e", "ie", "mr", "mrs", "ms", "no", "resp", "st", "vs",
];

/// Words whose full stop ends a sentence only if a capital follows.
const SOMETIMES_LAST: &[&str] = &["a.m", "co", "etc", "inc", "ltd", "p.m"];

/// The sentences of `text` in order. Fenced code and lines without a letter or digit are left out.
pub(crate) fn sentences(text: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    for block in blocks(text) {
        let text = plain(&block.text);
        let is_label = block.role == Role::Label || text.ends_with(':');
        let parts = if is_label {
            vec![text.trim_end_matches(':').to_owned()]
        } else {
            split(&text)
        };
        let role = if is_label {
            Role::Label
        } else {
            Role::Statement
        };
        let parts = parts.into_iter().filter(|part| says_something(part));
        sentences.extend(parts.map(|text| Sentence { text, role }));
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
    let end = cut
        .rfind(' ')
        .filter(|end| *end > cut.len() / 2)
        .unwrap_or(cut.len());
    format!("{}…", cut[..end].trim_end())
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

/// A paragraph, a bullet or a heading.
struct Block {
    text: String,
    role: Role,
}

fn blocks(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.split(['\n', '\r']).map(str::trim).collect();
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let line = line.trim_start_matches('>').trim_start();
        at += 1;
        if let Some(fence) = fence(line) {
            // an unclosed fence is only a stray line, so that it hides nothing
            at += lines[at..]
                .iter()
                .position(|line| line.starts_with(fence))
                .map_or(0, |length| length + 1);
            open = false;
            continue;
        }
        let (mark, rest) = mark(line);
        if !says_something(rest) {
            open = false;
        } else if let (true, Mark::None, Some(block)) = (open, mark, blocks.last_mut()) {
            if continues(&block.text, rest) {
                block.text.push(' ');
                block.text.push_str(rest);
            } else {
                blocks.push(Block {
                    text: rest.to_owned(),
                    role: Role::Statement,
                });
            }
        } else {
            let role = if mark == Mark::Heading {
                Role::Label
            } else {
                Role::Statement
            };
            blocks.push(Block {
                text: rest.to_owned(),
                role,
            });
            open = mark != Mark::Heading;
        }
    }
    blocks
}

fn fence(line: &str) -> Option<&'static str> {
    ["```", "~~~"]
        .into_iter()
        .find(|fence| line.starts_with(fence))
}

/// What Markdown puts before a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    Heading,
    Bullet,
}

fn mark(line: &str) -> (Mark, &str) {
    let after_hashes = line.trim_start_matches('#');
    if after_hashes.len() < line.len() && after_hashes.starts_with([' ', '\t']) {
        return (Mark::Heading, after_hashes.trim());
    }
    let digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let number = (digits.len() < line.len() && line.len() - digits.len() <= 3)
        .then(|| digits.strip_prefix(['.', ')']))
        .flatten();
    let bullet = line.strip_prefix(['-', '*', '+', '•', '–', '·']).or(number);
    match bullet.filter(|rest| rest.starts_with([' ', '\t'])) {
        Some(rest) => (Mark::Bullet, without_checkbox(rest.trim())),
        None => (Mark::None, line),
    }
}

fn without_checkbox(item: &str) -> &str {
    ["[ ]", "[x]", "[X]"]
        .into_iter()
        .find_map(|checkbox| item.strip_prefix(checkbox))
        .unwrap_or(item)
        .trim_start()
}

/// Whether `next` is the rest of a wrapped line and not a new thought.
fn continues(previous: &str, next: &str) -> bool {
    let last = previous
        .rsplit(' ')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    next.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit())
        || previous.ends_with(',')
        || DANGLING.contains(&last.as_str())
}

/// One line without emphasis marks.
fn plain(text: &str) -> String {
    one_line(&text.replace("**", "").replace("__", ""))
}

/// Splits one line at full stops, question and exclamation marks, but not inside quotes and not
/// after abbreviations.
fn split(line: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quoted_until = 0;
    for (at, character) in line.char_indices() {
        let after = at + character.len_utf8();
        if at < quoted_until {
            continue;
        }
        if let Some(close) = closing_quote(character) {
            quoted_until = line[after..].find(close).map_or(0, |length| after + length);
        } else if matches!(character, '.' | '!' | '?' | '。')
            && ends_sentence(&line[start..at], character, &line[after..])
        {
            parts.push(line[start..after].trim().to_owned());
            start = after;
        }
    }
    parts.push(line[start..].trim().to_owned());
    parts
}

/// The quote that closes what `open` opens.
pub(crate) fn closing_quote(open: char) -> Option<char> {
    match open {
        '"' => Some('"'),
        '`' => Some('`'),
        '“' | '„' => Some('”'),
        '«' => Some('»'),
        _ => None,
    }
}

fn ends_sentence(before: &str, stop: char, rest: &str) -> bool {
    if stop == '。' {
        return true;
    }
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return false;
    }
    let next = rest.trim_start().chars().next();
    let word = before.rsplit([' ', '(']).next().unwrap_or_default();
    let lower = word.to_lowercase();
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    if stop == '.' && (is_initial || ABBREVIATIONS.contains(&lower.as_str())) {
        return false;
    }
    if stop == '.' && SOMETIMES_LAST.contains(&lower.as_str()) {
        return next.is_none_or(char::is_uppercase);
    }
    !next.is_some_and(char::is_lowercase)
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
        let roles: Vec<Role> = sentences("# Inbox\nGoals:\n- read")
            .into_iter()
            .map(|sentence| sentence.role)
            .collect();
        assert_eq!(roles, [Role::Label, Role::Label, Role::Statement]);
    }

    #[test]
    fn clips_between_words() {
        assert_eq!(clip("one\ttwo\u{0}three", 99), "one two three");
        assert_eq!(clip("one two three", 9), "one two…");
        assert_eq!(clip("ßßßßßßß", 3), "ßß…");
    }
}
