//! Durations as people write them.

use std::time::Duration;

/// Accepts what jiff calls friendly durations: `500ms`, `90s`, `2m`, `1h 30m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text
        .parse()
        .map_err(|_| "write a duration such as 500ms, 90s, 5m or 1h".to_owned())?;
    match Duration::try_from(duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a duration longer than zero".to_owned()),
    }
}
