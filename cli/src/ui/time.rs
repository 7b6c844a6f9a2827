//! Times in words, as kubectl has them: `5s`, `3m`, `2h`, `4d`. The clock is the caller's.

use jiff::Timestamp;

/// A distance in its largest unit, as kubectl shortens ages.
pub(crate) fn distance(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `3m ago`; of a time that has not come, `now`.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    match now.as_second() - time.as_second() {
        seconds if seconds <= 0 => "now".to_owned(),
        seconds => format!("{} ago", distance(seconds)),
    }
}

/// `in 3m`; of a time that is over, `due`.
pub(crate) fn until(time: Timestamp, now: Timestamp) -> String {
    match time.as_second() - now.as_second() {
        seconds if seconds <= 0 => "due".to_owned(),
        seconds => format!("in {}", distance(seconds)),
    }
}

/// A time of the API, if it is one.
pub(crate) fn parse(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_in_one_unit() {
        for (seconds, text) in [
            (-3, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7199, "119m"),
            (7200, "2h"),
            (172_800, "2d"),
        ] {
            assert_eq!(distance(seconds), text);
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(ago(at(0), at(300)), "5m ago");
        assert_eq!(ago(at(300), at(0)), "now");
        assert_eq!(until(at(300), at(0)), "in 5m");
        assert_eq!(until(at(0), at(0)), "due");
    }
}
