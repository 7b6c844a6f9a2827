//! What one sentence says about when to run: finds its fragments and puts those together that belong together. Where that is
//! not clear there is none: no schedule is better than a wrong one.

use jiff::Timestamp;

use super::cursor::{Cursor, Fragment, Strength};
use super::piece::{Piece, word, words_before};
use super::relevance::{Relevance, relevance};
use super::spec::{Period, Reason, Set, Spec};
use super::token::{Token, is_one_of, tokens};
use super::{calendar, clock, recur};

/// What one sentence says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// When to run, or why it cannot be said.
    pub(super) recurring: Option<Result<Spec, Reason>>,
    /// Probably when, unless another sentence says otherwise.
    pub(super) hint: Option<Result<Spec, Reason>>,
    /// Weekdays on which not.
    pub(super) except: Option<Set>,
    /// A zone for all times of the text.
    pub(super) zone: Option<Result<String, Reason>>,
    /// It names a time that may or may not be when to run.
    pub(super) has_stray_time: bool,
}

/// Whether `text` speaks of nothing but time: "every weekday at 9am".
pub(super) fn is_all_timing(text: &str, now: Timestamp) -> bool {
    let tokens = tokens(text);
    let found = find(&tokens, now);
    let is_covered = |at: usize| {
        let is_mark = matches!(tokens[at], Token::Comma | Token::Dash);
        is_mark
            || found
                .iter()
                .any(|piece| (piece.start..piece.end).contains(&at))
    };
    (1..=MAX_PIECES).contains(&found.len()) && (0..tokens.len()).all(is_covered)
}

/// Reads one sentence.
pub(super) fn read(sentence: &str, now: Timestamp) -> Reading {
    let tokens = tokens(sentence);
    let found = find(&tokens, now);
    let mut reading = Reading::default();
    if found.len() > MAX_PIECES {
        reading.recurring = Some(Err(Reason::Conflict));
        return reading;
    }
    let mut kept = Vec::new();
    let mut end_of_last = 0;
    for piece in found {
        // a negation before the piece before this one has been used up by that one
        let since = std::mem::replace(&mut end_of_last, piece.end);
        match relevance(&tokens, &piece, since) {
            Relevance::Kept => kept.push(piece),
            Relevance::Excluded => exclude(&piece, &mut reading),
            Relevance::Other => reading.has_stray_time |= piece.names_a_time(),
            Relevance::Dropped => {}
        }
    }
    for piece in kept.extract_if(.., |piece| {
        piece.spec().is_some_and(|spec| {
            spec.zone.is_some() && !piece.names_a_time() && spec.window.is_none()
        })
    }) {
        reading.zone = piece.spec().and_then(|spec| spec.zone.clone()).map(Ok);
    }
    combine(&tokens, &kept, &mut reading);
    reading
}

/// Most fragments of a sentence: one with more is no instruction, and to weigh each against each takes time.
const MAX_PIECES: usize = 32;

fn find(tokens: &[Token], now: Timestamp) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < tokens.len() && found.len() <= MAX_PIECES {
        let is_by_day = |last: &Piece| {
            last.is(Strength::Recurring) && last.spec().is_none_or(|spec| spec.interval.is_none())
        };
        let is_beside_recurring = found
            .last()
            .is_some_and(|last| last.end == at && is_by_day(last));
        let context = if is_beside_recurring {
            clock::Context::Recurring
        } else {
            clock::Context::Any
        };
        let mut cursor = Cursor::new(tokens, at, now);
        let fragment = fragment(&mut cursor, context);
        let end = cursor.at().max(at + 1);
        found.extend(fragment.map(|fragment| Piece {
            fragment,
            start: at,
            end,
        }));
        at = end;
    }
    found
}

/// The first rule that fits here; the order settles which of two readings wins.
fn fragment(c: &mut Cursor<'_>, context: clock::Context) -> Option<Fragment> {
    calendar::unsayable_days(c)
        .or_else(|| clock::minute_of_hour(c))
        .or_else(|| recur::every(c))
        .or_else(|| recur::count(c))
        .or_else(|| recur::intervals(c))
        .or_else(|| recur::start_of(c))
        .or_else(|| recur::adverb(c))
        .or_else(|| calendar::month_days(c))
        .or_else(|| calendar::weekdays(c))
        .or_else(|| calendar::months(c))
        .or_else(|| clock::window(c))
        .or_else(|| clock::in_parts(c))
        .or_else(|| clock::at_times(c, context))
        .or_else(|| clock::bare_times(c))
        .or_else(|| clock::zone(c))
        .or_else(|| calendar::vague_time(c))
        .or_else(|| {
            clock::bare_numbers(c, context, |mut c| {
                recur::every(&mut c).is_some() || calendar::weekdays(&mut c).is_some()
            })
        })
}

fn exclude(piece: &Piece, reading: &mut Reading) {
    let plain_days = piece
        .spec()
        .filter(|spec| spec.times.is_none())
        .and_then(|spec| spec.weekdays);
    match plain_days {
        Some(days) => reading.except = Some(reading.except.unwrap_or_default().with(days)),
        None => reading.recurring = Some(Err(Reason::Exception)),
    }
}

fn combine(tokens: &[Token], pieces: &[Piece], reading: &mut Reading) {
    let attached = attach(tokens, pieces);
    let joined: Vec<&Piece> = pieces
        .iter()
        .zip(&attached)
        .filter(|(_, attached)| **attached)
        .map(|(piece, _)| piece)
        .collect();
    let strays = pieces
        .iter()
        .zip(&attached)
        .filter(|(_, attached)| !**attached)
        .map(|(piece, _)| piece);
    for stray in strays {
        reading.has_stray_time |= stray.names_a_time();
        if let (Strength::Hint, says) | (_, says @ Err(_)) =
            (stray.fragment.strength, &stray.fragment.says)
        {
            let _ = reading.hint.get_or_insert_with(|| says.clone());
        }
    }
    if !joined.is_empty() && reading.recurring.is_none() {
        let merged = merge(tokens, &joined);
        let is_unclear =
            |spec: &Spec| reading.has_stray_time && (spec.usual_times || spec.interval.is_some());
        reading.recurring = Some(if merged.as_ref().is_ok_and(is_unclear) {
            Err(Reason::WhichTime)
        } else {
            merged
        });
    }
}

/// Which pieces belong to what recurs; none if nothing does.
fn attach(tokens: &[Token], pieces: &[Piece]) -> Vec<bool> {
    let mut attached: Vec<bool> = pieces
        .iter()
        .map(|piece| piece.is(Strength::Recurring))
        .collect();
    if !attached.contains(&true) {
        attached = pieces
            .iter()
            .enumerate()
            .map(|(at, piece)| stands_alone(tokens, pieces, at, piece))
            .collect();
    }
    if !attached.contains(&true) {
        attached = with_hints(pieces);
    }
    loop {
        let next =
            (0..pieces.len()).find(|at| !attached[*at] && belongs(tokens, pieces, &attached, *at));
        let Some(next) = next else { return attached };
        attached[next] = true;
    }
}

/// "a weekly report on Friday", "a daily summary at 5pm": a hint becomes more than one with a day or time in its sentence.
fn with_hints(pieces: &[Piece]) -> Vec<bool> {
    let has_time = pieces
        .iter()
        .any(|piece| piece.is(Strength::Loose) && piece.names_a_time());
    let has_day = pieces
        .iter()
        .any(|piece| piece.is(Strength::Loose) && piece.is_weekday());
    let refined = |spec: &Spec| match spec.period {
        Some(Period::Day) => has_time,
        Some(Period::Week) => has_day,
        _ => false,
    };
    pieces
        .iter()
        .map(|piece| piece.is(Strength::Hint) && piece.spec().is_some_and(refined))
        .collect()
}

const RUN: &str = "execute run runs start trigger wake";

/// Whether a day or time says when to run although nothing says that it recurs: an agent has no other use for it.
fn stands_alone(tokens: &[Token], pieces: &[Piece], at: usize, piece: &Piece) -> bool {
    if !piece.is(Strength::Loose) {
        return false;
    }
    let beside = |wanted: fn(&Piece) -> bool| {
        pieces.iter().enumerate().any(|(other, candidate)| {
            other != at && wanted(candidate) && adjacent(tokens, piece, candidate)
        })
    };
    let before = words_before(tokens, piece.start, 2);
    let is_ordered = before.last().is_some_and(|last| is_one_of(last, RUN))
        || matches!(before[..], [first, "it" | "off" | "up" | "this"] if is_one_of(first, RUN));
    let starts_clause = Cursor::new(tokens, piece.start, Timestamp::UNIX_EPOCH).starts_clause();
    if piece.is_weekday() {
        return is_ordered || starts_clause || beside(Piece::names_a_time);
    }
    let times = piece
        .spec()
        .and_then(|spec| spec.times.as_ref())
        .map_or(0, std::collections::BTreeSet::len);
    piece.names_a_time() && (is_ordered || starts_clause || times > 1 || beside(Piece::is_weekday))
}

/// Whether the piece at `at` refines what is attached already.
fn belongs(tokens: &[Token], pieces: &[Piece], attached: &[bool], at: usize) -> bool {
    let piece = &pieces[at];
    let others = || {
        pieces
            .iter()
            .zip(attached)
            .filter(|(_, attached)| **attached)
            .map(|(piece, _)| piece)
    };
    if others().any(|other| adjacent(tokens, piece, other)) {
        return true;
    }
    let any = |wanted: fn(&Spec) -> bool| others().any(|other| other.spec().is_some_and(wanted));
    match (piece.fragment.strength, &piece.fragment.says) {
        (Strength::Loose, Err(_)) => others().next().is_some(),
        (Strength::Loose, Ok(spec)) if spec.times.is_some() => others().next().is_some(),
        (Strength::Loose, Ok(spec)) if spec.window.is_some() => any(|spec| spec.interval.is_some()),
        (Strength::Loose, Ok(spec)) if spec.weekdays.is_some() => {
            any(|spec| spec.period == Some(Period::Week))
        }
        (Strength::Loose, Ok(spec)) if spec.month_days.is_some() => {
            any(|spec| spec.period == Some(Period::Year))
        }
        _ => false,
    }
}

/// Whether only commas and dashes stand between two pieces.
fn adjacent(tokens: &[Token], one: &Piece, other: &Piece) -> bool {
    let (first, second) = if one.start < other.start {
        (one, other)
    } else {
        (other, one)
    };
    first.end <= second.start
        && tokens[first.end..second.start]
            .iter()
            .all(|token| matches!(token, Token::Comma | Token::Dash))
}

/// "every hour until Friday": no schedule ends by itself.
const ENDS: &str = "till today tomorrow tonight until";

fn merge(tokens: &[Token], pieces: &[&Piece]) -> Result<Spec, Reason> {
    let recurring: Vec<&&Piece> = pieces
        .iter()
        .filter(|piece| piece.is(Strength::Recurring))
        .collect();
    for pair in recurring.windows(2) {
        let is_free = |at: &usize| {
            !pieces
                .iter()
                .any(|piece| (piece.start..piece.end).contains(at))
        };
        let mut between = (pair[0].end..pair[1].start)
            .filter(is_free)
            .filter_map(|at| word(tokens, Some(at)));
        let is_new_thought =
            between.any(|word| matches!(word, "also" | "and" | "but" | "plus" | "then"));
        if is_new_thought && pair[0].fragment.says != pair[1].fragment.says {
            return Err(Reason::Conflict);
        }
    }
    if recurring
        .iter()
        .any(|piece| word(tokens, Some(piece.end)).is_some_and(|next| is_one_of(next, ENDS)))
    {
        return Err(Reason::Inexpressible);
    }
    pieces.iter().try_fold(Spec::default(), |spec, piece| {
        spec.and(piece.fragment.says.clone()?)
    })
}
