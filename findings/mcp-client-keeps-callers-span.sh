#!/usr/bin/env bash
# Guess: a tracing span ends when the future that was instrumented with it ends, also if an MCP client was connected within it.
# So:    the client's task holds the span in which the client was connected, so it ends with the connection: of a client that is
#        kept for later calls, the span of the first caller is never exported.
# Seen:  crate rmcp 3.11.0, with tracing 0.1.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"

[dependencies]
rmcp = { version = "=3.11.0", default-features = false, features = ["client", "server", "transport-async-rw"] }
tokio = { version = "1", features = ["io-util", "macros", "rt", "time"] }
tracing = "0.1"
tracing-subscriber = { version = "0.3", default-features = false, features = ["registry"] }
TOML
cat > src/main.rs <<'RUST'
use std::{
    process::ExitCode,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rmcp::{ServerHandler, ServiceExt as _};
use tracing::{Id, Instrument as _, Subscriber, info_span};
use tracing_subscriber::{
    Layer, layer::Context, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

static ENDED: AtomicBool = AtomicBool::new(false);

struct Ends;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Ends {
    fn on_close(&self, id: Id, context: Context<'_, S>) {
        if context.span(&id).is_some_and(|span| span.name() == "run") {
            ENDED.store(true, Ordering::SeqCst);
        }
    }
}

struct Server;

impl ServerHandler for Server {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::registry().with(Ends).init();
    let (near, far) = tokio::io::duplex(4096);
    tokio::spawn(async { Server.serve(far).await.unwrap().waiting().await });
    let connecting = async { ().serve(near).await.unwrap() };
    let client = connecting.instrument(info_span!("run")).await;
    // Whatever was to be polled once more has been.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = ENDED.load(Ordering::SeqCst);
    client.cancel().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = ENDED.load(Ordering::SeqCst);
    println!("span ended: {before} while connected, {after} after");
    if (before, after) == (false, true) {
        ExitCode::SUCCESS
    } else {
        println!("the behaviour has changed");
        ExitCode::FAILURE
    }
}
RUST
cargo run --quiet
