//! Reads the answer to a condition. Pure: the first word decides, and what is neither YES nor NO
//! decides nothing.

/// The answer to a condition; none if it is neither YES nor NO.
pub fn read(answer: &str) -> Option<bool> {
    let is_decoration = |c: char| !c.is_alphanumeric();
    let first = answer
        .trim_start_matches(is_decoration)
        .split(is_decoration)
        .next()?;
    match first.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_first_word_decides() {
        for (answer, verdict) in [
            ("YES", Some(true)),
            ("yes.", Some(true)),
            (" **Yes**, because", Some(true)),
            ("No", Some(false)),
            ("\"NO\"", Some(false)),
            ("no; yes would be wrong", Some(false)),
            ("Maybe", None),
            ("", None),
            ("...", None),
            ("Not sure", None),
            ("yesterday", None),
            ("I would say YES", None),
            ("ja", None),
        ] {
            assert_eq!(read(answer), verdict, "{answer:?}");
        }
    }
}
