//! A place in the tokens of one sentence, and what a rule of the grammar gives. No rule lives here.

use jiff::Timestamp;
use langop_dsl::CronSchedule;

use super::spec::{Reason, Spec};
use super::token::Token;

/// A piece of a sentence that speaks of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fragment {
    /// What it says, or why that cannot be a schedule.
    pub(super) says: Result<Spec, Reason>,
    pub(super) strength: Strength,
}

/// How much a fragment says by itself.
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

impl Fragment {
    pub(super) fn new(strength: Strength, says: Result<Spec, Reason>) -> Self {
        Self { says, strength }
    }

    pub(super) fn recurring(spec: Spec) -> Self {
        Self::new(Strength::Recurring, Ok(spec))
    }

    pub(super) fn unsayable(reason: Reason) -> Self {
        Self::new(Strength::Recurring, Err(reason))
    }
}

/// A place between two tokens. A copy is a trial that can be thrown away.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'t> {
    tokens: &'t [Token],
    at: usize,
    now: Timestamp,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(tokens: &'t [Token], at: usize, now: Timestamp) -> Self {
        Self { tokens, at, now }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    /// The word that comes next.
    pub(super) fn word(&self) -> Option<&'t str> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// The word before.
    pub(super) fn word_before(&self) -> Option<&'t str> {
        Cursor {
            at: self.at.checked_sub(1)?,
            ..*self
        }
        .word()
    }

    /// Whether a clause starts here.
    pub(super) fn starts_clause(&self) -> bool {
        let before = self
            .at
            .checked_sub(1)
            .and_then(|before| self.tokens.get(before));
        matches!(before, None | Some(Token::Comma | Token::Dash))
            || matches!(self.word_before(), Some("please" | "then"))
    }

    /// Whether a clause ends here.
    pub(super) fn ends_clause(&self) -> bool {
        matches!(self.peek(), None | Some(Token::Comma | Token::Dash))
    }

    /// Passes the next word if it is one of `words`.
    pub(super) fn eat(&mut self, words: &[&str]) -> Option<&'t str> {
        let word = self.word().filter(|word| words.contains(word))?;
        self.skip();
        Some(word)
    }

    /// Passes the words of `phrase`, all or none.
    pub(super) fn eat_all(&mut self, phrase: &str) -> bool {
        self.attempt(|c| {
            phrase
                .split(' ')
                .try_for_each(|word| c.eat(&[word]).map(|_| ()))
        })
        .is_some()
    }

    /// Passes the next token if it is `token`.
    pub(super) fn eat_token(&mut self, token: &Token) -> Option<()> {
        (self.peek() == Some(token)).then(|| self.skip())
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        let Some(Token::Number(number)) = self.peek() else {
            return None;
        };
        self.skip();
        Some(*number)
    }

    pub(super) fn ordinal(&mut self) -> Option<u8> {
        let Some(Token::Ordinal(number)) = self.peek() else {
            return None;
        };
        self.skip();
        Some(*number)
    }

    /// What stands between the items of a list.
    pub(super) fn separator(&mut self) -> Option<()> {
        let comma = self.eat_token(&Token::Comma);
        let word = self.eat(&["and", "or"]).map(|_| ());
        comma.or(word)
    }

    /// Tries `rule`; if it fails, nothing has been passed.
    pub(super) fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let mut trial = *self;
        let result = rule(&mut trial)?;
        *self = trial;
        Some(result)
    }

    /// Whether `name` is the exact IANA name of a time zone.
    pub(super) fn is_zone(&self, name: &str) -> bool {
        CronSchedule::parse("0 0 * * *", Some(name), self.now).is_ok()
    }
}
