//! A connection whose reading and writing fail once its time is over, however its peer behaves.
//! The server decides when that is.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// Says when the time of a connection is over.
pub trait Timing {
    /// Whether it is over. Called on every poll, because a peer that stops reading keeps the
    /// connection's task in writing; wakes the task when the answer may have changed.
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool;
}

/// A stream of bytes that fails with [`io::ErrorKind::TimedOut`] once its time is over.
pub struct TimedIo<S, T> {
    stream: S,
    timing: T,
}

impl<S, T: Timing> TimedIo<S, T> {
    /// `stream`, for the time that `timing` allows.
    pub fn new(stream: S, timing: T) -> Self {
        Self { stream, timing }
    }

    /// What says when the time is over.
    pub fn timing(&mut self) -> &mut T {
        &mut self.timing
    }

    fn in_time(&mut self, cx: &mut Context<'_>) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        if self.timing.poll_is_over(cx) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl<S, T: Timing + Connected> Connected for TimedIo<S, T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.timing.connect_info()
    }
}

impl<S: AsyncRead + Unpin, T: Timing + Unpin> AsyncRead for TimedIo<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin, T: Timing + Unpin> AsyncWrite for TimedIo<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?.poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(cx)?.poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(cx)?.poll_shutdown(cx)
    }
}
