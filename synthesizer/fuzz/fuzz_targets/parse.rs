#![no_main]
//! See the oracle for what must hold.

#[path = "../../dsl/tests/fuzzing/oracles.rs"]
#[allow(dead_code, reason = "each target uses one oracle")]
mod oracles;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracles::parse(input));
