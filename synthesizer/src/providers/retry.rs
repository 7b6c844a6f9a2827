//! When to try again: pure decisions about Retry-After and back-off.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::ProviderError;

/// Longest pause that is believed to be meant.
const LONGEST: Duration = Duration::from_hours(1);

/// The delays before each further try: each twice as long as the one before, with jitter.
pub(super) fn delays(first: Duration, count: u16) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(first)
        .with_max_delay(first.saturating_mul(16))
        .with_factor(2.0)
        .with_max_times(usize::from(count))
        .with_jitter()
        .build()
}

/// What Retry-After says, an hour at most: seconds, or an HTTP date (RFC 9110, 10.2.3). A date that
/// is past means now.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are too many seconds too.
        let seconds = value.parse().map_or(LONGEST, Duration::from_secs);
        return Some(seconds.min(LONGEST));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    let pause = Duration::try_from(date.duration_since(now)).unwrap_or_default();
    Some(pause.min(LONGEST))
}

/// How long to wait before the next try, if another one may help and there is time for it.
pub(super) fn wait(
    error: &ProviderError,
    backoff: Option<Duration>,
    left: Duration,
) -> Option<Duration> {
    let asked = match error {
        ProviderError::RateLimited { retry_after, .. }
        | ProviderError::Server { retry_after, .. } => *retry_after,
        ProviderError::Transport(_) | ProviderError::Failed { .. } => None,
        _ => return None,
    };
    // Sooner than asked would only be refused again.
    let wait = backoff?.max(asked.unwrap_or_default());
    (wait < left).then_some(wait)
}

#[cfg(test)]
mod tests {
    use langop_proto::v1::Usage;

    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let cases = [
            ("7", Some(seconds(7))),
            ("Tue, 24 Nov 2026 10:01:30 GMT", Some(seconds(90))),
            ("Tue, 24 Nov 2026 09:00:00 GMT", Some(Duration::ZERO)),
            ("soon", None),
            ("-3", None),
            ("", None),
            ("86400000", Some(LONGEST)),
            ("99999999999999999999999999", Some(LONGEST)),
            ("Tue, 24 Nov 2099 10:01:30 GMT", Some(LONGEST)),
        ];
        for (value, expected) in cases {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn waits_only_where_it_may_help() {
        let limited = |retry_after| ProviderError::RateLimited {
            retry_after,
            kind: None,
        };
        let server = ProviderError::Server {
            status: 503,
            retry_after: None,
            kind: None,
        };
        let left = seconds(10);
        assert_eq!(
            wait(&limited(Some(seconds(4))), Some(seconds(1)), left),
            Some(seconds(4))
        );
        assert_eq!(
            wait(&limited(Some(seconds(60))), Some(seconds(1)), left),
            None,
            "no time for it"
        );
        assert_eq!(wait(&limited(None), None, left), None, "tries used up");
        assert_eq!(wait(&server, Some(seconds(1)), left), Some(seconds(1)));
        assert_eq!(
            wait(
                &ProviderError::KeyRefused {
                    status: 401,
                    kind: None
                },
                Some(seconds(1)),
                left
            ),
            None
        );
        let late = ProviderError::TimedOut {
            usage: Usage::default(),
        };
        assert_eq!(wait(&late, Some(seconds(1)), left), None);
    }

    #[test]
    fn delays_grow_and_end() {
        let delays: Vec<Duration> = delays(seconds(1), 3).collect();
        assert_eq!(delays.len(), 3);
        assert!(
            delays[0] >= seconds(1) && delays[2] >= seconds(4),
            "{delays:?}"
        );
    }
}
