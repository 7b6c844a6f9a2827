//! The grammar of days: weekdays, days of the month, months, and what of these no schedule can say.

use super::clock;
use super::cursor::{Cursor, Fragment, Strength};
use super::spec::{Period, Reason, Set, Spec};
use super::token::{Token, is_one_of};

const DAYS: [&[&str]; 7] = [
    &["sunday", "sundays", "sun"],
    &["monday", "mondays", "mon"],
    &["tuesday", "tuesdays", "tue", "tues"],
    &["wednesday", "wednesdays", "wed"],
    &["thursday", "thursdays", "thu", "thur", "thurs"],
    &["friday", "fridays", "fri"],
    &["saturday", "saturdays", "sat"],
];

const MONTHS: [&[&str]; 12] = [
    &["january", "jan"],
    &["february", "feb"],
    &["march", "mar"],
    &["april", "apr"],
    &["may"],
    &["june", "jun"],
    &["july", "jul"],
    &["august", "aug"],
    &["september", "sep", "sept"],
    &["october", "oct"],
    &["november", "nov"],
    &["december", "dec"],
];

/// What may follow "on the 15th" so that it is a day and not the 15th of something.
const AFTER_A_DAY: &str = "and at each every in then with";

/// Weekdays as written.
struct Weekdays {
    set: Set,
    /// A plural, a range or a group: more than one such day is meant.
    plural: bool,
    /// Shortened, and so perhaps another word: sun, sat, wed.
    short: bool,
}

impl Weekdays {
    fn many(set: Set) -> Self {
        Self {
            set,
            plural: true,
            short: false,
        }
    }

    fn with(self, other: &Self) -> Self {
        Self {
            set: self.set.with(other.set),
            plural: true,
            short: false,
        }
    }

    fn spec(&self) -> Spec {
        Spec {
            weekdays: Some(self.set),
            ..Spec::default()
        }
    }
}

/// What may come after "every": "Monday and Thursday", "1st of the month", "March 15".
pub(super) fn after_every(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        if let Some(days) = weekday_list(c) {
            return Some(with_parts(c, &days, Strength::Recurring));
        }
        days_of_month(c, Lead::Every).or_else(|| {
            let date = date(c).or_else(|| {
                let month = month(c)?;
                Some(Spec {
                    months: Some(month),
                    month_days: Some(Set::of(1)),
                    ..Spec::default()
                })
            });
            date.map(Fragment::recurring)
        })
    })
}

pub(super) fn is_weekday(c: &Cursor<'_>) -> bool {
    let mut trial = *c;
    weekday(&mut trial).is_some()
}

/// "on Mondays", "on weekdays", "from Monday to Friday", "Mon-Fri", "Monday, Wednesday and Friday", "on Monday".
pub(super) fn weekdays(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let starts_clause = c.starts_clause();
        let _ = c.eat(&["only"]);
        let lead = c.eat(&["at", "during", "from", "on", "over"]);
        let has_article = c.eat(&["a", "the"]).is_some();
        let days = weekday_list(c)?;
        let is_beside_time =
            matches!(c.peek(), Some(Token::Clock(_))) || matches!(c.word(), Some("at"));
        let is_legal = match lead {
            Some("from" | "at" | "during" | "over") => days.plural,
            Some(_) => true,
            None => !has_article && (!days.short || is_beside_time),
        };
        let strength = match lead {
            _ if !is_legal => return None,
            Some(_) if days.plural => Strength::Recurring,
            Some(_) => Strength::Loose,
            None if days.plural && (starts_clause || is_beside_time) => Strength::Recurring,
            None => Strength::Bare,
        };
        Some(with_parts(c, &days, strength))
    })
}

/// "Monday mornings": the days with the part of the day after them.
fn with_parts(c: &mut Cursor<'_>, days: &Weekdays, strength: Strength) -> Fragment {
    let Some((part, is_plural)) = clock::part_word(c) else {
        return Fragment::new(strength, Ok(days.spec()));
    };
    let says = clock::parts(c, part, |c| clock::part_word(c).map(|(part, _)| part));
    let strength = if is_plural {
        Strength::Recurring
    } else {
        strength
    };
    Fragment::new(
        strength,
        says.map(|spec| Spec {
            weekdays: Some(days.set),
            ..spec
        }),
    )
}

fn weekday_list(c: &mut Cursor<'_>) -> Option<Weekdays> {
    let mut days = weekday_range(c)?;
    while let Some(next) = c.attempt(|c| {
        c.separator()?;
        let _ = c.eat(&["and", "or"]);
        let _ = c.eat(&["each", "every", "on"]);
        weekday_range(c)
    }) {
        days = days.with(&next);
    }
    Some(days)
}

fn weekday_range(c: &mut Cursor<'_>) -> Option<Weekdays> {
    if c.attempt(|c| c.eat(&["weekend", "weekends"])).is_some() {
        return Some(Weekdays::many(Set::WEEKEND));
    }
    if c.eat(&["weekday", "weekdays", "workday", "workdays"])
        .is_some()
    {
        return Some(Weekdays::many(Set::WEEKDAYS));
    }
    let is_group = c.attempt(|c| {
        c.eat(&["business", "week", "work", "working"])?;
        c.eat(&["day", "days"])
    });
    if is_group.is_some() {
        return Some(Weekdays::many(Set::WEEKDAYS));
    }
    let (first, days) = weekday(c)?;
    let last = c.attempt(|c| {
        c.eat_token(&Token::Dash).or_else(|| {
            c.eat(&["through", "thru", "till", "to", "until"])
                .map(|_| ())
        })?;
        weekday(c).map(|(last, _)| last)
    });
    let Some(last) = last else { return Some(days) };
    let length = (last + 7 - first) % 7;
    Some(Weekdays::many(
        (0..=length)
            .map(|offset| Set::of((first + offset) % 7))
            .fold(Set::default(), Set::with),
    ))
}

fn weekday(c: &mut Cursor<'_>) -> Option<(u8, Weekdays)> {
    let word = c.word()?;
    let at = DAYS.iter().position(|names| names.contains(&word))?;
    let day = u8::try_from(at).ok()?;
    c.skip();
    Some((
        day,
        Weekdays {
            set: Set::of(day),
            plural: word.ends_with("days"),
            short: !word.contains("day"),
        },
    ))
}

/// How a day of the month is introduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    Every,
    OnThe,
    The,
}

/// "on the first of the month", "on the 1st and 15th", "on day 3 of each month".
pub(super) fn month_days(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let on = c.eat(&["on"]).is_some();
        if c.eat(&["day"]).is_some() {
            let day = c
                .number()
                .and_then(|day| u8::try_from(day).ok())
                .filter(|day| (1..=31).contains(day))?;
            return of_the_month(c).map(|says| with_days(says, Set::of(day)));
        }
        let lead = match (on, c.eat(&["the"])) {
            (true, _) => Lead::OnThe,
            (false, Some(_)) => Lead::The,
            (false, None) => return None,
        };
        days_of_month(c, lead)
    })
}

fn days_of_month(c: &mut Cursor<'_>, lead: Lead) -> Option<Fragment> {
    c.attempt(|c| {
        let mut days = ordinal_day(c)?;
        while let Some(next) = c.attempt(|c| {
            c.separator()?;
            let _ = c.eat(&["and", "or"]);
            let _ = c.eat(&["the"]);
            ordinal_day(c)
        }) {
            days = days.with(next);
        }
        let has_day = c.eat(&["day", "days"]).is_some();
        if let Some(says) = of_the_month(c) {
            return Some(with_days(says, days));
        }
        let stands_alone =
            c.ends_clause() || c.word().is_some_and(|word| is_one_of(word, AFTER_A_DAY));
        let strength = if lead == Lead::The {
            Strength::Bare
        } else {
            Strength::Recurring
        };
        (stands_alone && !has_day).then(|| {
            Fragment::new(
                strength,
                Ok(Spec {
                    month_days: Some(days),
                    ..Spec::default()
                }),
            )
        })
    })
}

fn ordinal_day(c: &mut Cursor<'_>) -> Option<Set> {
    c.ordinal()
        .filter(|day| (1..=31).contains(day))
        .map(Set::of)
}

/// "of the month", "of every quarter", "each month".
fn of_the_month(c: &mut Cursor<'_>) -> Option<Result<Period, Reason>> {
    c.attempt(|c| {
        let is_of = c.eat(&["in", "of"]).is_some();
        match c.eat(&["a", "any", "each", "every", "the"]) {
            Some("each" | "every") => {}
            Some(_) if is_of => {}
            _ => return None,
        }
        Some(match c.eat(&["month", "quarter", "week", "year"])? {
            "month" => Ok(Period::Months(1)),
            "quarter" => Ok(Period::Months(3)),
            "year" => Ok(Period::Year),
            _ => Err(Reason::Vague),
        })
    })
}

fn with_days(period: Result<Period, Reason>, days: Set) -> Fragment {
    Fragment::new(
        Strength::Recurring,
        period.and_then(|period| {
            let is_plain = period == Period::Months(1) || days == Set::of(1);
            let spec = Spec {
                period: Some(period),
                month_days: Some(days),
                ..Spec::default()
            };
            is_plain.then_some(spec).ok_or(Reason::Inexpressible)
        }),
    )
}

/// "January 1st", "1 January", "the 15th of March". A year after it makes it one day, which is no schedule.
fn date(c: &mut Cursor<'_>) -> Option<Spec> {
    c.attempt(|c| {
        let month_first = c.attempt(|c| Some((month(c)?, day_number(c)?)));
        let (month, day) = month_first.or_else(|| {
            c.attempt(|c| {
                let day = day_number(c)?;
                let _ = c.eat(&["of"]);
                Some((month(c)?, day))
            })
        })?;
        let has_year = c.attempt(|c| {
            let _ = c.eat_token(&Token::Comma);
            c.number().filter(|year| *year >= 1900)
        });
        has_year.is_none().then(|| Spec {
            months: Some(month),
            month_days: Some(day),
            ..Spec::default()
        })
    })
}

fn day_number(c: &mut Cursor<'_>) -> Option<Set> {
    ordinal_day(c).or_else(|| {
        let day = c.attempt(|c| {
            c.number()
                .and_then(|day| u8::try_from(day).ok())
                .filter(|day| (1..=31).contains(day))
        })?;
        Some(Set::of(day))
    })
}

fn month(c: &mut Cursor<'_>) -> Option<Set> {
    let word = c.word()?;
    let at = MONTHS.iter().position(|names| names.contains(&word))?;
    c.skip();
    u8::try_from(at + 1).ok().map(Set::of)
}

/// "on 1 January", "in December and January".
pub(super) fn months(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        if c.eat(&["on"]).is_some() {
            let _ = c.eat(&["the"]);
            return date(c);
        }
        c.eat(&["during", "in"])?;
        let mut months = month(c)?;
        while let Some(next) = c.attempt(|c| c.separator().and_then(|()| month(c))) {
            months = months.with(next);
        }
        Some(Spec {
            months: Some(months),
            ..Spec::default()
        })
    })
    .map(|spec| Fragment::new(Strength::Loose, Ok(spec)))
}

/// "the last day of the month", "every second Tuesday of the month", "the end of each week".
pub(super) fn unsayable_days(c: &mut Cursor<'_>) -> Option<Fragment> {
    nth_weekday(c).or_else(|| last_of(c)).or_else(|| end_of(c))
}

fn nth_weekday(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let _ = c.eat(&["on"]);
        let has_article = if c.eat(&["each", "every"]).is_some() {
            None
        } else {
            c.eat(&["the"])
        };
        nth(c)?;
        while c.attempt(|c| c.separator().and_then(|()| nth(c))).is_some() {}
        weekday_range(c)?;
        let of_month = of_the_month(c).map(|_| Strength::Recurring);
        let strength = of_month.or(has_article.map(|_| Strength::Loose))?;
        Some(Fragment::new(strength, Err(Reason::NthWeekday)))
    })
}

fn nth(c: &mut Cursor<'_>) -> Option<()> {
    c.eat(&["final", "last", "second"])
        .map(|_| ())
        .or_else(|| c.ordinal().map(|_| ()))
}

fn last_of(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        let on = c.eat(&["on"]).is_some();
        let _ = c.eat(&["each", "every", "the"]);
        c.eat(&["final", "last"])?;
        let has_day = c.eat(&["day", "days"]).is_some();
        let of_month = of_the_month(c).map(|_| {
            if on {
                Strength::Recurring
            } else {
                Strength::Loose
            }
        });
        let strength = of_month.or((on && has_day).then_some(Strength::Loose))?;
        Some(Fragment::new(strength, Err(Reason::LastDays)))
    })
}

fn end_of(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        c.eat(&["close", "end"])?;
        c.eat(&["of"])?;
        let article = c.eat(&["business", "day", "each", "every", "month", "the", "week"])?;
        let _ = c.eat(&[
            "business", "day", "month", "quarter", "week", "workday", "year",
        ]);
        let strength = if matches!(article, "each" | "every") {
            Strength::Recurring
        } else {
            Strength::Loose
        };
        Some(Fragment::new(strength, Err(Reason::LastDays)))
    })
    .or_else(|| {
        c.attempt(|c| (c.eat_all("at the end") && c.ends_clause()).then_some(()))?;
        Some(Fragment::new(Strength::Loose, Err(Reason::LastDays)))
    })
    .or_else(|| {
        let word = c.eat(&["cob", "eod", "eom", "eow", "month-end"])?;
        let reason = if word == "eod" || word == "cob" {
            Reason::Vague
        } else {
            Reason::LastDays
        };
        Some(Fragment::new(Strength::Loose, Err(reason)))
    })
}

/// "after lunch", "during office hours": times of day that mean another hour to everybody.
pub(super) fn vague_time(c: &mut Cursor<'_>) -> Option<Fragment> {
    c.attempt(|c| {
        c.eat(&["after", "around", "at", "before", "by", "during", "outside"])?;
        let _ = c.eat(&["the"]);
        if c.eat(&[
            "breakfast",
            "bedtime",
            "dawn",
            "daytime",
            "dinner",
            "dusk",
            "lunch",
            "lunchtime",
            "school",
            "sunrise",
            "sunset",
            "work",
        ])
        .is_some()
        {
            return Some(());
        }
        let is_day = c.eat(&["business", "office", "work", "working"]).is_some();
        c.eat(if is_day {
            &["hours"]
        } else {
            &["day", "night"]
        })
        .map(|_| ())
    })
    .map(|()| Fragment::new(Strength::Loose, Err(Reason::Vague)))
}
