//! Keys that people paste where they do not belong, known by the shapes that their issuers gave
//! them for exactly this: finds them in a text, and takes them out. Pure; knows no key itself, and
//! never says more of one than what sort it is.
//!
//! Few and precise on purpose. A shape counts only with its whole length and alphabet, and only
//! with as many different characters as random ones have, so that placeholders, hashes and names
//! are no false alarm.

use std::borrow::Cow;
use std::ops::Range;

/// What stands for a secret that was taken out.
pub const REMOVED: &str = "[secret removed]";

/// Fewest different characters in the random part: `xxxx…` and `1234…` stand for a key.
const LEAST_VARIETY: usize = 10;

/// A secret in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What sort of secret, with its article: `a GitHub token`.
    pub sort: &'static str,
    /// Where it is, in bytes.
    pub range: Range<usize>,
}

impl Secret {
    /// On which line of `text` it begins, from 1.
    pub fn line(&self, text: &str) -> usize {
        let before = text.get(..self.range.start).unwrap_or_default();
        1 + before.matches('\n').count()
    }
}

/// How an issuer writes a kind of key: what it begins with, and how many characters of which
/// alphabet follow.
struct Shape {
    sort: &'static str,
    prefix: &'static str,
    alphabet: fn(u8) -> bool,
    lengths: Range<usize>,
}

const fn shape(
    sort: &'static str,
    prefix: &'static str,
    alphabet: fn(u8) -> bool,
    lengths: Range<usize>,
) -> Shape {
    Shape {
        sort,
        prefix,
        alphabet,
        lengths,
    }
}

const LONGEST: usize = 512;

const AWS: &str = "an AWS access key id";
const GITHUB: &str = "a GitHub token";
const GITLAB: &str = "a GitLab token";
const OPENAI: &str = "an OpenAI API key";
const ANTHROPIC: &str = "an Anthropic API key";
const SLACK: &str = "a Slack token";
const GOOGLE: &str = "a Google API key";
const STRIPE: &str = "a Stripe key";
const PRIVATE_KEY: &str = "a private key";

/// Longer prefixes before those that they begin with.
static SHAPES: [Shape; 23] = [
    shape(AWS, "AKIA", is_base32, 16..17),
    shape(AWS, "ASIA", is_base32, 16..17),
    shape(GITHUB, "ghp_", is_alphanumeric, 36..LONGEST),
    shape(GITHUB, "gho_", is_alphanumeric, 36..LONGEST),
    shape(GITHUB, "ghu_", is_alphanumeric, 36..LONGEST),
    shape(GITHUB, "ghs_", is_alphanumeric, 36..LONGEST),
    shape(GITHUB, "ghr_", is_alphanumeric, 36..LONGEST),
    shape(GITHUB, "github_pat_", is_word, 36..LONGEST),
    shape(GITLAB, "glpat-", is_url_safe, 20..LONGEST),
    shape(ANTHROPIC, "sk-ant-", is_url_safe, 40..LONGEST),
    shape(OPENAI, "sk-proj-", is_url_safe, 40..LONGEST),
    shape(OPENAI, "sk-svcacct-", is_url_safe, 40..LONGEST),
    shape(OPENAI, "sk-admin-", is_url_safe, 40..LONGEST),
    shape(OPENAI, "sk-", is_alphanumeric, 48..49),
    shape(SLACK, "xoxb-", is_slack, 20..LONGEST),
    shape(SLACK, "xoxp-", is_slack, 20..LONGEST),
    shape(SLACK, "xoxa-", is_slack, 20..LONGEST),
    shape(SLACK, "xoxs-", is_slack, 20..LONGEST),
    shape(SLACK, "xoxr-", is_slack, 20..LONGEST),
    shape(SLACK, "xapp-", is_slack, 20..LONGEST),
    shape(GOOGLE, "AIza", is_url_safe, 35..36),
    shape(STRIPE, "sk_live_", is_alphanumeric, 24..LONGEST),
    shape(STRIPE, "rk_live_", is_alphanumeric, 24..LONGEST),
];

fn is_base32(byte: u8) -> bool {
    byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_slack(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// The secrets in `text`, in its order; none overlaps another.
pub fn find(text: &str) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = next_start(text, at) {
        let secret = private_key(text, start).or_else(|| shaped(text, start));
        at = secret.as_ref().map_or(start + 1, |secret| secret.range.end);
        found.extend(secret);
    }
    found
}

/// `text` with [`REMOVED`] in place of each secret.
pub fn mask(text: &str) -> Cow<'_, str> {
    let found = find(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    let mut rest = 0;
    for secret in found {
        masked.push_str(&text[rest..secret.range.start]);
        masked.push_str(REMOVED);
        rest = secret.range.end;
    }
    masked.push_str(&text[rest..]);
    Cow::Owned(masked)
}

/// From `at` on, the first place at which a word begins that may be a secret: all shapes are ASCII,
/// and begin with one of these.
fn next_start(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_inside = |place: usize| place > 0 && is_word(bytes[place - 1]);
    (at..bytes.len()).find(|place| {
        matches!(bytes[*place], b'A' | b'g' | b's' | b'r' | b'x' | b'-') && !is_inside(*place)
    })
}

fn shaped(text: &str, start: usize) -> Option<Secret> {
    let rest = text.as_bytes().get(start..)?;
    let found = SHAPES.iter().find_map(|shape| {
        let body = rest.strip_prefix(shape.prefix.as_bytes())?;
        let length = body
            .iter()
            .take(LONGEST)
            .take_while(|byte| (shape.alphabet)(**byte))
            .count();
        // What goes on in another alphabet is a longer word of another kind.
        let ends = !body.get(length).is_some_and(|byte| is_word(*byte));
        let is_one = ends && shape.lengths.contains(&length) && is_random(&body[..length]);
        is_one.then_some((shape, shape.prefix.len() + length))
    });
    found.map(|(shape, length)| Secret {
        sort: shape.sort,
        range: start..start + length,
    })
}

/// Letters and digits, and enough different ones. Documentation's own key ends in this word.
fn is_random(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in body {
        seen[usize::from(*byte)] = true;
    }
    seen.into_iter().filter(|seen| *seen).count() >= LEAST_VARIETY
        && body.iter().any(u8::is_ascii_alphabetic)
        && body.iter().any(u8::is_ascii_digit)
        && !body.ends_with(b"EXAMPLE")
}

/// A private key in PEM, to its end, or to the end of the text if that is missing.
fn private_key(text: &str, start: usize) -> Option<Secret> {
    let rest = text.get(start..)?;
    let label = rest.strip_prefix("-----BEGIN ")?;
    let (label, body) = label.split_once("-----")?;
    if !label.ends_with("PRIVATE KEY") || label.len() > 40 {
        return None;
    }
    let holds_something = body
        .trim_start()
        .bytes()
        .take_while(|byte| byte.is_ascii_graphic() && *byte != b'-')
        .count();
    if holds_something < LEAST_VARIETY {
        return None;
    }
    let end = format!("-----END {label}-----");
    let length = rest.find(&end).map_or(rest.len(), |at| at + end.len());
    Some(Secret {
        sort: PRIVATE_KEY,
        range: start..start + length,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So many characters that look as random as a key's, of letters, digits and `more`. Made when
    /// the test runs, so that no text here looks like a key.
    fn random(length: usize, more: &str) -> String {
        let alphabet: Vec<char> = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(more.chars())
            .collect();
        (0..length)
            .map(|at| alphabet[(at * at * 7 + at * 31 + 5) % alphabet.len()])
            .collect()
    }

    fn base32(length: usize) -> String {
        let alphabet: Vec<char> = ('A'..='Z').chain('2'..='7').collect();
        (0..length)
            .map(|at| alphabet[(at * at * 5 + at * 7 + 27) % alphabet.len()])
            .collect()
    }

    fn pem(kind: &str) -> String {
        let dashes = "-".repeat(5);
        let body = random(64, "+/");
        format!("{dashes}BEGIN {kind}KEY{dashes}\n{body}\n{body}\n{dashes}END {kind}KEY{dashes}")
    }

    /// One of each kind.
    fn keys() -> Vec<(&'static str, String)> {
        let joined = |prefix: [&str; 2], body: String| format!("{}{body}", prefix.concat());
        vec![
            (AWS, joined(["AK", "IA"], base32(16))),
            (AWS, joined(["AS", "IA"], base32(16))),
            (GITHUB, joined(["gh", "p_"], random(36, ""))),
            (GITHUB, joined(["gh", "s_"], random(36, ""))),
            (GITHUB, joined(["github", "_pat_"], random(82, "_"))),
            (GITLAB, joined(["gl", "pat-"], random(20, ""))),
            (ANTHROPIC, joined(["sk-", "ant-"], random(95, "-_"))),
            (OPENAI, joined(["sk-", "proj-"], random(120, "-_"))),
            (OPENAI, joined(["s", "k-"], random(48, ""))),
            (
                SLACK,
                joined(["xo", "xb-"], format!("12345678901-{}", random(24, ""))),
            ),
            (GOOGLE, joined(["AI", "za"], random(35, ""))),
            (STRIPE, joined(["sk_", "live_"], random(24, ""))),
            (PRIVATE_KEY, pem("PRIVATE ")),
            (PRIVATE_KEY, pem("RSA PRIVATE ")),
            (PRIVATE_KEY, pem("OPENSSH PRIVATE ")),
        ]
    }

    #[test]
    fn each_kind_is_found_whole_and_taken_out_wherever_it_stands() {
        for (sort, key) in keys() {
            for (before, after) in [
                ("", ""),
                ("use ", " for it"),
                ("key=\"", "\"\n"),
                ("Schlüssel:\n", "."),
                ("(", ")"),
                ("https://x:", "@host"),
            ] {
                let text = format!("{before}{key}{after}");
                let range = before.len()..before.len() + key.len();
                assert_eq!(
                    find(&text),
                    [Secret { sort, range }],
                    "{sort} after {before:?}"
                );
                assert_eq!(mask(&text), format!("{before}{REMOVED}{after}"));
                assert_eq!(find(&text)[0].line(&text), 1 + before.matches('\n').count());
            }
        }
    }

    #[test]
    fn several_are_found_in_order() {
        let lines: Vec<String> = keys().into_iter().map(|(_, key)| key + "\n").collect();
        let text = lines.concat();
        let sorts: Vec<&str> = find(&text).iter().map(|secret| secret.sort).collect();
        let all: Vec<&str> = keys().iter().map(|(sort, _)| *sort).collect();
        assert_eq!(sorts, all);
        assert_eq!(mask(&text), format!("{REMOVED}\n").repeat(all.len()));
    }

    #[test]
    fn a_key_that_is_cut_off_is_a_key_of_pem_alone() {
        let whole = pem("EC PRIVATE ");
        let cut = &whole[..60];
        assert_eq!(mask(&format!("x {cut}")), format!("x {REMOVED}"));
        let token = ["gh", "p_", &random(20, "")].concat();
        assert_eq!(mask(&token), token);
    }

    #[test]
    fn ordinary_words_hashes_and_placeholders_are_no_secrets() {
        let placeholder = |prefix: [&str; 2], body: &str, times: usize| {
            format!("{}{}", prefix.concat(), body.repeat(times))
        };
        for harmless in [
            "Ask the risk-assessment tool about sk-learn and task-runner".to_owned(),
            "44b1c47aaca3f0e1d2c3b4a5968778695a4b3c2d1e0ff1e2d3c4b5a69788796a".to_owned(),
            "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331".to_owned(),
            "550e8400-e29b-41d4-a716-446655440000".to_owned(),
            "AKIASCHOOL is a school in ASIAPACIFICREGION".to_owned(),
            // what documentation writes
            ["AK", "IA", "IOSFODNN7", "EXAMPLE"].concat(),
            placeholder(["gh", "p_"], "x", 36),
            placeholder(["sk-", "ant-"], "your-key-here", 4),
            placeholder(["s", "k-"], "0", 48),
            placeholder(["xo", "xb-"], "your-token-", 3),
            // a word that only ends like one, and one that goes on
            ["x", "AK", "IA", &base32(16)].concat(),
            ["AK", "IA", &base32(17)].concat(),
            // what is public, or no key
            pem("PUBLIC "),
            format!("{0}BEGIN PRIVATE KEY{0} is how it begins", "-".repeat(5)),
        ] {
            assert_eq!(find(&harmless), [], "{harmless}");
            assert!(matches!(mask(&harmless), Cow::Borrowed(_)));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_what_is_masked_holds_none(
            text in "(\\PC|\n|sk-|ghp_|AKIA|-----BEGIN ){0,40}", which in 0..15_usize,
        ) {
            let (_, key) = &keys()[which];
            let cut = text.floor_char_boundary(text.len() / 2);
            let text = format!("{} {key} {}", &text[..cut], &text[cut..]);
            let masked = mask(&text);
            prop_assert!(!masked.contains(key.as_str()));
            prop_assert!(find(&masked).is_empty());
        }
    }
}
