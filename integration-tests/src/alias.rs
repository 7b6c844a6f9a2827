//! The arguments of the programs behind the aliases in `.cargo/config.toml`. What they mean is the
//! programs' own.

use std::ffi::OsString;

/// The arguments of this process, without the `--` that people put between cargo and a program: the
/// alias has one already, and a second would make everything behind it positional. So `cargo demo
/// --once` and `cargo demo -- --once` are the same.
pub fn arguments() -> impl Iterator<Item = OsString> {
    without_separator(std::env::args_os())
}

fn without_separator(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    arguments
        .enumerate()
        .filter(|(nth, argument)| *nth != 1 || argument != "--")
        .map(|(_, argument)| argument)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_separator_in_front_is_dropped() {
        for (given, expected) in [
            (&["demo", "--", "--once"][..], &["demo", "--once"][..]),
            (&["demo", "--once"], &["demo", "--once"]),
            (&["demo", "a", "--", "--b"], &["demo", "a", "--", "--b"]),
            (&["demo", "--"], &["demo"]),
            (&["demo"], &["demo"]),
        ] {
            let kept = without_separator(given.iter().map(OsString::from));
            assert!(kept.eq(expected.iter().map(OsString::from)), "{given:?}");
        }
    }
}
