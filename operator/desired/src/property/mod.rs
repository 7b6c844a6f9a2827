//! Property tests: what holds of every spec that an API server admits. Owns what those of all kinds
//! share; the agents' own are in `agent::tests::property`.
//!
//! Specs are generated from the CRDs' schemas, so that a new field is tried as soon as it exists;
//! only those that the schema and its CEL rules admit count, and each test says how many those must
//! be. A few cases each run with the other tests; many by one command:
//!
//! ```sh
//! LANGOP_PROPERTY_CASES=100000 cargo test --workspace --lib property
//! ```
//!
//! A failure prints the smallest input that still fails.

pub(crate) mod admission;
pub(crate) mod generate;
pub(crate) mod names;
pub(crate) mod network;

mod hashes;
mod kinds;
mod reach;

use std::fmt::Debug;

use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestRunner},
};

/// How many inputs a property is tried with where nobody says.
const FEW: u32 = 256;

/// How many inputs each property is tried with.
pub(crate) fn cases() -> u32 {
    std::env::var("LANGOP_PROPERTY_CASES").map_or(FEW, |text| {
        text.parse()
            .expect("LANGOP_PROPERTY_CASES is a number of cases")
    })
}

/// Tries a property, which panics where it does not hold, with that many inputs.
pub(crate) fn for_all<S: Strategy<Value: Debug>>(inputs: &S, property: impl Fn(S::Value)) {
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(inputs, |input| {
        property(input);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}

/// Of all cases, at least this share must have been of the sort that the property is about.
pub(crate) fn enough(what: &str, count: u32, one_in: u32) {
    assert!(
        count >= cases() / one_in,
        "only {count} of {} cases were {what}: the test tests little",
        cases()
    );
}
