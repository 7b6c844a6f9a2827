//! The bounds an agent is told to keep: "at most 10 iterations", "stop after 10 minutes". Clear
//! ones only.

use langop_dsl::{Constraints, MAX_DURATION_SECONDS, MAX_ITERATIONS};

use crate::schedule::{agreed, grammar::Atom, seconds};

/// The bounds that sentences name; of two different ones neither.
pub(crate) fn read(sentences: &[Vec<Atom>]) -> Constraints {
    let said = |key| {
        sentences
            .iter()
            .flatten()
            .flat_map(move |atom| atom.says.all(key))
    };
    let most = agreed(said("most").map(|count| Ok(count.parse().ok())));
    let timeout = agreed(
        said("within")
            .map(|length| Ok(seconds(length).or_else(|| seconds(&format!("1 {length}"))))),
    );
    let most = most.ok().flatten().flatten();
    let timeout = timeout.ok().flatten().flatten();
    Constraints {
        max_iterations: most.filter(|most| (1..=MAX_ITERATIONS).contains(most)),
        timeout_seconds: timeout.filter(|seconds| (1..=MAX_DURATION_SECONDS).contains(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{schedule::grammar::atoms, text::sentences};

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
            let atoms: Vec<_> = sentences.iter().map(|s| atoms(&s.text)).collect();
            assert_eq!(read(&atoms), expected, "{text}");
        }
    }
}
