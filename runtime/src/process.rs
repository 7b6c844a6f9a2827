//! What every program over this library does before anything else: reads its environment, chooses a
//! TLS provider, listens to signals, makes the one HTTP client. Runs nothing.

use std::{env, time::Duration};

use reqwest::Url;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    env::Environment,
    outcome::{Failure, Reason},
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections kept for each server.
const IDLE: usize = 2;
/// How long they are kept: shorter than servers do.
const IDLE_TIME: Duration = Duration::from_secs(15);

/// The environment contract, from the process's environment.
///
/// # Errors
/// If a variable is wrong.
pub fn environment() -> Result<Environment, Failure> {
    Environment::read(&|name| env::var(name).ok()).map_err(|error| configuration(error.to_string()))
}

/// A failure of configuration.
pub fn configuration(message: impl Into<String>) -> Failure {
    Failure::new(Reason::Configuration, message)
}

/// Once for the process, before anything speaks TLS: with two providers in the build rustls would
/// not choose.
///
/// # Errors
/// If that was done before.
pub fn install_tls() -> Result<(), Failure> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| configuration("a TLS provider is already installed"))
}

/// The one client of tools and models, all of which are at `urls`. Certificates are read only for those
/// that speak TLS: within a cluster none does. An image made from scratch may hold none: then nobody
/// is trusted.
///
/// # Errors
/// If there is no random source.
pub fn http_client<'u>(
    urls: impl IntoIterator<Item = &'u Url>,
) -> Result<reqwest::Client, Failure> {
    let builder = || {
        reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(IDLE_TIME)
            .redirect(same_origin())
    };
    let without = || builder().tls_certs_only([]).build();
    let speaks_tls = urls.into_iter().any(|url| url.scheme() == "https") || has_tls_proxy();
    let built = if speaks_tls {
        builder().build().or_else(|error| {
            tracing::warn!(%error, "there are no certificates, so https cannot be spoken");
            without()
        })
    } else {
        without()
    };
    built.map_err(|error| configuration(format!("there is no HTTP client: {error}")))
}

/// Whether plain HTTP goes by way of a proxy that speaks TLS itself.
fn has_tls_proxy() -> bool {
    let of = |name| env::var(name).is_ok_and(|proxy| proxy.starts_with("https:"));
    ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .any(of)
}

/// Redirects that keep method and body, to the same origin.
fn same_origin() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let keeps = matches!(attempt.status().as_u16(), 307 | 308);
        let is_same = attempt
            .previous()
            .last()
            .is_some_and(|previous| previous.origin() == attempt.url().origin());
        if keeps && is_same && attempt.previous().len() < 5 {
            attempt.follow()
        } else {
            attempt.stop()
        }
    })
}

/// Cancels `stopping` at SIGTERM or SIGINT.
///
/// # Errors
/// If signals cannot be listened to.
pub fn cancel_on_signal(stopping: CancellationToken) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| configuration(format!("no signals: {error}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: nothing new starts, calls in flight get 20 s");
        stopping.cancel();
    });
    Ok(())
}
