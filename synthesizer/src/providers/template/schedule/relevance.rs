//! Whether a fragment says when the agent runs, or speaks of something else: "at most twice a day", "the meeting at 3pm", "the
//! backup that runs every night". Where that is not clear, it speaks of something else.

use super::cursor::Strength;
use super::piece::{Piece, word, words_before};
use super::token::{Token, is_one_of};

/// Whether a fragment says when the agent runs.
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

/// "the backup runs every night" speaks of the backup, "the agent runs every night" does not.
const OWNED: &str = "her his its my our the their your";
const SELF: &str = "agent assistant bot must should will";

/// Judges one piece; a negation before `since` belongs to the piece that ends there.
pub(super) fn relevance(tokens: &[Token], piece: &Piece, since: usize) -> Relevance {
    let before = word(tokens, piece.start.checked_sub(1));
    let is = |words: &str| before.is_some_and(|before| is_one_of(before, words));
    let is_day = piece.is_weekday() || piece.spec().is_some_and(|spec| spec.months.is_some());
    let is_loose = matches!(piece.fragment.strength, Strength::Loose | Strength::Bare);
    if is_limited(tokens, piece) || other_day(tokens, piece) || (is_day && is(ONE_DAY)) {
        return Relevance::Dropped;
    }
    if let Some(relevance) = negated(tokens, piece, since) {
        return relevance;
    }
    let starts_with_every = matches!(word(tokens, Some(piece.start)), Some("each" | "every"));
    if (starts_with_every && is(EACH_OF)) || is_subordinate(tokens, piece) {
        return Relevance::Dropped;
    }
    let is_deadline = is(ONE_DAY) && (is_loose || piece.names_a_time());
    let is_on_event = is(EVENTS) && (is_loose || (is_day && !starts_with_every));
    if is_deadline || is_on_event {
        Relevance::Other
    } else {
        Relevance::Kept
    }
}

/// "at most twice a day", "no more than once every hour", "up to 3 times a day".
fn is_limited(tokens: &[Token], piece: &Piece) -> bool {
    let recurs = !matches!(piece.fragment.strength, Strength::Loose | Strength::Bare);
    let words = words_before(tokens, piece.start, 3);
    recurs
        && (words.iter().any(|word| is_one_of(word, LIMITS))
            || words.windows(2).any(|pair| pair == ["up", "to"]))
}

/// "tomorrow at 9am", "at 9am today".
fn other_day(tokens: &[Token], piece: &Piece) -> bool {
    let neighbours = [
        word(tokens, piece.start.checked_sub(1)),
        word(tokens, Some(piece.end)),
    ];
    let is_loose = matches!(piece.fragment.strength, Strength::Loose | Strength::Bare);
    is_loose
        && neighbours
            .into_iter()
            .flatten()
            .any(|word| is_one_of(word, OTHER_DAYS))
}

fn negated(tokens: &[Token], piece: &Piece, since: usize) -> Option<Relevance> {
    let words = words_before(tokens, piece.start, 4.min(piece.start - since));
    let at = words
        .iter()
        .rposition(|word| is_one_of(word, EXCEPTIONS) || is_one_of(word, NEGATIONS))?;
    let is_last = at + 1 == words.len();
    let is_exception = is_one_of(words[at], EXCEPTIONS) && (words[at] != "but" || is_last);
    if words
        .get(at + 1)
        .is_some_and(|next| is_one_of(next, AFFIRMED))
        || (words[at] == "but" && !is_last)
    {
        return None;
    }
    let changes_days = piece.is_weekday() && (is_exception || piece.is(Strength::Recurring));
    let changes_times = piece
        .spec()
        .is_none_or(|spec| spec.times.is_some() || spec.window.is_some());
    let is_excluded =
        is_exception || changes_days || (changes_times && !piece.is(Strength::Recurring));
    Some(if is_excluded {
        Relevance::Excluded
    } else {
        Relevance::Dropped
    })
}

/// In a condition at the start of a clause, after the verb of a relative clause, or after what something else does by itself.
fn is_subordinate(tokens: &[Token], piece: &Piece) -> bool {
    let start = (0..piece.start)
        .rfind(|at| tokens[*at] == Token::Comma)
        .map_or(0, |comma| comma + 1);
    let clause: Vec<&str> = (start..piece.start)
        .filter_map(|at| word(tokens, Some(at)))
        .collect();
    let is_condition = clause
        .first()
        .is_some_and(|first| is_one_of(first, CONDITIONS));
    let is_last = |words: &str| clause.last().is_some_and(|last| is_one_of(last, words));
    let is_of_another = clause.first().is_some_and(|first| is_one_of(first, OWNED))
        && !clause.iter().any(|word| is_one_of(word, SELF));
    let is_relative = clause
        .iter()
        .any(|word| is_one_of(word, SUBORDINATE) || is_one_of(word, CONDITIONS));
    is_condition || ((is_relative || is_of_another) && is_last(HAPPENS))
}
