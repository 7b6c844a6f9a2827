//! Printing a definition and reading it gives the same definition.

use std::collections::BTreeMap;

use langop_dsl::{
    Action, AgentDefinition, Calendar, Constraints, DiagnosticCode, MAX_DURATION_SECONDS,
    MAX_ITERATIONS, MAX_VALUE_DEPTH, Mode, Schedule, Step, Value, render,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::{accept, params, read};

fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("[^\0]{0,12}[#{$@\\\\\"'\\nß]{0,6}[a-z]").unwrap()
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.into())),
        any::<i32>().prop_filter_map("finite", |cents| serde_json::Number::from_f64(
            f64::from(cents) / 100.0
        )
        .map(Value::Number)),
        text().prop_map(Value::String),
        Just(Value::Result {
            step: "first".to_owned()
        }),
        Just(Value::Item),
    ];
    let key = prop_oneof![
        text(),
        Just(String::new()),
        "[a-zA-Z_][a-zA-Z0-9_]{0,5}",
        Just("if".to_owned()),
        Just("nil".to_owned())
    ];
    leaf.prop_recursive(
        u32::try_from(MAX_VALUE_DEPTH).unwrap() - 2,
        24,
        4,
        move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map(key.clone(), inner, 0..4).prop_map(Value::Object),
            ]
        },
    )
}

fn action() -> impl Strategy<Value = Action> {
    let tool = prop_oneof![
        Just("email-tool".to_owned()),
        Just("filesystem-tool".to_owned())
    ];
    let params = proptest::collection::btree_map(text(), value(), 0..4);
    let prompt = prop_oneof![
        text().prop_map(Value::String),
        Just(Value::Result {
            step: "first".to_owned()
        }),
        Just(Value::Item)
    ];
    prop_oneof![
        (tool, proptest::option::of(text()), params).prop_map(|(tool, action, params)| {
            Action::UseTool {
                tool,
                action,
                params,
            }
        }),
        (prompt, proptest::option::of(Just("claude".to_owned())))
            .prop_map(|(prompt, model)| Action::Ask { prompt, model }),
    ]
}

fn only() -> impl Strategy<Value = Option<Calendar>> {
    const TEXTS: [&str; 4] = [
        "last day of month",
        "third WED",
        "last FRI",
        "every 3 weeks from 2026-01-06",
    ];
    let only = prop::sample::select(&TEXTS[..]).prop_map(|text| text.parse().unwrap());
    proptest::option::of(only)
}

fn schedule() -> impl Strategy<Value = Option<Schedule>> {
    let zone = proptest::option::of(Just("Europe/Berlin".to_owned()));
    prop_oneof![
        Just(None),
        (1..=MAX_DURATION_SECONDS).prop_map(|seconds| Some(Schedule::Every { seconds })),
        (0..60, 0..8, zone, only()).prop_map(|(minute, more, time_zone, only)| {
            Some(Schedule::Cron {
                expression: format!("{minute} 9 * * *"),
                also: (0..more).map(|hour| format!("0 {hour} * * 0-6")).collect(),
                time_zone,
                only,
            })
        }),
    ]
}

/// Whether an action is of a step that runs once per item.
fn has_item(action: &Action) -> bool {
    fn is_in(value: &Value) -> bool {
        match value {
            Value::Item => true,
            Value::Array(items) => items.iter().any(is_in),
            Value::Object(entries) => entries.values().any(is_in),
            _ => false,
        }
    }
    match action {
        Action::UseTool { params, .. } => params.values().any(is_in),
        Action::Ask { prompt, .. } => is_in(prompt),
    }
}

prop_compose! {
    fn definition()(
        name in "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
        description in proptest::option::of(text()),
        schedule in schedule(),
        says_mode in any::<bool>(),
        objectives in proptest::collection::vec(text(), 1..4),
        actions in proptest::collection::vec((text(), proptest::option::of(text()), action()), 0..4),
        max_iterations in proptest::option::of(1..=MAX_ITERATIONS),
        timeout_seconds in proptest::option::of(1..=MAX_DURATION_SECONDS),
    ) -> AgentDefinition {
        let first = Step {
            name: "first".to_owned(),
            depends_on: vec![],
            only_if: None,
            each: None,
            action: Action::Ask { prompt: Value::String("x".to_owned()), model: None },
        };
        let unique: BTreeMap<_, _> = actions.into_iter().map(|(name, only_if, action)| (name, (only_if, action))).collect();
        let mut depends_on = vec!["first".to_owned()];
        let mut steps = if unique.is_empty() { vec![] } else { vec![first] };
        for (number, (name, (only_if, action))) in unique.into_iter().enumerate() {
            let name = format!("{number} {name}");
            let each = has_item(&action).then(|| "first".to_owned());
            steps.push(Step { name: name.clone(), depends_on: depends_on.clone(), only_if, each, action });
            depends_on.push(name);
        }
        let mode = if schedule.is_some() { Mode::Scheduled } else { Mode::Autonomous };
        AgentDefinition {
            name, description, mode: says_mode.then_some(mode), schedule, objectives, steps,
            constraints: Constraints { max_iterations, timeout_seconds },
        }
    }
}

/// So many definitions, the same each time.
pub(super) fn samples(count: usize) -> Vec<AgentDefinition> {
    let mut runner = TestRunner::deterministic();
    let all = definition();
    let mut sample = || all.new_tree(&mut runner).unwrap().current();
    (0..count).map(|_| sample()).collect()
}

/// What no checked code gives, but a message may hold: nothing of it gets out of its text.
#[test]
fn whatever_a_definition_holds_stays_text() {
    let hostile = "'; puts('x') #\n\"; puts 'y' #{z}";
    let definition = AgentDefinition {
        name: "a".to_owned(),
        description: Some(hostile.to_owned()),
        mode: None,
        schedule: Some(Schedule::Cron {
            expression: hostile.to_owned(),
            also: vec![],
            time_zone: Some(hostile.to_owned()),
            only: None,
        }),
        objectives: vec![hostile.to_owned()],
        steps: vec![],
        constraints: Constraints::default(),
    };
    let found = read(&render(&definition)).diagnostics;
    let rules: Vec<&str> = found.iter().map(|found| found.code.as_str()).collect();
    assert_eq!(rules, ["bad-schedule"], "{found:#?}");
}

proptest! {
    #[test]
    fn printing_and_reading_gives_the_same(definition in definition()) {
        let code = render(&definition);
        let parsed = read(&code);
        prop_assert_eq!(parsed.diagnostics, vec![], "{}", code);
        prop_assert_eq!(parsed.definition, Some(definition.clone()));
        let json = serde_json::to_string(&definition).unwrap();
        prop_assert_eq!(serde_json::from_str::<AgentDefinition>(&json).unwrap(), definition);
    }

    #[test]
    fn every_float_that_is_accepted_is_kept_by_json(digits in -999_999_999_999_999_i64..=999_999_999_999_999, power in -40..20) {
        let parsed = read(&params(&format!("{{ f: {digits}.0e{power} }}")));
        let value: f64 = format!("{digits}e{power}").parse().unwrap();
        let Some(definition) = parsed.definition else {
            prop_assert_eq!(parsed.diagnostics[0].code, DiagnosticCode::OutOfRange);
            let zeros = std::iter::successors(Some(digits), |rest| (rest % 10 == 0).then_some(rest / 10));
            let plain = power + i32::try_from(zeros.take(16).count()).unwrap() - 1;
            prop_assert!(plain < -22 || value.abs() >= 1e15);
            return Ok(());
        };
        let json = serde_json::to_string(&definition).unwrap();
        let kept: AgentDefinition = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&kept, &definition);
        let Action::UseTool { params, .. } = &kept.steps[0].action else { panic!("no tool") };
        prop_assert_eq!(&params["f"], &Value::Number(serde_json::Number::from_f64(value).unwrap()));
        prop_assert_eq!(accept(&render(&definition)), definition);
    }
}
