//! Where the synthesizer's replicas are: the ready endpoints of its Service, from its
//! `EndpointSlice`s, or the configured address; and the credentials for them, reloaded when their
//! files change. Must not choose among them: the pool does.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use http::Uri;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::{
    Api, Client, ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use langop_client::{
    credentials::{Credentials, CredentialsError},
    endpoint::{endpoint, replica},
    pool::Address,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::{
    error::{chain, watch_interrupted},
    settings::{ServiceName, SynthesizerSettings},
};

/// The label of a Service's `EndpointSlice`s (KEP-752).
const SERVICE: &str = "kubernetes.io/service-name";
/// The name of the port to use, where an `EndpointSlice` has several.
const PORT: &str = "grpc";
/// How often the files of the credentials are looked at.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Makes the addresses that a pool follows.
pub(crate) struct Replicas {
    settings: SynthesizerSettings,
    known: Known,
    /// Counts the credentials, each change one up.
    generation: u64,
    /// Digest of the files that were used last.
    files: [u8; 32],
    addresses: watch::Sender<Vec<Address>>,
}

/// What is known of the addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// The URL is the address: no Service is named, or its endpoints are not listed yet.
    Url,
    /// The ready endpoints.
    Ready(BTreeSet<SocketAddr>),
}

/// What a change brought.
#[derive(Debug, PartialEq, Eq)]
enum EndpointChange {
    /// A replica that was not there before, after all had been listed.
    Added,
    None,
}

impl Replicas {
    /// Checks the credentials. The address is the URL itself until [`Self::follow`] has listed a
    /// Service's endpoints.
    pub(crate) fn new(settings: SynthesizerSettings) -> Result<Self, CredentialsError> {
        let files = digest(&settings.credentials);
        let at_url = endpoint(settings.url.clone(), &settings.credentials)?;
        Ok(Self {
            settings,
            known: Known::Url,
            generation: 0,
            files,
            addresses: watch::Sender::new(vec![at_url.into()]),
        })
    }

    pub(crate) fn settings(&self) -> &SynthesizerSettings {
        &self.settings
    }

    pub(crate) fn addresses(&self) -> watch::Receiver<Vec<Address>> {
        self.addresses.subscribe()
    }

    /// Follows `EndpointSlice`s and files without end. `on_added` is called when there is a replica
    /// that was not there before, once they had been listed.
    pub(crate) async fn follow(mut self, client: Client, on_added: impl Fn()) {
        let mut found = match &self.settings.service {
            Some(service) => ready(client, service.clone(), self.settings.url.clone()).boxed(),
            None => futures::stream::pending().boxed(),
        };
        let mut reload = tokio::time::interval(RELOAD_INTERVAL);
        loop {
            tokio::select! {
                Some(now) = found.next() => {
                    if self.set_ready(now) == EndpointChange::Added {
                        on_added();
                    }
                }
                _ = reload.tick() => self.reload_if_changed(),
            }
        }
    }

    fn set_ready(&mut self, now: BTreeSet<SocketAddr>) -> EndpointChange {
        let now = Known::Ready(now);
        if now == self.known {
            return EndpointChange::None;
        }
        let before = std::mem::replace(&mut self.known, now);
        if let Err(error) = self.publish() {
            tracing::warn!(error = %chain(&error), "the synthesizer's replicas cannot be used");
        }
        match (before, &self.known) {
            (Known::Ready(before), Known::Ready(now)) if !now.is_subset(&before) => {
                EndpointChange::Added
            }
            _ => EndpointChange::None,
        }
    }

    fn reload_if_changed(&mut self) {
        let files = digest(&self.settings.credentials);
        if files == self.files {
            return;
        }
        self.files = files;
        self.generation += 1;
        match self.publish() {
            Ok(()) => tracing::info!("the credentials for the synthesizer have changed"),
            // Files are replaced one by one: the next change makes them whole.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the changed credentials for the synthesizer cannot be used; the old ones stay");
            }
        }
    }

    fn publish(&self) -> Result<(), CredentialsError> {
        let SynthesizerSettings {
            url, credentials, ..
        } = &self.settings;
        let endpoints = match &self.known {
            Known::Url => vec![endpoint(url.clone(), credentials)?],
            Known::Ready(ready) => ready
                .iter()
                .map(|address| replica(url, *address, credentials))
                .collect::<Result<_, _>>()?,
        };
        let generation = self.generation;
        let addresses = endpoints.into_iter().map(|endpoint| Address {
            endpoint,
            generation,
        });
        self.addresses.send_replace(addresses.collect());
        Ok(())
    }
}

/// Of what the files of TLS hold; one that cannot be read counts as empty. (That of the token is
/// read for each call.)
fn digest(credentials: &Credentials) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in credentials.files() {
        // Small, local and seldom.
        let content = std::fs::read(file).unwrap_or_default();
        digest.update(Sha256::digest(content));
    }
    digest.finalize().into()
}

/// The ready endpoints of a Service, whenever they may have changed.
fn ready(
    client: Client,
    service: ServiceName,
    url: Uri,
) -> impl Stream<Item = BTreeSet<SocketAddr>> + Send {
    let api: Api<EndpointSlice> = Api::namespaced(client, &service.namespace);
    let config = watcher::Config::default().labels(&format!("{SERVICE}={}", service.name));
    let events = watcher(api, config).default_backoff();
    let mut slices = Slices::default();
    events.filter_map(move |event| {
        let changed = match event {
            Ok(event) => slices.take(event),
            Err(error) => {
                watch_interrupted(&format!("EndpointSlice in {}", service.namespace), &error);
                false
            }
        };
        let found = changed.then(|| slices.ready(url.port_u16()));
        std::future::ready(found)
    })
}

/// The `EndpointSlice`s of one Service, by name.
#[derive(Default)]
struct Slices {
    listed: BTreeMap<String, EndpointSlice>,
    /// A list under way.
    listing: BTreeMap<String, EndpointSlice>,
}

impl Slices {
    /// Whether there may be something new: not before a list is whole.
    fn take(&mut self, event: Event<EndpointSlice>) -> bool {
        let is_whole = !matches!(event, Event::Init | Event::InitApply(_));
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(slice) => drop(self.listing.insert(slice.name_any(), slice)),
            Event::InitDone => self.listed = std::mem::take(&mut self.listing),
            Event::Apply(slice) => drop(self.listed.insert(slice.name_any(), slice)),
            Event::Delete(slice) => drop(self.listed.remove(&slice.name_any())),
        }
        is_whole
    }

    fn ready(&self, port: Option<u16>) -> BTreeSet<SocketAddr> {
        let slices = self.listed.values();
        slices.flat_map(|slice| of_slice(slice, port)).collect()
    }
}

fn of_slice(slice: &EndpointSlice, of_url: Option<u16>) -> Vec<SocketAddr> {
    let Some(port) = port(slice.ports.as_deref().unwrap_or_default(), of_url) else {
        return Vec::new();
    };
    let endpoints = slice.endpoints.iter().flatten();
    let ready = endpoints.filter(|endpoint| is_ready(endpoint));
    let addresses = ready.flat_map(|endpoint| &endpoint.addresses);
    // Names (of the address type FQDN) are no addresses.
    let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
    addresses.map(|ip| SocketAddr::new(ip, port)).collect()
}

/// Unknown counts as ready, as the API says.
fn is_ready(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    let is = |condition: Option<bool>, default: bool| condition.unwrap_or(default);
    conditions
        .is_none_or(|conditions| is(conditions.ready, true) && !is(conditions.terminating, false))
}

/// The port that is named for it, else the URL's own, else the only one.
fn port(ports: &[EndpointPort], of_url: Option<u16>) -> Option<u16> {
    let number = |port: &EndpointPort| port.port.and_then(|port| u16::try_from(port).ok());
    let named = ports
        .iter()
        .find(|port| port.name.as_deref() == Some(PORT))
        .and_then(number);
    let same = || {
        ports
            .iter()
            .filter_map(number)
            .find(|port| Some(*port) == of_url)
    };
    let only = || match ports {
        [only] => number(only),
        _ => None,
    };
    named.or_else(same).or_else(only)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slice(name: &str, body: &serde_json::Value) -> EndpointSlice {
        let mut slice = json!({"metadata": {"name": name}, "addressType": "IPv4"});
        let all = slice.as_object_mut().unwrap();
        all.extend(body.as_object().unwrap().clone());
        serde_json::from_value(slice).unwrap()
    }

    fn one(name: &str, address: &str) -> EndpointSlice {
        slice(
            name,
            &json!({"ports": [{"port": 50051}], "endpoints": [{"addresses": [address]}]}),
        )
    }

    fn addresses(all: &[&str]) -> BTreeSet<SocketAddr> {
        all.iter().map(|one| one.parse().unwrap()).collect()
    }

    #[test]
    fn only_what_is_ready_counts() {
        let endpoint = |address: &str, conditions: serde_json::Value| json!({"addresses": [address], "conditions": conditions});
        let slice = slice(
            "s",
            &json!({"ports": [{"name": "admin", "port": 8080}, {"name": "grpc", "port": 7}], "endpoints": [
                endpoint("10.0.0.1", json!({"ready": true})),
                endpoint("10.0.0.2", json!({"ready": false})),
                endpoint("10.0.0.3", json!({})),
                endpoint("10.0.0.4", json!({"ready": true, "terminating": true})),
            ]}),
        );
        let found: BTreeSet<_> = of_slice(&slice, Some(50051)).into_iter().collect();
        assert_eq!(found, addresses(&["10.0.0.1:7", "10.0.0.3:7"]));
    }

    #[test]
    fn the_port_is_the_named_one_the_urls_or_the_only_one() {
        let ports =
            |all: serde_json::Value| -> Vec<EndpointPort> { serde_json::from_value(all).unwrap() };
        for (all, expected) in [
            (json!([{"port": 9}]), Some(9)),
            (
                json!([{"name": "a", "port": 9}, {"name": "b", "port": 50051}]),
                Some(50051),
            ),
            (
                json!([{"name": "a", "port": 9}, {"name": "grpc", "port": 8}]),
                Some(8),
            ),
            (
                json!([{"name": "a", "port": 9}, {"name": "b", "port": 8}]),
                None,
            ),
            (json!([]), None),
        ] {
            assert_eq!(port(&ports(all.clone()), Some(50051)), expected, "{all}");
        }
    }

    #[test]
    fn a_list_that_comes_again_is_seen_whole_or_not_at_all() {
        let mut slices = Slices::default();
        assert!(!slices.take(Event::Init));
        assert!(!slices.take(Event::InitApply(one("a", "10.0.0.1"))));
        assert!(slices.take(Event::InitDone));
        assert_eq!(slices.ready(None), addresses(&["10.0.0.1:50051"]));
        assert!(!slices.take(Event::Init));
        assert!(!slices.take(Event::InitApply(one("b", "10.0.0.2"))));
        assert_eq!(slices.ready(None), addresses(&["10.0.0.1:50051"]));
        assert!(slices.take(Event::InitDone));
        assert_eq!(slices.ready(None), addresses(&["10.0.0.2:50051"]));
        assert!(slices.take(Event::Delete(one("b", "10.0.0.2"))));
        assert!(slices.ready(None).is_empty());
    }

    #[test]
    fn a_replica_that_appears_is_news_and_the_first_list_is_none() {
        let settings = SynthesizerSettings {
            url: Uri::from_static("http://synthesizer.langop-system.svc:50051"),
            service: Some(ServiceName {
                namespace: "langop-system".into(),
                name: "synthesizer".into(),
            }),
            credentials: Credentials::default(),
        };
        let mut replicas = Replicas::new(settings).unwrap();
        let seen = replicas.addresses();
        let one = || addresses(&["10.0.0.1:1"]);
        let both = || addresses(&["10.0.0.1:1", "10.0.0.2:1"]);
        assert_eq!(replicas.set_ready(one()), EndpointChange::None);
        assert_eq!(replicas.set_ready(both()), EndpointChange::Added);
        assert_eq!(seen.borrow().len(), 2);
        assert_eq!(replicas.set_ready(one()), EndpointChange::None);
        assert_eq!(replicas.set_ready(BTreeSet::new()), EndpointChange::None);
        assert_eq!(replicas.set_ready(one()), EndpointChange::Added);
        let url = seen.borrow()[0].endpoint.uri().to_string();
        assert_eq!(url, "http://10.0.0.1:1/");
    }
}
