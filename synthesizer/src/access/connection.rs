//! One connection: bytes with or without TLS, who is at the other end, and the times by which
//! somebody must have been let in and by which it must have ended.

use std::{future::Future as _, pin::Pin, sync::Arc, task::Context, time::Duration};

use langop_program::timed_io::{TimedIo, Timing};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tokio_util::{either::Either, sync::WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::{
    activity::ConnectionActivity, caller::Caller, connection_limit::ConnectionPermit,
    unread_responses::UnreadResponses,
};

/// Most calls of the health service at a time. They need no credentials, and a watch lasts: so many
/// of each connection bound all of them.
const HEALTH_CALLS: usize = 8;

/// What the requests of a connection share. In the extensions of each of them.
#[derive(Clone)]
pub(crate) struct ConnectionInfo {
    pub(super) peer: PeerIdentity,
    pub(super) activity: Arc<ConnectionActivity>,
    pub(super) health: Arc<Semaphore>,
    pub(crate) answers: Arc<UnreadResponses>,
}

/// Who is at the other end, as far as the connection tells.
#[derive(Clone)]
pub(super) enum PeerIdentity {
    /// Whom a verified certificate names.
    Certified(Caller),
    /// A verified certificate without a usable name.
    Nameless,
    /// A verified certificate whose name is not listed.
    Unlisted,
    /// No certificate.
    Unknown,
}

/// Bytes, with or without TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection. Reading and writing fail once it is late.
pub(crate) type Connection = TimedIo<Stream, Lifetime>;

/// How long a connection may take.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// Until a call is let in, from when it was made.
    pub(super) handshake: Duration,
    /// To live, from then too.
    pub(super) longest: Duration,
    /// Until its client reads on where an answer is ready for it.
    pub(super) sending: Duration,
}

/// How long a connection may live, and what its requests share.
pub(crate) struct Lifetime {
    link: ConnectionInfo,
    times: Times,
    /// When a call must have been let in, and after that its end.
    deadline: Pin<Box<Sleep>>,
    is_proven: bool,
    /// Its place is given to another.
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When to look whether answers wait too long. Nothing less than the end of the connection
    /// frees them: the stream of an answer whose client gives it no window waits within the
    /// library, which polls nothing.
    patrol: Pin<Box<Sleep>>,
    made: Instant,
    #[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
    slot: ConnectionPermit,
}

impl Lifetime {
    /// Of a connection that was made at `made`.
    pub(super) fn new(
        peer: PeerIdentity,
        slot: ConnectionPermit,
        made: Instant,
        times: Times,
    ) -> Self {
        let link = ConnectionInfo {
            peer,
            activity: Arc::clone(&slot.activity),
            health: Arc::new(Semaphore::new(HEALTH_CALLS)),
            answers: Arc::default(),
        };
        Self {
            link,
            times,
            deadline: Box::pin(sleep_until(made + times.handshake)),
            is_proven: false,
            lost: Box::pin(slot.lost.clone().cancelled_owned()),
            patrol: Box::pin(sleep_until(made + times.sending)),
            made,
            slot,
        }
    }

    /// Whether no call was authorized in time, or the connection is too old.
    fn is_old(&mut self, cx: &mut Context<'_>) -> bool {
        while self.deadline.as_mut().poll(cx).is_ready() {
            if self.is_proven || !self.link.activity.was_used() {
                return true;
            }
            self.is_proven = true;
            self.deadline.as_mut().reset(self.made + self.times.longest);
        }
        false
    }
}

impl Timing for Lifetime {
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let mut is_over = self.is_old(cx) || self.lost.as_mut().poll(cx).is_ready();
        while !is_over && self.patrol.as_mut().poll(cx).is_ready() {
            let (now, longest) = (Instant::now(), self.times.sending);
            let oldest = self.link.answers.oldest();
            is_over = oldest.is_some_and(|since| now.duration_since(since) >= longest);
            self.patrol.as_mut().reset(now + longest / 2);
        }
        is_over
    }
}

impl Connected for Lifetime {
    type ConnectInfo = ConnectionInfo;

    fn connect_info(&self) -> ConnectionInfo {
        self.link.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::{super::connection_limit::ConnectionLimit, *};

    const TIMES: Times = Times {
        handshake: Duration::from_millis(100),
        longest: Duration::from_secs(2),
        sending: Duration::from_millis(200),
    };

    /// A connection and its client.
    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let (stream, address) = accepted.unwrap();
        let slot = ConnectionLimit::new(1, 1, Arc::default())
            .take(address.ip())
            .unwrap();
        let lifetime = Lifetime::new(PeerIdentity::Unknown, slot, Instant::now(), TIMES);
        let connection = TimedIo::new(Either::Left(stream), lifetime);
        (connection, client.unwrap())
    }

    #[tokio::test]
    async fn ends_when_nobody_is_let_in_and_when_it_is_old() {
        for (is_let_in, lasts) in [(false, TIMES.handshake), (true, TIMES.longest)] {
            let (mut connection, mut client) = pair().await;
            let started = Instant::now();
            client.write_all(b"whatever is said").await.unwrap();
            let call = is_let_in.then(|| connection.connect_info().activity.begin());
            let mut received = Vec::new();
            let error = connection.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(received, b"whatever is said");
            let lasted = started.elapsed();
            assert!(
                lasted + Duration::from_millis(10) >= lasts
                    && (is_let_in || lasted < TIMES.longest),
                "{is_let_in}: {lasted:?}"
            );
            drop(call);
        }
    }

    #[tokio::test]
    async fn ends_when_its_place_is_given_to_another() {
        let (mut connection, client) = pair().await;
        connection.timing().times.longest = 10 * NEVER;
        let _call = connection.connect_info().activity.begin();
        let lost = connection.timing().slot.lost.clone();
        let (read, ()) = tokio::join!(timeout(NEVER, connection.read_u8()), async {
            lost.cancel();
        });
        let error = read.expect("an end").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(client);
    }

    /// Far longer than any of the times.
    const NEVER: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn ends_when_its_client_does_not_read() {
        let (mut connection, client) = pair().await;
        let endless = vec![0; 64 << 20];
        let written = timeout(NEVER, connection.write_all(&endless)).await;
        let error = written.expect("an end").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        for ended in [
            connection.flush().await,
            connection.shutdown().await,
            connection.write(b"x").await.map(|_| ()),
        ] {
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        drop(client);
    }

    #[tokio::test]
    async fn ends_when_an_answer_waits_too_long() {
        let (mut connection, mut client) = pair().await;
        connection.timing().times.longest = 10 * NEVER;
        let _call = connection.connect_info().activity.begin();
        client.write_all(b"P").await.unwrap();
        let answer = connection.connect_info().answers.begin();
        connection.read_u8().await.unwrap();
        let error = timeout(NEVER, connection.read_u8()).await.expect("an end");
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(answer);
    }
}
