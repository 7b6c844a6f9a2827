//! A request's body that must arrive in time: a client that sends half a message and then nothing would hold its place for ever.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::{
    Status,
    body::Body,
    codegen::{Body as HttpBody, Bytes},
};

/// A body that fails with `DEADLINE_EXCEEDED` when it takes too long.
pub(crate) struct Arrival {
    body: Body,
    longest: Duration,
    /// Set when first there is something to wait for; most requests are there at once.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Arrival {
    /// `body`, which may take `longest` from when first it is waited for.
    pub(super) fn new(body: Body, longest: Duration) -> Self {
        Self {
            body,
            longest,
            deadline: None,
        }
    }
}

impl HttpBody for Arrival {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            return polled;
        }
        let longest = self.longest;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep(longest)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Some(Err(late()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn late() -> Status {
    Status::deadline_exceeded("the request took too long to arrive")
}
