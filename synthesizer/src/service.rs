//! What `SynthesisService` does: deadlines, identity of the caller, and errors as statuses. Thin:
//! what a request means is `pipeline`'s business.

use std::{sync::Arc, time::Duration};

use langop_proto::v1::{
    DistillPersonaRequest, DistillPersonaResponse, SynthesizeStreamRequest,
    SynthesizeStreamResponse, ValidateCodeRequest, ValidateCodeResponse,
    synthesize_stream_response::Event,
};
use prost::{Message as _, bytes::Bytes};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, metadata::MetadataMap};
use tracing::{Instrument as _, Span};

use crate::{
    access::{Caller, Load},
    cache::InFlight,
    drain::{CallGuard, Drain},
    error::{Failure, SynthesisError},
    generate::{Answer, Delivery},
    pipeline::{Answered, Pending, Synthesizer},
};

/// Events a slow client may lag behind before the stream waits for it.
const STREAM_BUFFER: usize = 16;

/// The service.
pub struct Service {
    synthesizer: Arc<Synthesizer>,
    longest: Duration,
    drain: Drain,
}

impl Service {
    /// Answers by `synthesizer`, each request within `longest`, and no new ones once the drain has
    /// begun.
    pub fn new(synthesizer: Arc<Synthesizer>, longest: Duration, drain: Drain) -> Self {
        Self {
            synthesizer,
            longest,
            drain,
        }
    }

    /// Held until the call is over; no call is accepted once the replica drains.
    fn enter(&self) -> Result<CallGuard, Status> {
        self.drain
            .enter()
            .map_err(|error| Failure::from(error).to_status())
    }

    /// Who asks, what is held of the request, and how long the answer may take.
    fn admit<T>(&self, request: Request<T>) -> Result<(Caller, Load, Instant, T), Status> {
        let asked = deadline_of(request.metadata());
        let wait = asked.map_or(self.longest, |asked| asked.min(self.longest));
        // Put there by `access`; a way around it would be a bug, and gets nothing.
        let caller = request.extensions().get::<Caller>().cloned();
        let caller = caller.ok_or_else(|| Failure::from(SynthesisError::Internal).to_status())?;
        let load = request.extensions().get::<Load>().cloned();
        Ok((
            caller,
            load.unwrap_or_default(),
            Instant::now() + wait,
            request.into_inner(),
        ))
    }
}

/// The methods of the .proto, whose texts say what they promise.
impl Service {
    /// `Synthesize` of an encoded `SynthesizeRequest`.
    pub async fn synthesize(&self, request: Request<Bytes>) -> Result<Response<Answered>, Status> {
        let _place = self.enter()?;
        let (caller, load, deadline, asked) = self.admit(request)?;
        let answer = self
            .synthesizer
            .synthesize(&caller, load, asked, deadline)
            .await;
        answer
            .map(Response::new)
            .map_err(|failure| failure.to_status())
    }

    /// `SynthesizeStream`.
    pub async fn synthesize_stream(
        &self,
        request: Request<SynthesizeStreamRequest>,
    ) -> Result<Response<ReceiverStream<Result<SynthesizeStreamResponse, Status>>>, Status> {
        let place = self.enter()?;
        let (caller, load, deadline, request) = self.admit(request)?;
        let asked = request.request.unwrap_or_default().encode_to_vec().into();
        let pending = self
            .synthesizer
            .begin(&caller, load, asked, Delivery::Live)
            .await
            .map_err(|failure| failure.to_status())?;
        let (events, stream) = mpsc::channel(STREAM_BUFFER);
        let streaming = async move {
            let _place = place;
            stream_events(pending, deadline, events).await;
        };
        tokio::spawn(streaming.instrument(Span::current()));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    /// `DistillPersona`.
    pub async fn distill_persona(
        &self,
        request: Request<DistillPersonaRequest>,
    ) -> Result<Response<DistillPersonaResponse>, Status> {
        let _place = self.enter()?;
        let (caller, load, deadline, request) = self.admit(request)?;
        let answer = self
            .synthesizer
            .distill(&caller, load, request, deadline)
            .await;
        answer
            .map(Response::new)
            .map_err(|failure| failure.to_status())
    }

    /// `ValidateCode`.
    pub async fn validate_code(
        &self,
        request: Request<ValidateCodeRequest>,
    ) -> Result<Response<ValidateCodeResponse>, Status> {
        let _place = self.enter()?;
        let (caller, _load, _, request) = self.admit(request)?;
        let answer = self.synthesizer.validate(&caller, request).await;
        answer
            .map(Response::new)
            .map_err(|error| Failure::from(error).to_status())
    }
}

type Events = mpsc::Sender<Result<SynthesizeStreamResponse, Status>>;

/// Sends the events of a request and its end; stops early when the client is gone.
async fn stream_events(mut pending: Pending, deadline: Instant, events: Events) {
    if let Some(in_flight) = pending.in_flight() {
        while let Some(event) = next_event(in_flight, deadline).await {
            if send(&events, event).await.is_err() {
                return;
            }
        }
    }
    let end = match pending.response(deadline).await {
        Ok(answer) => Ok(SynthesizeStreamResponse {
            event: Some(Event::Result(answer.into_response())),
        }),
        Err(failure) => Err(failure.to_status()),
    };
    // A client that is gone misses nothing.
    let _ = events.send(end).await;
}

/// The next event; `None` once the work or the time is over.
async fn next_event(in_flight: &mut InFlight<Answer>, deadline: Instant) -> Option<Event> {
    loop {
        match timeout_at(deadline, in_flight.events.recv()).await.ok()? {
            Ok(event) => return Some(event),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

async fn send(events: &Events, event: Event) -> Result<(), ()> {
    events
        .send(Ok(SynthesizeStreamResponse { event: Some(event) }))
        .await
        .map_err(|_| ())
}

/// The caller's `grpc-timeout`: at most eight digits and a unit (the gRPC specification over
/// HTTP/2). A little is taken off, so that our answer, which has details, comes before the
/// transport's, which has none.
fn deadline_of(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    let timeout = match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    };
    Some(timeout.saturating_sub((timeout / 20).min(Duration::from_millis(50))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_deadline_of_grpc() {
        let deadline = |text: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("grpc-timeout", text.parse().unwrap());
            deadline_of(&metadata)
        };
        assert_eq!(deadline("10S"), Some(Duration::from_millis(9950)));
        assert_eq!(deadline("100m"), Some(Duration::from_millis(95)));
        for bad in ["", "S", "10", "-1S", "123456789S", "1x"] {
            assert_eq!(deadline(bad), None, "{bad}");
        }
        assert_eq!(deadline_of(&MetadataMap::new()), None);
    }
}
