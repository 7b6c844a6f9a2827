//! The settings of who may call, and of how much. Part of `settings::Settings`.

#![expect(
    clippy::doc_markdown,
    reason = "the documentation of settings is their --help, where backticks are noise"
)]

use std::{convert::Infallible, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, value_parser};

use super::{duration::duration, error::SettingsError};
use crate::access::{caller_quota::Limits, load::COPIES};

/// The kinds of names of certificates, as callers' names have them.
const KINDS: [&str; 3] = ["uri:", "dns:", "cn:"];
/// What the longest request weighs; less could hold none.
const HEAVIEST: u64 = COPIES * langop_proto::limits::MESSAGE as u64;

/// Who may call, and how much.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who may call")]
pub struct AccessSettings {
    /// PEM file with the server's certificate chain: serve gRPC with TLS. Read again when it
    /// changes
    #[arg(
        long,
        env = "LANGOP_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of that certificate; read again when it changes
    #[arg(
        long,
        env = "LANGOP_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,

    /// PEM file with the authorities that sign client certificates: a caller is whom its
    /// certificate names. Read again when it changes
    #[arg(
        long,
        env = "LANGOP_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// Names of the certificates that are meant, where not all of those authorities are (comma
    /// list), each as a certificate's first name says it: uri:NAME, else dns:NAME, else cn:NAME
    #[arg(
        long,
        env = "LANGOP_TLS_CLIENT_NAMES",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = certificate_name,
        requires = "tls_client_ca"
    )]
    pub tls_client_names: Vec<String>,

    /// File of bearer tokens, one "name:SHA-256 of the token in hex" a line, # for comments: a
    /// caller is whom its token names. Read again when it changes
    #[arg(long, env = "LANGOP_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Serve gRPC without TLS on an address that is not loopback: anyone on the network path can
    /// read everything, tokens too
    #[arg(long, env = "LANGOP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,

    /// Serve gRPC to callers without credentials on an address that is not loopback: whoever
    /// reaches it spends your tokens
    #[arg(long, env = "LANGOP_ALLOW_ANONYMOUS")]
    pub allow_anonymous: bool,

    /// Names of callers that may speak for accounts (comma list), as token:NAME,
    /// certificate:dns:NAME or anonymous: the metadata langop-account of their calls, in which the
    /// operator names the namespace, is a caller of its own with limits, cache and turns of its own
    #[arg(
        long,
        env = "LANGOP_TRUSTED_CALLERS",
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = trimmed
    )]
    pub trusted_callers: Vec<String>,

    /// How often the files above are looked at
    #[arg(long, env = "LANGOP_RELOAD_INTERVAL", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub reload_interval: Duration,

    /// Longest time a new connection may take until a call is let in, its TLS handshake included.
    /// Health without credentials is none
    #[arg(long, env = "LANGOP_HANDSHAKE_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub handshake_timeout: Duration,

    /// Longest time a request may take to arrive once its call has begun
    #[arg(long, env = "LANGOP_RECEIVE_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub receive_timeout: Duration,

    /// Longest time a client may take to read on where an answer is ready for it; then its
    /// connection is closed
    #[arg(long, env = "LANGOP_SEND_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = duration)]
    pub send_timeout: Duration,

    /// Most connections at a time. Beyond, the oldest idle one is closed, which has had no
    /// authorized call for a minute; else the new one
    #[arg(long, env = "LANGOP_MAX_CONNECTIONS", default_value_t = 1024, value_name = "COUNT", value_parser = value_parser!(u32).range(1..))]
    pub max_connections: u32,

    /// Most connections at a time of one client address (of one /64 in IPv6)
    #[arg(long, env = "LANGOP_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 256, value_name = "COUNT", value_parser = value_parser!(u32).range(1..))]
    pub max_connections_per_address: u32,

    /// Most calls at a time; more are refused with RESOURCE_EXHAUSTED
    #[arg(long, env = "LANGOP_MAX_CALLS", default_value_t = 2048, value_name = "COUNT", value_parser = value_parser!(u32).range(1..))]
    pub max_calls: u32,

    /// Most calls at a time of one caller, and most answers being made for it
    #[arg(long, env = "LANGOP_MAX_CALLS_PER_CALLER", default_value_t = 1024, value_name = "COUNT", value_parser = value_parser!(u32).range(1..))]
    pub max_calls_per_caller: u32,

    /// Most bytes that are held of all requests at a time, the answers being made for them
    /// included. Each byte of a request counts three times, as which it may be held
    #[arg(long, env = "LANGOP_MAX_HELD_BYTES", default_value_t = 256 << 20, value_name = "BYTES", value_parser = value_parser!(u64).range(HEAVIEST..))]
    pub max_held_bytes: u64,

    /// Most of those bytes that are of one caller
    #[arg(long, env = "LANGOP_MAX_HELD_BYTES_PER_CALLER", default_value_t = 64 << 20, value_name = "BYTES", value_parser = value_parser!(u64).range(HEAVIEST..))]
    pub max_held_bytes_per_caller: u64,

    /// Most requests of one caller in a minute: as a burst, and then evenly; 0: any number.
    /// Each replica counts for itself
    #[arg(
        long,
        env = "LANGOP_CALLER_REQUESTS_PER_MINUTE",
        default_value_t = 6000,
        value_name = "COUNT"
    )]
    pub caller_requests_per_minute: u32,

    /// LLM tokens, sent and received, that one caller may spend per window; 0: any number. Cached
    /// answers are free. What an LLM request costs is known after it, so those under way when the
    /// budget is spent, LANGOP_MAX_LLM_REQUESTS at most, may go over. Each replica counts for
    /// itself
    #[arg(
        long,
        env = "LANGOP_CALLER_TOKENS",
        default_value_t = 100_000_000,
        value_name = "COUNT"
    )]
    pub caller_tokens: u64,

    /// The window of LANGOP_CALLER_TOKENS; it begins when a caller first spends
    #[arg(long, env = "LANGOP_CALLER_TOKENS_WINDOW", default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub caller_tokens_window: Duration,
}

impl AccessSettings {
    /// Whether gRPC may be served on `address` like this: not readable for all, and not open to
    /// all, beyond loopback.
    pub fn check(&self, address: SocketAddr) -> Result<(), SettingsError> {
        if address.ip().is_loopback() {
            Ok(())
        } else if self.tls_cert.is_none() && !self.allow_plaintext {
            Err(SettingsError::Plaintext(address))
        } else if !self.asks_for_credentials() && !self.allow_anonymous {
            Err(SettingsError::OpenToAll(address))
        } else {
            Ok(())
        }
    }

    /// Logs how much a caller may do, and what is open on `address` because a setting says so.
    pub(crate) fn announce(&self, address: SocketAddr) {
        tracing::info!(
            calls = self.max_calls_per_caller,
            held_bytes = self.max_held_bytes_per_caller,
            requests_per_minute = self.caller_requests_per_minute,
            tokens = self.caller_tokens,
            tokens_window = ?self.caller_tokens_window,
            "limits of each caller; 0 is none"
        );
        for open in self.open(address) {
            tracing::warn!(%address, "{open}");
        }
    }

    /// What is open on `address`.
    fn open(&self, address: SocketAddr) -> Vec<&'static str> {
        let is_far = !address.ip().is_loopback();
        let plaintext = is_far && self.tls_cert.is_none();
        let anonymous = is_far && !self.asks_for_credentials();
        [
            (
                plaintext,
                "LANGOP_ALLOW_PLAINTEXT: anyone on the network path can read everything",
            ),
            (
                anonymous,
                "LANGOP_ALLOW_ANONYMOUS: anyone who reaches this address can spend your tokens",
            ),
        ]
        .into_iter()
        .filter_map(|(is_open, text)| is_open.then_some(text))
        .collect()
    }

    /// Whether callers must say who they are.
    pub fn asks_for_credentials(&self) -> bool {
        self.tls_client_ca.is_some() || self.tokens_file.is_some()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            calls: self.max_calls_per_caller,
            bytes: self.max_held_bytes_per_caller,
            requests_per_minute: NonZeroU32::new(self.caller_requests_per_minute),
            tokens: (self.caller_tokens > 0)
                .then_some((self.caller_tokens, self.caller_tokens_window)),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "clap's form of a parser")]
fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

fn certificate_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if KINDS.iter().any(|kind| text.starts_with(kind)) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "'{text}' does not say its kind; write uri:NAME, dns:NAME or cn:NAME"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn check(arguments: &str, address: &str) -> Result<(), SettingsError> {
        let arguments = arguments.split_whitespace();
        Settings::from_arguments(arguments)
            .unwrap()
            .access
            .check(address.parse().unwrap())
    }

    #[test]
    fn beyond_loopback_nothing_is_readable_or_open_by_accident() {
        const TLS: &str = "--tls-cert=c --tls-key=k";
        let (inside, outside) = ("127.0.0.1:1", "0.0.0.0:1");
        for (arguments, address) in [
            ("", inside),
            (TLS, inside),
            ("--tokens-file=t", inside),
            ("--allow-plaintext --tokens-file=t", outside),
            ("--allow-plaintext --allow-anonymous", outside),
            (&format!("{TLS} --allow-anonymous"), outside),
            (&format!("{TLS} --tls-client-ca=a"), outside),
            (&format!("{TLS} --tokens-file=t"), outside),
        ] {
            assert!(check(arguments, address).is_ok(), "{arguments} {address}");
        }
        for arguments in ["", "--tokens-file=t", "--allow-anonymous"] {
            let error = check(arguments, outside).unwrap_err().to_string();
            assert!(
                error.contains("LANGOP_TLS_CERT") && error.contains("LANGOP_ALLOW_PLAINTEXT"),
                "{error}"
            );
        }
        for arguments in [
            TLS,
            "--allow-plaintext",
            &format!("{TLS} --allow-plaintext"),
        ] {
            let error = check(arguments, outside).unwrap_err().to_string();
            assert!(
                error.contains("LANGOP_TOKENS_FILE") && error.contains("LANGOP_ALLOW_ANONYMOUS"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_open_is_told() {
        let open = |arguments: &str, address: &str| {
            let settings = Settings::from_arguments(arguments.split_whitespace()).unwrap();
            let open = settings.access.open(address.parse().unwrap());
            let name = |text: &str| text.split(':').next().map(str::to_owned);
            open.into_iter().filter_map(name).collect::<Vec<_>>()
        };
        let all = "--allow-plaintext --allow-anonymous";
        let (plaintext, anonymous) = ("LANGOP_ALLOW_PLAINTEXT", "LANGOP_ALLOW_ANONYMOUS");
        assert!(open(all, "127.0.0.1:1").is_empty());
        assert_eq!(open(all, "[::]:1"), [plaintext, anonymous]);
        let with_tokens = "--allow-plaintext --allow-anonymous --tokens-file=t";
        assert_eq!(open(with_tokens, "0.0.0.0:1"), [plaintext]);
        let with_tls = "--tls-cert=c --tls-key=k --allow-anonymous";
        assert_eq!(open(with_tls, "0.0.0.0:1"), [anonymous]);
    }

    #[test]
    fn limits_are_on_unless_they_are_switched_off() {
        let limits = |arguments: &[&str]| {
            let settings = Settings::from_arguments(arguments.iter().copied()).unwrap();
            settings.access.limits()
        };
        let by_default = limits(&[]);
        assert!(by_default.requests_per_minute.is_some() && by_default.tokens.is_some());
        let off = limits(&["--caller-requests-per-minute=0", "--caller-tokens=0"]);
        assert!(off.requests_per_minute.is_none() && off.tokens.is_none());
        let names = "--tls-cert=c --tls-key=k --tls-client-ca=a --tls-client-names=dns:a,b";
        let error = Settings::from_arguments(names.split_whitespace()).unwrap_err();
        assert!(error.to_string().contains("write uri:NAME"), "{error}");
    }

    #[test]
    fn half_of_a_pair_is_refused() {
        for arguments in [
            ["--tls-cert=c"],
            ["--tls-key=k"],
            ["--tls-client-ca=a"],
            ["--max-calls=0"],
            ["--tls-client-names=dns:a"],
            ["--max-held-bytes-per-caller=1000"],
        ] {
            assert!(
                Settings::from_arguments(arguments).is_err(),
                "{arguments:?}"
            );
        }
    }
}
