//! Finds the code in an answer. Models are told to answer with one fence; this is for when they do
//! not. Pure: it chooses among what is there and changes no line of it.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// Tags between which models think aloud before they answer.
const THOUGHTS: [(&str, &str); 2] = [("<think>", "</think>"), ("<thinking>", "</thinking>")];

/// The code in `answer`, with LF line ends and one at its end; `None` if there is none.
///
/// What the model thought aloud is no answer. Of several fences that hold a whole agent the last
/// counts: the earlier ones are drafts, repeated questions and what it corrects itself about. Where
/// none is whole, lines from the `require` to the agent's `end` without a fence, or around one that
/// the code itself holds; else the longest piece there is, for the checker to judge.
pub fn code(answer: &str) -> Option<String> {
    let answer = langop_proto::routing::normalise(answer);
    let answer = without_thoughts(answer.trim_start_matches('\u{feff}'))?;
    let code = find(answer)?;
    let code = code.trim_start_matches(['\u{feff}', '\n']);
    let code = code.trim_end();
    (!code.is_empty()).then(|| format!("{code}\n"))
}

fn find(answer: &str) -> Option<String> {
    let fences = fences(answer);
    let last_whole = |is_ruby: bool| {
        let whole = |fence: &&Fence| fence.is_ruby == is_ruby && is_whole(&fence.text);
        fences.iter().rfind(whole).map(|fence| fence.text.clone())
    };
    let longest = |wanted: fn(&Fence) -> bool| {
        let candidates = fences.iter().filter(|fence| wanted(fence));
        candidates
            .map(|fence| fence.text.clone())
            .max_by_key(String::len)
    };
    let whole = last_whole(true).or_else(|| last_whole(false));
    if let Some(whole) = whole.or_else(|| joined(&fences)) {
        return Some(whole);
    }
    let unfenced = unfenced(answer).map(str::to_owned);
    if let Some(piece) = longest(|fence| fence.is_ruby && holds_agent(&fence.text)) {
        return unfenced
            .filter(|around| !piece.contains(around.as_str()))
            .or(Some(piece));
    }
    unfenced
        .or_else(|| longest(|fence| holds_agent(&fence.text)))
        .or_else(|| longest(|fence| fence.is_ruby))
        .or_else(|| cut_off(answer))
}

/// An agent that was told in several fences, with words between them.
fn joined(fences: &[Fence]) -> Option<String> {
    let parts = fences.iter().filter(|fence| fence.is_ruby);
    let joined: String = parts.map(|fence| fence.text.as_str()).collect();
    Some(joined).filter(|code| is_whole(code))
}

/// The answer after what was thought; `None` if the thinking never ended.
fn without_thoughts(mut answer: &str) -> Option<&str> {
    loop {
        let start = answer.trim_start();
        let Some((open, close)) = THOUGHTS.iter().find(|(open, _)| start.starts_with(open)) else {
            return Some(answer);
        };
        answer = start[open.len()..].split_once(close)?.1;
    }
}

/// Whether it is all of an agent's code and nothing else, as far as can be seen from outside.
fn is_whole(text: &str) -> bool {
    let mut lines = text.lines().filter(|line| says_something(line));
    lines.next().is_some_and(is_require_line)
        && lines.next_back().is_some_and(|line| line.trim() == "end")
        && holds_agent(text)
}

/// From the last `require` at the start of a line to the last `end` that is a line, with an agent
/// between them.
fn unfenced(answer: &str) -> Option<&str> {
    let from = &answer[last_require(answer)?..];
    let end = lines_with_offsets(from)
        .filter(|(_, line)| line.trim_end() == "end")
        .map(|(offset, line)| offset + line.len())
        .last()?;
    Some(&from[..end]).filter(|code| holds_agent(code))
}

/// Code without a fence whose end is missing: an answer that was cut off, or that starts with the
/// agent.
fn cut_off(answer: &str) -> Option<String> {
    let start = if let Some(start) = last_require(answer) {
        start
    } else {
        let first = lines_with_offsets(answer).find(|(_, line)| says_something(line));
        first.filter(|(_, line)| is_agent_line(line))?.0
    };
    Some(answer[start..].to_owned()).filter(|code| holds_agent(code))
}

fn last_require(answer: &str) -> Option<usize> {
    lines_with_offsets(answer)
        .filter(|(_, line)| is_require_line(line))
        .map(|(offset, _)| offset)
        .last()
}

fn lines_with_offsets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut offset = 0;
    text.split('\n').map(move |line| {
        let start = offset;
        offset += line.len() + 1;
        (start, line)
    })
}

/// Neither empty nor a comment.
fn says_something(line: &str) -> bool {
    let line = line.trim_start_matches('\u{feff}').trim_start();
    !line.is_empty() && !line.starts_with('#')
}

fn is_require_line(line: &str) -> bool {
    let rest = line
        .trim_start_matches('\u{feff}')
        .strip_prefix("require")
        .unwrap_or_default();
    rest.trim_start_matches([' ', '('])
        .trim_start_matches(['\'', '"', '‘', '“'])
        .starts_with("language_operator")
}

struct Fence {
    is_ruby: bool,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fenced,
    Indented,
}

/// The blocks of code in order. Fences that are indented so far that they make one block count as
/// what they look like.
fn fences(answer: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    for (kind, block) in blocks(answer) {
        let inner = match kind {
            Kind::Indented => blocks(&block.text),
            Kind::Fenced => Vec::new(),
        };
        let nested = inner.into_iter().filter(|(kind, _)| *kind == Kind::Fenced);
        let found: Vec<Fence> = nested.map(|(_, fence)| fence).collect();
        if found.is_empty() {
            fences.push(block);
        } else {
            fences.extend(found);
        }
    }
    fences
}

fn blocks(answer: &str) -> Vec<(Kind, Fence)> {
    let (mut blocks, mut open) = (Vec::new(), None);
    for event in Parser::new(answer) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => open = Some(opened(&kind)),
            Event::Text(text) => {
                if let Some((_, fence)) = &mut open {
                    fence.text.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
            _ => {}
        }
    }
    blocks
}

fn opened(kind: &CodeBlockKind<'_>) -> (Kind, Fence) {
    let (kind, is_ruby) = match kind {
        CodeBlockKind::Fenced(info) => (Kind::Fenced, is_ruby(info)),
        CodeBlockKind::Indented => (Kind::Indented, false),
    };
    let text = String::new();
    (kind, Fence { is_ruby, text })
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

/// Typographic quotes are wrong, but they are for the checker to say so.
fn is_agent_line(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_prefix("agent") else {
        return false;
    };
    rest.trim_start_matches([' ', '('])
        .starts_with(['\'', '"', '‘', '“'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "require 'language_operator'\nagent 'agent' do\n  objectives ['x']\nend\n";

    #[test]
    fn finds_the_code_however_it_is_wrapped() {
        let excerpt = "agent 'agent' do\nend";
        let (head, body) = AGENT.split_once("  obj").unwrap();
        let (head, body) = (head.trim_end(), format!("  obj{body}"));
        let longer = AGENT.replace("'x'", "'x', 'y'");
        let indented = AGENT.replace('\n', "\n    ");
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
            (
                "prose around and no fence",
                format!("Sure:\n\n{AGENT}\nThis agent is done."),
            ),
            (
                "a draft before",
                format!("```ruby\n{longer}```\nThat is wrong:\n```ruby\n{AGENT}```"),
            ),
            (
                "a draft in thoughts",
                format!("<think>\n```ruby\n{AGENT}```\nHm.</think>\n```\n{AGENT}```"),
            ),
            (
                "parts",
                format!("Head:\n```ruby\n{head}\n```\nBody:\n```ruby\n{body}```"),
            ),
            ("a BOM", format!("\u{feff}{AGENT}")),
            (
                "a command that writes it",
                format!("```sh\ncat > agent.rb <<'EOF'\n{AGENT}EOF\n```"),
            ),
            (
                "fences too far in",
                format!("Here:\n\n    ```ruby\n    {}\n    ```", indented.trim_end()),
            ),
        ];
        for (what, answer) in cases {
            assert_eq!(code(&answer).as_deref(), Some(AGENT), "{what}");
        }
    }

    #[test]
    fn a_fence_in_the_code_does_not_end_it() {
        let agent = AGENT.replace("'x'", "'Answer in\n```\na fence\n```\n'");
        for answer in [format!("```ruby\n{agent}```"), agent.clone()] {
            assert_eq!(code(&answer).as_deref(), Some(agent.as_str()), "{answer}");
        }
    }

    #[test]
    fn what_follows_the_agent_in_its_fence_is_for_the_checker() {
        let agent = format!("{AGENT}puts 1\n");
        let answer = format!("```ruby\n{agent}```\nDone.");
        assert_eq!(code(&answer).as_deref(), Some(agent.as_str()));
    }

    #[test]
    fn what_is_no_code_is_none() {
        for answer in [
            "",
            "<think>\n```ruby\nrequire 'language_operator'\nagent 'a' do\nend\n```\n",
            "I cannot help with that.",
            "Use an agent 'x' for this.",
            "```sh\nls\n```",
            "```ruby\n```",
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
