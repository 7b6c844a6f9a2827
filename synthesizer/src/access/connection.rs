//! One connection: bytes with or without TLS, who is at the other end, and the times by which it must have begun and ended.

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
use tonic::transport::server::Connected;

use super::{account::Gate, answers::Answers, slots::Slot};
use crate::caller::Caller;

/// The length of the client's connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Most calls of the health service at a time. They need no credentials, and a watch lasts: so many of each connection bound all of them.
const HEALTH_CALLS: u32 = 8;

/// What the requests of a connection share. In the extensions of each of them.
#[derive(Clone)]
pub(crate) struct Link {
    pub(super) peer: Peer,
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
    /// Until its client speaks HTTP/2, from when it was made.
    pub(super) handshake: Duration,
    /// To live, after that.
    pub(super) longest: Duration,
    /// Until its client reads on where an answer is ready for it.
    pub(super) sending: Duration,
}

/// A connection. Reading and writing fail once it is late.
pub(crate) struct Connection {
    bytes: Bytes,
    link: Link,
    times: Times,
    deadline: Pin<Box<Sleep>>,
    /// When to look whether answers wait too long. Nothing less than the end of the connection frees them: the stream of an answer whose
    /// client gives it no window waits within the library, which asks nobody.
    patrol: Pin<Box<Sleep>>,
    opening: Option<Opening>,
    _slot: Slot,
}

/// Before the client has spoken HTTP/2: from then on keepalive watches it.
struct Opening {
    received: usize,
}

impl Connection {
    /// One that was made at `made`.
    pub(super) fn new(bytes: Bytes, peer: Peer, slot: Slot, made: Instant, times: Times) -> Self {
        let link = Link {
            peer,
            health: Arc::new(Gate::new(HEALTH_CALLS)),
            answers: Arc::default(),
        };
        Self {
            bytes,
            link,
            times,
            deadline: Box::pin(sleep_until(made + times.handshake)),
            patrol: Box::pin(sleep_until(made + times.sending)),
            opening: Some(Opening { received: 0 }),
            _slot: slot,
        }
    }

    /// Asked wherever its task may wait: a client that does not read keeps it in writing.
    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut is_late = self.deadline.as_mut().poll(cx).is_ready();
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

    fn received(&mut self, count: usize) {
        if let Some(opening) = &mut self.opening {
            opening.received += count;
            if opening.received >= PREFACE {
                self.deadline
                    .as_mut()
                    .reset(Instant::now() + self.times.longest);
                self.opening = None;
            }
        }
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
        let before = buffer.filled().len();
        let polled = match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let count = buffer.filled().len() - before;
        self.received(count);
        polled
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
    async fn ends_when_it_does_not_begin_and_when_it_is_old() {
        // One byte less than the preface, and the whole.
        for (sent, lasts) in [(PREFACE - 1, TIMES.handshake), (PREFACE, TIMES.longest)] {
            let (mut connection, mut client) = pair().await;
            let started = Instant::now();
            client.write_all(&vec![b'P'; sent]).await.unwrap();
            let mut received = Vec::new();
            let error = connection.read_to_end(&mut received).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(received.len(), sent);
            let lasted = started.elapsed();
            assert!(
                lasted + Duration::from_millis(10) >= lasts
                    && (sent == PREFACE || lasted < TIMES.longest),
                "{sent} bytes: {lasted:?}"
            );
        }
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
        client.write_all(&[b'P'; PREFACE]).await.unwrap();
        let answer = connection.connect_info().answers.begin();
        let mut received = [0; PREFACE];
        connection.read_exact(&mut received).await.unwrap();
        let error = timeout(NEVER, connection.read_u8()).await.expect("an end");
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(answer);
    }
}
