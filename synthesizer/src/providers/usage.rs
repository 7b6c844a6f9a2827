//! How far a provider is believed about what an answer cost. Pure.

use langop_proto::v1::Usage;

/// Bytes of text per token, roughly; where nothing is said, less is not likely.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a provider may add to a prompt by itself.
const OVERHEAD: u64 = 4096;

/// What is known of an exchange by itself.
#[derive(Clone, Copy)]
pub(super) struct Measured {
    /// Bytes of the request.
    pub(super) sent: usize,
    /// Bytes of the answer, its envelope included.
    pub(super) received: usize,
    /// Bytes of its text.
    pub(super) text: usize,
    /// Most tokens that were asked for.
    pub(super) limit: u32,
}

/// How far what was said is what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is.
    Said,
    /// It was not said, or not all of it.
    Estimated,
    /// It was more than can be.
    Clipped,
}

/// The most tokens that a request of so many bytes can be.
pub(super) fn most_input(sent: usize) -> u64 {
    u64::try_from(sent)
        .unwrap_or(u64::MAX)
        .saturating_add(OVERHEAD)
}

/// What counts: what was said, at most what can be, and an estimate where nothing was said.
pub(super) fn settle(said: Usage, measured: Measured) -> (Usage, Trust) {
    let bytes = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let estimate = |count: usize| bytes(count).div_ceil(BYTES_PER_TOKEN);
    let most_input = most_input(measured.sent);
    let most_output = u64::from(measured.limit).max(bytes(measured.received));
    let or_estimated = |said: u64, count| if said == 0 { estimate(count) } else { said };
    let input = or_estimated(said.input_tokens, measured.sent).min(most_input);
    let output = or_estimated(said.output_tokens, measured.text).min(most_output);
    let settled = Usage {
        input_tokens: input,
        output_tokens: output,
        cache_read_input_tokens: said.cache_read_input_tokens.min(input),
        cache_creation_input_tokens: said.cache_creation_input_tokens.min(input),
    };
    let trust = if said.input_tokens > most_input || said.output_tokens > most_output {
        Trust::Clipped
    } else if settled.input_tokens > said.input_tokens || settled.output_tokens > said.output_tokens
    {
        Trust::Estimated
    } else {
        Trust::Said
    };
    (settled, trust)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURED: Measured = Measured {
        sent: 8000,
        received: 600,
        text: 401,
        limit: 1000,
    };

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage {
            input_tokens,
            output_tokens,
            ..Usage::default()
        }
    }

    #[test]
    fn what_was_said_counts_within_what_can_be() {
        for (said, expected, trust) in [
            ((100, 20), (100, 20), Trust::Said),
            ((100, 1000), (100, 1000), Trust::Said),
            ((0, 0), (2000, 101), Trust::Estimated),
            ((0, 20), (2000, 20), Trust::Estimated),
            ((100, 0), (100, 101), Trust::Estimated),
            ((u64::MAX, 20), (8000 + OVERHEAD, 20), Trust::Clipped),
            ((100, u64::MAX), (100, 1000), Trust::Clipped),
        ] {
            let expected = (usage(expected.0, expected.1), trust);
            assert_eq!(
                settle(usage(said.0, said.1), MEASURED),
                expected,
                "{said:?}"
            );
        }
        let cached = Usage {
            cache_read_input_tokens: u64::MAX,
            ..usage(100, 20)
        };
        assert_eq!(settle(cached, MEASURED).0.cache_read_input_tokens, 100);
    }
}
