//! The bounds an agent is told to keep: "at most 10 iterations", "stop after 10 minutes". Clear ones only.

use jiff::Timestamp;
use langop_dsl::{Constraints, MAX_DURATION_SECONDS, MAX_ITERATIONS};

use super::super::text::Sentence;
use super::cursor::Cursor;
use super::recur;
use super::token::{Token, tokens};

const AT_MOST: &[&str] = &[
    "at most",
    "no more than",
    "not more than",
    "up to",
    "a maximum of",
    "maximum of",
    "maximum",
    "max",
];
const NOT: &[&str] = &["don't", "dont", "never", "not"];

/// The bounds that `sentences` name; of two different ones neither.
pub(in super::super) fn read(sentences: &[Sentence]) -> Constraints {
    bounds(
        &sentences
            .iter()
            .map(|sentence| tokens(&sentence.text))
            .collect::<Vec<_>>(),
    )
}

/// The bounds that one sentence names.
pub(super) fn of(sentence: &str) -> Constraints {
    bounds(&[tokens(sentence)])
}

fn bounds(sentences: &[Vec<Token>]) -> Constraints {
    Constraints {
        max_iterations: only(sentences, iterations)
            .filter(|most| (1..=MAX_ITERATIONS).contains(most)),
        timeout_seconds: only(sentences, timeout)
            .filter(|seconds| (1..=MAX_DURATION_SECONDS).contains(seconds)),
    }
}

/// What `rule` finds, if it finds one thing only.
fn only<T: PartialEq + Copy>(
    sentences: &[Vec<Token>],
    rule: impl Fn(&mut Cursor<'_>) -> Option<T>,
) -> Option<T> {
    let places = sentences
        .iter()
        .flat_map(|tokens| (0..tokens.len()).map(move |at| (tokens, at)));
    // no rule here looks at the clock
    let mut found =
        places.filter_map(|(tokens, at)| rule(&mut Cursor::new(tokens, at, Timestamp::UNIX_EPOCH)));
    let first = found.next()?;
    found.all(|next| next == first).then_some(first)
}

fn iterations(c: &mut Cursor<'_>) -> Option<u32> {
    const ROUNDS: &[&str] = &[
        "iteration",
        "iterations",
        "round",
        "rounds",
        "turn",
        "turns",
    ];
    let before = c.attempt(|c| {
        at_most(c)?;
        let most = c.number()?;
        c.eat(ROUNDS).map(|_| most)
    });
    let after = || {
        c.attempt(|c| {
            let most = c.number()?;
            c.eat(ROUNDS)?;
            c.eat(&["max", "maximum"])
                .is_some()
                .then_some(most)
                .or_else(|| c.eat_all("at most").then_some(most))
        })
    };
    before.or_else(after)
}

fn at_most(c: &mut Cursor<'_>) -> Option<()> {
    AT_MOST.iter().any(|words| c.eat_all(words)).then_some(())
}

fn timeout(c: &mut Cursor<'_>) -> Option<u64> {
    if c.word_before().is_some_and(|word| NOT.contains(&word)) {
        return None;
    }
    let seconds = c.attempt(|c| {
        if c.eat(&["abort", "quit", "stop", "timeout"]).is_none()
            && !c.eat_all("give up")
            && !c.eat_all("time out")
        {
            return None;
        }
        if c.eat(&["after", "of"]).is_none() {
            c.eat_token(&Token::Comma)?;
        }
        recur::seconds(c)
    });
    let seconds = seconds.or_else(|| {
        c.attempt(|c| {
            c.eat(&["run", "take", "work"])?;
            let _ = c.eat(&["for"]);
            if !c.eat_all("no longer than") {
                at_most(c)?;
            }
            recur::seconds(c)
        })
    })?;
    (c.ends_clause() || matches!(c.word(), Some("and" | "or"))).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::super::super::text::sentences;
    use super::*;

    #[test]
    fn reads_clear_bounds_only() {
        for (text, max_iterations, timeout_seconds) in [
            ("Use at most 10 iterations.", Some(10), None),
            ("Stop after 10 minutes.", None, Some(600)),
            (
                "No more than twenty rounds, and give up after half an hour",
                Some(20),
                Some(1800),
            ),
            ("Timeout: 90 seconds. Max 5 iterations.", Some(5), Some(90)),
            ("Run for at most 2 hours and 30 minutes.", None, Some(9000)),
            ("5 iterations at most", Some(5), None),
            ("Stop after 10 minutes of silence.", None, None),
            ("Do not stop after 10 minutes.", None, None),
            ("Stop after 10 minutes. Stop after 20 minutes.", None, None),
            (
                "Stop after 10 minutes. Really stop after 600 seconds.",
                None,
                Some(600),
            ),
            ("At most 0 iterations; at most 99999999 rounds", None, None),
            ("Send at most 10 emails every 5 minutes.", None, None),
            ("", None, None),
        ] {
            let expected = Constraints {
                max_iterations,
                timeout_seconds,
            };
            assert_eq!(read(&sentences(text)), expected, "{text}");
        }
    }
}
