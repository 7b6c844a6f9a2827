//! Accounts of tokens.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::account::{Prices, accounts, table};

fn object(kind: &str, name: &str, spec: &Value, status: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "langop.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "demo"}, "spec": spec, "status": status,
    }))
    .unwrap()
}

fn zoo() -> (Vec<DynamicObject>, Vec<DynamicObject>) {
    let usage = |input: i64| {
        let total = json!({"input": input, "output": 1000, "cachedInput": 1000});
        json!({"total": total, "today": {"date": "2026-11-29", "input": 0, "output": 0, "cachedInput": 0}})
    };
    let info =
        json!({"synthesisModel": "sonnet", "tokens": {"input": 2_000_000, "output": 100_000}});
    let one = json!({"modelRefs": [{"name": "claude"}]});
    let two = json!({"modelRefs": [{"name": "claude"}, {"name": "gpt"}]});
    let agents = vec![
        object(
            "LanguageAgent",
            "known",
            &one,
            &json!({"synthesisInfo": info, "usage": usage(1_001_000)}),
        ),
        object("LanguageAgent", "new", &one, &json!({})),
        object(
            "LanguageAgent",
            "two-models",
            &two,
            &json!({"usage": usage(5000)}),
        ),
    ];
    let models = vec![
        object(
            "LanguageModel",
            "claude",
            &json!({"provider": "ollama", "model": "sonnet"}),
            &json!({}),
        ),
        object(
            "LanguageModel",
            "gpt",
            &json!({"provider": "ollama", "model": "gpt-5"}),
            &json!({}),
        ),
    ];
    (agents, models)
}

#[test]
fn costs_are_by_the_user_s_prices_and_unknown_where_a_price_is() {
    let (agents, models) = zoo();
    let prices: Prices =
        serde_saphyr::from_str("sonnet: {input: 3, output: 15, cachedInput: 0.3}").unwrap();
    let accounts = accounts(&agents, &models, &prices);
    // 2 × 3 + 0.1 × 15 of the synthesis; 1 × 3 + 0.001 × 0.3 + 0.001 × 15 of the runs.
    let cost = accounts[0].cost.unwrap();
    assert!((cost - 10.5153).abs() < 1e-9, "{cost}");
    assert_eq!(accounts[1].cost, None);
    assert_eq!(
        accounts[2].cost, None,
        "which of its models was asked is not known"
    );
    let plain = |text: String| anstream::adapter::strip_str(&text).to_string();
    insta::assert_snapshot!("priced", plain(table(&accounts, true)));
    insta::assert_snapshot!("tokens", plain(table(&accounts, false)));
}
