//! The connections of the admin server: a bounded number, each for a bounded time, so that a client
//! that sends half a request, or none, does not hold resources for long. Clients that poll
//! reconnect. Knows nothing of what is served.

use std::{
    future::Future as _, io, net::SocketAddr, pin::Pin, sync::Arc, task::Context, time::Duration,
};

use axum::serve::Listener;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

use crate::timed_io::{TimedIo, Timing};

/// Most connections at a time; more are closed at once. A kubelet and a few scrapers need one each.
const MOST: usize = 64;
/// How long a connection lives.
const LONGEST: Duration = Duration::from_secs(10);

/// A listener of bounded connections.
pub struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    longest: Duration,
}

/// A connection, for a bounded time.
pub type Connection = TimedIo<TcpStream, End>;

/// The end of a connection, which has a place until then.
pub struct End {
    sleep: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Timing for End {
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with_bounds(listener, MOST, LONGEST)
    }

    /// At most `most` connections at a time, each for at most `longest`.
    pub fn with_bounds(listener: TcpListener, most: usize, longest: Duration) -> Self {
        Self {
            listener,
            places: Arc::new(Semaphore::new(most)),
            longest,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // axum's, which waits and tries again where the system has no socket for us.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                let end = End {
                    sleep: Box::pin(sleep(self.longest)),
                    _place: place,
                };
                return (TimedIo::new(stream, end), address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        time::timeout,
    };

    use super::*;

    /// What a client hears until the end, which must come; a reset is one.
    async fn rest(client: &mut TcpStream) -> String {
        let mut heard = Vec::new();
        let ended = timeout(Duration::from_mins(1), client.read_to_end(&mut heard));
        let _ = ended.await.expect("an end");
        String::from_utf8(heard).unwrap()
    }

    #[tokio::test]
    async fn who_sends_half_a_request_holds_a_place_for_a_bounded_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::with_bounds(listener, 1, Duration::from_secs(1));
        let router = Router::new().route("/", get(async || "ok"));
        let server = tokio::spawn(async { axum::serve(bounded, router).await });
        let connect = async || TcpStream::connect(address).await.unwrap();
        let mut half = connect().await;
        half.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n")
            .await
            .unwrap();
        let mut other = connect().await;
        assert_eq!(rest(&mut other).await, "", "there is no place");
        assert_eq!(rest(&mut half).await, "");
        let mut whole = connect().await;
        whole
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let answer = rest(&mut whole).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        server.abort();
    }
}
