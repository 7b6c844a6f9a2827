//! Reads what agents have spent.

use std::{fs, path::PathBuf};

use clap::Args;

use super::account::{Prices, accounts, table};
use crate::{
    answer::Answer,
    failure::Failure,
    kind::Kind,
    ui::format::{Output, agent_names, structured},
    world::World,
};

/// What `cost` takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CostArgs {
    /// Agents of all namespaces
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Your prices, per million tokens, in YAML: `{claude-sonnet-4-5: {input: 3, output: 15,
    /// cachedInput: 0.3}}`
    #[arg(long, value_name = "FILE")]
    pub(crate) prices: Option<PathBuf>,
    /// What the answer looks like
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Output,
}

/// Reads and shows.
pub(crate) async fn run(world: &World, args: &CostArgs) -> Result<Answer, Failure> {
    let prices = prices(args)?;
    let agents = world.list(Kind::Agent, args.all_namespaces).await?;
    let models = world.list(Kind::Model, args.all_namespaces).await?;
    let accounts = accounts(&agents, &models, &prices);
    if args.output == Output::Name {
        let names = accounts.iter().map(|account| account.agent.as_str());
        return Ok(Answer::fine(agent_names(names)));
    }
    let structured = structured(args.output, &accounts)?;
    Ok(Answer::fine(structured.unwrap_or_else(|| {
        table(&accounts, args.prices.is_some())
    })))
}

fn prices(args: &CostArgs) -> Result<Prices, Failure> {
    let Some(path) = &args.prices else {
        return Ok(Prices::new());
    };
    let wrong = |why: String| {
        Failure::told(
            format!("{} cannot be used: {why}", path.display()),
            "write for example `claude-sonnet-4-5: {input: 3, output: 15}`, per million tokens",
        )
    };
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| wrong(langop_dsl::clean(&error.to_string())))
}
