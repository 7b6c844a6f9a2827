//! One connection: bytes with or without TLS, who is at the other end, and the times by which it must have begun and ended.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
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

use super::slots::Slot;
use crate::caller::Caller;

/// The length of the client's connection preface (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// Who is at the other end, as far as the connection tells. In the extensions of each of its requests.
#[derive(Clone)]
pub(crate) enum Peer {
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

/// A connection. Reading fails once it is late.
pub(crate) struct Connection {
    bytes: Bytes,
    peer: Peer,
    deadline: Pin<Box<Sleep>>,
    opening: Option<Opening>,
    _slot: Slot,
}

/// Before the client has spoken HTTP/2: from then on keepalive watches it.
struct Opening {
    received: usize,
    longest: Duration,
}

impl Connection {
    /// Must speak HTTP/2 until `begun`, and ends `longest` after that.
    pub(super) fn new(
        bytes: Bytes,
        peer: Peer,
        slot: Slot,
        begun: Instant,
        longest: Duration,
    ) -> Self {
        let opening = Opening {
            received: 0,
            longest,
        };
        Self {
            bytes,
            peer,
            deadline: Box::pin(sleep_until(begun)),
            opening: Some(opening),
            _slot: slot,
        }
    }

    fn received(&mut self, count: usize) {
        if let Some(opening) = &mut self.opening {
            opening.received += count;
            if opening.received >= PREFACE {
                self.deadline
                    .as_mut()
                    .reset(Instant::now() + opening.longest);
                self.opening = None;
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
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
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
    };

    use super::{super::slots::Slots, *};

    const BEGUN: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);

    /// A connection and its client.
    async fn pair() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, client) = tokio::join!(listener.accept(), client);
        let (stream, address) = accepted.unwrap();
        let slot = Slots::new(1, 1, Arc::default()).take(address.ip()).unwrap();
        let bytes = Bytes::Plain(stream);
        let begun = Instant::now() + BEGUN;
        let connection = Connection::new(bytes, Peer::Unknown, slot, begun, LONGEST);
        (connection, client.unwrap())
    }

    #[tokio::test]
    async fn ends_when_it_does_not_begin_and_when_it_is_old() {
        // One byte less than the preface, and the whole.
        for (sent, lasts) in [(PREFACE - 1, BEGUN), (PREFACE, LONGEST)] {
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
                    && (sent == PREFACE || lasted < LONGEST),
                "{sent} bytes: {lasted:?}"
            );
        }
    }
}
