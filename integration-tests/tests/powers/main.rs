//! Random pairs of agents: the list of powers of the second is wider exactly if the second may do
//! something that the first may not. What they may do is found out without that list: by running
//! their code in the reference runtime's engine with tools that only record (`runs`), and by tables
//! that say for each choice of a spec what it opens (`agents`).
//!
//! A few hundred pairs run with the other tests; many by one command:
//!
//! ```sh
//! LANGOP_POWERS_PAIRS=100000 cargo test -p langop-integration-tests --test powers
//! ```
//!
//! `LANGOP_POWERS_SEED=N` begins with that seed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests, too"
)]

mod agents;
mod programs;
mod runs;

use std::{collections::BTreeMap, ops::Range};

use langop_desired::powers::{CodePowers, Powers};
use langop_dsl::AgentDefinition;
use langop_integration_tests::fault_proxy::faults::Random;

use crate::{agents::Agent, runs::May};

/// Pairs where nobody says how many.
const FEW: u64 = 300;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn pairs() -> u64 {
    number("LANGOP_POWERS_PAIRS", FEW)
}

fn seeds() -> Range<u64> {
    let first = number("LANGOP_POWERS_SEED", 0);
    first..first + pairs()
}

/// An agent with its code, and what both ways say of it.
struct Subject {
    agent: Agent,
    definition: AgentDefinition,
    may: May,
    powers: Powers,
}

impl Subject {
    fn of(agent: Agent) -> Self {
        let definition = programs::checked(&agent.program);
        let may = May::of(&definition, &agent.tools(), &agent.models());
        let code = CodePowers::from(&definition);
        let powers = Powers::of(&agent.validated(), Some(&code), &agents::settings()).unwrap();
        Self {
            agent,
            definition,
            may,
            powers,
        }
    }
}

/// Why the second may do more than the first; by the row of the table.
fn more(first: &Subject, second: &Subject) -> Vec<&'static str> {
    let mut more = Vec::new();
    let mut add = |is_more: bool, row| {
        if is_more {
            more.push(row);
        }
    };
    add(!second.may.calls_within(&first.may), "calls");
    add(second.may.is_loop && !first.may.is_loop, "free tools");
    add(!second.may.models.is_subset(&first.may.models), "models");
    let (one, two) = (&first.agent, &second.agent);
    add(
        two.seconds_between_runs() < one.seconds_between_runs(),
        "pace",
    );
    add(
        two.iterations() > one.iterations() || two.timeout() > one.timeout(),
        "limits",
    );
    add(!two.reaches().is_subset(&one.reaches()), "network");
    add(two.spec.image != one.spec.image, "image");
    add(!two.variables().is_subset(&one.variables()), "variables");
    add(!two.secrets().is_subset(&one.secrets()), "secrets");
    add(is_more_beside(one, two), "sidecar");
    more
}

/// Whether something else runs in the second's pods beside it, or is lent more.
fn is_more_beside(first: &Agent, second: &Agent) -> bool {
    let Some((runs, lent)) = second.sidecar() else {
        return false;
    };
    first
        .sidecar()
        .is_none_or(|(before, had)| runs != before || lent.iter().any(|one| !had.contains(one)))
}

#[test]
fn the_second_of_a_pair_is_wider_exactly_if_it_may_do_more() {
    let (mut rows, mut within): (BTreeMap<&str, u64>, u64) = (BTreeMap::new(), 0);
    for seed in seeds() {
        let mut random = Random::new(seed);
        let first = Subject::of(Agent::any(&mut random));
        let second = Subject::of(first.agent.changed(&mut random));
        let more = more(&first, &second);
        let wider = second.powers.wider_than(&first.powers);
        assert_eq!(
            wider.is_empty(),
            more.is_empty(),
            "seed {seed}: may do more: {more:?}; told: {wider:?}\n{:#?}\n{:#?}\n{:?}\n{:?}",
            first.definition,
            second.definition,
            first.agent.spec,
            second.agent.spec,
        );
        within += u64::from(more.is_empty() && first.powers != second.powers);
        for row in more {
            *rows.entry(row).or_default() += 1;
        }
    }
    if pairs() < FEW {
        return;
    }
    // Else little was tried.
    let least = pairs() / 200;
    assert!(within >= least, "only {within} pairs were narrower");
    let are_all = rows.len() == 10 && rows.values().all(|count| *count >= least);
    assert!(are_all, "{rows:?}");
}

#[test]
fn whatever_a_run_calls_is_in_the_list() {
    for seed in seeds() {
        let subject = Subject::of(Agent::any(&mut Random::new(seed)));
        let list: serde_json::Value =
            serde_json::from_str(&subject.powers.canonical_json()).unwrap();
        for call in runs::every_call(&subject.definition, &subject.agent.tools()) {
            if let Err(why) = call.is_listed(&list) {
                panic!("seed {seed}: {why}\n{list:#}\n{:#?}", subject.definition);
            }
        }
    }
}
