//! The command line: keeps a certificate authority and two certificates of it in Secrets, for an
//! installation without cert-manager. It runs as a job of its own, under an account of its own: the
//! operator has no right to Secrets and gains none by this.

mod issue;
mod judge;
mod store;

use std::process::ExitCode;

use clap::Parser;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};

use crate::{
    issue::{Purpose, Wanted},
    store::{Outcome, Store},
};

/// Issues what is missing, renews what is in the last third of its life, and leaves the rest alone.
#[derive(Debug, Parser)]
#[command(name = "langop-certificates", version)]
struct Args {
    /// Namespace of the Secrets
    #[arg(long, env = "LANGOP_NAMESPACE", value_name = "NAME")]
    namespace: String,
    /// Secret of the authority, with its key: nothing but this program needs it
    #[arg(long, default_value = "langop-ca", value_name = "NAME")]
    authority_secret: String,
    /// Secret of the synthesizer's certificate
    #[arg(long, default_value = "langop-synthesizer-tls", value_name = "NAME")]
    server_secret: String,
    /// DNS name of the synthesizer
    #[arg(long, value_name = "NAME")]
    server_name: String,
    /// Secret of the operator's certificate
    #[arg(long, default_value = "langop-operator-tls", value_name = "NAME")]
    client_secret: String,
    /// Name in the operator's certificate, by which the synthesizer knows it
    #[arg(long, value_name = "NAME")]
    client_name: String,
    /// Days that a certificate is valid; the authority's is valid for ten years
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(3..=825), value_name = "DAYS")]
    days: u16,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // An error means that one is installed already, which serves as well.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(Args::parse()).await {
        Ok(outcomes) => {
            outcomes.iter().for_each(report);
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<Vec<Outcome>> {
    let client = Client::try_default().await?;
    let store = Store {
        secrets: Api::namespaced(client, &args.namespace),
        now: Timestamp::now(),
    };
    let authority = store.authority(&args.authority_secret).await?;
    let lifetime = SignedDuration::from_hours(i64::from(args.days) * 24);
    let mut outcomes = vec![authority.outcome.clone()];
    for (secret, name, purpose) in [
        (&args.server_secret, args.server_name, Purpose::Server),
        (&args.client_secret, args.client_name, Purpose::Client),
    ] {
        let wanted = Wanted {
            name,
            purpose,
            lifetime,
        };
        outcomes.push(store.certificate(secret, &wanted, &authority).await?);
    }
    Ok(outcomes)
}

#[expect(clippy::print_stdout, reason = "what a job has to say is its log")]
fn report(outcome: &Outcome) {
    println!("{outcome}");
}

#[expect(clippy::print_stderr, reason = "the command line's last word")]
fn complain(error: &anyhow::Error) {
    eprintln!("langop-certificates: {error:#}");
}
