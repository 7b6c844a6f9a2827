//! A bounded number of connections: who makes room for whom, and when each ends.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use langop_program::connections::{Bounds, serve};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// Far longer than anything here takes.
const NEVER: Duration = Duration::from_mins(1);
const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
const HALF: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n";
const WAITS: &[u8] = b"GET /waits HTTP/1.1\r\nhost: x\r\n\r\n";

struct Served {
    address: SocketAddr,
    /// A permit for each request to `/waits` that is here.
    arrived: Arc<Semaphore>,
    /// A permit for each of its answers.
    answers: Arc<Semaphore>,
    server: JoinHandle<io::Result<()>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn none() -> Semaphore {
    Semaphore::new(0)
}

async fn take(permits: &Semaphore) {
    permits.acquire().await.unwrap().forget();
}

async fn served(most: usize, idle: Duration, longest: Duration) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, answers) = (Arc::new(none()), Arc::new(none()));
    let waits = {
        let (arrived, answers) = (Arc::clone(&arrived), Arc::clone(&answers));
        async move || {
            arrived.add_permits(1);
            take(&answers).await;
            "waited"
        }
    };
    let router = Router::new()
        .route("/", get(async || "ok"))
        .route("/waits", get(waits));
    let bounds = Bounds {
        most,
        idle,
        longest,
    };
    let server = tokio::spawn(async move { serve(listener, bounds, router).await });
    Served {
        address,
        arrived,
        answers,
        server,
    }
}

impl Served {
    async fn says(&self, words: &[u8]) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(words).await.unwrap();
        client
    }

    /// The same, once its request is counted.
    async fn waits(&self) -> TcpStream {
        let client = self.says(WAITS).await;
        take(&self.arrived).await;
        client
    }
}

/// What a client hears until the end, which must come; a reset is one.
async fn rest(client: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let ended = timeout(NEVER, client.read_to_end(&mut heard));
    let _ = ended.await.expect("an end");
    String::from_utf8(heard).unwrap()
}

/// What a client hears of an answer whose connection stays.
async fn answer(client: &mut TcpStream, last: &str) -> String {
    let mut heard = String::new();
    while !heard.ends_with(last) {
        let mut some = [0; 512];
        let read = timeout(NEVER, client.read(&mut some)).await;
        let read = read.expect("an answer").unwrap();
        assert!(read > 0, "it ended after {heard}");
        heard += std::str::from_utf8(&some[..read]).unwrap();
    }
    heard
}

#[tokio::test]
async fn who_asks_nothing_makes_room_the_oldest_first() {
    let served = served(2, NEVER, NEVER).await;
    let mut oldest = served.says(HALF).await;
    let mut second = served.says(b"").await;
    let mut third = served.says(WHOLE).await;
    assert!(answer(&mut third, "ok").await.starts_with("HTTP/1.1 200 "));
    assert_eq!(rest(&mut oldest).await, "");
    // The third has had its answer, but the second is older.
    let mut fourth = served.says(WHOLE).await;
    answer(&mut fourth, "ok").await;
    assert_eq!(rest(&mut second).await, "");
    third.write_all(WHOLE).await.unwrap();
    answer(&mut third, "ok").await;
}

#[tokio::test]
async fn who_waits_for_an_answer_keeps_the_place() {
    let served = served(1, NEVER, NEVER).await;
    let mut waiting = served.waits().await;
    let mut other = served.says(WHOLE).await;
    assert_eq!(rest(&mut other).await, "", "there is no place");
    served.answers.add_permits(1);
    answer(&mut waiting, "waited").await;
    let mut next = served.says(WHOLE).await;
    answer(&mut next, "ok").await;
    assert_eq!(rest(&mut waiting).await, "");
}

#[tokio::test]
async fn who_sends_half_a_request_stays_for_a_bounded_time() {
    let short = Duration::from_millis(300);
    let served = served(9, short, NEVER).await;
    let begun = Instant::now();
    let mut half = served.says(HALF).await;
    let mut waiting = served.waits().await;
    assert_eq!(rest(&mut half).await, "");
    assert!(begun.elapsed() >= short);
    served.answers.add_permits(1);
    answer(&mut waiting, "waited").await;
    // From the end of its answer.
    let answered = Instant::now();
    assert_eq!(rest(&mut waiting).await, "");
    assert!(answered.elapsed() + Duration::from_millis(50) >= short);
}

#[tokio::test]
async fn an_answer_takes_a_bounded_time() {
    let short = Duration::from_millis(300);
    let served = served(1, NEVER, short).await;
    let begun = Instant::now();
    let mut waiting = served.waits().await;
    assert_eq!(rest(&mut waiting).await, "");
    assert!(begun.elapsed() >= short);
    let mut next = served.says(WHOLE).await;
    answer(&mut next, "ok").await;
}
