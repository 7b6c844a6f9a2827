//! Reads the cron dialect into sets of values. Pure text; knows no time and no zone.
//!
//! Source of the rules: Kubernetes validates `CronJob.spec.schedule` with robfig/cron v3
//! `ParseStandard`. Everything accepted here is accepted there with the same meaning. Stricter than
//! robfig on purpose: no `@macros`, `TZ=` or `?`; no `N/step` (robfig reads `5/15` as `5-59/15`,
//! other crons refuse it); no step larger than the range it steps over; no empty list items, signs,
//! or `*-5`.

use jiff::civil::Date;

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// A checked expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day_of_month: Field,
    pub(super) month: Field,
    pub(super) day_of_week: Field,
}

/// The values of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// Bit n is set if the field holds n.
    bits: u64,
    /// Whether it is `*` in the sense of robfig: then it does not take part in the "either day"
    /// rule.
    pub(super) star: bool,
}

impl Field {
    fn has(&self, value: u8) -> bool {
        value < 64 && self.bits & (1 << value) != 0
    }

    pub(super) fn values(&self) -> impl Iterator<Item = u8> {
        let bits = self.bits;
        (0..64).filter(move |value| bits & (1 << value) != 0)
    }

    /// The same set in the plainest spelling: `*` or a list of numbers.
    pub(super) fn canonical(&self) -> String {
        if self.star {
            return "*".to_owned();
        }
        self.values()
            .map(|value| value.to_string())
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Fields {
    pub(super) fn parse(expression: &str) -> Result<Self, ScheduleError> {
        refuse_other_dialects(expression)?;
        let texts: Vec<&str> = expression
            .split([' ', '\t'])
            .filter(|text| !text.is_empty())
            .collect();
        let [minute, hour, day_of_month, month, day_of_week] = texts[..] else {
            return Err(error(
                format!(
                    "{} has {} fields, not five",
                    quoted(expression),
                    texts.len()
                ),
                "write minute, hour, day of month, month and day of week, such as `0 9 * * 1-5`",
            ));
        };
        Ok(Self {
            minute: MINUTE.parse(minute)?,
            hour: HOUR.parse(hour)?,
            day_of_month: DAY_OF_MONTH.parse(day_of_month)?,
            month: MONTH.parse(month)?,
            day_of_week: DAY_OF_WEEK.parse(day_of_week)?,
        })
    }

    /// Whether it fires on this day: where both days are named, one of them is enough.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let holds =
            |field: &Field, value: i8| u8::try_from(value).is_ok_and(|value| field.has(value));
        let day = holds(&self.day_of_month, date.day());
        let weekday = holds(&self.day_of_week, date.weekday().to_sunday_zero_offset());
        let is_either = !self.day_of_month.star && !self.day_of_week.star;
        holds(&self.month, date.month())
            && if is_either {
                day || weekday
            } else {
                day && weekday
            }
    }

    /// Whether some year has a day that matches. Cheap, and spares the search for days that do not
    /// exist.
    pub(super) fn has_a_day(&self) -> bool {
        if !self.day_of_week.star {
            return true;
        }
        let first = self.day_of_month.values().min().unwrap_or(u8::MAX);
        self.month
            .values()
            .any(|month| first <= longest_month(month))
    }
}

fn longest_month(month: u8) -> u8 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn error(problem: impl Into<String>, advice: impl Into<String>) -> ScheduleError {
    ScheduleError::new(ScheduleErrorKind::Cron, problem, advice)
}

fn refuse_other_dialects(expression: &str) -> Result<(), ScheduleError> {
    let trimmed = expression.trim();
    if trimmed.is_empty() {
        return Err(error(
            "the cron expression is empty",
            "write five fields, such as `0 9 * * 1-5`",
        ));
    }
    if let Some(macro_name) = trimmed.strip_prefix('@') {
        return Err(error(
            format!("{} is a cron nickname", quoted(trimmed)),
            macro_advice(macro_name),
        ));
    }
    if expression.contains("TZ=") {
        return Err(error(
            "a cron expression holds no time zone",
            "give the zone as `time_zone` (in Kubernetes: `timeZone`)",
        ));
    }
    if let Some(odd) = expression
        .chars()
        .find(|c| (c.is_whitespace() || c.is_control()) && !matches!(c, ' ' | '\t'))
    {
        return Err(error(
            format!(
                "the cron expression holds the character U+{:04X}",
                u32::from(odd)
            ),
            "separate its five fields by single spaces",
        ));
    }
    Ok(())
}

fn macro_advice(name: &str) -> String {
    let cron = match name.to_ascii_lowercase().as_str() {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        other if other.starts_with("every") => {
            return "write `every: '5m'`, or five fields such as `*/5 * * * *`".to_owned();
        }
        _ => "0 9 * * 1-5",
    };
    format!("write five fields, such as `{cron}`")
}

/// What one field may hold.
struct Rule {
    name: &'static str,
    min: u8,
    max: u8,
    names: &'static [&'static str],
}

const MINUTE: Rule = Rule {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: Rule = Rule {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAY_OF_MONTH: Rule = Rule {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
const MONTH: Rule = Rule {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
};
const DAY_OF_WEEK: Rule = Rule {
    name: "day of week",
    min: 0,
    max: 6,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
};

impl Rule {
    fn parse(&self, text: &str) -> Result<Field, ScheduleError> {
        let mut field = Field {
            bits: 0,
            star: false,
        };
        for item in text.split(',') {
            let (bits, star) = self.item(item)?;
            field.bits |= bits;
            field.star |= star;
        }
        Ok(field)
    }

    /// One of `*`, `*/step`, `value`, `low-high`, `low-high/step`.
    fn item(&self, item: &str) -> Result<(u64, bool), ScheduleError> {
        if item.is_empty() {
            return Err(self.error(
                "has an empty list item",
                "write values separated by single commas",
            ));
        }
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (low, high, single) = self.range(range)?;
        let step = match step {
            Some(_) if single => return Err(self.step_on_a_value(item, low)),
            Some(step) => self.step(item, step, low, high)?,
            None => 1,
        };
        let bits = (low..=high)
            .step_by(usize::from(step))
            .fold(0, |bits, value| bits | 1 << value);
        Ok((bits, range == "*" && step == 1))
    }

    /// Low and high end, and whether it is one value.
    fn range(&self, range: &str) -> Result<(u8, u8, bool), ScheduleError> {
        if range == "*" {
            return Ok((self.min, self.max, false));
        }
        let Some((low, high)) = range.split_once('-') else {
            let value = self.value(range)?;
            return Ok((value, value, true));
        };
        let (low, high) = (self.value(low)?, self.value(high)?);
        if low > high {
            return Err(self.error(
                &format!("has the backward range {}", quoted(range)),
                &format!("write `{low}-{},{}-{high}`", self.max, self.min),
            ));
        }
        Ok((low, high, false))
    }

    fn value(&self, text: &str) -> Result<u8, ScheduleError> {
        if let Some(index) = self
            .names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
        {
            return Ok(self.min + u8::try_from(index).unwrap_or(u8::MAX));
        }
        let Some(number) = small_number(text) else {
            return Err(self.no_value(text));
        };
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        let advice = match (self.name, number) {
            ("day of week", 7) => "write 0 for Sunday".to_owned(),
            ("hour", 24) => "write 0 for midnight".to_owned(),
            _ => format!("write {} to {}", self.min, self.max),
        };
        Err(self.error(
            &format!(
                "has {} out of its range {}-{}",
                quoted(text),
                self.min,
                self.max
            ),
            &advice,
        ))
    }

    fn step(&self, item: &str, step: &str, low: u8, high: u8) -> Result<u8, ScheduleError> {
        let size = high - low + 1;
        match small_number(step) {
            Some(step) if (1..=size).contains(&step) => Ok(step),
            Some(0) => Err(self.error(&format!("has the step 0 in {}", quoted(item)), "write a step of at least 1")),
            Some(_) => Err(self.error(
                &format!("has in {} a step larger than the {size} values it steps over, so it would fire only on the first", quoted(item)),
                &format!("write a step of at most {size}, or for a fixed distance `every:` such as `every: '90m'`"),
            )),
            None => Err(self.error(&format!("has no number as the step of {}", quoted(item)), "write a step such as `*/5`")),
        }
    }

    fn step_on_a_value(&self, item: &str, low: u8) -> ScheduleError {
        let step = item.split_once('/').map_or("", |(_, step)| step);
        let step = if small_number(step).is_some() {
            step
        } else {
            "2"
        };
        self.error(
            &format!("has a step on the single value in {}", quoted(item)),
            &format!(
                "write the range it steps over, such as `{low}-{}/{step}`",
                self.max
            ),
        )
    }

    fn no_value(&self, text: &str) -> ScheduleError {
        let upper = text.to_ascii_uppercase();
        let advice = if text.is_empty() || text == "*" {
            "write both ends of a range, such as `1-5`".to_owned()
        } else if text.contains('?') {
            "write `*`".to_owned()
        } else if upper.contains('#') {
            "write plain values; agent code says the n-th weekday by `only: 'first MON'`".to_owned()
        } else if upper == "L" || (upper.starts_with('L') && upper.len() == 2) {
            "write `*`; agent code says the last day by `only: 'last day of month'`".to_owned()
        } else if upper.ends_with('W') && !self.names.contains(&upper.as_str()) {
            "write `1-5` as the day of week for working days".to_owned()
        } else if let Some(name) = self.names.iter().find(|name| upper.starts_with(**name)) {
            format!("write `{name}`")
        } else if self.names.is_empty() {
            format!(
                "write a number {} to {}, `*`, a list, a range or a step",
                self.min, self.max
            )
        } else {
            format!(
                "write a number {} to {} or a name such as {}",
                self.min, self.max, self.names[0]
            )
        };
        self.error(&format!("has the invalid value {}", quoted(text)), &advice)
    }

    fn error(&self, problem: &str, advice: &str) -> ScheduleError {
        error(format!("the {} field {problem}", self.name), advice)
    }
}

/// A number of one to three digits and no sign.
fn small_number(text: &str) -> Option<u8> {
    let digits =
        !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse::<u16>().ok())
        .flatten()
        .map(|number| u8::try_from(number).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_sets() {
        for (text, canonical) in [
            ("* * * * *", "* * * * *"),
            (
                "*/15 */6 */10 */3 */2",
                "0,15,30,45 0,6,12,18 1,11,21,31 1,4,7,10 0,2,4,6",
            ),
            ("0 9 * * 1-5", "0 9 * * 1,2,3,4,5"),
            (
                "0,30 8-18/2 1,15 jan,Jul MON-fri",
                "0,30 8,10,12,14,16,18 1,15 1,7 1,2,3,4,5",
            ),
            ("05 00 01 01 *", "5 0 1 1 *"),
            ("*/1 * *,5 * *", "* * * * *"),
            (
                "0 0 1-31 * 0-6",
                "0 0 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31 * 0,1,2,3,4,5,6",
            ),
            ("*/60 */24 */31 */12 */7", "0 0 1 1 0"),
            (" 0\t9  * * * ", "0 9 * * *"),
        ] {
            let fields = Fields::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let all = [
                fields.minute,
                fields.hour,
                fields.day_of_month,
                fields.month,
                fields.day_of_week,
            ];
            assert_eq!(
                all.map(|field| field.canonical()).join(" "),
                canonical,
                "{text}"
            );
        }
    }

    #[test]
    fn refusals_say_what_to_write() {
        for (text, advice) in [
            ("", "write five fields, such as `0 9 * * 1-5`"),
            ("* * * *", "minute, hour, day of month"),
            ("0 * * * * *", "minute, hour, day of month"),
            ("@hourly", "`0 * * * *`"),
            ("@every 5m", "`every: '5m'`"),
            ("@reboot", "five fields"),
            ("TZ=UTC 0 9 * * *", "time_zone"),
            ("CRON_TZ=UTC 0 9 * * *", "time_zone"),
            ("0 9 * *\n*", "single spaces"),
            ("0\u{a0}9 * * *", "single spaces"),
            ("*/90 * * * *", "every: '90m'"),
            ("* */25 * * *", "at most 24"),
            ("* 8-18/12 * * *", "at most 11"),
            ("*/0 * * * *", "at least 1"),
            ("*/ * * * *", "such as `*/5`"),
            ("*/MON * * * *", "such as `*/5`"),
            ("*/5/5 * * * *", "such as `*/5`"),
            ("5/15 * * * *", "`5-59/15`"),
            ("60 * * * *", "write 0 to 59"),
            ("0 24 * * *", "write 0 for midnight"),
            ("0 0 0 * *", "write 1 to 31"),
            ("0 0 32 * *", "write 1 to 31"),
            ("0 0 * 13 *", "write 1 to 12"),
            ("0 0 * * 7", "write 0 for Sunday"),
            ("0 0 * * 5-7", "write 0 for Sunday"),
            ("0 0 * * MONDAY", "write `MON`"),
            ("0 0 * * FRI-MON", "`5-6,0-1`"),
            ("0 22-2 * * *", "`22-23,0-2`"),
            ("0 0 L * *", "last day"),
            ("0 0 15W * *", "`1-5`"),
            ("0 0 * * 5#1", "n-th weekday"),
            ("0 0 * * 5L", "number 0 to 6"),
            ("0 0 ? * *", "write `*`"),
            ("0 0 1,,2 * *", "single commas"),
            ("0 0 , * *", "single commas"),
            ("0 0 1-2-3 * *", "number 1 to 31"),
            ("*-5 * * * *", "both ends"),
            ("-5 * * * *", "both ends"),
            ("+5 * * * *", "number 0 to 59"),
            ("H * * * *", "number 0 to 59"),
            ("1.5 * * * *", "number 0 to 59"),
            ("٣ * * * *", "number 0 to 59"),
            ("99999999999999999999 * * * *", "number 0 to 59"),
            ("300 * * * *", "write 0 to 59"),
        ] {
            let Err(error) = Fields::parse(text) else {
                panic!("{text:?} was accepted")
            };
            assert!(error.advice().contains(advice), "{text:?}: {error}");
        }
    }
}
