//! The connections of an HTTP server: a bounded number, each for a bounded time. Where all places
//! are taken, the oldest connection without a request makes room for a new one, so that whoever
//! opens connections and asks nothing keeps nobody out, a kubelet least of all. Knows nothing of
//! what is served.

use std::{
    collections::BTreeMap,
    future::Future as _,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request, connect_info::IntoMakeServiceWithConnectInfo},
    middleware::{self, AddExtension, Next},
    response::Response,
    serve::{IncomingStream, Listener},
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use crate::timed_io::{TimedIo, Timing};

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most connections at a time. Beyond, the oldest one without a request is closed; if there is
    /// none, the new one.
    pub most: usize,
    /// How long a connection may be without a whole head of a request.
    pub idle: Duration,
    /// How long a request and its answer may take.
    pub longest: Duration,
}

/// A server of bounded connections.
pub type Server = axum::serve::Serve<
    Bounded,
    IntoMakeServiceWithConnectInfo<Router, Activity>,
    AddExtension<Router, ConnectInfo<Activity>>,
>;

/// Serves `router` within these bounds.
pub fn serve(listener: TcpListener, bounds: Bounds, router: Router) -> Server {
    let places = Arc::default();
    let bounded = Bounded {
        listener,
        bounds,
        places,
    };
    let router = router.layer(middleware::from_fn(count));
    axum::serve(bounded, router.into_make_service_with_connect_info())
}

async fn count(
    ConnectInfo(activity): ConnectInfo<Activity>,
    request: Request,
    next: Next,
) -> Response {
    let counted = activity.begin();
    hold(next.run(request).await, counted)
}

/// A response that keeps `held` until all of it is sent, or its connection has ended.
pub fn hold<T: Send + Unpin + 'static>(response: Response, held: T) -> Response {
    response.map(|body| Body::new(Held { body, _held: held }))
}

struct Held<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The requests of one connection.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// The first request began, or the last one ended; before that, the connection was made.
    since: Instant,
}

impl Activity {
    fn new() -> Self {
        let since = Instant::now();
        Self(Arc::new(Mutex::new(State { requests: 0, since })))
    }

    fn begin(&self) -> Counted {
        let mut state = self.state();
        if state.requests == 0 {
            state.since = Instant::now();
        }
        state.requests += 1;
        Counted(self.clone())
    }

    fn is_idle(&self) -> bool {
        self.state().requests == 0
    }

    /// When the connection ends if nothing changes.
    fn end(&self, bounds: Bounds) -> Instant {
        let state = self.state();
        let time = if state.requests == 0 {
            bounds.idle
        } else {
            bounds.longest
        };
        state.since + time
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl axum::extract::connect_info::Connected<IncomingStream<'_, Bounded>> for Activity {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Self {
        stream.io().connect_info()
    }
}

/// A request, until its answer is sent.
struct Counted(Activity);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        if state.requests == 0 {
            state.since = Instant::now();
        }
    }
}

/// Places for connections, by number; later ones have higher numbers.
#[derive(Debug, Default)]
struct Places {
    last: u64,
    taken: BTreeMap<u64, Place>,
}

#[derive(Clone, Debug)]
struct Place {
    activity: Activity,
    /// The place is another's now: the connection must end.
    lost: CancellationToken,
}

impl Places {
    /// A place, if need be that of the oldest connection without a request.
    fn take(&mut self, most: usize) -> Option<(u64, Place)> {
        if self.taken.len() >= most {
            let mut taken = self.taken.iter();
            let (&oldest, _) = taken.find(|(_, place)| place.activity.is_idle())?;
            self.taken.remove(&oldest)?.lost.cancel();
        }
        let place = Place {
            activity: Activity::new(),
            lost: CancellationToken::new(),
        };
        self.last += 1;
        self.taken.insert(self.last, place.clone());
        Some((self.last, place))
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // No code panics while it holds the lock.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A listener of bounded connections.
pub struct Bounded {
    listener: TcpListener,
    bounds: Bounds,
    places: Arc<Mutex<Places>>,
}

/// A connection, which reads and writes for a bounded time.
pub type Connection = TimedIo<TcpStream, Lifetime>;

/// How long a connection lives. It has a place until then.
pub struct Lifetime {
    activity: Activity,
    bounds: Bounds,
    end: Pin<Box<Sleep>>,
    lost: Pin<Box<WaitForCancellationFutureOwned>>,
    number: u64,
    places: Arc<Mutex<Places>>,
}

impl Timing for Lifetime {
    fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let end = self.activity.end(self.bounds);
        if self.end.deadline() != end {
            self.end.as_mut().reset(end);
        }
        self.end.as_mut().poll(cx).is_ready() || self.lost.as_mut().poll(cx).is_ready()
    }
}

impl Connected for Lifetime {
    type ConnectInfo = Activity;

    fn connect_info(&self) -> Activity {
        self.activity.clone()
    }
}

impl Drop for Lifetime {
    fn drop(&mut self) {
        lock(&self.places).taken.remove(&self.number);
    }
}

impl Bounded {
    fn place(&self) -> Option<Lifetime> {
        let (number, place) = lock(&self.places).take(self.bounds.most)?;
        Some(Lifetime {
            end: Box::pin(sleep_until(place.activity.end(self.bounds))),
            lost: Box::pin(place.lost.cancelled_owned()),
            activity: place.activity,
            bounds: self.bounds,
            number,
            places: Arc::clone(&self.places),
        })
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            // axum's, which waits and tries again where the system has no socket for us.
            let (stream, address) = Listener::accept(&mut self.listener).await;
            if let Some(lifetime) = self.place() {
                return (TimedIo::new(stream, lifetime), address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
