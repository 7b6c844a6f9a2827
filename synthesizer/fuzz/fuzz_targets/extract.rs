#![no_main]
//! See the oracle for what must hold.

#[path = "../../src/extract.rs"]
#[allow(dead_code, reason = "the target uses one function")]
mod extract;
#[path = "../../tests/extracting/oracle.rs"]
mod oracle;

libfuzzer_sys::fuzz_target!(|input: &[u8]| oracle::extract(input, extract::code));
