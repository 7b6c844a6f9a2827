//! Who may call, and how much: TLS, certificates, bearer tokens, limits of connections and of callers. Decides before a message is read;
//! knows nothing of what a call does. What it turns away is [`Denied`]; how gRPC says that is `error`'s business.

mod account;
mod answers;
mod arrival;
mod callers;
mod connection;
mod denied;
mod incoming;
mod settings;
mod slots;
mod tls;
mod tokens;
mod watched;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, header::AUTHORIZATION};
use tokio::net::TcpListener;
use tonic::body::Body;

use self::{
    account::{Gate, Pass},
    arrival::Arrival,
    callers::Callers,
    connection::{Peer, Times},
    incoming::Door,
    slots::Slots,
    tokens::Tokens,
    watched::Watched,
};
use crate::{caller::Caller, metrics::Metrics};

pub(crate) use self::{answers::Answer, connection::Link, incoming::Incoming};

pub use self::{
    account::{Account, Limits},
    denied::Denied,
    settings::AccessSettings,
    tls::TlsError,
    tokens::TokensError,
    watched::LoadError,
};

/// Health is for those who have no credentials: load balancers and probes. It says nothing that a refused connection would not.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// The one call whose client may take its time: people use it.
const REFLECTION: &str = "/grpc.reflection.";

/// Lets calls in, or not.
pub struct Access {
    /// Set where nobody has to say who they are.
    anonymous: Option<Caller>,
    tokens: Option<Arc<Watched<Tokens>>>,
    callers: Arc<Callers>,
    calls: Arc<Gate>,
    receive_timeout: Duration,
}

/// A call that was let in, for as long as it is held.
#[must_use]
pub(crate) struct Ticket(#[expect(dead_code, reason = "held, not read")] [Option<Pass>; 2]);

impl Access {
    /// Access as `settings` have it, with the tokens as they are in their file.
    pub async fn new(settings: &AccessSettings) -> Result<Self, LoadError> {
        let callers = Arc::new(Callers::new(settings.limits()));
        let tokens = match &settings.tokens_file {
            None => None,
            Some(file) => {
                let callers = Arc::clone(&callers);
                let files = vec![file.clone()];
                let read = move |contents: &[Vec<u8>]| Ok(Tokens::parse(&contents[0], &callers)?);
                Some(Watched::start(files, settings.reload_interval, read).await?)
            }
        };
        Ok(Self {
            anonymous: (!settings.asks_for_credentials()).then(|| callers.named("anonymous")),
            tokens,
            callers,
            calls: Arc::new(Gate::new(settings.max_calls)),
            receive_timeout: settings.receive_timeout,
        })
    }

    /// Takes connections from `listener`; each ends after `longest`, whatever its client does.
    pub(crate) async fn listen(
        &self,
        listener: TcpListener,
        settings: &AccessSettings,
        longest: Duration,
        metrics: Arc<Metrics>,
    ) -> Result<Incoming, LoadError> {
        let door = Door {
            tls: tls::watch(settings).await?,
            callers: Arc::clone(&self.callers),
            times: Times {
                handshake: settings.handshake_timeout,
                longest,
                sending: settings.send_timeout,
            },
        };
        let slots = Slots::new(
            settings.max_connections,
            settings.max_connections_per_address,
            metrics,
        );
        Ok(incoming::start(listener, door, slots))
    }

    /// Lets a call in, and puts its [`Caller`] into the request's extensions.
    pub(crate) fn admit<B>(&self, request: &mut Request<B>) -> Result<Ticket, Denied> {
        if request.uri().path().starts_with(HEALTH) {
            let link = request.extensions().get::<Link>();
            let pass = link.and_then(|link| link.health.enter());
            return Ok(Ticket([
                Some(pass.ok_or(Denied::TooManyHealthCalls)?),
                None,
            ]));
        }
        let caller = self.identify(request)?;
        let own = caller.account().begin_call()?;
        let pass = self.calls.enter().ok_or(Denied::Busy)?;
        request.extensions_mut().insert(caller);
        Ok(Ticket([Some(pass), Some(own)]))
    }

    /// The request, which must arrive in time.
    pub(crate) fn receive(&self, request: Request<Body>) -> Request<Body> {
        if request.uri().path().starts_with(REFLECTION) {
            return request;
        }
        request.map(|body| Body::new(Arrival::new(body, self.receive_timeout)))
    }

    /// A token wins over a certificate: who sends one means it.
    fn identify<B>(&self, request: &Request<B>) -> Result<Caller, Denied> {
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
        }
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(request.headers())?
        {
            return tokens.get().find(token).ok_or(Denied::UnknownToken);
        }
        match request.extensions().get().map(|link: &Link| &link.peer) {
            Some(Peer::Certified(caller)) => Ok(caller.clone()),
            Some(Peer::Nameless) => Err(Denied::NamelessCertificate),
            Some(Peer::Unknown) | None => Err(Denied::NoCredentials),
        }
    }
}

/// The bearer token of RFC 6750, if there is any authorization.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, Denied> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value
        .as_bytes()
        .split_at_checked(b"bearer ".len())
        .ok_or(Denied::NotBearer)?;
    if scheme.eq_ignore_ascii_case(b"bearer ") {
        Ok(Some(token.trim_ascii()))
    } else {
        Err(Denied::NotBearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bearer_tokens() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(|token| token.map(<[u8]>::to_vec))
        };
        for value in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(read(value), Ok(Some(b"abc".to_vec())), "{value}");
        }
        for value in ["", "Basic abc", "abc", "Bearer", "Bearerabc"] {
            assert_eq!(read(value), Err(Denied::NotBearer), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), Ok(None));
    }
}
