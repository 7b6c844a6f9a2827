//! What must hold for any answer, as a function that panics where it does not: for the test here
//! and for the fuzzer's target, which hands in the function because it includes only that module.

use std::time::{Duration, Instant};

/// The code found is text of the answer and nothing else, ends with one line end, is found again in
/// a fence of its own, and all that in time.
pub(crate) fn extract(answer: &[u8], code: fn(&str) -> Option<String>) {
    const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 50 });
    let Ok(answer) = std::str::from_utf8(answer) else {
        return;
    };
    let once = || {
        let started = Instant::now();
        (code(answer), started.elapsed())
    };
    // where it was slow, only the best of a few more tries counts: other programs may have run
    let (found, took) = once();
    let best = || (0..5).map(|_| once().1).min().unwrap_or(took);
    assert!(took < LONGEST || best() < LONGEST, "it took {took:?}");
    let Some(found) = found else { return };
    assert_eq!(found, format!("{}\n", found.trim_end()));
    assert!(!found.contains('\r'));
    let given = plain(answer);
    for line in found.lines() {
        assert!(given.contains(plain(line).trim()), "{line:?} was made up");
    }
    let fence = "~".repeat(3 + found.matches('~').count());
    let again = code(&format!("{fence}ruby\n{found}{fence}\n")).unwrap_or_default();
    assert_eq!(start(&again), start(&found));
}

/// Markdown has no NUL, and shows another character instead.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Without the empty lines and byte order marks before it, of which extraction takes away some each
/// time.
fn start(code: &str) -> String {
    plain(code.trim_start_matches(['\u{feff}', '\n']))
}
