//! What one sentence says about when to run: finds its fragments, leaves out those that speak of something else, and puts the
//! rest together. Where a fragment may belong to something else it is left out: no schedule is better than a wrong one.

use jiff::Timestamp;

use super::cursor::{Cursor, Fragment, Strength};
use super::spec::{Period, Reason, Set, Spec};
use super::token::{Token, tokens};
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

/// Reads one sentence.
pub(super) fn read(sentence: &str, now: Timestamp) -> Reading {
    let tokens = tokens(sentence);
    let found = find(&tokens, now);
    let mut reading = Reading::default();
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
    for piece in kept.extract_if(.., |piece| piece.spec().is_some_and(|spec| spec.zone.is_some() && !piece.names_a_time() && spec.window.is_none())) {
        reading.zone = piece.spec().and_then(|spec| spec.zone.clone()).map(Ok);
    }
    combine(&tokens, &kept, &mut reading);
    reading
}

/// A fragment and where it stands.
struct Piece {
    fragment: Fragment,
    start: usize,
    end: usize,
}

impl Piece {
    fn spec(&self) -> Option<&Spec> {
        self.fragment.says.as_ref().ok()
    }

    fn is(&self, strength: Strength) -> bool {
        self.fragment.strength == strength
    }

    /// An hour that could be when to run.
    fn names_a_time(&self) -> bool {
        match &self.fragment.says {
            Ok(spec) => spec.times.is_some(),
            Err(reason) => matches!(reason, Reason::BareHour | Reason::TimeZone),
        }
    }

    fn is_weekday(&self) -> bool {
        self.spec().is_some_and(|spec| spec.weekdays.is_some())
    }
}

fn find(tokens: &[Token], now: Timestamp) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_by_day = |last: &Piece| last.is(Strength::Recurring) && last.spec().is_none_or(|spec| spec.interval.is_none());
        let is_beside_recurring = found.last().is_some_and(|last| last.end == at && is_by_day(last));
        let context = if is_beside_recurring { clock::Context::Recurring } else { clock::Context::Any };
        let mut cursor = Cursor::new(tokens, at, now);
        let fragment = fragment(&mut cursor, context);
        let end = cursor.at().max(at + 1);
        found.extend(fragment.map(|fragment| Piece { fragment, start: at, end }));
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
        .or_else(|| clock::bare_numbers(c, context, |mut c| recur::every(&mut c).is_some() || calendar::weekdays(&mut c).is_some()))
}

/// Whether a fragment says when the agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relevance {
    Kept,
    /// When not.
    Excluded,
    /// Something else, perhaps: "the meeting at 3pm".
    Other,
    /// Surely something else: "at most twice a day", "tomorrow at 9".
    Dropped,
}

const LIMITS: &[&str] = &["exceed", "exceeding", "least", "limit", "max", "maximum", "most", "than"];
const EXCEPTIONS: &[&str] = &["besides", "but", "except", "excluding"];
const NEGATIONS: &[&str] = &["avoid", "don't", "dont", "instead", "never", "no", "not", "rather", "without"];
/// "don't forget to …" is no negation.
const AFFIRMED: &[&str] = &["fail", "forget", "hesitate", "just", "miss", "only"];
const OTHER_DAYS: &[&str] = &["this", "today", "tomorrow", "tonight", "yesterday"];
/// Before a day that is over, to come, or a deadline.
const ONE_DAY: &[&str] =
    &["after", "before", "by", "coming", "following", "last", "next", "of", "past", "previous", "since", "than", "this", "till", "until"];
/// Before "every": counted things.
const EACH_OF: &[&str] = &["about", "for", "in", "like", "of", "over", "per", "than", "within"];
const EVENTS: &[&str] = &[
    "appointment", "appointments", "are", "arrives", "begins", "call", "calls", "class", "classes", "closes", "deadline", "departs", "due",
    "ends", "event", "events", "flight", "flights", "is", "leaves", "lessons", "look", "looking", "meeting", "meetings", "opens", "shift",
    "shifts", "standup", "starts", "train", "was", "were",
];
const SUBORDINATE: &[&str] = &["that", "where", "which", "who", "whose"];
const CONDITIONS: &[&str] = &["if", "unless", "when", "whenever", "while"];
/// What happens by itself: "the backup that runs every night".
const HAPPENS: &[&str] = &[
    "are", "arrive", "arrived", "arrives", "change", "changed", "changes", "come", "comes", "created", "executes", "expire", "expires", "fires",
    "generated", "happen", "happened", "happens", "held", "is", "log", "logs", "made", "occur", "occurs", "open", "opens", "posted", "publishes",
    "published", "refreshes", "released", "reset", "resets", "run", "runs", "scheduled", "sends", "sent", "start", "starts", "updated", "updates",
];

/// "the backup runs every night" speaks of the backup, "the agent runs every night" does not.
const OWNED: &[&str] = &["her", "his", "its", "my", "our", "the", "their", "your"];
const SELF: &[&str] = &["agent", "assistant", "bot", "must", "should", "will"];

fn relevance(tokens: &[Token], piece: &Piece, since: usize) -> Relevance {
    let before = word(tokens, piece.start.checked_sub(1));
    let is = |words: &[&str]| before.is_some_and(|before| words.contains(&before));
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
    if is_deadline || is_on_event { Relevance::Other } else { Relevance::Kept }
}

/// "at most twice a day", "no more than once every hour", "up to 3 times a day".
fn is_limited(tokens: &[Token], piece: &Piece) -> bool {
    let recurs = !matches!(piece.fragment.strength, Strength::Loose | Strength::Bare);
    let words = words_before(tokens, piece.start, 3);
    recurs && (words.iter().any(|word| LIMITS.contains(word)) || words.windows(2).any(|pair| pair == ["up", "to"]))
}

/// "tomorrow at 9am", "at 9am today".
fn other_day(tokens: &[Token], piece: &Piece) -> bool {
    let neighbours = [word(tokens, piece.start.checked_sub(1)), word(tokens, Some(piece.end))];
    let is_loose = matches!(piece.fragment.strength, Strength::Loose | Strength::Bare);
    is_loose && neighbours.into_iter().flatten().any(|word| OTHER_DAYS.contains(&word))
}

fn negated(tokens: &[Token], piece: &Piece, since: usize) -> Option<Relevance> {
    let words = words_before(tokens, piece.start, 4.min(piece.start - since));
    let at = words.iter().rposition(|word| EXCEPTIONS.contains(word) || NEGATIONS.contains(word))?;
    let is_last = at + 1 == words.len();
    let is_exception = EXCEPTIONS.contains(&words[at]) && (words[at] != "but" || is_last);
    if words.get(at + 1).is_some_and(|next| AFFIRMED.contains(next)) || (words[at] == "but" && !is_last) {
        return None;
    }
    let changes_days = piece.is_weekday() && (is_exception || piece.is(Strength::Recurring));
    let changes_times = piece.spec().is_none_or(|spec| spec.times.is_some() || spec.window.is_some());
    let is_excluded = is_exception || changes_days || (changes_times && !piece.is(Strength::Recurring));
    Some(if is_excluded { Relevance::Excluded } else { Relevance::Dropped })
}

fn exclude(piece: &Piece, reading: &mut Reading) {
    let plain_days = piece.spec().filter(|spec| spec.times.is_none()).and_then(|spec| spec.weekdays);
    match plain_days {
        Some(days) => reading.except = Some(reading.except.unwrap_or_default().with(days)),
        None => reading.recurring = Some(Err(Reason::Exception)),
    }
}

/// In a condition at the start of a clause, after the verb of a relative clause, or after what something else does by itself.
fn is_subordinate(tokens: &[Token], piece: &Piece) -> bool {
    let start = (0..piece.start).rfind(|at| tokens[*at] == Token::Comma).map_or(0, |comma| comma + 1);
    let clause: Vec<&str> = (start..piece.start).filter_map(|at| word(tokens, Some(at))).collect();
    let is_condition = clause.first().is_some_and(|first| CONDITIONS.contains(first));
    let is_last = |words: &[&str]| clause.last().is_some_and(|last| words.contains(last));
    let is_of_another = clause.first().is_some_and(|first| OWNED.contains(first)) && !clause.iter().any(|word| SELF.contains(word));
    let is_relative = clause.iter().any(|word| SUBORDINATE.contains(word) || CONDITIONS.contains(word));
    is_condition || ((is_relative || is_of_another) && is_last(HAPPENS))
}

fn word(tokens: &[Token], at: Option<usize>) -> Option<&str> {
    match tokens.get(at?) {
        Some(Token::Word(word)) => Some(word),
        _ => None,
    }
}

/// Up to `count` words before `end`, back to the last comma.
fn words_before(tokens: &[Token], end: usize, count: usize) -> Vec<&str> {
    let start = end.saturating_sub(count);
    let start = (start..end).rfind(|at| tokens[*at] == Token::Comma).map_or(start, |comma| comma + 1);
    (start..end).filter_map(|at| word(tokens, Some(at))).collect()
}

fn combine(tokens: &[Token], pieces: &[Piece], reading: &mut Reading) {
    let attached = attach(tokens, pieces);
    let joined: Vec<&Piece> = pieces.iter().zip(&attached).filter(|(_, attached)| **attached).map(|(piece, _)| piece).collect();
    let strays = pieces.iter().zip(&attached).filter(|(_, attached)| !**attached).map(|(piece, _)| piece);
    for stray in strays {
        reading.has_stray_time |= stray.names_a_time();
        if let (Strength::Hint, says) | (_, says @ Err(_)) = (stray.fragment.strength, &stray.fragment.says) {
            let _ = reading.hint.get_or_insert_with(|| says.clone());
        }
    }
    if !joined.is_empty() && reading.recurring.is_none() {
        let merged = merge(tokens, &joined);
        let is_unclear = |spec: &Spec| reading.has_stray_time && (spec.usual_times || spec.interval.is_some());
        reading.recurring = Some(if merged.as_ref().is_ok_and(is_unclear) { Err(Reason::WhichTime) } else { merged });
    }
}

/// Which pieces belong to what recurs; none if nothing does.
fn attach(tokens: &[Token], pieces: &[Piece]) -> Vec<bool> {
    let mut attached: Vec<bool> = pieces.iter().map(|piece| piece.is(Strength::Recurring)).collect();
    if !attached.contains(&true) {
        attached = pieces.iter().enumerate().map(|(at, piece)| stands_alone(tokens, pieces, at, piece)).collect();
    }
    if !attached.contains(&true) {
        attached = with_hints(pieces);
    }
    loop {
        let next = (0..pieces.len()).find(|at| !attached[*at] && belongs(tokens, pieces, &attached, *at));
        let Some(next) = next else { return attached };
        attached[next] = true;
    }
}

/// "a weekly report on Friday", "a daily summary at 5pm": a hint becomes more than one with a day or time in its sentence.
fn with_hints(pieces: &[Piece]) -> Vec<bool> {
    let has_time = pieces.iter().any(|piece| piece.is(Strength::Loose) && piece.names_a_time());
    let has_day = pieces.iter().any(|piece| piece.is(Strength::Loose) && piece.is_weekday());
    let refined = |spec: &Spec| match spec.period {
        Some(Period::Day) => has_time,
        Some(Period::Week) => has_day,
        _ => false,
    };
    pieces.iter().map(|piece| piece.is(Strength::Hint) && piece.spec().is_some_and(refined)).collect()
}

const RUN: &[&str] = &["execute", "run", "runs", "start", "trigger", "wake"];

/// Whether a day or time says when to run although nothing says that it recurs: an agent has no other use for it.
fn stands_alone(tokens: &[Token], pieces: &[Piece], at: usize, piece: &Piece) -> bool {
    if !piece.is(Strength::Loose) {
        return false;
    }
    let beside = |wanted: fn(&Piece) -> bool| {
        pieces.iter().enumerate().any(|(other, candidate)| other != at && wanted(candidate) && adjacent(tokens, piece, candidate))
    };
    let before = words_before(tokens, piece.start, 2);
    let is_ordered = before.last().is_some_and(|last| RUN.contains(last))
        || matches!(before[..], [first, "it" | "off" | "up" | "this"] if RUN.contains(&first));
    let starts_clause = Cursor::new(tokens, piece.start, Timestamp::UNIX_EPOCH).starts_clause();
    if piece.is_weekday() {
        return is_ordered || starts_clause || beside(Piece::names_a_time);
    }
    let times = piece.spec().and_then(|spec| spec.times.as_ref()).map_or(0, std::collections::BTreeSet::len);
    piece.names_a_time() && (is_ordered || starts_clause || times > 1 || beside(Piece::is_weekday))
}

/// Whether the piece at `at` refines what is attached already.
fn belongs(tokens: &[Token], pieces: &[Piece], attached: &[bool], at: usize) -> bool {
    let piece = &pieces[at];
    let others = || pieces.iter().zip(attached).filter(|(_, attached)| **attached).map(|(piece, _)| piece);
    if others().any(|other| adjacent(tokens, piece, other)) {
        return true;
    }
    let any = |wanted: fn(&Spec) -> bool| others().any(|other| other.spec().is_some_and(wanted));
    match (piece.fragment.strength, &piece.fragment.says) {
        (Strength::Loose, Err(_)) => others().next().is_some(),
        (Strength::Loose, Ok(spec)) if spec.times.is_some() => others().next().is_some(),
        (Strength::Loose, Ok(spec)) if spec.window.is_some() => any(|spec| spec.interval.is_some()),
        (Strength::Loose, Ok(spec)) if spec.weekdays.is_some() => any(|spec| spec.period == Some(Period::Week)),
        (Strength::Loose, Ok(spec)) if spec.month_days.is_some() => any(|spec| spec.period == Some(Period::Year)),
        _ => false,
    }
}

/// Whether only commas and dashes stand between two pieces.
fn adjacent(tokens: &[Token], one: &Piece, other: &Piece) -> bool {
    let (first, second) = if one.start < other.start { (one, other) } else { (other, one) };
    first.end <= second.start && tokens[first.end..second.start].iter().all(|token| matches!(token, Token::Comma | Token::Dash))
}

/// "every hour until Friday": no schedule ends by itself.
const ENDS: &[&str] = &["till", "today", "tomorrow", "tonight", "until"];

fn merge(tokens: &[Token], pieces: &[&Piece]) -> Result<Spec, Reason> {
    let recurring: Vec<&&Piece> = pieces.iter().filter(|piece| piece.is(Strength::Recurring)).collect();
    for pair in recurring.windows(2) {
        let is_free = |at: &usize| !pieces.iter().any(|piece| (piece.start..piece.end).contains(at));
        let mut between = (pair[0].end..pair[1].start).filter(is_free).filter_map(|at| word(tokens, Some(at)));
        let is_new_thought = between.any(|word| matches!(word, "also" | "and" | "but" | "plus" | "then"));
        if is_new_thought && pair[0].fragment.says != pair[1].fragment.says {
            return Err(Reason::Conflict);
        }
    }
    if recurring.iter().any(|piece| word(tokens, Some(piece.end)).is_some_and(|next| ENDS.contains(&next))) {
        return Err(Reason::Inexpressible);
    }
    pieces.iter().try_fold(Spec::default(), |spec, piece| spec.and(piece.fragment.says.clone()?))
}
