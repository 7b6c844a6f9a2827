//! A persona condensed without an LLM: its fields as plain text, shortened at the end of a
//! sentence.

use crate::text::{one_line, says_something};

/// A persona's fields; empty: not given.
#[derive(Debug, Clone, Copy, Default)]
pub struct Persona<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is like.
    pub description: &'a str,
    /// Its system prompt.
    pub system_prompt: &'a str,
    /// How it speaks.
    pub tone: &'a str,
    /// The language it speaks.
    pub language: &'a str,
}

/// Longest name, tone or language, in bytes.
const SHORT_TEXT: usize = 256;

/// Longest share of the system prompt, in bytes; the rest is for the other fields.
const SYSTEM_PROMPT: usize = 6 * 1024;
/// Longest description, in bytes.
const DESCRIPTION: usize = 1024;

/// `persona` as a short text of at most 8 KiB.
pub fn distill(persona: &Persona<'_>) -> String {
    let line = |before: &str, text: &str| {
        says_something(text).then(|| format!("{before}{}.", cut(text, SHORT_TEXT)))
    };
    let lines = [
        line("You are ", persona.name),
        sentence(persona.description, DESCRIPTION),
        sentence(persona.system_prompt, SYSTEM_PROMPT),
        line("Tone: ", persona.tone),
        line("Language: ", persona.language),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn sentence(text: &str, longest: usize) -> Option<String> {
    let text = cut(text, longest);
    let is_closed = text.ends_with(['.', '!', '?', '…', ':']);
    says_something(&text).then(|| if is_closed { text } else { format!("{text}.") })
}

/// `text` on one line and at most `longest` bytes, cut after the last whole sentence, else after
/// the last whole word.
fn cut(text: &str, longest: usize) -> String {
    let line = one_line(text);
    if line.len() <= longest {
        return line;
    }
    let head = &line[..line.floor_char_boundary(longest)];
    let sentence = head.rfind(". ").map(|end| end + 1);
    let sentence = sentence.filter(|end| *end > longest / 2);
    let end = sentence.or_else(|| head.rfind(' '));
    head[..end.unwrap_or(head.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_every_field_once() {
        let persona = Persona {
            name: "analyst",
            description: "A calm analyst",
            system_prompt: "Begin with what changed.\nNever guess.",
            tone: "matter-of-fact",
            language: "en",
        };
        let expected = "You are analyst.\nA calm analyst.\nBegin with what changed. Never guess.\nTone: matter-of-fact.\nLanguage: en.";
        assert_eq!(distill(&persona), expected);
        assert_eq!(
            distill(&Persona {
                system_prompt: "Be kind!",
                ..Persona::default()
            }),
            "Be kind!"
        );
    }

    #[test]
    fn stays_within_the_limit() {
        let long = "Sätze ohne Ende. ".repeat(2000);
        let persona = Persona {
            name: &long,
            description: &long,
            system_prompt: &long,
            tone: &long,
            language: &long,
        };
        let text = distill(&persona);
        assert!(text.len() <= 8 * 1024, "{}", text.len());
        assert!(text.len() > SYSTEM_PROMPT / 2);
    }
}
