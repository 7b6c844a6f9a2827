//! The grammar of how often: "every 90 minutes", "twice a day", "hourly", "a weekly report".

use super::calendar;
use super::clock::{self, Part};
use super::cursor::{Cursor, Fragment, Strength};
use super::spec::{DAY, HOUR, MINUTE, Period, Reason, Spec};
use super::token::{Token, is_one_of};

/// What may follow "daily" where it is an adverb.
const AFTER_AN_ADVERB: &str = "after and around as at before between but by during each every \
    except for from if in into monday on or starting then to until using via when whether with \
    without";

/// What an agent makes or does: "send weekly summaries" says how often.
const OUTPUTS: &str = "backup backups briefing briefings check checks cleanup digest digests \
    email emails newsletter overview recap reminder reminders report reports review roundup run \
    runs scan scans status summaries summary sync update updates";

/// Before "daily report": one that exists already.
const OWNERS: &str = "each every her his its last my next our previous that the their these this \
    today's your";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Second,
            "m" | "min" | "mins" | "minute" | "minutes" => Self::Minute,
            "h" | "hr" | "hrs" | "hour" | "hours" => Self::Hour,
            "d" | "day" | "days" => Self::Day,
            "w" | "wk" | "wks" | "week" | "weeks" => Self::Week,
            "month" | "months" => Self::Month,
            "quarter" | "quarters" => Self::Quarter,
            "year" | "years" => Self::Year,
            _ => return None,
        })
    }

    /// Seconds, where it has a fixed length.
    fn seconds(self) -> Option<u64> {
        match self {
            Self::Second => Some(1),
            Self::Minute => Some(MINUTE),
            Self::Hour => Some(HOUR),
            Self::Day => Some(DAY),
            Self::Week => Some(7 * DAY),
            Self::Month | Self::Quarter | Self::Year => None,
        }
    }

    /// Every `count` of these.
    fn every(self, count: u32) -> Result<Spec, Reason> {
        let period = match (self, count) {
            (_, 0) => return Err(Reason::Vague),
            (Self::Day, 1) => Period::Day,
            (Self::Week, 1) => Period::Week,
            (Self::Year, 1) | (Self::Month, 12) => Period::Year,
            (Self::Month, 1 | 2 | 3 | 4 | 6) => Period::Months(u8::try_from(count).unwrap_or(1)),
            (Self::Quarter, 1 | 2) => Period::Months(if count == 1 { 3 } else { 6 }),
            _ => {
                return self
                    .seconds()
                    .map(|length| interval(u64::from(count) * length))
                    .ok_or(Reason::Inexpressible);
            }
        };
        Ok(Spec {
            period: Some(period),
            ..Spec::default()
        })
    }

    /// `count` times in each of these.
    fn times(self, count: u32) -> Result<Spec, Reason> {
        let length = self.seconds().unwrap_or(0);
        match self {
            Self::Second | Self::Minute | Self::Hour => {
                match length.checked_div(u64::from(count)) {
                    Some(seconds) if seconds > 0 && length.is_multiple_of(u64::from(count)) => {
                        Ok(interval(seconds))
                    }
                    _ => Err(Reason::Inexpressible),
                }
            }
            _ => Ok(Spec {
                count: Some(count).filter(|count| *count != 1),
                ..self.every(1)?
            }),
        }
    }
}

fn interval(seconds: u64) -> Spec {
    Spec {
        interval: Some(seconds),
        ..Spec::default()
    }
}

/// "every …", "each …".
pub(super) fn every(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        c.eat(&["every", "each"])?;
        let _ = c.eat(&["single"]);
        calendar::after_every(c)
            .or_else(|| every_nth(c))
            .or_else(|| every_vague(c))
            .or_else(|| length(c).map(|says| Fragment::new(Strength::Recurring, says)))
            .or_else(|| every_part(c))
    })
}

/// "other day", "second week", "third Friday".
fn every_nth(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let nth = match c.eat(&["other", "second"]) {
            Some(_) => 2,
            None => u32::from(c.ordinal()?),
        };
        if calendar::is_weekday(c) || clock::part_word(c).is_some() {
            return Some(Fragment::unsayable(Reason::Alternating));
        }
        let unit = unit(c)?;
        Some(Fragment::new(Strength::Recurring, unit.every(nth)))
    })
}

fn every_vague(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        if c.eat_all("so often") || c.eat_all("now and then") {
            return Some(());
        }
        let _ = c.eat(&["a"]);
        c.eat(&["couple", "few", "several"])?;
        let _ = c.eat(&["of"]);
        unit(c).map(|_| ())
    })
    .or_else(|| {
        c.attempt(|c| {
            c.number()?;
            c.eat_token(&Token::Dash)
                .or_else(|| c.eat(&["or", "to"]).map(|_| ()))?;
            c.number()?;
            unit(c).map(|_| ())
        })
    })
    .map(|()| Fragment::unsayable(Reason::Vague))
}

/// "morning", "morning and evening", "morning at 7 and every evening at 8".
fn every_part(c: &mut Cursor<'_>) -> Option<Fragment> {
    let (part, _) = clock::part_word(c)?;
    let says = clock::parts(c, part, |c| {
        let _ = c.eat(&["each", "every"]);
        clock::part_word(c).map(|(part, _)| part)
    });
    Some(daily(says))
}

fn daily(says: Result<Spec, Reason>) -> Fragment {
    Fragment::new(
        Strength::Recurring,
        says.map(|spec| Spec {
            period: Some(Period::Day),
            ..spec
        }),
    )
}

/// "5 minutes", "half an hour", "1h30m", "hour and a half", "quarter of an hour", "day".
fn length(c: &mut Cursor<'_>) -> Option<Result<Spec, Reason>> {
    c.attempt(|c| {
        if let Some(seconds) = part_of_a_unit(c) {
            return Some(Ok(interval(seconds)));
        }
        let is_counted = matches!(c.peek(), Some(Token::Number(_) | Token::AndHalf(_)));
        let amount = amount(c)?;
        if !is_counted && amount.unit == Unit::Second && !can_follow_second(c) {
            return None; // "every second email"
        }
        let Some(mut seconds) = amount
            .seconds()
            .filter(|_| !amount.is_whole() || amount.unit.seconds() <= Some(HOUR))
        else {
            return Some(if amount.half {
                Err(Reason::Inexpressible)
            } else {
                amount.unit.every(amount.count)
            });
        };
        if c.eat_all("and a half") {
            seconds += amount.unit.seconds()? / 2;
        }
        while let Some(more) = c.attempt(|c| {
            let _ = c.eat(&["and"]);
            let is_number = matches!(c.peek(), Some(Token::Number(_)));
            self::amount(c)
                .filter(|more| is_number && more.unit.seconds() < amount.unit.seconds())?
                .seconds()
        }) {
            seconds += more;
        }
        Some(Ok(interval(seconds)))
    })
}

fn can_follow_second(c: &Cursor<'_>) -> bool {
    c.ends_clause()
        || c.word()
            .is_some_and(|word| is_one_of(word, AFTER_AN_ADVERB))
}

/// "half an hour", "quarter of an hour", in seconds.
fn part_of_a_unit(c: &mut Cursor<'_>) -> Option<u64> {
    c.attempt(|c| {
        let parts = if c.eat(&["half", "quarter"])? == "half" {
            2
        } else {
            4
        };
        let _ = c.eat_token(&Token::Dash);
        let _ = c.eat(&["of"]);
        let _ = c.eat(&["a", "an"]);
        let length = unit(c)?.seconds()?;
        length.is_multiple_of(parts).then_some(length / parts)
    })
}

struct Amount {
    count: u32,
    /// Half a unit more.
    half: bool,
    unit: Unit,
}

impl Amount {
    fn is_whole(&self) -> bool {
        !self.half
    }

    fn seconds(&self) -> Option<u64> {
        let length = self.unit.seconds()?;
        Some(u64::from(self.count) * length + if self.half { length / 2 } else { 0 })
    }
}

fn amount(c: &mut Cursor<'_>) -> Option<Amount> {
    c.attempt(|c| {
        let (count, half) = match c.peek()? {
            Token::Number(count) => (*count, false),
            Token::AndHalf(count) => (*count, true),
            _ if c.word()?.len() <= 2 => return None, // "every h": too little to go by
            _ => {
                return unit(c).map(|unit| Amount {
                    count: 1,
                    half: false,
                    unit,
                });
            }
        };
        c.skip();
        let half = half || c.eat_all("and a half");
        let _ = c.eat_token(&Token::Dash);
        unit(c).map(|unit| Amount { count, half, unit })
    })
}

fn unit(c: &mut Cursor<'_>) -> Option<Unit> {
    let unit = Unit::of(c.word()?)?;
    c.skip();
    Some(unit)
}

/// "in 5-minute intervals", "at intervals of 10 minutes".
pub(super) fn intervals(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        c.eat(&["at", "in"])?;
        if c.eat_all("intervals of") {
            return length(c);
        }
        let says = length(c)?;
        let _ = c.eat_token(&Token::Dash);
        c.eat(&["interval", "intervals"])?;
        Some(says)
    })
    .map(|says| Fragment::new(Strength::Recurring, says))
}

/// "at the top of the hour", "at the start of every month".
pub(super) fn start_of(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let start = c.eat(&["beginning", "start", "top"])?;
        c.eat(&["of"])?;
        c.eat(&["each", "every", "the"])?;
        match (start, unit(c)?) {
            ("top", Unit::Hour) => Some(Fragment::recurring(interval(HOUR))),
            (
                "beginning" | "start",
                unit @ (Unit::Month | Unit::Quarter | Unit::Year | Unit::Hour),
            ) => Some(Fragment::new(Strength::Recurring, unit.every(1))),
            ("beginning" | "start", _) => Some(Fragment::new(Strength::Loose, Err(Reason::Vague))),
            _ => None,
        }
    })
}

/// "twice a day", "3 times per week", "once an hour", "four times daily".
pub(super) fn count(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let count = times_word(c)?;
        if let Some(unit) = adverb_unit(c.word().unwrap_or_default()) {
            c.skip();
            return Some(count.and_then(|count| unit.times(count)));
        }
        let lead = c.eat(&["a", "an", "each", "every", "per"])?;
        let is_counted = matches!(c.peek(), Some(Token::Number(_)));
        if count != Ok(1) && is_counted && lead == "every" {
            return length(c).map(|_| Err(Reason::Inexpressible));
        }
        if count == Ok(1) && lead == "every" {
            return length(c);
        }
        unit(c).map(|unit| count.and_then(|count| unit.times(count)))
    })
    .map(|says| Fragment::new(Strength::Recurring, says))
}

fn times_word(c: &mut Cursor<'_>) -> Option<Result<u32, Reason>> {
    if let Some(word) = c.eat(&["once", "thrice", "twice"]) {
        return Some(Ok(match word {
            "once" => 1,
            "twice" => 2,
            _ => 3,
        }));
    }
    c.attempt(|c| {
        let count = if let Some(number) = c.number() {
            Ok(number)
        } else {
            let _ = c.eat(&["a"]);
            c.eat(&["couple", "few", "many", "multiple", "several"])?;
            let _ = c.eat(&["of"]);
            Err(Reason::Vague)
        };
        c.eat(&["time", "times", "x"]).map(|_| count)
    })
}

fn adverb_unit(word: &str) -> Option<Unit> {
    Some(match word {
        "hourly" => Unit::Hour,
        "daily" => Unit::Day,
        "weekly" => Unit::Week,
        "monthly" => Unit::Month,
        "quarterly" => Unit::Quarter,
        "yearly" | "annually" => Unit::Year,
        _ => return None,
    })
}

/// "hourly", "half-hourly", "six-hourly", "nightly", "fortnightly", "biweekly", "regularly".
pub(super) fn adverb(c: &mut Cursor<'_>) -> Option<Fragment> {
    let before = *c;
    let says = c.attempt(adverb_words)?;
    let strength = adverb_strength(&before, c)?;
    Some(Fragment::new(strength, says))
}

fn adverb_words(c: &mut Cursor<'_>) -> Option<Result<Spec, Reason>> {
    let prefixed = c.attempt(|c| {
        let seconds = match c.number() {
            Some(hours) => u64::from(hours) * HOUR,
            None => c.eat(&["half"]).map(|_| HOUR / 2)?,
        };
        let _ = c.eat_token(&Token::Dash);
        c.eat(&["hourly"]).map(|_| Ok(interval(seconds)))
    });
    if prefixed.is_some() {
        return prefixed;
    }
    let is_prefixed = c
        .attempt(|c| {
            c.eat(&["bi", "semi"])
                .and_then(|_| c.eat_token(&Token::Dash))
        })
        .is_some();
    let word = c.word()?;
    c.skip();
    match word {
        "biweekly" | "bimonthly" | "biannually" | "semimonthly" | "semiannually" | "regularly"
        | "periodically" | "frequently" => Some(Err(Reason::Vague)),
        "nightly" => {
            let spec = clock::parts(c, Part::Night, |_| None);
            Some(spec.map(|spec| Spec {
                period: Some(Period::Day),
                ..spec
            }))
        }
        "fortnightly" => Some(Unit::Week.every(2)),
        "everyday" => Some(Unit::Day.every(1)),
        _ => {
            let unit = adverb_unit(word)?;
            Some(if is_prefixed {
                Err(Reason::Vague)
            } else {
                unit.every(1)
            })
        }
    }
}

fn adverb_strength(before: &Cursor<'_>, after: &Cursor<'_>) -> Option<Strength> {
    let is_owned = before
        .word_before()
        .is_some_and(|word| is_one_of(word, OWNERS));
    let follower = after.word().unwrap_or_default();
    let is_adverb = after.ends_clause()
        || matches!(after.peek(), Some(Token::Clock(_) | Token::Slashed(_)))
        || is_one_of(follower, AFTER_AN_ADVERB);
    if is_owned {
        None
    } else if is_adverb {
        Some(Strength::Recurring)
    } else if matches!(before.word_before(), Some("a" | "an"))
        || is_one_of(follower, OUTPUTS)
        || before.starts_clause()
    {
        Some(Strength::Hint)
    } else {
        None
    }
}

/// A length of time in seconds: "10 minutes", "half an hour".
pub(super) fn seconds(c: &mut Cursor<'_>) -> Option<u64> {
    c.attempt(|c| {
        let _ = c.eat(&["a", "an"]);
        let spec = length(c)?.ok()?;
        spec.interval
            .or_else(|| (spec.period == Some(Period::Day)).then_some(DAY))
    })
}
