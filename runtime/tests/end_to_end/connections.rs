//! How many connections an agent takes that serves others.

use std::time::Duration;

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    agent::Agent,
    model::{Model, says},
};

/// More than it takes at once.
const MANY: usize = 300;
/// As docs/tools.md says.
const MOST: usize = 256;
/// Requests at once, as docs/tools.md says.
const REQUESTS: usize = 192;
const SOON: Duration = Duration::from_secs(20);
/// A request whose body does not come.
const HALF: &str = "POST /mcp HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\ncontent-length: 9\r\n\r\n";

/// `many` connections that say this and no more.
async fn hold(agent: &Agent, many: usize, words: &str) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..many {
        let mut client = TcpStream::connect(("127.0.0.1", agent.port()))
            .await
            .unwrap();
        client.write_all(words.as_bytes()).await.unwrap();
        held.push(client);
    }
    held
}

/// What is heard before the connection ends, within the time; `None` if it does not.
async fn heard(client: &mut TcpStream, within: Duration) -> Option<String> {
    let mut heard = Vec::new();
    // A reset is an end.
    let _ = timeout(within, client.read_to_end(&mut heard)).await.ok()?;
    Some(String::from_utf8(heard).unwrap())
}

/// As a kubelet probes: by a connection of its own.
async fn livez(agent: &Agent) -> String {
    let words = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut probe = hold(agent, 1, words).await;
    heard(&mut probe[0], SOON).await.unwrap()
}

#[tokio::test]
async fn who_holds_all_connections_keeps_no_probe_out() {
    let model = Model::start(vec![says("Nothing is new."); 3]).await;
    let agent = Agent::new("  objectives ['Be of help']")
        .model(model.address)
        .with("AGENT_MODE", "autonomous")
        .with("LANGOP_AGENT_SERVE", "mcp");
    let running = agent.start_serving().await;
    for (words, stay) in [("", MOST), ("GET /mcp HT", MOST), (HALF, REQUESTS)] {
        let mut held = hold(&agent, MANY, words).await;
        let alive = livez(&agent).await;
        assert!(alive.starts_with("HTTP/1.1 200 "), "{words}: {alive}");
        let ends = held.iter_mut().map(|client| heard(client, SOON));
        let mut ends: FuturesUnordered<_> = ends.collect();
        for nth in stay..MANY {
            let end = ends.next().await.flatten();
            let end = end.unwrap_or_else(|| panic!("{words}: {nth} stay"));
            let is_refused = end.starts_with("HTTP/1.1 429 ");
            assert!(end.is_empty() || is_refused, "{words}: {end}");
        }
    }
    running.signal("-TERM");
    assert_eq!(running.end().await.code, Some(0));
}
