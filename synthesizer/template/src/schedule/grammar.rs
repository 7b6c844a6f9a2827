//! Reads `grammar.txt` and applies its rules. Knows patterns and where they stand, not what they
//! mean: that is `meaning`'s.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::spec::Reason;

const SOURCE: &str = include_str!("grammar.txt");

/// How much a match says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// That something recurs: "every Monday", "twice a day".
    Recurring,
    /// Probably so, unless something else says when: "a weekly report".
    Hint,
    /// A day or a time that counts only beside something that recurs: "on Monday", "at 5pm".
    Loose,
    /// The same without a preposition, which must stand right beside it: "5pm".
    Bare,
}

/// What decides the strength of a rule's matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// The rule.
    Is(Strength),
    /// The rule, but it holds only right after something that recurs by day.
    Beside(Strength),
    /// "second" must not go on to "every second email".
    Second,
    /// What stands around an adverb: "daily" alone recurs, "a daily report" is a hint.
    Adverb,
    /// How the weekdays are introduced.
    Days,
}

/// One rule.
pub(super) struct Rule {
    pub(super) worth: Worth,
    /// Why what it matches cannot be a schedule.
    pub(super) reason: Option<Reason>,
    pub(super) pattern: Regex,
}

/// The rules that match at the start of `text`, in their order.
pub(super) fn matching(text: &str) -> impl Iterator<Item = &'static Rule> {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| parse(SOURCE));
    static ALL: LazyLock<RegexSet> = LazyLock::new(|| {
        let patterns = RULES.iter().map(|rule| rule.pattern.as_str());
        RegexSet::new(patterns).unwrap_or_default()
    });
    ALL.matches(text).into_iter().map(|at| &RULES[at])
}

fn parse(source: &str) -> Vec<Rule> {
    let mut parts: Vec<(String, String)> = Vec::new();
    let mut rules = Vec::new();
    for line in source.lines().filter(|line| !line.starts_with('#')) {
        let expand = |text: &str| {
            let parts = parts.iter().rev();
            parts.fold(text.to_owned(), |text, (name, part)| {
                text.replace(name, part)
            })
        };
        let is_name = |name: &str| {
            name.trim()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        if let Some((name, part)) = line.split_once("= ").filter(|(name, _)| is_name(name)) {
            parts.push((format!("{{{}}}", name.trim()), expand(part)));
        } else if let Some((head, pattern)) = line.split_once(": ") {
            let (pattern, next) = pattern.split_once(" > ").unwrap_or((pattern, ""));
            rules.extend(rule(head, &expand(pattern), &expand(next)));
        }
    }
    rules
}

fn rule(head: &str, pattern: &str, next: &str) -> Option<Rule> {
    let (worth, reason) = head.split_once(' ').unwrap_or((head, ""));
    Some(Rule {
        worth: match worth {
            "recurring" => Worth::Is(Strength::Recurring),
            "loose" => Worth::Is(Strength::Loose),
            "bare" => Worth::Is(Strength::Bare),
            "beside" => Worth::Beside(Strength::Loose),
            "bare-beside" => Worth::Beside(Strength::Bare),
            "second" => Worth::Second,
            "adverb" => Worth::Adverb,
            "days" => Worth::Days,
            _ => return None,
        },
        reason: if reason.is_empty() {
            None
        } else {
            Some(Reason::named(reason)?)
        },
        pattern: Regex::new(&format!("^(?P<it>(?:{pattern}) ){next}")).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_rule() {
        let heads = [
            "recurring",
            "loose",
            "bare",
            "beside",
            "second",
            "adverb",
            "days",
        ];
        let is_rule =
            |line: &&str| heads.iter().any(|head| line.starts_with(head)) && !line.contains("= ");
        assert_eq!(parse(SOURCE).len(), SOURCE.lines().filter(is_rule).count());
    }
}
