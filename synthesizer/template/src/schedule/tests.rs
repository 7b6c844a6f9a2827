//! What everyday instructions say about time: the right schedule, or none.

use jiff::Timestamp;
use langop_dsl::{Offer, Schedule, format_duration, parse};

use super::{Timing, read, tokens::tokens};
use crate::{answer, text::sentences};

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// The schedule in short: `every 5m`, a cron with its zone, `-` for nothing said, `?` and why for
/// an honest absence.
fn said(text: &str) -> String {
    let sentences = sentences(text);
    let tokens: Vec<String> = sentences.iter().map(|s| tokens(&s.text)).collect();
    match read(&sentences, &tokens, now()) {
        Timing::At(schedule) => in_short(schedule),
        Timing::Unsaid => "-".to_owned(),
        Timing::Unclear(why) => format!("?{why}"),
    }
}

fn in_short(schedule: Schedule) -> String {
    match schedule {
        Schedule::Every { seconds } => format!("every {}", format_duration(seconds)),
        Schedule::Cron {
            expression,
            also,
            time_zone,
            only,
        } => {
            let crons: Vec<String> = std::iter::once(expression).chain(also).collect();
            let zone = time_zone.map_or_else(String::new, |zone| format!(" {zone}"));
            let only = only.map_or_else(String::new, |only| format!(" only {only}"));
            format!("{}{zone}{only}", crons.join(" + "))
        }
    }
}

/// The schedule in short of the agent that is written from the text, as who runs it reads it; `-`
/// for none.
fn arrives(text: &str) -> String {
    let code = answer(text, &Offer::default(), now());
    let parsed = parse(&code, &Offer::default(), now());
    match parsed.definition {
        Some(definition) => definition.schedule.map_or_else(|| "-".to_owned(), in_short),
        None => format!("{:?} of\n{code}", parsed.diagnostics),
    }
}

fn check(table: &[(&str, &str)]) {
    for (text, expected) in table {
        let scheduled = if expected.starts_with('?') {
            "-"
        } else {
            expected
        };
        assert_eq!(arrives(text), scheduled, "the agent written from {text:?}");
    }
    let wrong: Vec<String> = table
        .iter()
        .map(|(text, expected)| (text, expected, said(text)))
        .filter(|(_, expected, said)| {
            if **expected == "?" {
                !said.starts_with('?')
            } else {
                *said != **expected
            }
        })
        .map(|(text, expected, said)| format!("{text:?}\n  expected {expected}\n  was      {said}"))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} wrong\n{}",
        wrong.len(),
        table.len(),
        wrong.join("\n")
    );
}

#[test]
fn intervals() {
    check(&[
        (
            "Every 5 minutes, check the workspace for new files.",
            "every 5m",
        ),
        ("Check the site every 90 minutes.", "every 1h30m"),
        ("Check the queue hourly", "every 1h"),
        ("Every hour summarise the error log", "every 1h"),
        ("Poll the API every other hour.", "every 2h"),
        ("Look for new orders every half hour.", "every 30m"),
        ("Look for new orders every half-hour.", "every 30m"),
        ("Look for new orders every half an hour.", "every 30m"),
        ("Ping the server every 30 seconds", "every 30s"),
        ("Ping the server every minute", "every 1m"),
        ("Ping the server every second.", "every 1s"),
        ("Refresh the cache every quarter of an hour", "every 15m"),
        ("Refresh the cache every hour and a half", "every 1h30m"),
        ("Refresh the cache every 1.5 hours", "every 1h30m"),
        (
            "Refresh the cache every 2 hours and 15 minutes",
            "every 2h15m",
        ),
        ("Refresh the cache every 1h30m", "every 1h30m"),
        ("Refresh the cache every 5min.", "every 5m"),
        (
            "Check twice an hour whether the build is green",
            "every 30m",
        ),
        ("Once an hour, collect metrics", "every 1h"),
        ("Once every 10 minutes collect metrics", "every 10m"),
        ("Collect metrics at 5-minute intervals", "every 5m"),
        ("Collect metrics at intervals of ten minutes", "every 10m"),
        ("Run half-hourly", "every 30m"),
        ("Every twenty-five minutes, stretch", "every 25m"),
        ("Rotate the keys every 2 days", "every 2d"),
        ("Rotate the keys every other day", "every 2d"),
        ("Rotate the keys every second day", "every 2d"),
        ("Rotate the keys every 2 weeks", "every 14d"),
        ("Rotate the keys fortnightly.", "every 14d"),
        (
            "Check that the site is up every 5 minutes and, if it is down, email me.",
            "every 5m",
        ),
        ("Monitor the feed continuously, every 5 minutes", "every 5m"),
        ("At the top of every hour, post the temperature", "every 1h"),
        ("Every 24 hours, make a backup", "every 1d"),
        ("Five times a day, water the plants", "every 4h48m"),
        ("Every hour at minute 15, read the sensors", "15 * * * *"),
        (
            "Every 2 hours on the half hour, read the sensors",
            "30 */2 * * *",
        ),
        (
            "At 20 minutes past every hour, read the sensors",
            "20 * * * *",
        ),
        ("Don't forget to water the plants every 3 days.", "every 3d"),
        (
            "This agent runs every 5 minutes and checks the site",
            "every 5m",
        ),
        (
            "An agent that checks my email every 10 minutes",
            "every 10m",
        ),
    ]);
}

#[test]
fn times_of_day() {
    check(&[
        ("Every day at 5pm, send me a summary.", "0 17 * * *"),
        ("Send me a summary every day at 17:00.", "0 17 * * *"),
        ("Daily at 9:30 am, check the inbox", "30 9 * * *"),
        ("Every day at noon, post a joke", "0 12 * * *"),
        ("At midnight every day, rotate the logs", "0 0 * * *"),
        ("Check my mail every day at 9 and 17.", "0 9,17 * * *"),
        ("Check my mail at 9 and 17.", "0 9,17 * * *"),
        ("Check my mail at 9am, 1pm and 5pm.", "0 9,13,17 * * *"),
        ("Every morning, read the news", "0 9 * * *"),
        ("Every morning at 7, read the news", "0 7 * * *"),
        ("Read the news every evening at 8", "0 20 * * *"),
        ("Every morning and evening, feed the cat", "0 9,18 * * *"),
        (
            "Every morning at 7 and every evening at 7, feed the cat",
            "0 7,19 * * *",
        ),
        (
            "Feed the cat in the morning and in the evening",
            "0 9,18 * * *",
        ),
        ("In the morning, read the news", "0 9 * * *"),
        ("Every day in the afternoon, take stock", "0 14 * * *"),
        ("Every day at 8 in the evening, take stock", "0 20 * * *"),
        ("Back up the database nightly", "0 22 * * *"),
        ("Back up the database nightly at 2am", "0 2 * * *"),
        ("Every night at 2:30 back up the database", "30 2 * * *"),
        (
            "Each day at half past eight check the calendar",
            "30 8 * * *",
        ),
        (
            "Each day at quarter to nine check the calendar",
            "45 8 * * *",
        ),
        ("At 6pm, send the report", "0 18 * * *"),
        ("Run at 9am. Summarise the news.", "0 9 * * *"),
        ("Twice a day, check the stock.", "0 0,12 * * *"),
        ("Check the stock three times a day", "0 0,8,16 * * *"),
        ("Check the stock four times daily", "0 0,6,12,18 * * *"),
        ("Check the stock 2x a day", "0 0,12 * * *"),
        ("Check the stock twice a day at 9am and 5pm", "0 9,17 * * *"),
        ("Check the stock daily", "0 0 * * *"),
        ("Once a day check the stock", "0 0 * * *"),
        ("Everyday at 8am check the stock", "0 8 * * *"),
        ("Send me a daily summary of the news", "0 0 * * *"),
        ("Send me a daily summary of the news at 6pm", "0 18 * * *"),
        (
            "Every weekday, check my inbox and send a summary at 5pm",
            "0 17 * * 1-5",
        ),
        ("every day 9am: check the stock", "0 9 * * *"),
        ("Every day at 9 send me the weather", "0 9 * * *"),
        (
            "Every day at 9:00 and 9:30 send me the weather",
            "0,30 9 * * *",
        ),
        ("Run every day.\nStart at 8:30.", "30 8 * * *"),
        (
            "Every day at 6, 12 and 18, read the meter",
            "0 6,12,18 * * *",
        ),
        (
            "Run at 9 in the morning and 6 in the evening every day",
            "0 9,18 * * *",
        ),
        (
            "Run every day at 7 in the morning and at 7 in the evening",
            "0 7,19 * * *",
        ),
        ("Every day at 8.30am read the meter", "30 8 * * *"),
        ("Every day at 0830 read the meter", "30 8 * * *"),
        ("Every day around 9 read the meter", "0 9 * * *"),
        ("Read the meter 24 times a day", "0 * * * *"),
        (
            "Summarize emails that arrived overnight every day at 8am.",
            "0 8 * * *",
        ),
    ]);
}

#[test]
fn days_of_the_week() {
    check(&[
        (
            "Every weekday at 5pm, remind the team to log their hours.",
            "0 17 * * 1-5",
        ),
        ("On weekdays at 9am check the queue", "0 9 * * 1-5"),
        ("On weekends at 10:00, water the plants", "0 10 * * 0,6"),
        ("Every Monday at 8:30am send the plan", "30 8 * * 1"),
        ("Every Tuesday, tidy the board", "0 0 * * 2"),
        ("On Mondays, tidy the board", "0 0 * * 1"),
        (
            "Monday, Wednesday and Friday at 10am, tidy the board",
            "0 10 * * 1,3,5",
        ),
        (
            "Tidy the board on Monday, Wednesday and Friday",
            "0 0 * * 1,3,5",
        ),
        (
            "Tidy the board every Tuesday and Thursday at noon",
            "0 12 * * 2,4",
        ),
        (
            "Tidy the board every Tuesday and every Thursday at noon",
            "0 12 * * 2,4",
        ),
        ("Mon-Fri at 7am tidy the board", "0 7 * * 1-5"),
        ("Tidy the board at 7am Mon-Fri", "0 7 * * 1-5"),
        ("Tidy the board at 7am, Monday to Friday", "0 7 * * 1-5"),
        (
            "Tidy the board from Monday through Thursday at 16:15",
            "15 16 * * 1-4",
        ),
        ("Every Friday to Sunday at 8pm", "0 20 * * 0,5,6"),
        ("Every Monday morning, plan the week", "0 9 * * 1"),
        ("On Friday afternoons, sum up the week", "0 14 * * 5"),
        ("On weekday mornings at 8, sum up the news", "0 8 * * 1-5"),
        ("Weekly, on Friday at 4pm, send the report", "0 16 * * 5"),
        ("Send a weekly report on Fridays", "0 0 * * 5"),
        ("Send a weekly report on Friday", "0 0 * * 5"),
        ("Once a week, clean up", "0 0 * * 0"),
        ("Every week on Wednesday at 11:00 clean up", "0 11 * * 3"),
        (
            "Clean up twice a week, on Monday and Thursday",
            "0 0 * * 1,4",
        ),
        ("At 9am on Monday send the agenda", "0 9 * * 1"),
        (
            "Every business day at 6 pm, close the books",
            "0 18 * * 1-5",
        ),
        ("Every day except Sunday at 7am, bake bread", "0 7 * * 1-6"),
        (
            "Every day at 7am except on weekends, bake bread",
            "0 7 * * 1-5",
        ),
        (
            "Bake bread every day at 7am. Do not run on Sundays.",
            "0 7 * * 1-6",
        ),
        ("Every hour on weekdays, check the queue", "0 * * * 1-5"),
        (
            "On weekdays, check the queue every 15 minutes",
            "*/15 * * * 1-5",
        ),
        (
            "Every 15 minutes between 9am and 5pm on weekdays, check the queue",
            "*/15 9-16 * * 1-5",
        ),
        (
            "Every hour from 9 to 17, Monday to Friday, check the queue",
            "0 9-17 * * 1-5",
        ),
        (
            "Check the queue every 30 minutes, 8am-6pm",
            "*/30 8-17 * * *",
        ),
        (
            "Every Saturday: \"Weekly tidy-up every day\" is the subject of a mail",
            "0 0 * * 6",
        ),
        ("Mon/Wed/Fri at 6am, go running", "0 6 * * 1,3,5"),
        (
            "Every Monday at 9am. Send the report every Monday at 9am.",
            "0 9 * * 1",
        ),
    ]);
}

#[test]
fn days_of_the_month_and_year() {
    check(&[
        ("On the first of the month, send the invoices.", "0 0 1 * *"),
        (
            "On the first of every month at 8am, send the invoices",
            "0 8 1 * *",
        ),
        ("On the 15th, pay the rent", "0 0 15 * *"),
        (
            "On the 1st and 15th of each month, pay the rent",
            "0 0 1,15 * *",
        ),
        (
            "On the 1st and the 15th at 10:00, pay the rent",
            "0 10 1,15 * *",
        ),
        ("Every month on the 3rd, pay the rent", "0 0 3 * *"),
        (
            "On the first day of each month at noon pay the rent",
            "0 12 1 * *",
        ),
        ("On day 5 of every month, pay the rent", "0 0 5 * *"),
        ("At the beginning of every month, pay the rent", "0 0 1 * *"),
        ("Pay the rent monthly", "0 0 1 * *"),
        ("Pay the rent once a month at 9am", "0 9 1 * *"),
        ("Pay the rent every two months", "0 0 1 1,3,5,7,9,11 *"),
        ("Quarterly, file the tax", "0 0 1 1,4,7,10 *"),
        ("Every quarter, file the tax", "0 0 1 1,4,7,10 *"),
        (
            "On the first day of every quarter file the tax",
            "0 0 1 1,4,7,10 *",
        ),
        ("Every January 1st, send greetings", "0 0 1 1 *"),
        (
            "Every year on March 15th at 9am, send greetings",
            "0 9 15 3 *",
        ),
        ("Once a year, send greetings", "0 0 1 1 *"),
        ("Annually on 1 July, renew the licence", "0 0 1 7 *"),
        ("Twice a year, change the tyres", "0 0 1 1,7 *"),
        (
            "Every day in December at 6pm, light a candle",
            "0 18 * 12 *",
        ),
        ("Every 1st of May, march", "0 0 1 5 *"),
    ]);
}

#[test]
fn time_zones_and_literal_crons() {
    check(&[
        (
            "Every weekday at 9am Europe/Berlin, check the queue",
            "0 9 * * 1-5 Europe/Berlin",
        ),
        ("Every day at 18:00 UTC, check the queue", "0 18 * * * UTC"),
        (
            "Every day at 9am (America/New_York time), check the queue",
            "0 9 * * * America/New_York",
        ),
        (
            "Check the queue every day at 9am. All times are in UTC.",
            "0 9 * * * UTC",
        ),
        (
            "Check the queue every day at 9am. Time zone: Asia/Tokyo.",
            "0 9 * * * Asia/Tokyo",
        ),
        ("Every 5 minutes, Europe/Berlin", "every 5m"),
        (
            "Every day at 9am EST, check the queue",
            "?the time zone is not clear; write a name such as Europe/Berlin",
        ),
        (
            "Every day at 9am Berlin time, check the queue",
            "?the time zone is not clear; write a name such as Europe/Berlin",
        ),
        ("Every day at 9am local time, check the queue", "?"),
        ("Every day at 9am UTC+2, check the queue", "?"),
        ("Every day at 9am Europe/Belrin, check the queue", "?"),
        ("Every day at 9am Europe/Berlin or Asia/Tokyo", "?"),
        ("Run on cron `0 9 * * 1-5`.", "0 9 * * 1-5"),
        (
            "Run on the schedule */10 * * * * (every ten minutes)",
            "*/10 * * * *",
        ),
        (
            "Cron: 30 6 * * MON-FRI in Europe/Paris",
            "30 6 * * MON-FRI Europe/Paris",
        ),
        (
            "Run on cron `*/90 * * * *`.",
            "?the cron expression in the text is not valid",
        ),
    ]);
}

#[test]
fn what_is_no_schedule() {
    check(&[
        ("Watch the workspace and mail me when a file changes.", "-"),
        ("Answer questions about our products.", "-"),
        ("Delete emails older than 5 minutes.", "-"),
        ("Reply within 2 hours.", "-"),
        ("Reply to every email within a day.", "-"),
        ("Summarise the last 24 hours of logs.", "-"),
        ("Wait for 10 minutes before retrying.", "-"),
        ("Watch the build continuously.", "-"),
        ("Be available 24/7.", "-"),
        ("Whenever a file changes, run the tests.", "-"),
        ("Every time a customer writes, answer politely.", "-"),
        ("Greet every user and log each request.", "-"),
        ("Check every second email for spam.", "-"),
        ("Send at most three emails a day.", "-"),
        ("Retry no more than once every hour.", "-"),
        ("Post at most twice a day.", "-"),
        ("Never write to customers every day.", "-"),
        ("Summarise the daily standup notes.", "-"),
        ("Answer questions about the weekly report.", "-"),
        ("Tell me what happened last Monday.", "-"),
        ("Answer mails that arrive daily from the shop.", "-"),
        ("If the backup fails every night, tell me.", "-"),
        (
            "Check that the backup which runs every night succeeded.",
            "-",
        ),
        (
            "The backup runs every night. Verify that it succeeded.",
            "-",
        ),
        ("Remind me of the meeting at 3pm.", "-"),
        ("Write the report by Friday.", "-"),
        ("Tomorrow at 9am call the bank.", "-"),
        ("Send greetings on January 1st 2027.", "-"),
        ("Count the cars for every hour of the day.", "-"),
        ("Use 12:30 as the title.", "-"),
        ("Say \"every day at 9am\" to everybody.", "-"),
        ("Sun and wind are fine, sat at home.", "-"),
        ("", "-"),
    ]);
}

#[test]
fn several_times_and_days_of_the_month() {
    check(&[
        (
            "On the last day of the month, close the books.",
            "0 0 28-31 * * only last day of month",
        ),
        (
            "On the first Monday of every month, meet.",
            "0 0 * * 1 only first MON",
        ),
        (
            "Every second Tuesday of the month, meet.",
            "0 0 * * 2 only second TUE",
        ),
        (
            "On the last Friday of the month at 3pm, meet.",
            "0 15 * * 5 only last FRI",
        ),
        (
            "Every day at 9:00 and 17:30, look around.",
            "0 9 * * * + 30 17 * * *",
        ),
        (
            "Every weekday at 8:15, 12:45 and 17:45 (Europe/Berlin), look around.",
            "15 8 * * 1-5 + 45 12,17 * * 1-5 Europe/Berlin",
        ),
        (
            "Every third Wednesday of the month at 9am and 4:30pm, meet.",
            "0 9 * * 3 + 30 16 * * 3 only third WED",
        ),
        (
            "On the final day of each month at 6pm, close the books.",
            "0 18 28-31 * * only last day of month",
        ),
        (
            "On the fifth Monday of the month, meet.",
            "?it is not clear which weekdays of a month are meant",
        ),
        (
            "On the first Monday and Tuesday of the month, meet.",
            "?it is not clear which weekdays of a month are meant",
        ),
    ]);
}

#[test]
fn what_no_schedule_can_say() {
    check(&[
        (
            "At the end of each month, close the books.",
            "?it is not clear which last day of a month or week is meant",
        ),
        (
            "Every other Monday, meet.",
            "?the text does not say from which day on every other one counts",
        ),
        (
            "Every hour except at night, look around.",
            "?the exception cannot be said by a schedule",
        ),
        (
            "Every 90 minutes on weekdays, look around.",
            "?one schedule cannot say all of it",
        ),
        (
            "Every 2 days at 9am, look around.",
            "?one schedule cannot say all of it",
        ),
        (
            "Every hour at 9am, look around.",
            "?one schedule cannot say all of it",
        ),
        (
            "Every February 31st, look around.",
            "?its days do not exist",
        ),
        (
            "Every Friday the 13th, stay in bed.",
            "?one schedule cannot say all of it",
        ),
        (
            "Every month on the last Friday, send the invoice.",
            "?it is not clear which weekdays of a month are meant",
        ),
        (
            "Every month on the last day, send the invoice.",
            "?it is not clear which last day of a month or week is meant",
        ),
        (
            "Every month, at the end, send the invoice.",
            "?it is not clear which last day of a month or week is meant",
        ),
        (
            "Every 10 minutes today, look around.",
            "?one schedule cannot say all of it",
        ),
    ]);
}

#[test]
fn what_is_not_clear() {
    check(&[
        (
            "Every few minutes, look around.",
            "?the text does not say exactly how often or when",
        ),
        (
            "Every 5-10 minutes, look around.",
            "?the text does not say exactly how often or when",
        ),
        (
            "Look around regularly.",
            "?the text does not say exactly how often or when",
        ),
        ("Look around every so often.", "?"),
        ("Several times a day, look around.", "?"),
        ("Biweekly, look around.", "?"),
        ("Bi-weekly, look around.", "?"),
        (
            "Twice a week, look around.",
            "?the text does not say on which days",
        ),
        (
            "Every day after lunch, look around.",
            "?the text does not say exactly how often or when",
        ),
        ("Every 15 minutes during business hours, look around.", "?"),
        (
            "Every weekday at 5, leave.",
            "?an hour is not clear; write it with am or pm, or as 17:00",
        ),
        (
            "Every day by 9am, write the plan.",
            "?it is not clear whether a time in the text is when to run",
        ),
        (
            "Every Monday, remind the team about the meeting at 3pm.",
            "?it is not clear whether a time in the text is when to run",
        ),
        (
            "Check the mail daily. Send it to me at 6pm.",
            "?it is not clear whether a time in the text is when to run",
        ),
        (
            "Check the site every 5 minutes. Send a report every Monday.",
            "?the text names more than one schedule",
        ),
        (
            "Every day at 9am read the news and at 5pm read them again.",
            "?the text names more than one schedule",
        ),
        (
            "Every day read the news and every Monday write a report.",
            "?the text names more than one schedule",
        ),
        (
            "Run every hour. Run every 2 hours.",
            "?the text names more than one schedule",
        ),
        ("Every Monday at 9am and every Friday at 5pm, meet.", "?"),
        ("Every 0 minutes, look around.", "?"),
        ("Every 400000000 weeks, look around.", "?"),
        ("Every two years, look around.", "?"),
        (
            "Every day at 25:00, look around.",
            "?an hour is not clear; write it with am or pm, or as 17:00",
        ),
        (
            "Every day 8 to 10, look around.",
            "?an hour is not clear; write it with am or pm, or as 17:00",
        ),
        (
            "Look around 9-5 on weekdays.",
            "?an hour is not clear; write it with am or pm, or as 17:00",
        ),
        (
            "Every morning before 8am, look around.",
            "?it is not clear whether a time in the text is when to run",
        ),
        ("Every 30 minutes until 6pm, look around.", "?"),
        (
            "Every 10 minutes, look for orders placed after 9am.",
            "?it is not clear whether a time in the text is when to run",
        ),
    ]);
}
