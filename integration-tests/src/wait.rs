//! Waiting for conditions with a deadline. Nothing here sleeps for a fixed time and hopes.

use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

const INTERVAL: Duration = Duration::from_millis(50);

/// What a probe of [`until`] may return: a value when the condition holds, else the state seen.
pub trait Probe<T> {
    /// `Err` is what the time-out error shows as the last state.
    fn into_outcome(self) -> Result<T, String>;
}

impl<T> Probe<T> for Option<T> {
    fn into_outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T, E: Display> Probe<T> for Result<T, E> {
    fn into_outcome(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Probes every 50 ms until it yields a value.
///
/// # Errors
/// After `within`, naming `what` and the last state seen.
pub async fn until<T, P: Probe<T>>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> P,
) -> Result<T> {
    let start = Instant::now();
    let mut last = "nothing".to_owned();
    loop {
        let left = within.saturating_sub(start.elapsed());
        match tokio::time::timeout(left.max(INTERVAL), probe())
            .await
            .map(Probe::into_outcome)
        {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) => last = state,
            Err(_) => last = format!("{last} (and the last probe hung)"),
        }
        if start.elapsed() >= within {
            bail!("waited {within:?} for {what}; last seen: {last}");
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Watches one object until it satisfies the predicate, and returns it.
///
/// # Errors
/// After `within`, with the object as it is then (YAML without managedFields).
pub async fn object<K>(
    api: Api<K>,
    name: &str,
    within: Duration,
    predicate: impl Fn(&K) -> bool,
) -> Result<K>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    let condition = |found: Option<&K>| found.is_some_and(&predicate);
    condition_of(api, name, within, condition)
        .await?
        .with_context(|| format!("{name} vanished while it was awaited"))
}

/// Watches until no object of that name exists.
///
/// # Errors
/// After `within`, with the object as it is then.
pub async fn gone<K>(api: Api<K>, name: &str, within: Duration) -> Result<()>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    condition_of(api, name, within, |found: Option<&K>| found.is_none()).await?;
    Ok(())
}

async fn condition_of<K>(
    api: Api<K>,
    name: &str,
    within: Duration,
    condition: impl Condition<K>,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + Send + Serialize + DeserializeOwned + 'static,
{
    let awaited = tokio::time::timeout(
        within,
        Box::pin(await_condition(api.clone(), name, condition)),
    )
    .await;
    match awaited {
        Ok(found) => {
            found.with_context(|| format!("cannot watch {name} at {}", api.resource_url()))
        }
        Err(_) => Err(anyhow!(
            "waited {within:?} for {} {name}; it is now:\n{}",
            api.resource_url(),
            current(&api, name).await
        )),
    }
}

async fn current<K>(api: &Api<K>, name: &str) -> String
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    match api.get_opt(name).await {
        Ok(Some(mut found)) => {
            found.meta_mut().managed_fields = None;
            serde_saphyr::to_string(&found).unwrap_or_else(|_| format!("{found:?}"))
        }
        Ok(None) => "absent".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn until_returns_the_first_value_and_else_names_the_last_state() {
        let mut n = 0;
        let third = until("the third", Duration::from_secs(5), async || {
            n += 1;
            (n == 3).then_some(n)
        });
        assert_eq!(third.await.unwrap(), 3);

        let never = until::<(), _>("rain", Duration::from_millis(80), async || {
            Err::<(), _>("sun")
        })
        .await;
        let message = never.unwrap_err().to_string();
        assert!(
            message.contains("rain") && message.contains("sun"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn until_does_not_wait_for_a_probe_that_hangs() {
        let hung = until("an answer", Duration::from_millis(100), async || {
            std::future::pending::<()>().await;
            Some(())
        });
        assert!(hung.await.unwrap_err().to_string().contains("hung"));
    }
}
