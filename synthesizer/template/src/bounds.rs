//! The bounds an agent is told to keep: "at most 10 iterations", "stop after 10 minutes". Clear
//! ones only.

use std::sync::LazyLock;

use langop_dsl::{Constraints, MAX_DURATION_SECONDS, MAX_ITERATIONS};
use regex::Regex;

const ITERATIONS: &str = concat!(
    r"(?:^| )(?:(?:at most|no more than|not more than|up to|(?:a )?maximum of|maximum|max) ",
    r"#(?P<before>\d+) (?:iterations?|rounds?|turns?)",
    r"|#(?P<after>\d+) (?:iterations?|rounds?|turns?) (?:max|maximum|at most))\b",
);
const TIMEOUT: &str = concat!(
    r"(?:^| )(?P<not>(?:don't|dont|never|not) )?",
    r"(?:(?:abort|quit|stop|timeout|give up|time out) (?:after |of |, )",
    r"|(?:run|take|work) (?:for )?(?:no longer than|at most|no more than|not more than|up to",
    r"|(?:a )?maximum of|maximum|max) )",
    r"(?:an? )?(?:=(?P<seconds>\d+)|(?P<unit>second|minute|hour|day)) (?:, |- |and |or |$)",
);

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [ITERATIONS, TIMEOUT]
        .into_iter()
        .flat_map(Regex::new)
        .collect()
});

/// The bounds that sentences name, written as [`crate::schedule::tokens`] does; of two different
/// ones neither.
pub(crate) fn read(sentences: &[String]) -> Constraints {
    let [iterations, timeout] = PATTERNS.as_slice() else {
        return Constraints::default();
    };
    let iterations = only(sentences, iterations, &["before", "after"]);
    Constraints {
        max_iterations: iterations
            .and_then(|most| u32::try_from(most).ok())
            .filter(|most| (1..=MAX_ITERATIONS).contains(most)),
        timeout_seconds: only(sentences, timeout, &["seconds", "unit"])
            .filter(|seconds| (1..=MAX_DURATION_SECONDS).contains(seconds)),
    }
}

/// The number in one of `groups`, if `pattern` finds one number only.
fn only(texts: &[String], pattern: &Regex, groups: &[&str]) -> Option<u64> {
    let found = texts.iter().flat_map(|text| pattern.captures_iter(text));
    let meant = found.filter(|found| found.name("not").is_none());
    let mut numbers = meant.filter_map(|found| {
        let text = groups.iter().find_map(|group| found.name(group))?.as_str();
        match text {
            "second" => Some(1),
            "minute" => Some(60),
            "hour" => Some(3600),
            "day" => Some(86_400),
            _ => text.parse().ok(),
        }
    });
    let first = numbers.next()?;
    numbers.all(|next| next == first).then_some(first)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{schedule::tokens::tokens, text::sentences};

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
            let sentences = sentences(text);
            let tokens: Vec<String> = sentences.iter().map(|s| tokens(&s.text)).collect();
            assert_eq!(read(&tokens), expected, "{text}");
        }
    }
}
