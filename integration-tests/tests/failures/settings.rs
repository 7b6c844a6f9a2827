//! Which seeds the random test tries; see the head of `main.rs`.

use std::ops::Range;

const FIRST: &str = "LANGOP_FAULT_SEED";
const NUMBER: &str = "LANGOP_FAULT_SEEDS";
const JOBS: &str = "LANGOP_FAULT_JOBS";
/// With all other tests.
const USUAL: u64 = 3;

/// Seeds to try: one if only the first is named.
pub(crate) fn seeds() -> Range<u64> {
    let (first, number) = (number(FIRST), number(NUMBER));
    let begin = first.unwrap_or(1);
    let many = number.unwrap_or(if first.is_some() { 1 } else { USUAL });
    begin..begin.saturating_add(many)
}

/// How many at a time.
pub(crate) fn jobs() -> usize {
    number(JOBS)
        .and_then(|jobs| usize::try_from(jobs).ok())
        .unwrap_or(3)
        .max(1)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is '{text}': write a whole number")))
}
