//! Tokens and costs of agents. A price that is not known makes a cost unknown, and a sum with such
//! a part says that it is at least so much.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use langop_api::{
    LanguageAgent, LanguageModel,
    agent::{RunTokens, Tokens},
};
use serde::{Deserialize, Serialize};

use crate::{
    facts::decode,
    ui::table::{Cell, Table},
};

/// Tokens that a price is for.
const PER: f64 = 1_000_000.0;

/// What a model's tokens cost, per million, in the user's currency.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Price {
    pub(crate) input: f64,
    pub(crate) output: f64,
    /// Of input that the provider had in its cache; as `input` when absent.
    #[serde(default)]
    pub(crate) cached_input: Option<f64>,
}

/// Prices by the provider's id of the model.
pub(crate) type Prices = BTreeMap<String, Price>;

/// One agent's account. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) namespace: String,
    pub(crate) agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) synthesis: Option<Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) synthesis_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) runs: Option<RunTokens>,
    /// The one model that its runs ask, if there is one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cost: Option<f64>,
}

/// An account of each agent that can be read, by namespace and name.
pub(crate) fn accounts(
    agents: &[DynamicObject],
    models: &[DynamicObject],
    prices: &Prices,
) -> Vec<Account> {
    let models: BTreeMap<(Option<String>, Option<String>), String> = models
        .iter()
        .filter_map(|model| decode::<LanguageModel>(model).ok())
        .map(|model| {
            let meta = model.metadata;
            ((meta.namespace, meta.name), model.spec.model)
        })
        .collect();
    let mut accounts: Vec<Account> = agents
        .iter()
        .filter_map(|agent| decode::<LanguageAgent>(agent).ok())
        .map(|agent| {
            let model = only_model(&agent, &models);
            account(agent, model, prices)
        })
        .collect();
    accounts.sort_by(|a, b| (&a.namespace, &a.agent).cmp(&(&b.namespace, &b.agent)));
    accounts
}

fn only_model(
    agent: &LanguageAgent,
    models: &BTreeMap<(Option<String>, Option<String>), String>,
) -> Option<String> {
    let namespace = agent.metadata.namespace.clone();
    let names = agent.spec.model_refs.iter();
    let mut ids: Vec<Option<&String>> = names
        .map(|model| models.get(&(namespace.clone(), Some(model.name.clone()))))
        .collect();
    ids.dedup();
    match ids[..] {
        [Some(id)] => Some(id.clone()),
        _ => None,
    }
}

fn account(agent: LanguageAgent, run_model: Option<String>, prices: &Prices) -> Account {
    let status = agent.status.unwrap_or_default();
    let info = status.synthesis_info.unwrap_or_default();
    let mut account = Account {
        namespace: agent.metadata.namespace.unwrap_or_default(),
        agent: agent.metadata.name.unwrap_or_default(),
        synthesis: info.tokens,
        synthesis_model: info.synthesis_model,
        runs: status.usage.map(|usage| usage.total),
        run_model,
        cost: None,
    };
    account.cost = cost(&account, prices);
    account
}

/// Nothing was spent where nothing is counted; but then nothing is known to cost anything either.
fn cost(account: &Account, prices: &Prices) -> Option<f64> {
    let price = |model: &Option<String>| prices.get(model.as_ref()?).copied();
    let synthesis = match account.synthesis {
        Some(tokens) => Some(of_synthesis(tokens, price(&account.synthesis_model)?)),
        None => None,
    };
    let runs = match account.runs {
        Some(tokens) => Some(of_runs(tokens, price(&account.run_model)?)),
        None => None,
    };
    match (synthesis, runs) {
        (None, None) => None,
        (synthesis, runs) => Some(synthesis.unwrap_or(0.0) + runs.unwrap_or(0.0)),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "costs are for people, and have fewer digits than a float"
)]
fn of(tokens: i64, price: f64) -> f64 {
    tokens as f64 * price / PER
}

fn of_synthesis(tokens: Tokens, price: Price) -> f64 {
    of(tokens.input, price.input) + of(tokens.output, price.output)
}

fn of_runs(tokens: RunTokens, price: Price) -> f64 {
    let fresh = tokens.input.saturating_sub(tokens.cached_input);
    let cached = price.cached_input.unwrap_or(price.input);
    of(fresh, price.input) + of(tokens.cached_input, cached) + of(tokens.output, price.output)
}

/// A row for each agent, and one for each namespace.
pub(crate) fn table(accounts: &[Account], has_prices: bool) -> String {
    let mut head = vec![
        "NAMESPACE",
        "AGENT",
        "SYNTHESIS IN",
        "OUT",
        "RUNS IN",
        "CACHED",
        "OUT",
    ];
    if has_prices {
        head.push("COST");
    }
    let mut table = Table::new(&head);
    for account in accounts {
        table.push(row(account, has_prices));
    }
    let namespaces: BTreeMap<&str, Vec<&Account>> =
        accounts.iter().fold(BTreeMap::new(), |mut all, account| {
            all.entry(account.namespace.as_str())
                .or_default()
                .push(account);
            all
        });
    for (namespace, accounts) in namespaces {
        table.push(total(namespace, &accounts, has_prices));
    }
    table.render()
}

fn row(account: &Account, has_prices: bool) -> Vec<Cell> {
    let mut row = vec![Cell::new(&account.namespace), Cell::new(&account.agent)];
    row.extend(numbers(account.synthesis, account.runs));
    if has_prices {
        row.push(Cell::number(account.cost.map(|cost| format!("{cost:.2}"))));
    }
    row
}

fn numbers(synthesis: Option<Tokens>, runs: Option<RunTokens>) -> [Cell; 5] {
    [
        synthesis.map(|tokens| tokens.input),
        synthesis.map(|tokens| tokens.output),
        runs.map(|tokens| tokens.input),
        runs.map(|tokens| tokens.cached_input),
        runs.map(|tokens| tokens.output),
    ]
    .map(Cell::number)
}

fn total(namespace: &str, accounts: &[&Account], has_prices: bool) -> Vec<Cell> {
    let synthesis = accounts
        .iter()
        .filter_map(|account| account.synthesis)
        .reduce(|a, b| Tokens {
            input: a.input.saturating_add(b.input),
            output: a.output.saturating_add(b.output),
        });
    let runs = accounts
        .iter()
        .filter_map(|account| account.runs)
        .reduce(RunTokens::plus);
    let mut row = vec![Cell::new(namespace), Cell::new("(all)")];
    row.extend(numbers(synthesis, runs));
    if has_prices {
        row.push(Cell::number(sum(accounts)));
    }
    row
}

/// `1.20`, or `≥ 1.20` where something was spent whose price is not known.
fn sum(accounts: &[&Account]) -> Option<String> {
    let costs: Vec<f64> = accounts.iter().filter_map(|account| account.cost).collect();
    if costs.is_empty() {
        return None;
    }
    let is_spent = |account: &&&Account| account.synthesis.is_some() || account.runs.is_some();
    let spent = accounts.iter().filter(is_spent).count();
    let sign = if costs.len() < spent { "≥ " } else { "" };
    Some(format!("{sign}{:.2}", costs.iter().sum::<f64>()))
}
