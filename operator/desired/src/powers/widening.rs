//! What is more than before, in words: bounded, and cleaned of what is not seen. Knows no power.

use std::fmt;

use langop_dsl::clean;

/// Most characters of a name or an address that are shown.
const MAX_SHOWN: usize = 120;
/// Most entries of a list that are named one by one.
const MAX_NAMED: usize = 3;
/// Most bytes of all that is said of a difference: less than a condition's message may have.
const MAX_WORDS: usize = 1000;

/// One thing that somebody may and could not before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Widening {
    /// There was nothing of the sort.
    New(String),
    /// There was less of it.
    More {
        /// Of what; empty where that says itself.
        what: String,
        /// What it is now.
        now: String,
        /// What it was.
        before: String,
    },
}

impl Widening {
    pub(super) fn new(power: impl Into<String>) -> Self {
        Self::New(power.into())
    }

    pub(super) fn more(now: impl Into<String>, before: impl Into<String>) -> Self {
        Self::More {
            what: String::new(),
            now: now.into(),
            before: before.into(),
        }
    }

    /// Where nothing is known of what was allowed before: everything is new.
    pub fn of_unknown(why: &impl fmt::Display) -> Self {
        Self::New(format!("everything, because {}", shown(&why.to_string())))
    }

    /// The words for whoever looks at it the other way round: what is less than before.
    pub fn undone(&self) -> String {
        match self {
            Self::New(power) => format!("no longer: {power}"),
            Self::More { what, now, before } => format!("{what}{before} instead of {now}"),
        }
    }
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(power) => write!(f, "new: {power}"),
            Self::More { what, now, before } => write!(f, "{what}{now} instead of {before}"),
        }
    }
}

/// All of it in one text of at most a thousand bytes, for a condition or an event.
pub fn in_words(widenings: &[Widening]) -> String {
    let mut words = String::new();
    for (index, widening) in widenings.iter().enumerate() {
        let next = widening.to_string();
        let left = format!("; and {} more", widenings.len() - index);
        if words.len() + next.len() + left.len() + 2 > MAX_WORDS {
            words.push_str(left.trim_start_matches(if words.is_empty() { "; and " } else { "" }));
            break;
        }
        if !words.is_empty() {
            words.push_str("; ");
        }
        words.push_str(&next);
    }
    words
}

/// A text of others, on one line and short.
pub(super) fn shown(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The first entries of a list, and how many there are beside them.
pub(super) fn listed<T: ToString>(entries: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = entries.into_iter().map(|entry| entry.to_string()).collect();
    let named = all.iter().take(MAX_NAMED);
    let named: Vec<String> = named.map(|text| shown(text)).collect();
    match all.len().checked_sub(MAX_NAMED) {
        None | Some(0) => named.join(", "),
        Some(more) => format!("{} and {more} more", named.join(", ")),
    }
}
