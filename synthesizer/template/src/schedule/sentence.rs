//! What one sentence says about when to run: finds its pieces and puts those together that belong
//! together. Where that is not clear there is none: no schedule is better than a wrong one.

use jiff::Timestamp;

use super::grammar::Strength;
use super::meaning::{self, Piece, Place, first_word, starts_clause};
use super::relevance::{Relevance, relevance, words_before};
use super::spec::{Period, Reason, Set, Spec};
use super::tokens::is_one_of;

/// What one sentence says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// When to run, or why it cannot be said.
    pub(super) recurring: Option<Result<Spec, Reason>>,
    /// Probably when, unless another sentence says otherwise.
    pub(super) hint: Option<Result<Spec, Reason>>,
    /// Weekdays on which not.
    pub(super) except: Set,
    /// A zone for all times of the text.
    pub(super) zone: Option<String>,
    /// It names a time that may or may not be when to run.
    pub(super) has_stray_time: bool,
}

/// Most pieces of a sentence: one with more is no instruction, and to weigh each against each
/// takes time.
const MAX_PIECES: usize = 32;
const RUN: &str = "execute run runs start trigger wake";
/// "every hour until Friday": no schedule ends by itself.
const ENDS: &str = "till today tomorrow tonight until";

impl Piece {
    pub(super) fn spec(&self) -> Option<&Spec> {
        self.says.as_ref().ok()
    }

    /// An hour that could be when to run.
    pub(super) fn names_a_time(&self) -> bool {
        match &self.says {
            Ok(spec) => spec.times.is_some(),
            Err(reason) => matches!(reason, Reason::BareHour | Reason::TimeZone),
        }
    }

    pub(super) fn is_weekday(&self) -> bool {
        self.spec().is_some_and(|spec| spec.weekdays.is_some())
    }

    /// A zone that stands alone: it is for all times.
    fn is_zone(&self) -> bool {
        let only =
            |spec: &Spec| spec.zone.is_some() && spec.times.is_none() && spec.window.is_none();
        self.spec().is_some_and(only)
    }
}

/// Reads one sentence, of which `text` are the tokens.
pub(super) fn read(text: &str, now: Timestamp) -> Reading {
    let found = find(text, now);
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
        match relevance(text, &piece, since) {
            Relevance::Kept if piece.is_zone() => {
                reading.zone = piece.says.ok().and_then(|spec| spec.zone);
            }
            Relevance::Kept => kept.push(piece),
            Relevance::Excluded => reading.exclude(&piece),
            Relevance::Other => reading.has_stray_time |= piece.names_a_time(),
            Relevance::Dropped => {}
        }
    }
    reading.combine(text, &kept);
    reading
}

fn find(text: &str, now: Timestamp) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < text.len() && found.len() <= MAX_PIECES {
        let recurs_by_day = |last: &Piece| {
            last.end == at
                && last.strength == Strength::Recurring
                && last.spec().is_none_or(|spec| spec.interval.is_none())
        };
        let is_beside_recurring = found.last().is_some_and(recurs_by_day);
        let place = Place {
            text,
            at,
            is_beside_recurring,
            now,
        };
        if let Some(piece) = meaning::piece(place) {
            at = piece.end;
            found.push(piece);
        } else {
            at += text[at..].find(' ').map_or(text.len(), |length| length + 1);
        }
    }
    found
}

impl Reading {
    fn exclude(&mut self, piece: &Piece) {
        let days = piece
            .spec()
            .filter(|spec| spec.times.is_none())
            .and_then(|spec| spec.weekdays.clone());
        match days {
            Some(days) => self.except.extend(days),
            None => self.recurring = Some(Err(Reason::Exception)),
        }
    }

    fn combine(&mut self, text: &str, pieces: &[Piece]) {
        let attached = attach(text, pieces);
        let (joined, strays): (Vec<_>, Vec<_>) = pieces
            .iter()
            .zip(attached)
            .partition(|(_, attached)| *attached);
        for (stray, _) in strays {
            self.has_stray_time |= stray.names_a_time();
            if stray.strength == Strength::Hint || stray.says.is_err() {
                let _ = self.hint.get_or_insert_with(|| stray.says.clone());
            }
        }
        if joined.is_empty() || self.recurring.is_some() {
            return;
        }
        let joined: Vec<&Piece> = joined.into_iter().map(|(piece, _)| piece).collect();
        let merged = merge(text, &joined).and_then(|spec| {
            let is_unclear = self.has_stray_time && (spec.usual_times || spec.interval.is_some());
            if is_unclear {
                Err(Reason::WhichTime)
            } else {
                Ok(spec)
            }
        });
        self.recurring = Some(merged);
    }
}

/// Which pieces belong to what recurs; none if nothing does.
fn attach(text: &str, pieces: &[Piece]) -> Vec<bool> {
    let each = |is: &dyn Fn(&Piece) -> bool| -> Vec<bool> { pieces.iter().map(is).collect() };
    let mut attached = each(&|piece| piece.strength == Strength::Recurring);
    if !attached.contains(&true) {
        attached = each(&|piece| stands_alone(text, pieces, piece));
    }
    if !attached.contains(&true) {
        attached = each(&|piece| is_refined_hint(pieces, piece));
    }
    let belongs_now = |attached: &[bool], at: usize| {
        let others = pieces
            .iter()
            .zip(attached)
            .filter(|(_, attached)| **attached);
        belongs(
            text,
            &pieces[at],
            &others.map(|(piece, _)| piece).collect::<Vec<_>>(),
        )
    };
    while let Some(next) =
        (0..pieces.len()).find(|at| !attached[*at] && belongs_now(&attached, *at))
    {
        attached[next] = true;
    }
    attached
}

/// "a weekly report on Friday", "a daily summary at 5pm": a hint becomes more than one with a day
/// or time in its sentence.
fn is_refined_hint(pieces: &[Piece], hint: &Piece) -> bool {
    let has = |is: fn(&Piece) -> bool| {
        pieces
            .iter()
            .any(|piece| piece.strength == Strength::Loose && is(piece))
    };
    hint.strength == Strength::Hint
        && match hint.spec().and_then(|spec| spec.period) {
            Some(Period::Day) => has(Piece::names_a_time),
            Some(Period::Week) => has(Piece::is_weekday),
            _ => false,
        }
}

/// Whether a day or time says when to run although nothing says that it recurs: an agent has no
/// other use for it.
fn stands_alone(text: &str, pieces: &[Piece], piece: &Piece) -> bool {
    let beside = |is: fn(&Piece) -> bool| {
        pieces.iter().any(|other| {
            other.start != piece.start && is(other) && are_adjacent(text, piece, other)
        })
    };
    let before = &text[..piece.start];
    let is_ordered = match words_before(before, 2)[..] {
        [run, "it" | "off" | "up" | "this"] | [.., run] => is_one_of(run, RUN),
        [] => false,
    };
    let leads = is_ordered || starts_clause(before);
    let times = piece
        .spec()
        .and_then(|spec| spec.times.as_ref())
        .map_or(0, std::collections::BTreeSet::len);
    piece.strength == Strength::Loose
        && if piece.is_weekday() {
            leads || beside(Piece::names_a_time)
        } else {
            piece.names_a_time() && (leads || times > 1 || beside(Piece::is_weekday))
        }
}

/// Whether a piece refines `others`, which say when.
fn belongs(text: &str, piece: &Piece, others: &[&Piece]) -> bool {
    let any = |is: fn(&Spec) -> bool| others.iter().any(|other| other.spec().is_some_and(is));
    if others.iter().any(|other| are_adjacent(text, piece, other)) {
        return true;
    }
    match &piece.says {
        _ if piece.strength != Strength::Loose => false,
        Err(_) => !others.is_empty(),
        Ok(spec) if spec.times.is_some() => !others.is_empty(),
        Ok(spec) if spec.window.is_some() => any(|spec| spec.interval.is_some()),
        Ok(spec) if spec.weekdays.is_some() => any(|spec| spec.period == Some(Period::Week)),
        Ok(spec) if spec.month_days.is_some() => any(|spec| spec.period == Some(super::spec::YEAR)),
        Ok(_) => false,
    }
}

/// Whether only commas and dashes stand between two pieces.
fn are_adjacent(text: &str, one: &Piece, other: &Piece) -> bool {
    let between = text.get(one.end.min(other.end)..one.start.max(other.start));
    between.is_some_and(|between| {
        between
            .split_whitespace()
            .all(|token| matches!(token, "," | "-"))
    })
}

fn merge(text: &str, pieces: &[&Piece]) -> Result<Spec, Reason> {
    let recurring: Vec<&Piece> = pieces
        .iter()
        .copied()
        .filter(|piece| piece.strength == Strength::Recurring)
        .collect();
    for pair in recurring.windows(2) {
        let mut at = pair[0].end;
        // the words between that are in no other piece
        let inside = pieces
            .iter()
            .filter(|piece| piece.start >= pair[0].end && piece.end <= pair[1].start);
        let mut between = Vec::new();
        for piece in inside.chain([&pair[1]]) {
            between.extend(text[at..piece.start].split(' '));
            at = piece.end;
        }
        let is_new_thought = between
            .iter()
            .any(|word| matches!(*word, "also" | "and" | "but" | "plus" | "then"));
        if is_new_thought && pair[0].says != pair[1].says {
            return Err(Reason::Conflict);
        }
    }
    if recurring
        .iter()
        .any(|piece| is_one_of(first_word(&text[piece.end..]), ENDS))
    {
        return Err(Reason::Inexpressible);
    }
    pieces
        .iter()
        .try_fold(Spec::default(), |spec, piece| spec.and(piece.says.clone()?))
}
