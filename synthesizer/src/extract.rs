//! Finds the code in an answer. Models are told to answer with one fence; this is for when they do not. Pure.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// The code in `answer`, with LF line ends and one at its end; `None` if there is none.
///
/// A fence marked ruby that holds an agent, else any fence that does, else any fence marked ruby, else the whole text if it
/// looks like code. Of several the longest: the others are excerpts. A fence that the answer's end cuts off counts.
pub fn code(answer: &str) -> Option<String> {
    let answer = langop_proto::routing::normalise(answer);
    let fences = fences(&answer);
    let longest = |wanted: fn(&Fence) -> bool| {
        fences
            .iter()
            .filter(|fence| wanted(fence))
            .map(|fence| fence.text.as_str())
            .max_by_key(|text| text.len())
    };
    let code = longest(|fence| fence.is_ruby && holds_agent(&fence.text))
        .or_else(|| longest(|fence| holds_agent(&fence.text)))
        .or_else(|| longest(|fence| fence.is_ruby))
        .or_else(|| looks_like_code(&answer).then_some(answer.as_str()))?;
    Some(format!("{}\n", code.trim_matches('\n').trim_end()))
}

struct Fence {
    is_ruby: bool,
    text: String,
}

fn fences(answer: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    for event in Parser::new(answer) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                open = Some(Fence {
                    is_ruby: is_ruby(&info),
                    text: String::new(),
                });
            }
            Event::Text(text) => {
                if let Some(fence) = &mut open {
                    fence.text.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => fences.extend(open.take()),
            _ => {}
        }
    }
    fences
}

fn is_ruby(info: &str) -> bool {
    let language = info
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '{' | ':'))
        .next()
        .unwrap_or_default();
    language.eq_ignore_ascii_case("ruby") || language.eq_ignore_ascii_case("rb")
}

fn holds_agent(text: &str) -> bool {
    text.lines().any(is_agent_line)
}

fn is_agent_line(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("agent") else {
        return false;
    };
    rest.trim_start_matches([' ', '(']).starts_with(['\'', '"'])
}

/// The first line that says something must already be code: prose before it is not cut away by guessing.
fn looks_like_code(text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| line.starts_with("require ") || is_agent_line(line))
        && holds_agent(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "require 'language_operator'\nagent 'agent' do\n  objectives ['x']\nend\n";

    #[test]
    fn finds_the_code_however_it_is_wrapped() {
        let excerpt = "agent 'agent' do\nend";
        let cases = [
            ("the fence alone", format!("```ruby\n{AGENT}```")),
            ("rb", format!("```rb\n{AGENT}```\n")),
            (
                "attributes",
                format!("```Ruby title=\"agent.rb\"\n{AGENT}```\n"),
            ),
            (
                "prose around",
                format!("Here it is:\n\n```ruby\n{AGENT}```\n\nIt watches `x`."),
            ),
            ("tildes", format!("~~~ruby\n{AGENT}~~~")),
            ("no language", format!("Sure!\n```\n{AGENT}```")),
            ("wrong language", format!("```python\n{AGENT}```")),
            (
                "a shell command first",
                format!("```sh\ncat agent.rb\n```\n```\n{AGENT}```"),
            ),
            (
                "an excerpt after",
                format!("```ruby\n{AGENT}```\nOr:\n```ruby\n{excerpt}\n```"),
            ),
            (
                "an excerpt before",
                format!("```ruby\n{excerpt}\n```\nIn full:\n```ruby\n{AGENT}```"),
            ),
            (
                "in a list",
                format!(
                    "1. Save this:\n\n   ```ruby\n   {}\n   ```",
                    AGENT.trim_end().replace('\n', "\n   ")
                ),
            ),
            ("no fence", AGENT.to_owned()),
            ("no fence, a comment first", format!("\n{AGENT}")),
            (
                "line ends of another system",
                format!("```ruby\n{AGENT}```").replace('\n', "\r\n"),
            ),
            ("cut off", format!("```ruby\n{AGENT}")),
        ];
        for (what, answer) in cases {
            assert_eq!(code(&answer).as_deref(), Some(AGENT), "{what}");
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        for answer in [
            "",
            "I cannot help with that.",
            "Use an agent 'x' for this.",
            "```sh\nls\n```",
            "```json\n{}\n```",
        ] {
            assert_eq!(code(answer), None, "{answer}");
        }
    }

    #[test]
    fn a_ruby_fence_without_an_agent_is_for_the_checker() {
        assert_eq!(code("```ruby\nputs 1\n```").as_deref(), Some("puts 1\n"));
    }
}
