//! Commands of pages that need no control plane, typed.

use std::fs;

use langop_integration_tests::{
    Page, Synthesizer, Terminal,
    control_plane::{
        extra::{self, Extra},
        ports,
    },
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

/// Where pages have it listen.
const LOOPBACK: &str = "127.0.0.1:50051";

/// A terminal in which a synthesizer that is typed listens on free ports, and clients ask there.
async fn terminal() -> (Terminal, String) {
    let [port, admin] = ports::free().unwrap();
    let address = format!("127.0.0.1:{port}");
    let grpcurl = extra::locate(Extra::Grpcurl).await.unwrap();
    let terminal = Terminal::new().unwrap();
    let terminal = terminal
        .env("LANGOP_LISTEN", &address)
        .env("LANGOP_ADMIN_LISTEN", &format!("127.0.0.1:{admin}"))
        .env("LANGOP_SYNTHESIZER_ENDPOINT", &format!("http://{address}"))
        .program("grpcurl", &grpcurl)
        .replacing(LOOPBACK, &address)
        .serving(port);
    (terminal, address)
}

#[tokio::test]
async fn ad_hoc_synthesis_is_as_its_page_shows_it() {
    let page = Page::read("docs/ad-hoc-synthesis.md").unwrap();
    let (terminal, _) = terminal().await;
    let blocks = ["SYNTHESIS_PROVIDER=template", "service="];
    let blocks = blocks.map(|beginning| page.block(beginning).unwrap());
    let printed = terminal.types(&blocks).await.unwrap();
    for expected in [
        "string instructions",
        "schedule every: '5m'",
        "\"valid\": true",
    ] {
        assert!(printed.contains(expected), "no {expected} in {printed}");
    }
}

#[tokio::test]
async fn a_synthesizer_for_others_asks_who_calls() {
    let page = Page::read("docs/callers.md").unwrap();
    let (terminal, address) = terminal().await;
    let names = ["127.0.0.1", "synthesizer.example.com"].map(str::to_owned);
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let files = [
        ("ca.crt", own.pem()),
        ("server.crt", own.pem()),
        ("clients.crt", own.pem()),
        ("server.key", key.serialize_pem()),
    ];
    for (name, text) in files {
        fs::write(terminal.folder().join(name), text).unwrap();
    }
    // No test listens on more than loopback.
    let terminal = terminal
        .replacing("0.0.0.0:50051", &address)
        .replacing("synthesizer.example.com:50051", &address)
        .env("SYNTHESIS_PROVIDER", "template");
    let block = page.block("openssl rand").unwrap();
    terminal.types(&[block]).await.unwrap();

    // The same with another token: who shows no right one is not answered.
    let mut other = block.clone();
    other.text = other.text.replace("Bearer ", "Bearer another-");
    let refused = terminal.types(&[&other]).await.unwrap_err().to_string();
    assert!(refused.contains("Unauthenticated"), "{refused}");
}

#[tokio::test]
async fn a_statement_of_origin_is_checked_as_its_page_says() {
    let page = Page::read("docs/provenance.md").unwrap();
    let (terminal, _) = terminal().await;
    let keys = page.block("openssl genpkey").unwrap();
    terminal.types(&[keys]).await.unwrap();
    let key = terminal.folder().join("key.pem");
    let synthesizer = Synthesizer::template()
        .env("LANGOP_SIGNING_KEY_FILE", key.to_str().unwrap())
        .start()
        .await
        .unwrap();
    let instructions = terminal.folder().join("instructions.txt");
    fs::write(instructions, "Every weekday at 9am, say hello.").unwrap();
    let terminal = terminal.env("LANGOP_SYNTHESIZER_ENDPOINT", synthesizer.grpc_url());
    let check = page.block("langop-synth synthesize").unwrap();
    let printed = terminal.types(&[check]).await.unwrap();
    assert!(printed.contains("signed by key"), "{printed}");
}
