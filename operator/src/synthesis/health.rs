//! The health of a synthesizer that has one address, to learn when it is back.

use std::time::Duration;

use langop_client::{credentials::Bearer, pool::Address};
use langop_proto::SERVICE_NAME;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::run::backoff;

/// Shortest and longest pause before the health stream is opened again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// Follows the health of the one address. `on_recovery` is called each time it serves again after
/// it did not; that it serves at the start is no news.
pub(super) async fn follow(
    addresses: &watch::Receiver<Vec<Address>>,
    bearer: &Bearer,
    on_recovery: impl Fn(),
) {
    let mut health = Health::default();
    loop {
        if let Some(channel) = channel(addresses) {
            listen(channel, bearer, &mut health, &on_recovery).await;
        }
        tokio::time::sleep(backoff::between(RECONNECT.0, RECONNECT.1)).await;
    }
}

fn channel(addresses: &watch::Receiver<Vec<Address>>) -> Option<Channel> {
    let addresses = addresses.borrow();
    addresses
        .first()
        .map(|address| address.endpoint.connect_lazy())
}

async fn listen(channel: Channel, bearer: &Bearer, health: &mut Health, on_recovery: &impl Fn()) {
    // Needs no credentials, but unauthenticated connections do not last.
    let mut client = HealthClient::with_interceptor(channel, bearer.clone());
    let request = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let mut statuses = match client.watch(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            tracing::debug!(%status, "the synthesizer's health cannot be watched");
            health.set(Serving::No);
            return;
        }
    };
    // An end of the stream says nothing: servers close old connections.
    while let Ok(Some(status)) = statuses.message().await {
        let serving = if status.status() == ServingStatus::Serving {
            Serving::Yes
        } else {
            Serving::No
        };
        if health.set(serving) == HealthTransition::Recovered {
            on_recovery();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HealthTransition {
    Recovered,
    None,
}

/// What was last heard of the synthesizer; nothing at the start.
#[derive(Debug, Default)]
struct Health(Option<Serving>);

impl Health {
    fn set(&mut self, now: Serving) -> HealthTransition {
        let before = self.0.replace(now);
        if before == Some(Serving::No) && now == Serving::Yes {
            HealthTransition::Recovered
        } else {
            HealthTransition::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_return_is_news() {
        let mut health = Health::default();
        assert_eq!(
            health.set(Serving::Yes),
            HealthTransition::None,
            "the start"
        );
        assert_eq!(
            health.set(Serving::Yes),
            HealthTransition::None,
            "a new connection"
        );
        assert_eq!(health.set(Serving::No), HealthTransition::None);
        assert_eq!(health.set(Serving::Yes), HealthTransition::Recovered);
        let mut late = Health::default();
        late.set(Serving::No);
        assert_eq!(
            late.set(Serving::Yes),
            HealthTransition::Recovered,
            "it was down at the start"
        );
    }
}
