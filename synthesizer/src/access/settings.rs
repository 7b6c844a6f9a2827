//! The settings of who may call, and of how much. Part of `settings::Settings`.

#![expect(
    clippy::doc_markdown,
    reason = "the documentation of settings is their --help, where backticks are noise"
)]

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, value_parser};

use super::Limits;
use crate::settings::{SettingsError, duration};

/// Who may call, and how much.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who may call")]
pub struct AccessSettings {
    /// PEM file with the server's certificate chain: serve gRPC with TLS. Read again when it changes
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

    /// PEM file with the authorities that sign client certificates: a caller is whom its certificate names. Read again when it changes
    #[arg(
        long,
        env = "LANGOP_TLS_CLIENT_CA",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    pub tls_client_ca: Option<PathBuf>,

    /// File of bearer tokens, one "name:SHA-256 of the token in hex" a line, # for comments: a caller is whom its token names. Read again
    /// when it changes
    #[arg(long, env = "LANGOP_TOKENS_FILE", value_name = "FILE")]
    pub tokens_file: Option<PathBuf>,

    /// Serve gRPC without TLS on an address that is not loopback: whoever reaches it may read along, and spend your tokens if there is no
    /// tokens file
    #[arg(long, env = "LANGOP_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,

    /// How often the files above are looked at
    #[arg(long, env = "LANGOP_RELOAD_INTERVAL", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub reload_interval: Duration,

    /// Longest time a new connection may take until it speaks HTTP/2, its TLS handshake included
    #[arg(long, env = "LANGOP_HANDSHAKE_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub handshake_timeout: Duration,

    /// Longest time a request may take to arrive once its call has begun
    #[arg(long, env = "LANGOP_RECEIVE_TIMEOUT", default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub receive_timeout: Duration,

    /// Longest time a client may take to read on where an answer is ready for it; then its connection is closed
    #[arg(long, env = "LANGOP_SEND_TIMEOUT", default_value = "20s", value_name = "DURATION", value_parser = duration)]
    pub send_timeout: Duration,

    /// Most connections at a time; more are closed at once
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

    /// Most requests of one caller in a minute, so many at once and then evenly; unset: any number. Each replica counts for itself
    #[arg(long, env = "LANGOP_CALLER_REQUESTS_PER_MINUTE", value_name = "COUNT")]
    pub caller_requests_per_minute: Option<NonZeroU32>,

    /// LLM tokens, sent and received, that one caller may spend per window; unset: any number. Cached answers are free. What an LLM
    /// request costs is known after it, so those under way when the budget is spent, LANGOP_MAX_LLM_REQUESTS at most, may go over. Each
    /// replica counts for itself
    #[arg(long, env = "LANGOP_CALLER_TOKENS", value_name = "COUNT", value_parser = value_parser!(u64).range(1..))]
    pub caller_tokens: Option<u64>,

    /// The window of LANGOP_CALLER_TOKENS; it begins when a caller first spends
    #[arg(long, env = "LANGOP_CALLER_TOKENS_WINDOW", default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub caller_tokens_window: Duration,
}

impl AccessSettings {
    /// Whether gRPC may be served on `address` like this: not readable for all, and not open to all, beyond loopback.
    pub fn check(&self, address: SocketAddr) -> Result<(), SettingsError> {
        let has_tls = self.tls_cert.is_some();
        if self.allow_plaintext && !has_tls || address.ip().is_loopback() {
            Ok(())
        } else if !has_tls {
            Err(SettingsError::Plaintext(address))
        } else if self.asks_for_credentials() {
            Ok(())
        } else {
            Err(SettingsError::OpenToAll(address))
        }
    }

    /// Whether callers must say who they are.
    pub fn asks_for_credentials(&self) -> bool {
        self.tls_client_ca.is_some() || self.tokens_file.is_some()
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            calls: self.max_calls_per_caller,
            requests_per_minute: self.caller_requests_per_minute,
            tokens: self
                .caller_tokens
                .map(|tokens| (tokens, self.caller_tokens_window)),
        }
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
            ("--allow-plaintext", outside),
            ("--allow-plaintext --tokens-file=t", outside),
            (&format!("{TLS} --tls-client-ca=a"), outside),
            (&format!("{TLS} --tokens-file=t"), outside),
        ] {
            assert!(check(arguments, address).is_ok(), "{arguments} {address}");
        }
        for arguments in ["", "--tokens-file=t"] {
            let error = check(arguments, outside).unwrap_err().to_string();
            assert!(
                error.contains("LANGOP_TLS_CERT") && error.contains("LANGOP_ALLOW_PLAINTEXT"),
                "{error}"
            );
        }
        for arguments in [TLS, &format!("{TLS} --allow-plaintext")] {
            let error = check(arguments, outside).unwrap_err().to_string();
            assert!(error.contains("LANGOP_TOKENS_FILE"), "{error}");
        }
    }

    #[test]
    fn half_of_a_pair_is_refused() {
        for arguments in [
            ["--tls-cert=c"],
            ["--tls-key=k"],
            ["--tls-client-ca=a"],
            ["--max-calls=0"],
        ] {
            assert!(
                Settings::from_arguments(arguments).is_err(),
                "{arguments:?}"
            );
        }
    }
}
