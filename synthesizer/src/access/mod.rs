//! Who may call, and how much: TLS, certificates, bearer tokens, limits of connections and of
//! callers. Decides before a message is read; knows nothing of what a call does. What it turns away
//! is [`AccessError`]; how gRPC says that is `error`'s business.

mod activity;
mod body_timeout;
pub(crate) mod caller;
pub(crate) mod caller_quota;
mod callers;
mod connection;
mod connection_limit;
pub(crate) mod error;
mod incoming;
pub(crate) mod load;
mod tls;
mod tokens;
mod unread_responses;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, header::AUTHORIZATION};
use langop_client::watched::{LoadError, Watched};
use langop_proto::ACCOUNT;
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::{Status, body::Body};

use self::{
    activity::InUse,
    body_timeout::BodyTimeout,
    callers::Callers,
    connection::{PeerIdentity, Times},
    connection_limit::ConnectionLimit,
    incoming::Acceptor,
    load::Scale,
    tokens::Tokens,
};
use crate::{metrics::Metrics, settings::AccessSettings};

pub(crate) use self::{
    connection::ConnectionInfo, incoming::Incoming, unread_responses::UnreadResponse,
};

pub use self::{
    caller::Caller,
    caller_quota::{CallerQuota, Limits},
    error::AccessError,
    load::Load,
    tls::TlsError,
    tokens::TokensError,
};

/// Health is for those who have no credentials: load balancers and probes. It says nothing that a
/// refused connection would not.
const HEALTH: &str = "/grpc.health.v1.Health/";
/// The one call whose client may take its time: people use it.
const REFLECTION: &str = "/grpc.reflection.";

/// Fewest bytes of a token: what is shorter can be guessed, and what is empty was forgotten.
const SHORTEST_TOKEN: usize = 16;
/// Longest name of an account, in bytes; that of a namespace is shorter.
const LONGEST_ACCOUNT: usize = 253;

/// Why the files of TLS or tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The tokens file.
    #[error(transparent)]
    Tokens(#[from] LoadError<TokensError>),
    /// The files of TLS.
    #[error(transparent)]
    Tls(#[from] LoadError<TlsError>),
}

/// Lets calls in, or not.
pub struct Access {
    /// Set where callers need no credentials.
    anonymous: Option<Caller>,
    tokens: Option<Arc<Watched<Tokens>>>,
    callers: Arc<Callers>,
    /// Names of the callers that may speak for accounts.
    trusted: Vec<String>,
    calls: Arc<Semaphore>,
    bytes: Scale,
    receive_timeout: Duration,
}

/// A call that was let in, for as long as it is held.
#[must_use]
#[expect(dead_code, reason = "held, not read")]
pub(crate) struct Authorization {
    passes: [Option<OwnedSemaphorePermit>; 2],
    in_use: Option<InUse>,
}

impl Access {
    /// Access as `settings` have it, with the tokens as they are in their file.
    pub async fn new(settings: &AccessSettings) -> Result<Self, FilesError> {
        let callers = Arc::new(Callers::new(settings.limits()));
        let tokens = match &settings.tokens_file {
            None => None,
            Some(file) => {
                let callers = Arc::clone(&callers);
                let files = vec![file.clone()];
                let read = move |contents: &[Vec<u8>]| Tokens::parse(&contents[0], &callers);
                Some(Watched::start(files, settings.reload_interval, read).await?)
            }
        };
        Ok(Self {
            anonymous: (!settings.asks_for_credentials()).then(|| callers.named("anonymous")),
            tokens,
            callers,
            trusted: settings.trusted_callers.clone(),
            calls: caller_quota::concurrency_limit(settings.max_calls),
            bytes: Scale::new(settings.max_held_bytes),
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
    ) -> Result<Incoming, FilesError> {
        let acceptor = Acceptor {
            tls: tls::watch(settings).await?,
            callers: Arc::clone(&self.callers),
            listed: settings.tls_client_names.clone().into(),
            times: Times {
                handshake: settings.handshake_timeout,
                longest,
                sending: settings.send_timeout,
            },
        };
        let slots = ConnectionLimit::new(
            settings.max_connections,
            settings.max_connections_per_address,
            metrics,
        );
        Ok(incoming::start(listener, acceptor, slots))
    }

    /// Lets a call in, and puts its [`Caller`] into the request's extensions.
    pub(crate) fn admit<B>(&self, request: &mut Request<B>) -> Result<Authorization, AccessError> {
        let identified = self.identify(request);
        let link = request.extensions().get::<ConnectionInfo>();
        // A health call without credentials uses the connection, which stays idle all the same.
        let in_use = || link.map(|link| link.activity.begin());
        if request.uri().path().starts_with(HEALTH) {
            let pass = link.and_then(|link| caller_quota::enter(&link.health));
            return Ok(Authorization {
                passes: [Some(pass.ok_or(AccessError::TooManyHealthCalls)?), None],
                in_use: identified.ok().and_then(|_| in_use()),
            });
        }
        let caller = self.account(identified?, request.headers())?;
        let own = caller.quota().begin_call()?;
        let pass = caller_quota::enter(&self.calls).ok_or(AccessError::Busy)?;
        let in_use = in_use();
        request.extensions_mut().insert(caller);
        Ok(Authorization {
            passes: [Some(pass), Some(own)],
            in_use,
        })
    }

    /// The request, which must arrive in time and for whose message there must be room; else it
    /// fails as `refuse` says. Puts its [`Load`] into the extensions.
    pub(crate) fn receive(
        &self,
        mut request: Request<Body>,
        refuse: fn(AccessError) -> Status,
    ) -> Request<Body> {
        if request.uri().path().starts_with(REFLECTION) {
            return request;
        }
        let load = Load::default();
        request.extensions_mut().insert(load.clone());
        let caller = request.extensions().get::<Caller>().cloned();
        let all = self.bytes.clone();
        let take = move |message| match caller {
            Some(caller) => {
                let held = caller.quota().hold(&load, message, &all);
                held.map_err(refuse)
            }
            // A question about health.
            None => Ok(()),
        };
        request.map(|body| Body::new(BodyTimeout::new(body, self.receive_timeout, take)))
    }

    /// The account that a trusted caller speaks for; everybody else is their own.
    fn account(&self, caller: Caller, headers: &HeaderMap) -> Result<Caller, AccessError> {
        let Some(account) = headers.get(ACCOUNT) else {
            return Ok(caller);
        };
        if !self.trusted.iter().any(|name| name == caller.name()) {
            return Ok(caller);
        }
        let is_name = |text: &&str| {
            let mut bytes = text.bytes();
            (1..=LONGEST_ACCOUNT).contains(&text.len())
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        let account = account.to_str().ok().filter(is_name);
        let account = account.ok_or(AccessError::AccountUnreadable)?;
        let name = format!("{}/{account}", caller.name());
        Ok(self.callers.named(&name))
    }

    /// A bearer token takes precedence over a client certificate.
    fn identify<B>(&self, request: &Request<B>) -> Result<Caller, AccessError> {
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
        }
        if let Some(tokens) = &self.tokens
            && let Some(token) = bearer(request.headers())?
        {
            return tokens.get().find(token).ok_or(AccessError::UnknownToken);
        }
        match request
            .extensions()
            .get()
            .map(|link: &ConnectionInfo| &link.peer)
        {
            Some(PeerIdentity::Certified(caller)) => Ok(caller.clone()),
            Some(PeerIdentity::Nameless) => Err(AccessError::NamelessCertificate),
            Some(PeerIdentity::Unlisted) => Err(AccessError::UnlistedCertificate),
            Some(PeerIdentity::Unknown) | None => Err(AccessError::NoCredentials),
        }
    }
}

/// The bearer token of RFC 6750, if there is any authorization.
fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, AccessError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value
        .as_bytes()
        .split_at_checked(b"bearer ".len())
        .ok_or(AccessError::NotBearer)?;
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        Err(AccessError::NotBearer)
    } else if token.len() < SHORTEST_TOKEN {
        Err(AccessError::ShortToken)
    } else {
        Ok(Some(token))
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
        let token = "abcdefghijklmnop";
        for value in [
            format!("Bearer {token}"),
            format!("bearer {token}"),
            format!("BEARER  {token} "),
        ] {
            assert_eq!(read(&value), Ok(Some(token.into())), "{value}");
        }
        for value in ["Bearer ", "Bearer    ", "Bearer abcdefghijklmno"] {
            assert_eq!(read(value), Err(AccessError::ShortToken), "{value}");
        }
        for value in ["", "Basic abc", "abc", "Bearer", "Bearerabc"] {
            assert_eq!(read(value), Err(AccessError::NotBearer), "{value}");
        }
        assert_eq!(bearer(&HeaderMap::new()), Ok(None));
    }
}
