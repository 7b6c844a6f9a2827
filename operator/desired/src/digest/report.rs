//! What a container leaves in its termination message: a first line for people and, from a runtime
//! that keeps to our contract, a second one with its account of the run in JSON. All of it is the
//! container's own word, so each part is bounded and nothing else is read.

use langop_api::agent::RunTokens;
use serde::Deserialize;
use serde_json::Value;

use super::json::text;
use crate::observed::RunReport;

/// Longest text kept of how a container or a Job ended, in bytes.
const MAX_MESSAGE: usize = 256;
/// The most tokens of a kind that one run may say it spent: more than any model can give in the
/// time of a run.
const MAX_TOKENS: i64 = 1_000_000_000_000;
/// Version of the account that is understood.
const VERSION: i64 = 1;

/// The first line of what is said of how a container or a Job ended that is not blank, else the
/// reason: at most [`MAX_MESSAGE`] bytes.
pub(super) fn ending_message(ended: &Value) -> Option<String> {
    let mut lines = text(ended, "message").unwrap_or_default().lines();
    let line = lines.find(|line| !line.trim().is_empty());
    let line = line.or_else(|| text(ended, "reason"))?;
    // What a tool or a library says of its failure may hold the key that it failed with.
    let mut message = langop_dsl::clean(&langop_dsl::secrets::mask(line));
    let mut end = message.len().min(MAX_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    Some(message)
}

/// The account in the second line. The kubelet keeps the tail of a message that is too long, so a
/// line that is no account counts as none.
pub(super) fn run_report(ended: &Value) -> Option<RunReport> {
    let line = text(ended, "message")?.lines().nth(1)?;
    let account: Account = serde_json::from_str(line).ok()?;
    (account.v == VERSION).then(|| RunReport {
        is_skipped: account.outcome == "skipped",
        tokens: RunTokens {
            input: bounded(account.tokens.input),
            output: bounded(account.tokens.output),
            cached_input: bounded(account.tokens.cached_input),
        },
    })
}

fn bounded(count: i128) -> i64 {
    i64::try_from(count.max(0)).map_or(MAX_TOKENS, |count| count.min(MAX_TOKENS))
}

#[derive(Deserialize)]
struct Account {
    v: i64,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    tokens: Tokens,
}

/// Wider than what a runtime counts in, so that no count of its is unreadable.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tokens {
    input: i128,
    output: i128,
    cached_input: i128,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(message: &str) -> Value {
        json!({"exitCode": 0, "reason": "Completed", "message": message})
    }

    #[test]
    fn the_first_line_is_for_people_and_the_second_is_the_account() {
        let ended = ended(
            "sent 3 mails\n{\"v\":1,\"outcome\":\"succeeded\",\"tokens\":{\"input\":1234,\"output\":88,\"cachedInput\":5,\"missing\":2}}",
        );
        assert_eq!(ending_message(&ended).as_deref(), Some("sent 3 mails"));
        let report = run_report(&ended).unwrap();
        assert!(!report.is_skipped);
        let RunTokens {
            input,
            output,
            cached_input,
        } = report.tokens;
        assert_eq!((input, output, cached_input), (1234, 88, 5));
    }

    #[test]
    fn a_run_that_was_not_due_says_so() {
        let report = run_report(&ended("not due\n{\"v\":1,\"outcome\":\"skipped\"}")).unwrap();
        assert!(report.is_skipped);
        assert_eq!(report.tokens, RunTokens::default());
    }

    #[test]
    fn what_is_no_account_counts_as_none() {
        for message in [
            "",
            "one line",
            "a\nb",
            "a\n{\"v\":2,\"tokens\":{\"input\":7}}",
            "a\n{\"tokens\":{\"input\":7}}",
            "a\n{\"v\":1,\"tokens\":{\"input\":\"7\"}}",
            "{\"v\":1,\"tokens\":{\"input\":7}}",
        ] {
            assert_eq!(run_report(&ended(message)), None, "{message:?}");
        }
    }

    #[test]
    fn blank_lines_say_nothing() {
        let said = |message: &str| ending_message(&ended(message));
        assert_eq!(said("\n \ndisk full\n").as_deref(), Some("disk full"));
        assert_eq!(said(" \n").as_deref(), Some("Completed"));
        assert_eq!(said("").as_deref(), Some("Completed"));
    }

    #[test]
    fn a_key_in_the_last_words_of_a_container_is_not_told() {
        let key = ["gh", "p_", "Frhl3ZJHTtXPqW8vB2nM5kD7cR4yU6iO1aSs"].concat();
        let told = ending_message(&ended(&format!("401 for {key}"))).unwrap();
        assert_eq!(told, "401 for [secret removed]");
    }

    #[test]
    fn an_absurd_account_is_bounded() {
        for most in [u64::MAX, i64::MAX.unsigned_abs()] {
            let message = format!("a\n{{\"v\":1,\"tokens\":{{\"input\":{most},\"output\":-9}}}}");
            let tokens = run_report(&ended(&message)).unwrap().tokens;
            assert_eq!((tokens.input, tokens.output), (MAX_TOKENS, 0));
        }
        let long = ended(&"ä".repeat(1000));
        assert_eq!(ending_message(&long).unwrap().len(), MAX_MESSAGE);
    }
}
