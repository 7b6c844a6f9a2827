//! Whether a piece says when the agent runs, or speaks of something else: "at most twice a day",
//! "the meeting at 3pm", "the backup that runs every night". Where that is not clear, it speaks of
//! something else.

use super::grammar::Strength;
use super::meaning::{Piece, first_word, last_word};
use super::tokens::is_one_of;

/// Whether a piece says when the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relevance {
    Kept,
    /// When not.
    Excluded,
    /// Something else, perhaps: "the meeting at 3pm".
    Other,
    /// Surely something else: "at most twice a day", "tomorrow at 9".
    Dropped,
}

const LIMITS: &str = "exceed exceeding least limit max maximum most than";
const EXCEPTIONS: &str = "besides but except excluding";
const NEGATIONS: &str = "avoid don't dont instead never no not rather without";
/// "don't forget to …" is no negation.
const AFFIRMED: &str = "fail forget hesitate just miss only";
const OTHER_DAYS: &str = "this today tomorrow tonight yesterday";
/// Before a day that is over, to come, or a deadline.
const ONE_DAY: &str = "after before by coming following last next of past previous since than \
    this till until";
/// Before "every": counted things.
const EACH_OF: &str = "about for in like of over per than within";
const EVENTS: &str = "appointment appointments are arrives begins call calls class classes \
    closes deadline departs due ends event events flight flights is leaves lessons look looking \
    meeting meetings opens shift shifts standup starts train was were";
const SUBORDINATE: &str = "that where which who whose";
const CONDITIONS: &str = "if unless when whenever while";
/// What happens by itself: "the backup that runs every night".
const HAPPENS: &str = "are arrive arrived arrives change changed changes come comes created \
    executes expire expires fires generated happen happened happens held is log logs made occur \
    occurs open opens posted publishes published refreshes released reset resets run runs \
    scheduled sends sent start starts updated updates";
/// What may stand between such a verb and the piece: "arrives daily Mon-Fri".
const ADVERBS: &str = "annually daily hourly monthly quarterly weekly yearly";
/// "the backup runs every night" speaks of the backup, "the agent runs every night" does not.
const OWNED: &str = "her his its my our the their your";
const SELF: &str = "agent assistant bot must should will";

/// Up to `count` words at the end of `text`, back to its last comma.
pub(super) fn words_before(text: &str, count: usize) -> Vec<&str> {
    let tokens = text
        .split_whitespace()
        .rev()
        .take(count)
        .take_while(|token| *token != ",");
    let mut words: Vec<&str> = tokens
        .map(first_word)
        .filter(|word| !word.is_empty())
        .collect();
    words.reverse();
    words
}

/// Judges one piece of `text`; a negation before `since` belongs to the piece that ends there.
pub(super) fn relevance(text: &str, piece: &Piece, since: usize) -> Relevance {
    let before = &text[..piece.start];
    let follows = |words: &str| is_one_of(last_word(before), words);
    let is_day = piece.is_weekday() || piece.spec().is_some_and(|spec| spec.months.is_some());
    let is_loose = matches!(piece.strength, Strength::Loose | Strength::Bare);
    let is_other_day =
        is_loose && (follows(OTHER_DAYS) || is_one_of(first_word(&text[piece.end..]), OTHER_DAYS));
    if is_limited(before, is_loose) || is_other_day || (is_day && follows(ONE_DAY)) {
        return Relevance::Dropped;
    }
    if let Some(relevance) = negated(&text[since..piece.start], piece) {
        return relevance;
    }
    let is_every = matches!(first_word(&text[piece.start..]), "each" | "every");
    if (is_every && follows(EACH_OF)) || is_subordinate(without_adverb(before, since)) {
        return Relevance::Dropped;
    }
    let is_deadline = follows(ONE_DAY) && (is_loose || piece.names_a_time());
    let is_on_event = follows(EVENTS) && (is_loose || (is_day && !is_every));
    if is_deadline || is_on_event {
        Relevance::Other
    } else {
        Relevance::Kept
    }
}

/// "at most twice a day", "no more than once every hour", "up to 3 times a day".
fn is_limited(before: &str, is_loose: bool) -> bool {
    let words = words_before(before, 3);
    !is_loose
        && (words.iter().any(|word| is_one_of(word, LIMITS))
            || words.windows(2).any(|pair| pair == ["up", "to"]))
}

fn negated(before: &str, piece: &Piece) -> Option<Relevance> {
    let words = words_before(before, 4);
    let at = words
        .iter()
        .rposition(|word| is_one_of(word, EXCEPTIONS) || is_one_of(word, NEGATIONS))?;
    let next = words.get(at + 1);
    if next.is_some_and(|next| words[at] == "but" || is_one_of(next, AFFIRMED)) {
        return None;
    }
    let is_exception = is_one_of(words[at], EXCEPTIONS);
    let recurs = piece.strength == Strength::Recurring;
    let changes_times = piece
        .spec()
        .is_none_or(|spec| spec.times.is_some() || spec.window.is_some());
    let is_excluded = is_exception || (piece.is_weekday() && recurs) || (changes_times && !recurs);
    Some(if is_excluded {
        Relevance::Excluded
    } else {
        Relevance::Dropped
    })
}

/// `before` without an adverb at its end that is in no piece: "arrives daily Mon-Fri".
fn without_adverb(before: &str, since: usize) -> &str {
    let adverb = last_word(&before[since..]);
    let is_adverb = is_one_of(adverb, ADVERBS);
    &before[..before.len() - if is_adverb { adverb.len() + 1 } else { 0 }]
}

/// In a condition at the start of a clause, after the verb of a relative clause, or after what
/// something else does by itself.
fn is_subordinate(before: &str) -> bool {
    let clause = words_before(before, usize::MAX);
    let (first, last) = (clause.first().unwrap_or(&""), clause.last().unwrap_or(&""));
    let has = |words: &str| clause.iter().any(|word| is_one_of(word, words));
    let is_of_another = is_one_of(first, OWNED) && !has(SELF);
    let is_relative = has(SUBORDINATE) || has(CONDITIONS);
    is_one_of(first, CONDITIONS) || ((is_relative || is_of_another) && is_one_of(last, HAPPENS))
}
