//! A request's body that must arrive in time, and for which there must be room: a client that sends
//! half a message and then nothing would hold its place for ever, and the library makes room for a
//! whole message when it has read its length.

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

/// The beginning of a message: whether it is compressed, and its length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// A body that fails with `DEADLINE_EXCEEDED` when it takes too long, and as `take` says when there
/// is no room for its message.
pub(crate) struct BodyTimeout<T> {
    body: Body,
    prefix: Vec<u8>,
    take: Option<T>,
    longest: Duration,
    /// Set when first there is something to wait for; most requests are there at once.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<T: FnOnce(u32) -> Result<(), Status>> BodyTimeout<T> {
    /// `body`, which may take `longest` from when first it is waited for. `take` is told how long
    /// its message will be.
    pub(super) fn new(body: Body, longest: Duration, take: T) -> Self {
        Self {
            body,
            prefix: Vec::with_capacity(PREFIX),
            take: Some(take),
            longest,
            deadline: None,
        }
    }
}

impl<T> BodyTimeout<T>
where
    T: FnOnce(u32) -> Result<(), Status>,
{
    /// Looks at a piece before the library does.
    fn look(&mut self, piece: &[u8]) -> Result<(), Status> {
        let missing = PREFIX - self.prefix.len();
        self.prefix.extend(piece.iter().take(missing));
        let &[_, a, b, c, d] = self.prefix.as_slice() else {
            return Ok(());
        };
        match self.take.take() {
            Some(take) => take(u32::from_be_bytes([a, b, c, d])),
            None => Ok(()),
        }
    }
}

impl<T> HttpBody for BodyTimeout<T>
where
    T: FnOnce(u32) -> Result<(), Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(piece) = frame.data_ref()
            && let Err(status) = self.look(piece)
        {
            return Poll::Ready(Some(Err(status)));
        }
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

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http_body::Frame;
    use tonic::Code;

    use super::*;

    /// A body of these pieces.
    struct Pieces(std::vec::IntoIter<&'static [u8]>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let piece = self.0.next();
            Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
        }
    }

    /// What passes of these pieces, and how long the message was said to be.
    async fn pass(
        pieces: &[&'static [u8]],
        answer: Result<(), Status>,
    ) -> (Vec<Result<Bytes, Code>>, Option<u32>) {
        let mut said = None;
        let body = Body::new(Pieces(Vec::from(pieces).into_iter()));
        let take = |length| {
            said = Some(length);
            answer
        };
        let mut arrival = BodyTimeout::new(body, Duration::from_mins(1), take);
        let frames = futures::stream::poll_fn(|cx| Pin::new(&mut arrival).poll_frame(cx));
        let frames = frames.map(|frame| match frame {
            Ok(frame) => Ok(frame.into_data().unwrap()),
            Err(status) => Err(status.code()),
        });
        let passed = frames.collect().await;
        (passed, said)
    }

    #[tokio::test]
    async fn a_message_is_weighed_before_it_passes_however_it_is_cut() {
        for pieces in [
            &[&[0, 0, 0, 1, 2, 9, 9][..]][..],
            &[&[0, 0][..], &[0, 1][..], &[][..], &[2, 9][..]][..],
        ] {
            let (passed, said) = pass(pieces, Ok(())).await;
            assert_eq!(said, Some(258));
            assert_eq!(passed.len(), pieces.len());
            let (passed, _) = pass(pieces, Err(Status::resource_exhausted("full"))).await;
            let refused = passed.iter().position(Result::is_err).unwrap();
            assert_eq!(passed[refused], Err(Code::ResourceExhausted));
            let before: usize = passed[..refused].iter().flatten().map(Bytes::len).sum();
            assert!(before < PREFIX, "nothing of the message itself passes");
        }
        assert_eq!(pass(&[&[0, 0, 0]], Ok(())).await.1, None);
    }
}
