//! The grammar of times of day: "at 9 and 17", "in the morning", "between 9am and 5pm", and the zones after them.

use std::collections::BTreeSet;

use super::cursor::{Cursor, Fragment, Strength};
use super::spec::{HOUR, Reason, Spec};
use super::token::{Said, Time, Token, bare_time, is_one_of};

/// What may follow "at 9" so that the nine is an hour and not a count.
const AFTER_AN_HOUR: &str = "and daily each every except gmt hourly in monday mondays monthly \
    o'clock on or sharp then to utc weekdays weekends weekly";

const UNITS: &str = "am minute minutes hour hours percent degrees";

/// Zones that several countries write alike, or that change twice a year.
const UNCLEAR_ZONES: &str = "aedt aest akst bst cdt cest cet cst ct edt eest eet est et hst ist \
    jst mdt msk mst mt pdt pst pt z";

/// Whether an hour may be followed by any word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Something that recurs stands right before.
    Recurring,
    Any,
}

/// Part of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Morning,
    Afternoon,
    Evening,
    Night,
}

impl Part {
    fn usual_time(self) -> (u8, u8) {
        match self {
            Self::Morning => (9, 0),
            Self::Afternoon => (14, 0),
            Self::Evening => (18, 0),
            Self::Night => (22, 0),
        }
    }

    /// The time meant by an hour of the twelve-hour clock said with this part of the day.
    fn of(self, time: Time) -> Time {
        let is_later_half = match self {
            Self::Morning => false,
            Self::Afternoon => (1..=11).contains(&time.hour),
            Self::Evening => (4..=11).contains(&time.hour),
            Self::Night => (7..=11).contains(&time.hour),
        };
        match time.said {
            Said::Exactly => time,
            _ if self == Self::Night && time.hour == 12 => Time::exactly(0, time.minute),
            _ => Time::exactly(time.hour + if is_later_half { 12 } else { 0 }, time.minute),
        }
    }
}

/// "at 9am and 5pm", "at noon UTC", "at 8 in the evening".
pub(super) fn at_times(c: &mut Cursor<'_>, context: Context) -> Option<Fragment> {
    c.attempt(|c| {
        let is_at = c.eat(&["at"]).is_some();
        let is_about = c
            .eat(&["about", "approximately", "around", "exactly", "precisely"])
            .is_some();
        let is_lead = is_at || (is_about && context == Context::Recurring);
        is_lead.then_some(())?;
        times(c, context, None)
            .or_else(|| no_time(c, context))
            .map(|says| Fragment::new(Strength::Loose, says))
    })
}

/// Right after something that recurs, "at 25:00" is no time, but meant as one.
fn no_time(c: &mut Cursor<'_>, context: Context) -> Option<Result<Spec, Reason>> {
    let is_number = matches!(
        c.peek(),
        Some(Token::Number(_) | Token::AndHalf(_) | Token::Other)
    );
    (is_number && context == Context::Recurring).then(|| {
        c.skip();
        Err(Reason::BareHour)
    })
}

/// "every day 8 to 10", "9-5 on weekdays": hours perhaps, but not clear ones.
pub(super) fn bare_numbers(
    c: &mut Cursor<'_>,
    context: Context,
    is_recurring: impl Fn(Cursor<'_>) -> bool,
) -> Option<Fragment> {
    c.attempt(|c| {
        c.number()?;
        let range = c.attempt(|c| {
            c.eat_token(&Token::Dash)
                .or_else(|| c.eat(&["to"]).map(|_| ()))?;
            c.number()
        });
        let is_meant = context == Context::Recurring || (range.is_some() && is_recurring(*c));
        is_meant.then(|| Fragment::new(Strength::Bare, Err(Reason::BareHour)))
    })
}

/// "at minute 15", "at 20 minutes past every hour", "on the half hour".
pub(super) fn minute_of_hour(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        if c.eat_all("on the half") {
            let _ = c.eat_token(&Token::Dash);
            return c.eat(&["hour"]).map(|_| (30, Strength::Loose));
        }
        c.eat(&["at"])?;
        if c.eat(&["minute"]).is_some() {
            return c.number().map(|minute| (minute, Strength::Loose));
        }
        let minute = match c.eat(&["half", "quarter"]) {
            Some(part) => {
                if part == "half" {
                    30
                } else {
                    15
                }
            }
            None => c.number()?,
        };
        let _ = c.eat(&["minutes"]);
        c.eat(&["after", "past"])?;
        let strength = if c.eat(&["each", "every", "the"])? == "the" {
            Strength::Loose
        } else {
            Strength::Recurring
        };
        c.eat(&["hour"]).map(|_| (minute, strength))
    })
    .map(|(minute, strength)| {
        let minute = u8::try_from(minute).ok().filter(|minute| *minute < 60);
        let interval = (strength == Strength::Recurring).then_some(HOUR);
        let says = minute.map(|minute| Spec {
            minute: Some(minute),
            interval,
            ..Spec::default()
        });
        Fragment::new(strength, says.ok_or(Reason::BareHour))
    })
}

/// "9am and 5pm", without "at".
pub(super) fn bare_times(c: &mut Cursor<'_>) -> Option<Fragment> {
    let is_clock = matches!(c.peek(), Some(Token::Clock(_)))
        || matches!(c.word(), Some("noon" | "midday" | "midnight"));
    is_clock.then(|| {
        c.attempt(|c| times(c, Context::Any, None))
            .map(|says| Fragment::new(Strength::Bare, says))
    })?
}

/// "in the morning", "in the morning and in the evening", "at night at 11".
pub(super) fn in_parts(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let (part, plural) = in_part(c)?;
        let says = parts(c, part, |c| {
            in_part(c).or_else(|| part_word(c)).map(|(part, _)| part)
        });
        Some(Fragment::new(
            if plural {
                Strength::Recurring
            } else {
                Strength::Loose
            },
            says,
        ))
    })
}

/// The rest of "every morning", "Monday mornings": more parts, each perhaps with its times.
pub(super) fn parts(
    c: &mut Cursor<'_>,
    first: Part,
    next: impl Fn(&mut Cursor<'_>) -> Option<Part>,
) -> Result<Spec, Reason> {
    let mut spec = part_with_times(c, first)?;
    while let Some(part) = c.attempt(|c| c.separator().and_then(|()| next(c))) {
        let more = part_with_times(c, part)?;
        let all: BTreeSet<_> = spec.times.into_iter().chain(more.times).flatten().collect();
        spec = Spec {
            times: Some(all),
            usual_times: spec.usual_times || more.usual_times,
            ..spec
        };
    }
    Ok(spec)
}

fn part_with_times(c: &mut Cursor<'_>, part: Part) -> Result<Spec, Reason> {
    let said = c.attempt(|c| {
        let _ = c.eat_token(&Token::Comma);
        c.eat(&["at"])?;
        times(c, Context::Recurring, Some(part))
    });
    said.unwrap_or_else(|| {
        Ok(Spec {
            times: Some([part.usual_time()].into()),
            usual_times: true,
            ..Spec::default()
        })
    })
}

fn in_part(c: &mut Cursor<'_>) -> Option<(Part, bool)> {
    c.attempt(|c| {
        if c.eat(&["at"]).is_some() {
            return c.eat(&["night"]).map(|_| (Part::Night, false));
        }
        c.eat(&["in"])?;
        c.eat(&["the"])?;
        part_word(c)
    })
}

/// "morning", "mornings", and whether it is a plural.
pub(super) fn part_word(c: &mut Cursor<'_>) -> Option<(Part, bool)> {
    let word = c.word()?;
    let part = match word.trim_end_matches('s') {
        "morning" => Part::Morning,
        "afternoon" => Part::Afternoon,
        "evening" => Part::Evening,
        "night" => Part::Night,
        _ => return None,
    };
    c.skip();
    Some((part, word.ends_with('s')))
}

/// A list of times with what follows each: part of the day, and at the end the zone.
fn times(c: &mut Cursor<'_>, context: Context, part: Option<Part>) -> Option<Result<Spec, Reason>> {
    let mut times = vec![time(c).filter(|first| is_hour(c, *first, context))?];
    let mut without_part = 0;
    loop {
        if let Some((part, _)) = in_part(c) {
            for time in &mut times[without_part..] {
                *time = part.of(*time);
            }
            without_part = times.len();
        }
        let next = c.attempt(|c| {
            c.separator()?;
            let _ = c.eat(&["and", "at"]);
            let _ = c.eat(&["at"]);
            time(c).filter(|next| is_hour(c, *next, context))
        });
        let Some(next) = next else { break };
        times.push(next);
    }
    if let Some(part) = part {
        for time in &mut times {
            *time = part.of(*time);
        }
    }
    let zone = zone_after_time(c);
    Some(clear(&times).and_then(|times| {
        Ok(Spec {
            times: Some(times),
            zone: zone.transpose()?,
            ..Spec::default()
        })
    }))
}

/// Whether what follows allows `time` to be one.
fn is_hour(c: &Cursor<'_>, time: Time, context: Context) -> bool {
    if time.said != Said::HourOnly || c.ends_clause() || matches!(c.peek(), Some(Token::Slashed(_)))
    {
        return true;
    }
    match (context, c.word()) {
        (_, None) => false,
        (Context::Any, Some(word)) => is_one_of(word, AFTER_AN_HOUR),
        (Context::Recurring, Some(word)) => {
            is_one_of(word, AFTER_AN_HOUR) || !(is_one_of(word, UNITS) || word.ends_with('s'))
        }
    }
}

/// The times, if each hour is clear.
fn clear(times: &[Time]) -> Result<BTreeSet<(u8, u8)>, Reason> {
    let is_24_hour = times
        .iter()
        .any(|time| time.said != Said::Exactly && time.hour > 12);
    if times
        .iter()
        .any(|time| time.said == Said::HourOnly && (1..=6).contains(&time.hour) && !is_24_hour)
    {
        return Err(Reason::BareHour);
    }
    Ok(times.iter().map(|time| (time.hour, time.minute)).collect())
}

fn time(c: &mut Cursor<'_>) -> Option<Time> {
    c.attempt(|c| {
        let time = named_time(c).or_else(|| past_or_to(c)).or_else(|| {
            let time = match c.peek()? {
                Token::Clock(time) => *time,
                token => bare_time(token)?,
            };
            c.skip();
            Some(time)
        })?;
        let _ = c.eat(&["o'clock", "sharp"]);
        Some(time)
    })
}

fn named_time(c: &mut Cursor<'_>) -> Option<Time> {
    match c.eat(&["noon", "midday", "midnight"])? {
        "midnight" => Some(Time::exactly(0, 0)),
        _ => Some(Time::exactly(12, 0)),
    }
}

/// "half past eight", "quarter to 9".
fn past_or_to(c: &mut Cursor<'_>) -> Option<Time> {
    c.attempt(|c| {
        let _ = c.eat(&["a"]);
        let minutes = if c.eat(&["half"])? == "half" { 30 } else { 15 };
        c.eat(&["past"])?;
        Some((minutes, false))
    })
    .or_else(|| {
        c.attempt(|c| {
            let _ = c.eat(&["a"]);
            c.eat(&["quarter"])?;
            Some((
                if c.word() == Some("to") { 45 } else { 15 },
                c.eat(&["past", "to"])? == "to",
            ))
        })
    })
    .and_then(|(minute, is_before)| {
        let time = match c.peek()? {
            Token::Clock(time) if time.minute == 0 => *time,
            token => bare_time(token)?,
        };
        c.skip();
        let hour = if is_before {
            (time.hour + 23) % 24
        } else {
            time.hour
        };
        Some(Time {
            hour,
            minute,
            ..time
        })
    })
}

/// "between 9am and 5pm", "from 9 to 17", "9am-5pm".
pub(super) fn window(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let lead = c.eat(&["between", "from"]);
        let first = time(c)?;
        let joined = match lead {
            Some("between") => c.eat(&["and"]).map(|_| ()),
            Some(_) => c
                .eat_token(&Token::Dash)
                .or_else(|| c.eat(&["to", "until", "till", "through"]).map(|_| ())),
            None => c
                .eat_token(&Token::Dash)
                .or_else(|| c.eat(&["to"]).map(|_| ())),
        };
        joined?;
        let last = time(c)?;
        let are_numbers = first.said == Said::HourOnly && last.said == Said::HourOnly;
        if lead.is_none() && are_numbers {
            return None;
        }
        let zone = zone_after_time(c);
        let says = hours(first, last).and_then(|window| {
            Ok(Spec {
                window: Some(window),
                zone: zone.transpose()?,
                ..Spec::default()
            })
        });
        Some(Fragment::new(Strength::Loose, says))
    })
}

fn hours(first: Time, last: Time) -> Result<(u8, u8), Reason> {
    let is_bare = first.said == Said::HourOnly || last.said == Said::HourOnly;
    let is_backward = last.hour <= first.hour && first.hour <= 12;
    let may_be_pm =
        first.said == Said::HourOnly && last.said == Said::Exactly && first.hour + 12 < last.hour;
    if is_bare && (is_backward || may_be_pm) {
        return Err(Reason::BareHour);
    }
    let are_whole = first.minute == 0 && last.minute == 0 && first.hour != last.hour;
    if are_whole {
        Ok((first.hour, last.hour))
    } else {
        Err(Reason::Inexpressible)
    }
}

/// A zone named anywhere: an IANA name, or "time zone: UTC", "all times are in UTC".
pub(super) fn zone(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        if let Some(Token::Slashed(name)) = c.peek() {
            let name = c.is_zone(name).then(|| name.clone())?;
            c.skip();
            return Some(Ok(name));
        }
        if c.eat(&["timezone", "timezones", "times"]).is_none() && !c.eat_all("time zone") {
            return None;
        }
        while c.eat(&["are", "in", "is"]).is_some() || c.eat_token(&Token::Comma).is_some() {}
        zone_after_time(c)
    })
    .map(|zone| {
        Fragment::new(
            Strength::Loose,
            zone.map(|zone| Spec {
                zone: Some(zone),
                ..Spec::default()
            }),
        )
    })
}

/// The zone right after a time: some, an unclear one, or none.
fn zone_after_time(c: &mut Cursor<'_>) -> Option<Result<String, Reason>> {
    c.attempt(|c| {
        let _ = c.eat(&["in"]);
        let _ = c.eat_token(&Token::Comma);
        match c.peek()? {
            Token::Slashed(name) => {
                c.skip();
                Some(if c.is_zone(name) {
                    Ok(name.clone())
                } else {
                    Err(Reason::TimeZone)
                })
            }
            Token::Word(word) => zone_word(c, word),
            _ => None,
        }
    })
}

fn zone_word(c: &mut Cursor<'_>, word: &str) -> Option<Result<String, Reason>> {
    if matches!(word, "utc" | "gmt") {
        c.skip();
        let has_offset = c.attempt(|c| {
            if c.eat_token(&Token::Dash).is_none() {
                c.eat_token(&Token::Other)?;
            }
            c.number()
        });
        return Some(if has_offset.is_some() {
            Err(Reason::TimeZone)
        } else {
            Ok(word.to_uppercase())
        });
    }
    if is_one_of(word, UNCLEAR_ZONES) {
        c.skip();
        return Some(Err(Reason::TimeZone));
    }
    named_time_zone(c).map(|()| Err(Reason::TimeZone))
}

/// "Berlin time", "Central European Time", "local time": named, but not so that one zone is meant.
fn named_time_zone(c: &mut Cursor<'_>) -> Option<()> {
    const NO_PLACE: &str = "a and any at each every first in last next of on same some that the this \
    to";
    c.attempt(|c| {
        for _ in 0..3 {
            if is_one_of(c.word()?, NO_PLACE) {
                return None;
            }
            c.skip();
            if c.eat(&["time"]).is_some() {
                return Some(());
            }
        }
        None
    })
}
