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

/// Follows the health of the one address. `came_back` is called each time it serves again after it did not; that it serves at the
/// start is no news.
pub(super) async fn follow(
    addresses: &watch::Receiver<Vec<Address>>,
    bearer: &Bearer,
    came_back: impl Fn(),
) {
    let mut health = Health::default();
    loop {
        if let Some(channel) = channel(addresses) {
            listen(channel, bearer, &mut health, &came_back).await;
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

async fn listen(channel: Channel, bearer: &Bearer, health: &mut Health, came_back: &impl Fn()) {
    // Needs no credentials, but a connection on which nobody says who they are does not last.
    let mut client = HealthClient::with_interceptor(channel, bearer.clone());
    let request = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let mut statuses = match client.watch(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            tracing::debug!(%status, "the synthesizer's health cannot be watched");
            health.is(Serving::No);
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
        if health.is(serving) == News::CameBack {
            came_back();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    CameBack,
    None,
}

/// What was last heard of the synthesizer; nothing at the start.
#[derive(Debug, Default)]
struct Health(Option<Serving>);

impl Health {
    fn is(&mut self, now: Serving) -> News {
        let before = self.0.replace(now);
        if before == Some(Serving::No) && now == Serving::Yes {
            News::CameBack
        } else {
            News::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_return_is_news() {
        let mut health = Health::default();
        assert_eq!(health.is(Serving::Yes), News::None, "the start");
        assert_eq!(health.is(Serving::Yes), News::None, "a new connection");
        assert_eq!(health.is(Serving::No), News::None);
        assert_eq!(health.is(Serving::Yes), News::CameBack);
        let mut late = Health::default();
        late.is(Serving::No);
        assert_eq!(
            late.is(Serving::Yes),
            News::CameBack,
            "it was down at the start"
        );
    }
}
