//! A fragment in its sentence, and the words around it. Says what is there, not what it means.

use super::cursor::{Fragment, Strength};
use super::spec::{Reason, Spec};
use super::token::Token;

/// A fragment and where it stands.
pub(super) struct Piece {
    pub(super) fragment: Fragment,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Piece {
    pub(super) fn spec(&self) -> Option<&Spec> {
        self.fragment.says.as_ref().ok()
    }

    pub(super) fn is(&self, strength: Strength) -> bool {
        self.fragment.strength == strength
    }

    /// An hour that could be when to run.
    pub(super) fn names_a_time(&self) -> bool {
        match &self.fragment.says {
            Ok(spec) => spec.times.is_some(),
            Err(reason) => matches!(reason, Reason::BareHour | Reason::TimeZone),
        }
    }

    pub(super) fn is_weekday(&self) -> bool {
        self.spec().is_some_and(|spec| spec.weekdays.is_some())
    }
}

/// The word at a place.
pub(super) fn word(tokens: &[Token], at: Option<usize>) -> Option<&str> {
    match tokens.get(at?) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

/// Up to `count` words before `end`, back to the last comma.
pub(super) fn words_before(tokens: &[Token], end: usize, count: usize) -> Vec<&str> {
    let start = end.saturating_sub(count);
    let start = (start..end)
        .rfind(|at| tokens[*at] == Token::Comma)
        .map_or(start, |comma| comma + 1);
    (start..end)
        .filter_map(|at| word(tokens, Some(at)))
        .collect()
}
