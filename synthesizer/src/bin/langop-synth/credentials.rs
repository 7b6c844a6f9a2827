//! Whom to trust and who one is, as flags and environment. What they mean is
//! `langop_client::credentials`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use langop_client::credentials::{self, Credentials};

// Not of `PathBuf`, which clap does not let be empty: manifests often set a variable to nothing
// where they mean not to set it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who asks")]
pub(crate) struct CredentialArgs {
    /// PEM file of the authorities that an https synthesizer's certificate must come from
    #[arg(long, global = true, env = credentials::CA, value_name = "FILE")]
    ca: Option<OsString>,

    /// PEM file with your certificate
    #[arg(long, global = true, env = credentials::CERT, value_name = "FILE")]
    cert: Option<OsString>,

    /// PEM file with the private key of that certificate
    #[arg(long, global = true, env = credentials::KEY, value_name = "FILE")]
    key: Option<OsString>,

    /// Name in the synthesizer's certificate, where it is not the host of its URL
    #[arg(long, global = true, env = credentials::SERVER_NAME, value_name = "NAME")]
    server_name: Option<String>,

    /// File with your bearer token
    #[arg(long, global = true, env = credentials::TOKEN_FILE, value_name = "FILE")]
    token_file: Option<OsString>,

    /// Send that token without TLS beyond loopback, where anyone on the network path can read it
    #[arg(long, global = true, env = credentials::ALLOW_PLAINTEXT)]
    allow_plaintext: bool,
}

impl CredentialArgs {
    /// What they name; an empty one counts as unset.
    pub(crate) fn credentials(&self) -> Credentials {
        let file = |name: &Option<OsString>| {
            name.as_ref()
                .filter(|name| !name.is_empty())
                .map(PathBuf::from)
        };
        Credentials {
            ca: file(&self.ca),
            certificate: file(&self.cert),
            key: file(&self.key),
            server_name: self.server_name.clone().filter(|name| !name.is_empty()),
            token_file: file(&self.token_file),
            allow_plaintext: self.allow_plaintext,
        }
    }
}
