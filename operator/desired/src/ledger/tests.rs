//! That no interleaving of calls, crashes and days spends more than a day's budget, or loses a call
//! for ever.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::property::for_all;

fn bound(tokens: i64) -> Bound {
    Bound {
        owner: "the LanguageCluster 'team'".into(),
        tokens,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn granted(grant: Grant) -> (i64, SynthesisDay) {
    match grant {
        Grant::Tokens { tokens, ledger } => (tokens, ledger),
        other => panic!("not granted: {other:?}"),
    }
}

const NOON: &str = "2026-11-30T12:00:00Z";

#[test]
fn a_call_reserves_settles_and_leaves_the_rest() {
    let now = at(NOON);
    let (tokens, ledger) = granted(reserve(None, &bound(100), 60, "a", |_| true, now));
    assert_eq!((tokens, ledger.date.as_str()), (60, "2026-11-30"));
    let busy = reserve(Some(&ledger), &bound(100), 60, "b", |_| true, now);
    assert_eq!(
        busy,
        Grant::Busy,
        "a smaller call than asked for helps nobody"
    );
    let (_, again) = granted(reserve(Some(&ledger), &bound(100), 60, "a", |_| true, now));
    assert_eq!(again, ledger, "the answer to a lost write");
    let ledger = settle(&ledger, "a", Some(30)).unwrap();
    assert_eq!((ledger.used, ledger.reserved.len()), (30, 0));
    assert_eq!(settle(&ledger, "a", Some(30)), None, "settled once");
    let (tokens, ledger) = granted(reserve(Some(&ledger), &bound(100), 80, "b", |_| true, now));
    assert_eq!(tokens, 70, "the last one gets what is left");
    let ledger = settle(&ledger, "b", None).unwrap();
    assert_eq!(ledger.used, 100, "what nobody knows counts whole");
    let Grant::Exhausted { exhausted, .. } =
        reserve(Some(&ledger), &bound(100), 1, "c", |_| true, now)
    else {
        panic!("more was given than there is")
    };
    assert_eq!(exhausted.opens, at("2026-12-01T00:00:00Z"));
    assert!(
        exhausted
            .message
            .contains("opens again at 2026-12-01T00:00:00Z"),
        "{exhausted:?}"
    );
    assert!(prospect(Some(&ledger), &bound(100), 1, now).is_err());
    assert_eq!(
        prospect(Some(&ledger), &bound(130), 50, now),
        Ok(30),
        "it was raised"
    );
    let midnight = at("2026-12-01T00:00:00Z");
    assert_eq!(prospect(Some(&ledger), &bound(100), 50, midnight), Ok(50));
}

#[test]
fn a_lost_operator_s_calls_count_as_spent_until_their_day_ends() {
    let (_, ledger) = granted(reserve(None, &bound(100), 60, "a", |_| true, at(NOON)));
    let (tokens, ledger) = granted(reserve(
        Some(&ledger),
        &bound(100),
        60,
        "b",
        |_| false,
        at(NOON),
    ));
    assert_eq!((tokens, ledger.used), (40, 60));
    let next_day = at("2026-12-01T00:00:00Z");
    let (tokens, ledger) = granted(reserve(
        Some(&ledger),
        &bound(100),
        60,
        "c",
        |_| false,
        next_day,
    ));
    assert_eq!((tokens, ledger.used), (60, 0));
    assert_eq!(settle(&ledger, "b", Some(5)), None, "its day is over");
}

#[test]
fn a_clock_that_goes_back_opens_no_day_twice() {
    let (_, ledger) = granted(reserve(None, &bound(10), 10, "a", |_| true, at(NOON)));
    let ledger = settle(&ledger, "a", None).unwrap();
    let before = at("2026-11-29T23:59:59Z");
    let exhausted = prospect(Some(&ledger), &bound(10), 1, before).unwrap_err();
    assert_eq!(exhausted.opens, at("2026-12-01T00:00:00Z"));
}

/// One step of a history.
#[derive(Clone, Debug)]
enum Event {
    /// An agent asks; its write may be lost on the way back, and it asks again.
    Ask { agent: u8, asked: i64 },
    /// The call of an agent ends at this part (of 100) of what it may cost, or untold.
    End { agent: u8, part: Option<u8> },
    /// The operator dies, and another one takes over.
    Crash,
    /// Time goes on, by hours.
    Hours(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0..8_u8, 1..400_i64).prop_map(|(agent, asked)| Event::Ask { agent, asked }),
        6 => (0..8_u8, proptest::option::weighted(0.8, 0..=100_u8))
            .prop_map(|(agent, part)| Event::End { agent, part }),
        1 => Just(Event::Crash),
        1 => (1..30_u8).prop_map(Event::Hours),
    ]
}

/// What happens outside of the ledger: which calls really run, and what they really cost.
#[derive(Default)]
struct History {
    stored: Option<SynthesisDay>,
    /// Of the living operator, by agent: its call, what it may cost, and the day it began on.
    calls: BTreeMap<u8, (String, i64, String)>,
    /// Really spent, by the day on which a call began.
    spent: BTreeMap<String, i64>,
    next: u32,
    now: Timestamp,
}

impl History {
    fn ask(&mut self, agent: u8, asked: i64, bound: &Bound) {
        if self.calls.contains_key(&agent) {
            return;
        }
        self.next += 1;
        let id = format!("call-{}", self.next);
        let open: BTreeSet<String> = self.calls.values().map(|(id, ..)| id.clone()).collect();
        match reserve(
            self.stored.as_ref(),
            bound,
            asked,
            &id,
            |id| open.contains(id),
            self.now,
        ) {
            Grant::Tokens { tokens, ledger } => {
                let day = ledger.date.clone();
                self.stored = Some(ledger);
                self.calls.insert(agent, (id, tokens, day));
            }
            Grant::Exhausted { ledger, .. } => self.stored = Some(ledger),
            Grant::Busy => assert!(!self.calls.is_empty(), "busy with nobody's calls"),
        }
    }

    fn end(&mut self, agent: u8, part: Option<u8>) {
        let Some((id, tokens, day)) = self.calls.remove(&agent) else {
            return;
        };
        let cost = tokens * i64::from(part.unwrap_or(100)) / 100;
        *self.spent.entry(day).or_default() += cost;
        let settled = self
            .stored
            .as_ref()
            .and_then(|stored| settle(stored, &id, part.map(|_| cost)));
        self.stored = settled.or(self.stored.take());
    }

    /// Even if every call under way costs the most that it may.
    fn judge(&self, limit: i64) {
        let mut worst = self.spent.clone();
        for (_, tokens, day) in self.calls.values() {
            *worst.entry(day.clone()).or_default() += tokens;
        }
        for (day, spent) in worst {
            assert!(spent <= limit, "{spent} of {limit} on {day}");
        }
    }

    /// Calls go on in the synthesizer, and cost as much as they may.
    fn crash(&mut self) {
        for (_, tokens, day) in std::mem::take(&mut self.calls).into_values() {
            *self.spent.entry(day).or_default() += tokens;
        }
    }
}

#[test]
fn nothing_is_overspent_and_no_call_is_lost_for_ever() {
    let events = proptest::collection::vec(event(), 1..200);
    for_all(&(1..1000_i64, events), |(limit, events)| {
        let bound = bound(limit);
        let mut history = History {
            now: at(NOON),
            ..History::default()
        };
        for event in events {
            match event {
                Event::Ask { agent, asked } => history.ask(agent, asked, &bound),
                Event::End { agent, part } => history.end(agent, part),
                Event::Crash => history.crash(),
                Event::Hours(hours) => {
                    history.now = history.now.checked_add(i64::from(hours).hours()).unwrap();
                }
            }
            history.judge(limit);
        }
        // When it opens again, everybody gets a turn.
        history.now = history.now.checked_add(48.hours()).unwrap();
        history.crash();
        history.ask(7, limit, &bound);
        assert!(history.calls.contains_key(&7), "{:?}", history.stored);
    });
}
