//! A persona condensed without an LLM: its fields as plain text, shortened at the end of a sentence.

use langop_proto::{limits, v1::Persona};

use super::text::{one_line, says_something};

/// Longest share of the system prompt, in bytes; the rest is for the other fields.
const SYSTEM_PROMPT: usize = 6 * 1024;
/// Longest description, in bytes.
const DESCRIPTION: usize = 1024;

/// The condensed text, at most [`limits::DISTILLED_PROMPT`] bytes.
pub(super) fn distill(persona: &Persona) -> String {
    let mut parts = Vec::new();
    if says_something(&persona.name) {
        parts.push(format!(
            "You are {}.",
            cut(&persona.name, limits::SHORT_TEXT)
        ));
    }
    parts.extend(sentence(&persona.description, DESCRIPTION));
    parts.extend(sentence(&persona.system_prompt, SYSTEM_PROMPT));
    if says_something(&persona.tone) {
        parts.push(format!("Tone: {}.", cut(&persona.tone, limits::SHORT_TEXT)));
    }
    if says_something(&persona.language) {
        parts.push(format!(
            "Language: {}.",
            cut(&persona.language, limits::SHORT_TEXT)
        ));
    }
    parts.join("\n")
}

fn sentence(text: &str, longest: usize) -> Option<String> {
    let text = cut(text, longest);
    let is_closed = text.ends_with(['.', '!', '?', '…', ':']);
    says_something(&text).then(|| if is_closed { text } else { format!("{text}.") })
}

/// `text` on one line and at most `longest` bytes, cut after the last whole sentence, else after the last whole word.
fn cut(text: &str, longest: usize) -> String {
    let line = one_line(text);
    if line.len() <= longest {
        return line.trim_end_matches(' ').to_owned();
    }
    let head = &line[..line.floor_char_boundary(longest)];
    let sentence = head
        .rfind(". ")
        .map(|end| &head[..=end])
        .filter(|kept| kept.len() > longest / 2);
    let word = head.rfind(' ').map_or(head, |end| &head[..end]);
    sentence.unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_every_field_once() {
        let persona = Persona {
            name: "analyst".into(),
            description: "A calm analyst".into(),
            system_prompt: "Begin with what changed.\nNever guess.".into(),
            tone: "matter-of-fact".into(),
            language: "en".into(),
        };
        let expected = "You are analyst.\nA calm analyst.\nBegin with what changed. Never guess.\nTone: matter-of-fact.\nLanguage: en.";
        assert_eq!(distill(&persona), expected);
        assert_eq!(
            distill(&Persona {
                system_prompt: "Be kind!".into(),
                ..Persona::default()
            }),
            "Be kind!"
        );
    }

    #[test]
    fn stays_within_the_limit() {
        let long = "Sätze ohne Ende. ".repeat(2000);
        let persona = Persona {
            name: long.clone(),
            description: long.clone(),
            system_prompt: long.clone(),
            tone: long.clone(),
            language: long,
        };
        let text = distill(&persona);
        assert!(text.len() <= limits::DISTILLED_PROMPT, "{}", text.len());
        assert!(text.len() > SYSTEM_PROMPT / 2);
    }
}
