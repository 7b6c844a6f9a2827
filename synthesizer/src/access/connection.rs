//! One connection: bytes with or without TLS, who is at the other end, and the times by which somebody must have been let in and by which
//! it must have ended.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::{account::Gate, answers::Answers, caller::Caller, slots::Slot, standing::Standing};

/// Most calls of the health service at a time. They need no credentials, and a watch lasts: so many of each connection bound all of them.
const HEALTH_CALLS: u32 = 8;

/// What the requests of a connection share. In the extensions of each of them.
#[derive(Clone)]
pub(crate) struct Link {
    pub(super) peer: Peer,
    pub(super) standing: Arc<Standing>,
    pub(super) health: Arc<Gate>,
    pub(crate) answers: Arc<Answers>,
}

/// Who is at the other end, as far as the connection tells.
#[derive(Clone)]
pub(super) enum Peer {
    /// Whom a verified certificate names.
    Certified(Caller),
    /// Somebody with a verified certificate without a usable name.
    Nameless,
    /// Somebody with a verified certificate that is not among those meant.
    Unlisted,
    /// Somebody without a certificate.
    Unknown,
}

/// Bytes, with or without TLS.
pub(super) enum Bytes {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

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

/// A connection. Reading and writing fail once it is late.
pub(crate) struct Connection {
    bytes: Bytes,
    link: Link,
    times: Times,
    /// When a call must have been let in, and after that its end.
    deadline: Pin<Box<Sleep>>,
    is_proven: bool,
    /// Its place is given to another.
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When to look whether answers wait too long. Nothing less than the end of the connection frees them: the stream of an answer whose
    /// client gives it no window waits within the library, which asks nobody.
    patrol: Pin<Box<Sleep>>,
    made: Instant,
    #[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
    slot: Slot,
}

impl Connection {
    /// One that was made at `made`.
    pub(super) fn new(bytes: Bytes, peer: Peer, slot: Slot, made: Instant, times: Times) -> Self {
        let link = Link {
            peer,
            standing: Arc::clone(&slot.standing),
            health: Arc::new(Gate::new(HEALTH_CALLS)),
            answers: Arc::default(),
        };
        Self {
            bytes,
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

    /// Asked wherever its task may wait: a client that does not read keeps it in writing.
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut is_late = self.is_over(cx) || self.lost.as_mut().poll(cx).is_ready();
        while !is_late && self.patrol.as_mut().poll(cx).is_ready() {
            let (now, longest) = (Instant::now(), self.times.sending);
            let oldest = self.link.answers.oldest();
            is_late = oldest.is_some_and(|since| now.duration_since(since) >= longest);
            self.patrol.as_mut().reset(now + longest / 2);
        }
        if is_late {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// Whether nobody was let in by the time they should have been, or it is old.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        while self.deadline.as_mut().poll(cx).is_ready() {
            if self.is_proven || !self.link.standing.was_used() {
                return true;
            }
            self.is_proven = true;
            self.deadline.as_mut().reset(self.made + self.times.longest);
        }
        false
    }
}

impl Connected for Connection {
    type ConnectInfo = Link;

    fn connect_info(&self) -> Link {
        self.link.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(cx, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(cx, buffer),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?;
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Bytes::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.bytes {
            Bytes::Plain(stream) => stream.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?;
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
        time::timeout,
    };

    use super::{super::slots::Slots, *};

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
        let slot = Slots::new(1, 1, Arc::default()).take(address.ip()).unwrap();
        let bytes = Bytes::Plain(stream);
        let connection = Connection::new(bytes, Peer::Unknown, slot, Instant::now(), TIMES);
        (connection, client.unwrap())
    }

    #[tokio::test]
    async fn ends_when_nobody_is_let_in_and_when_it_is_old() {
        for (is_let_in, lasts) in [(false, TIMES.handshake), (true, TIMES.longest)] {
            let (mut connection, mut client) = pair().await;
            let started = Instant::now();
            client.write_all(b"whatever is said").await.unwrap();
            let call = is_let_in.then(|| connection.connect_info().standing.begin());
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
        connection.times.longest = 10 * NEVER;
        let _call = connection.connect_info().standing.begin();
        let lost = connection.slot.lost.clone();
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
        connection.times.longest = 10 * NEVER;
        let _call = connection.connect_info().standing.begin();
        client.write_all(b"P").await.unwrap();
        let answer = connection.connect_info().answers.begin();
        connection.read_u8().await.unwrap();
        let error = timeout(NEVER, connection.read_u8()).await.expect("an end");
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(answer);
    }
}
