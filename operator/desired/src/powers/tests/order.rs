//! Being not wider is a partial order, and whatever is taken away makes no list wider. Lists are
//! few and small, so that many are comparable.

use std::cell::Cell;

use proptest::{collection::btree_set, prelude::*};

use super::*;
use crate::property::{enough, for_all};

/// Parts of a choice that are changed one at a time.
const PARTS: usize = 9;

/// The definition and the spec that these choices stand for; all of them together have every value
/// of every part.
#[derive(Clone, Debug)]
struct Choice {
    calls: Vec<(usize, usize)>,
    is_workflow: bool,
    tools: BTreeSet<usize>,
    models: BTreeSet<usize>,
    pace: usize,
    limits: (usize, usize),
    network: BTreeSet<usize>,
    image: usize,
    env: BTreeSet<usize>,
    /// What its sidecar is, if it has one.
    sidecar: usize,
}

fn choice() -> impl Strategy<Value = Choice> {
    let some = |most: usize| btree_set(0..most, 0..=most.min(2));
    let calls = prop::collection::vec((0..2_usize, 0..PARAMS.len()), 0..3);
    (
        (calls, prop::bool::weighted(0.7), some(2), some(2)),
        (
            0..PACES.len(),
            (0..3_usize, 0..3_usize),
            some(CIDRS.len()),
            0..3_usize,
            some(ENV.len()),
            0..SIDECARS.len(),
        ),
    )
        .prop_map(
            |(
                (calls, is_workflow, tools, models),
                (pace, limits, network, image, env, sidecar),
            )| Choice {
                calls,
                is_workflow,
                tools,
                models,
                pace,
                limits,
                network,
                image,
                env,
                sidecar,
            },
        )
}

const PARAMS: [&str; 6] = [
    "{}",
    r#"{"to": "a@example.com"}"#,
    r#"{"to": "b@example.com"}"#,
    r#"{"to": {"$result": "Judge"}}"#,
    r#"{"to": ["a@example.com", {"$result": "Judge"}]}"#,
    r#"{"body": {"$result": "Judge"}, "to": "a@example.com"}"#,
];
const PACES: [&str; 4] = [
    "null",
    r#"{"every": {"seconds": 5400}}"#,
    r#"{"cron": {"expression": "0 9 * * *"}}"#,
    r#"{"cron": {"expression": "30 8 * * *"}}"#,
];
const CIDRS: [&str; 4] = [
    "203.0.113.0/24",
    "203.0.113.0/25",
    "203.0.113.128/25",
    "0.0.0.0/0",
];
const ENV: [&str; 3] = [
    r#"{"name": "A", "value": "1"}"#,
    r#"{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}"#,
    r#"{"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "l"}}}"#,
];
/// Some are within others; `null`: there is none.
const SIDECARS: [&str; 5] = [
    "null",
    "{}",
    r#"{"env": [{"name": "A", "value": "1"}]}"#,
    r#"{"image": "j"}"#,
    r#"{"image": "j", "env": [{"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}"#,
];

impl Choice {
    fn powers(&self) -> Powers {
        let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
        let names = |prefix: &str, all: &BTreeSet<usize>| -> Vec<Value> {
            all.iter()
                .map(|index| json!({"name": format!("{prefix}{index}")}))
                .collect()
        };
        let limit = |choice: usize| [None, Some(10), Some(20)][choice];
        let image = [None, Some("one"), Some("two")][self.image];
        let sidecar = json(SIDECARS[self.sidecar]);
        let mut tools = names("tool", &self.tools);
        tools.extend(sidecar.is_object().then(|| json!({"name": "side"})));
        let spec = json!({
            "toolRefs": tools, "modelRefs": names("model", &self.models),
            "image": image,
            "egress": self.network.iter().map(|index| json!({"cidr": CIDRS[*index], "ports": [{"port": 443}]})).collect::<Vec<_>>(),
            "env": self.env.iter().map(|index| json(ENV[*index])).collect::<Vec<_>>(),
        });
        let mut steps = vec![json!({"name": "Judge", "action": {"ask": {"prompt": "?"}}})];
        steps.extend(self.calls.iter().enumerate().map(|(number, (tool, params))| {
            json!({"name": number.to_string(), "dependsOn": ["Judge"], "action": {"useTool": {
                "tool": format!("tool{tool}"), "action": "do", "params": json(PARAMS[*params])}}})
        }));
        if !self.is_workflow {
            steps.clear();
        }
        let definition = json!({
            "steps": steps, "schedule": json(PACES[self.pace]),
            "constraints": {"maxIterations": limit(self.limits.0), "timeoutSeconds": limit(self.limits.1)},
        });
        let agent = validated_beside(&spec, &sidecar);
        Powers::of(&agent, Some(&code(&definition)), &settings()).unwrap()
    }

    /// The same, but for one part, which is the other's.
    fn with(&self, other: &Self, part: usize) -> Self {
        let mut new = self.clone();
        let other = other.clone();
        match part {
            0 => (new.calls, new.is_workflow) = (other.calls, other.is_workflow),
            1 => new.tools = other.tools,
            2 => new.models = other.models,
            3 => new.pace = other.pace,
            4 => new.limits = other.limits,
            5 => new.network = other.network,
            6 => new.image = other.image,
            7 => new.sidecar = other.sidecar,
            _ => new.env = other.env,
        }
        new
    }

    /// The same with something left out or made smaller, as far as there is something.
    fn less(&self, part: usize) -> Self {
        let mut less = self.clone();
        match part {
            0 => drop(less.calls.pop()),
            1 => drop(less.tools.pop_last()),
            2 => drop(less.models.pop_last()),
            3 => less.pace = less.pace.max(2),
            4 => {
                let smaller = |choice: usize| [2, 1, 1][choice];
                less.limits = (smaller(less.limits.0), smaller(less.limits.1));
            }
            5 => drop(less.network.pop_last()),
            6 => less.is_workflow |= less.calls.iter().all(|(tool, _)| less.tools.contains(tool)),
            7 => less.sidecar = [0, 0, 1, 0, 3][less.sidecar],
            _ => drop(less.env.pop_last()),
        }
        less
    }
}

fn is_within(one: &Powers, other: &Powers) -> bool {
    one.wider_than(other).is_empty()
}

#[test]
fn nothing_is_wider_than_itself() {
    for_all(&choice(), |choice| {
        assert_eq!(choice.powers().wider_than(&choice.powers()), []);
    });
}

#[test]
fn two_of_which_neither_is_wider_are_equal_in_text_and_hash() {
    let both = Cell::new(0);
    for_all(&(choice(), choice(), 0..PARTS), |(one, other, part)| {
        let (one, other) = (one.powers(), one.with(&other, part).powers());
        if is_within(&one, &other) && is_within(&other, &one) {
            both.set(both.get() + 1);
            assert_eq!(one, other);
            assert_eq!(
                (one.canonical_json(), one.hash()),
                (other.canonical_json(), other.hash())
            );
        } else {
            assert_ne!(one.hash(), other.hash());
        }
    });
    enough("of which neither is wider", both.get(), 20);
}

#[test]
fn what_is_within_what_is_within_is_within() {
    let chains = Cell::new(0);
    let parts = (0..PARTS, 0..PARTS);
    for_all(
        &(choice(), choice(), choice(), parts),
        |(one, two, three, (part, next))| {
            let (b, c) = (
                one.with(&two, part),
                one.with(&two, part).with(&three, next),
            );
            let all = [one.powers(), b.powers(), c.powers()];
            for (a, b, c) in [
                (0, 1, 2),
                (2, 1, 0),
                (1, 0, 2),
                (0, 2, 1),
                (1, 2, 0),
                (2, 0, 1),
            ] {
                if is_within(&all[a], &all[b]) && is_within(&all[b], &all[c]) {
                    chains.set(chains.get() + 1);
                    assert!(is_within(&all[a], &all[c]), "{:?} {:?}", all[a], all[c]);
                }
            }
        },
    );
    enough("chains", chains.get(), 5);
}

#[test]
fn whatever_is_taken_away_makes_nothing_wider() {
    let less = Cell::new(0);
    for_all(&(choice(), 0..PARTS), |(choice, part)| {
        let (all, some) = (choice.powers(), choice.less(part).powers());
        assert_eq!(some.wider_than(&all), [], "part {part} of {choice:?}");
        less.set(less.get() + u32::from(some != all));
    });
    enough("really less", less.get(), 5);
}

#[test]
fn every_list_is_read_back() {
    for_all(&choice(), |choice| {
        let powers = choice.powers();
        assert_eq!(Powers::parse(Some(&powers.canonical_json())), Ok(powers));
    });
}
