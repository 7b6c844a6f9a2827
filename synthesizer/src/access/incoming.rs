//! Takes connections: a place for each, then its handshake in a task of its own, so that no
//! connection waits for another's handshake.

use std::{io, sync::Arc, time::Duration};

use langop_client::watched::Watched;
use langop_program::timed_io::TimedIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::either::Either;

use super::{
    callers::Callers,
    connection::{Connection, Lifetime, PeerIdentity, Stream, Times},
    connection_limit::{ConnectionLimit, ConnectionPermit},
    tls,
};
use crate::metrics::Refusal;

/// Connections that are open and not yet served.
const BACKLOG: usize = 64;
/// How long to wait after the system had no socket for us.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that were let in. Dropping it closes the listener.
pub(crate) type Incoming = ReceiverStream<io::Result<Connection>>;

type Opened = mpsc::Sender<io::Result<Connection>>;

/// What a connection goes through before it is served.
#[derive(Clone)]
pub(super) struct Acceptor {
    pub(super) tls: Option<Arc<Watched<ServerConfig>>>,
    pub(super) callers: Arc<Callers>,
    /// The names of certificates that are meant; none: all of the authorities.
    pub(super) listed: Arc<[String]>,
    pub(super) times: Times,
}

/// Takes connections until the result is dropped.
pub(super) fn start(
    listener: TcpListener,
    acceptor: Acceptor,
    slots: Arc<ConnectionLimit>,
) -> Incoming {
    let (opened, incoming) = mpsc::channel(BACKLOG);
    tokio::spawn(accept(listener, acceptor, slots, opened));
    ReceiverStream::new(incoming)
}

async fn accept(
    listener: TcpListener,
    acceptor: Acceptor,
    slots: Arc<ConnectionLimit>,
    opened: Opened,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = opened.closed() => return,
        };
        match accepted {
            Ok((stream, address)) => {
                if let Some(slot) = slots.take(address.ip()) {
                    tokio::spawn(open(
                        stream,
                        slot,
                        acceptor.clone(),
                        Arc::clone(&slots),
                        opened.clone(),
                    ));
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot take connections for now");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether the next connection may well succeed: the client of this one is gone already.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn open(
    stream: TcpStream,
    slot: ConnectionPermit,
    acceptor: Acceptor,
    slots: Arc<ConnectionLimit>,
    opened: Opened,
) {
    let made = Instant::now();
    let handshake = acceptor.handshake(stream, made + acceptor.times.handshake);
    // A lost permit was counted when it was given to another connection.
    let Some(handshake) = slot.lost.run_until_cancelled(handshake).await else {
        return;
    };
    match handshake {
        Ok((stream, peer)) => {
            let lifetime = Lifetime::new(peer, slot, made, acceptor.times);
            let connection = TimedIo::new(stream, lifetime);
            // The receiver is gone once the server stops.
            let _ = opened.send(Ok(connection)).await;
        }
        Err(error) => {
            slots.refused(Refusal::Handshake);
            tracing::debug!(%error, "no handshake");
        }
    }
}

impl Acceptor {
    async fn handshake(
        &self,
        stream: TcpStream,
        deadline: Instant,
    ) -> io::Result<(Stream, PeerIdentity)> {
        // Messages are small, and each is awaited.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok((Either::Left(stream), PeerIdentity::Unknown));
        };
        let accept = TlsAcceptor::from(tls.get()).accept(stream);
        let stream = timeout_at(deadline, accept).await??;
        let peer = self.peer(&stream);
        Ok((Either::Right(Box::new(stream)), peer))
    }

    fn peer(&self, stream: &TlsStream<TcpStream>) -> PeerIdentity {
        let (_, session) = stream.get_ref();
        let Some(certificate) = session.peer_certificates().and_then(<[_]>::first) else {
            return PeerIdentity::Unknown;
        };
        match tls::name(certificate) {
            Some(name) if !self.listed.is_empty() && !self.listed.contains(&name) => {
                PeerIdentity::Unlisted
            }
            Some(name) => {
                PeerIdentity::Certified(self.callers.named(&format!("certificate:{name}")))
            }
            None => PeerIdentity::Nameless,
        }
    }
}
