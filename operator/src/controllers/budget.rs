//! Keeps synthesis within the budget of a namespace: what a call may cost is reserved in the ledger
//! of its LanguageCluster before the call begins, and settled after it. The rules of the ledger are
//! [`langop_desired::ledger`].

use std::{sync::Arc, time::Duration};

use kube::ResourceExt as _;
use langop_api::{LanguageCluster, budget::SynthesisDay};
use langop_desired::ledger::{self, Bound, Exhausted, Grant};
use tokio::{sync::MutexGuard, time::timeout};

use super::namespace::NamespaceView;
use crate::{
    context::{Context, now},
    error::{ReconcileError, chain},
    synthesis::budget::{OpenCall, Paying},
};

/// How long to wait for calls of others before a look at a budget that may have been raised.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Pauses after a ledger could not be written: mostly somebody else has written the object, and our
/// watch has yet to tell.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Tokens that a call holds of a namespace's budget.
#[derive(Debug)]
pub(crate) struct Reservation {
    namespace: String,
    paying: Arc<Paying>,
    call: OpenCall,
    /// The most that the call may cost.
    pub(crate) tokens: i64,
}

/// What a namespace has for a call.
#[derive(Debug)]
pub(crate) enum Reserved {
    /// Nobody bounds it.
    Unbounded,
    /// So much, and it is written down.
    Tokens(Reservation),
    /// Nothing today.
    Exhausted(Exhausted),
}

/// A budget as the cache knows it.
struct Budget {
    cluster: Arc<LanguageCluster>,
    bound: Bound,
}

impl Budget {
    fn ledger(&self) -> Option<&SynthesisDay> {
        self.cluster.status.as_ref()?.budget.as_ref()
    }
}

/// The most that a call asking for `asked` tokens could get of its namespace; `None`: nobody bounds
/// it.
///
/// # Errors
/// If that is nothing before another day.
pub(crate) fn prospect(
    ctx: &Context,
    namespace: &str,
    asked: i64,
) -> Result<Option<(i64, Bound)>, Exhausted> {
    let Ok(Some(budget)) = find(ctx, namespace) else {
        return Ok(None);
    };
    let tokens = ledger::prospect(budget.ledger(), &budget.bound, asked, now())?;
    Ok(Some((tokens, budget.bound)))
}

/// What is said where `question` could not be asked with `too_few` tokens, of the `asked` that one call
/// may cost. Another day helps nobody whose question does not fit into any call.
pub(super) fn too_little(bound: &Bound, too_few: i64, asked: i64, question: &str) -> Exhausted {
    let mut exhausted = ledger::exhausted(bound, &ledger::today(None, now()));
    if too_few >= asked {
        exhausted.message = format!(
            "{question} may cost more than the {asked} tokens that one synthesis may (LANGOP_SYNTHESIS_MAX_TOKENS): have that raised, or shorten it"
        );
    }
    exhausted
}

/// Whether the namespace is suspended, and so spends nothing. What waited for its turn is not begun
/// either.
pub(super) fn is_suspended(ctx: &Context, namespace: &str) -> bool {
    let cluster = NamespaceView::new(ctx, namespace).managing_cluster();
    cluster.is_some_and(|cluster| cluster.suspended)
}

/// Reserves tokens for a call, once those of others that stand in its way are settled.
pub(crate) async fn reserve(
    ctx: &Context,
    namespace: &str,
    asked: i64,
) -> Result<Reserved, ReconcileError> {
    let id = ctx.budgets.name_call();
    loop {
        let budget = find(ctx, namespace)?;
        let Some(budget) = budget.filter(|_| !is_suspended(ctx, namespace)) else {
            return Ok(Reserved::Unbounded);
        };
        let paying = ctx.budgets.of(&budget.cluster.name_any());
        let mut ended = std::pin::pin!(paying.ended.notified());
        ended.as_mut().enable();
        if let Some(reserved) = try_reserve(ctx, &paying, namespace, asked, &id).await? {
            return Ok(reserved);
        }
        // Whichever comes first: both are a reason to look again.
        let _ = timeout(LOOK_AGAIN, ended).await;
    }
}

/// Writes the reservation down; `None`: others hold what it needs.
async fn try_reserve(
    ctx: &Context,
    paying: &Arc<Paying>,
    namespace: &str,
    asked: i64,
    id: &str,
) -> Result<Option<Reserved>, ReconcileError> {
    let _turn = paying.turn.lock().await;
    let mut pauses = PAUSES.into_iter();
    loop {
        let Some(budget) = find(ctx, namespace)? else {
            return Ok(Some(Reserved::Unbounded));
        };
        let is_open = |call: &str| paying.is_open(call);
        let grant = ledger::reserve(budget.ledger(), &budget.bound, asked, id, is_open, now());
        let (ledger, granted) = match grant {
            Grant::Busy => return Ok(None),
            Grant::Exhausted { exhausted, ledger } => (ledger, Err(exhausted)),
            Grant::Tokens { tokens, ledger } => (ledger, Ok(tokens)),
        };
        match ctx.writer.write_ledger(&budget.cluster, &ledger).await {
            Ok(()) => {
                return Ok(Some(match granted {
                    Err(exhausted) => Reserved::Exhausted(exhausted),
                    Ok(tokens) => Reserved::Tokens(Reservation {
                        namespace: namespace.to_owned(),
                        paying: paying.clone(),
                        call: paying.open(id.to_owned()),
                        tokens,
                    }),
                }));
            }
            Err(error) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                // If it was stored all the same, it counts as spent: nobody will settle it.
                None => return Err(error),
            },
        }
    }
}

/// Writes down what a call has cost; `None`: nobody knows, so all that it may have. Where that
/// cannot be written, what was reserved counts as spent.
pub(crate) async fn settle(ctx: &Context, reservation: Reservation, cost: Option<i64>) {
    let _turn = reservation.paying.turn.lock().await;
    for pause in PAUSES.into_iter().map(Some).chain([None]) {
        let Err(error) = try_settle(ctx, &reservation, cost).await else {
            break;
        };
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        } else {
            tracing::warn!(
                namespace = reservation.namespace,
                error = %chain(&error),
                "what a synthesis has cost cannot be written; all that was reserved for it counts as spent"
            );
        }
    }
}

async fn try_settle(
    ctx: &Context,
    reservation: &Reservation,
    cost: Option<i64>,
) -> Result<(), ReconcileError> {
    let Some(budget) = find(ctx, &reservation.namespace)? else {
        return Ok(());
    };
    let settled = budget
        .ledger()
        .and_then(|ledger| ledger::settle(ledger, &reservation.call.id, cost));
    match settled {
        Some(ledger) => ctx.writer.write_ledger(&budget.cluster, &ledger).await,
        None => Ok(()),
    }
}

/// The LanguageCluster with its ledger as it is now, and what keeps that from changing, where it has
/// a budget: its reconcile writes the status that the ledger is in.
pub(super) async fn with_ledger<'a>(
    ctx: &Context,
    paying: &'a Paying,
    cluster: &LanguageCluster,
) -> (LanguageCluster, Option<MutexGuard<'a, ()>>) {
    let mut cluster = cluster.clone();
    if cluster.spec.budget.is_none() {
        return (cluster, None);
    }
    let turn = paying.turn.lock().await;
    let held = ctx.cache.stores.clusters.get(None, &cluster.name_any());
    let held = held.filter(|held| held.uid() == cluster.uid());
    if let Some(Ok(held)) = held.as_ref().map(|held| &held.0) {
        cluster.status.clone_from(&held.status);
    }
    (cluster, Some(turn))
}

/// The budget of a namespace, if its LanguageCluster gives one.
///
/// # Errors
/// If that cannot be read: it may give one.
fn find(ctx: &Context, namespace: &str) -> Result<Option<Budget>, ReconcileError> {
    let Some(view) = NamespaceView::new(ctx, namespace).managing_cluster() else {
        return Ok(None);
    };
    let held = ctx.cache.stores.clusters.get(None, &view.name);
    let Some(Ok(cluster)) = held.as_ref().map(|held| held.0.as_ref()) else {
        let what = format!("LanguageCluster {}, which cannot be read,", view.name);
        return Err(ReconcileError::Changed(what));
    };
    let budget = cluster.spec.budget.as_ref();
    let tokens = budget.and_then(|budget| budget.synthesis_tokens_per_day);
    Ok(tokens.map(|tokens| Budget {
        cluster: Arc::new(cluster.clone()),
        bound: Bound {
            owner: format!(
                "the LanguageCluster '{}' (spec.budget.synthesisTokensPerDay)",
                view.name
            ),
            tokens,
        },
    }))
}
