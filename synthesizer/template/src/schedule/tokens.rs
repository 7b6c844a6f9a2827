//! Writes a sentence as tokens, each followed by one space. Knows how things are written, not what
//! they mean.
//!
//! A word is itself in lower case; `#5` a number in digits or words, `#8:30` such an hour with its
//! minute (half past eight), `#1½` a number and a half,
//! `°1` an ordinal, `=300` a length of time in seconds, `t17:00` a time of day, `c9:30` one on the
//! 24-hour clock unless a part of the day says otherwise, `/Europe/Berlin` perhaps a time zone, `,`
//! whatever ends a clause, `-` a dash, and `~` anything else: a quote, an address, a symbol.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::spec::{DAY, HOUR, MINUTE};

/// What a sentence is made of; the first that matches wins.
const TOKEN: &str = r#"(?x)
    (?P<other> "[^"]*" | `[^`]*` | [“„][^”]*” | «[^»]*»
        | [A-Za-z][\w+.-]{0,15}://\S*[^\s,.;:!?)\]]    # an address
        | [^\s@(\[]{1,64}@\S*[^\s,.;:!?)\]]
        | (?:\.|~)?/\S*[^\s,.;:!?)\]]             # a path
        | \d{4}-\S*\d | \d+(?:/\d+)+ | \d+[%/] )
    | (?P<slashed> \p{L}[\w+-]*(?:/[\w+-]+)+ )
    | (?P<hour>\d{1,2})(?:[:.](?P<minute>\d\d))?\s?(?P<half>[AaPp])\.?[Mm]\b\.?
    | (?P<hour_24>\d{1,2}):(?P<minute_24>\d\d)\b
    | (?P<ordinal>\d+)(?:st|nd|rd|th|ST|ND|RD|TH)\b
    | (?P<whole>\d+)\.(?P<fraction>\d+)
    | (?P<number>\d+)
    | (?P<tens>[Tt]wenty|[Tt]hirty|[Ff]orty|[Ff]ifty|[Ss]ixty|[Ss]eventy|[Ee]ighty|[Nn]inety)-(?P<ones>\p{L}+)
    | (?P<word>[\p{L}'’]+)
    | (?P<comma>[,;:()\[\]—…])
    | (?P<dash>[-–−])
    | (?P<nothing>[.!?*_\s])
    | (?P<sign>(?s:.))"#;

/// "half past 8", "a quarter to nine".
const PAST: &str =
    r"\b(?:a )?(?P<part>half|quarter) (?P<side>past|to) (?:[tc](?P<clock>\d+):00|#(?P<hour>\d+)) ";

/// A length of time: "5 minutes", "1h30m", "half an hour", "an hour and a half".
const LENGTH: &str = concat!(
    r"#(?P<count>\d+)(?P<half>½?)(?P<half_after>(?: and a half)?) (?:- )?(?P<unit>UNIT)",
    r"(?P<half_last>(?: and a half)?) (?P<more>(?:(?:and )?#\d+ UNIT )*)",
    r"|\b(?P<fraction>half|quarter) (?:- )?(?:of )?(?:an? )?(?P<of>second|minute|hour|day|week) ",
    r"|\b(?P<one>minute|hour|day|week) and a half ",
);
const FIXED: &str = "(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w)";

const ONES: &str = "one two three four five six seven eight nine ten eleven twelve thirteen \
    fourteen fifteen sixteen seventeen eighteen nineteen";
const TENS: &str = "ten twenty thirty forty fifty sixty seventy eighty ninety";
/// Not "second", which is also a unit.
const ORDINALS: &str =
    "first - third fourth fifth sixth seventh eighth ninth tenth - - - - fifteenth";

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let length = LENGTH.replace("UNIT", FIXED);
    let more = format!("(?:and )?#(?P<count>\\d+) (?P<unit>{FIXED}) ");
    // a test holds each to compile
    let patterns = [TOKEN, PAST, &length, &more].map(Regex::new);
    patterns.into_iter().flatten().collect()
});

/// Whether `word` is one of `words`, which spaces separate.
pub(super) fn is_one_of(word: &str, words: &str) -> bool {
    words.split_ascii_whitespace().any(|one| one == word)
}

/// The tokens of `sentence`.
pub(crate) fn tokens(sentence: &str) -> String {
    let [token, past, length, more] = PATTERNS.as_slice() else {
        return String::new();
    };
    let mut text = String::with_capacity(sentence.len() + 8);
    for found in token.captures_iter(sentence) {
        let is_after_at = text == "at " || text.ends_with(" at ");
        text.extend(written(&found, is_after_at).map(|token| token + " "));
    }
    let text = past.replace_all(&text, past_or_to);
    let text = length.replace_all(&text, |found: &Captures<'_>| seconds(found, more));
    text.into_owned()
}

fn written(found: &Captures<'_>, is_after_at: bool) -> Option<String> {
    let get = |name| found.name(name).map(|group| group.as_str());
    let number = |name| get(name).and_then(|digits| digits.parse::<u32>().ok());
    let other = || "~".to_owned();
    Some(if get("other").is_some() {
        other()
    } else if let Some(slashed) = get("slashed") {
        by_slashes(slashed)
    } else if let Some(half) = get("half") {
        twelve_hour(number("hour")?, number("minute").unwrap_or(0), half).unwrap_or_else(other)
    } else if let Some(hour) = number("hour_24") {
        clock(hour, number("minute_24")?).unwrap_or_else(other)
    } else if let Some(ordinal) = number("ordinal") {
        format!("°{ordinal}")
    } else if let (Some(whole), Some(fraction)) = (number("whole"), get("fraction")) {
        decimal(whole, fraction, is_after_at).unwrap_or_else(other)
    } else if let Some(digits) = get("number") {
        whole_number(digits, is_after_at).unwrap_or_else(other)
    } else if let Some(tens) = get("tens") {
        let ones = get("ones")
            .and_then(|ones| place(ones, ONES))
            .filter(|ones| *ones < 10);
        format!("#{}", place(tens, TENS)? * 10 + ones?)
    } else if let Some(word) = get("word") {
        return self::word(&word.to_lowercase().replace('’', "'"));
    } else if get("comma").is_some() {
        ",".to_owned()
    } else if get("dash").is_some() {
        "-".to_owned()
    } else {
        match get("sign")? {
            "&" => "and".to_owned(),
            "@" => "at".to_owned(),
            _ => other(),
        }
    })
}

/// `1.5`, or after "at" a time such as `8.30`.
fn decimal(whole: u32, fraction: &str, is_after_at: bool) -> Option<String> {
    let is_time = is_after_at && fraction.len() == 2;
    let minute = fraction.parse().ok().filter(|_| is_time);
    let time = minute.and_then(|minute| clock(whole, minute));
    time.or_else(|| (fraction == "5").then(|| format!("#{whole}½")))
}

/// `5`, or after "at" a time such as `0830`.
fn whole_number(digits: &str, is_after_at: bool) -> Option<String> {
    let number: u32 = digits.parse().ok().filter(|_| digits.len() <= 9)?;
    let is_time = is_after_at && digits.len() == 4;
    let time = is_time.then(|| clock(number / 100, number % 100)).flatten();
    Some(time.unwrap_or_else(|| format!("#{number}")))
}

/// `Mon/Wed/Fri` is a list, `Europe/Berlin` a name.
fn by_slashes(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').collect();
    let are_words = parts
        .iter()
        .all(|part| part.chars().all(char::is_alphabetic));
    if are_words && parts[0].len() <= 3 {
        parts.join(" , ").to_lowercase()
    } else if text.starts_with(|c: char| c.is_ascii_uppercase()) {
        format!("/{text}")
    } else {
        "~".to_owned()
    }
}

fn word(word: &str) -> Option<String> {
    let word = word.trim_matches('\'');
    let number = place(word, ONES).or_else(|| Some(place(word, TENS)? * 10));
    Some(match word {
        "" | "o'clock" | "sharp" => return None,
        "noon" | "midday" => "t12:00".to_owned(),
        "midnight" => "t0:00".to_owned(),
        _ => number
            .map(|number| format!("#{number}"))
            .or_else(|| Some(format!("°{}", place(word, ORDINALS)?)))
            .unwrap_or_else(|| word.to_owned()),
    })
}

/// Which of `words` it is, counted from 1.
fn place(word: &str, words: &str) -> Option<u32> {
    let at = words
        .split_ascii_whitespace()
        .position(|one| one == word.to_lowercase())?;
    u32::try_from(at + 1).ok()
}

fn twelve_hour(hour: u32, minute: u32, half: &str) -> Option<String> {
    let noon = if half.eq_ignore_ascii_case("p") {
        12
    } else {
        0
    };
    ((1..=12).contains(&hour) && minute < 60).then(|| format!("t{}:{minute:02}", hour % 12 + noon))
}

fn clock(hour: u32, minute: u32) -> Option<String> {
    (hour < 24 && minute < 60).then(|| format!("c{hour}:{minute:02}"))
}

fn past_or_to(found: &Captures<'_>) -> String {
    let hour = found.name("clock").or_else(|| found.name("hour"));
    let hour = hour
        .and_then(|hour| hour.as_str().parse::<u32>().ok())
        .filter(|hour| *hour < 24);
    let (hour, minute) = match (hour, &found["part"], &found["side"]) {
        (Some(hour), "half", "past") => (hour, 30),
        (Some(hour), "quarter", "past") => (hour, 15),
        (Some(hour), "quarter", _) => ((hour + 23) % 24, 45),
        _ => return found[0].to_owned(),
    };
    // as sure as the hour: "half past 8pm", "half past 8:00", "half past 8"
    let sure = if found[0].contains(" t") {
        't'
    } else if found.name("hour").is_some() {
        '#'
    } else {
        'c'
    };
    format!("{sure}{hour}:{minute:02} ")
}

fn seconds(found: &Captures<'_>, more: &Regex) -> String {
    let get = |name| found.name(name).map_or("", |group| group.as_str());
    if !get("fraction").is_empty() {
        return format!(
            "={} ",
            unit(get("of")) / if get("fraction") == "half" { 2 } else { 4 }
        );
    }
    if !get("one").is_empty() {
        return format!("={} ", unit(get("one")) * 3 / 2);
    }
    let mut smallest = unit(get("unit"));
    let halves = ["half", "half_after", "half_last"]
        .iter()
        .filter(|name| !get(name).is_empty());
    let halves = u64::try_from(halves.count()).unwrap_or(0);
    let mut total = get("count").parse::<u64>().unwrap_or(0) * smallest + halves * smallest / 2;
    if (total, get("more")) == (smallest, "") && smallest >= DAY {
        // "every 1 day" is every day
        return if smallest == DAY { "day " } else { "week " }.to_owned();
    }
    let mut end = 0;
    for next in more.captures_iter(get("more")) {
        let length = unit(&next["unit"]);
        if length >= smallest {
            break;
        }
        smallest = length;
        total += next["count"].parse::<u64>().unwrap_or(0) * length;
        end += next[0].len();
    }
    format!("={total} {}", &get("more")[end..])
}

fn unit(word: &str) -> u64 {
    match word.as_bytes().first() {
        Some(b's') => 1,
        Some(b'm') => MINUTE,
        Some(b'h') => HOUR,
        Some(b'd') => DAY,
        _ => 7 * DAY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(PATTERNS.len(), 4);
    }

    #[test]
    fn writes_what_people_write() {
        for (sentence, expected) in [
            ("Every 5 minutes, check!", "every =300 , check"),
            ("every 5m or 1h30m", "every =300 or =5400"),
            ("2 hours on the half hour", "=7200 on the =1800"),
        ] {
            assert_eq!(tokens(sentence).trim_end(), expected, "{sentence}");
        }
    }
}
