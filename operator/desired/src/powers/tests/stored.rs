//! The annotation: one text for one list, read back strictly; and words that stay short.

use super::*;

fn some() -> Powers {
    let spec = json!({
        "toolRefs": [{"name": "email-tool"}], "modelRefs": [{"name": "claude"}], "schedule": "0 9 * * *",
        "limits": {"timeout": "10m"}, "image": "own:1",
        "egress": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.8/32"], "ports": [{"port": 443}]}],
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "password"}}}],
    });
    powers(
        &spec,
        &calling(
            "email-tool",
            "send",
            &json!({"to": "ops@example.com", "body": {"$result": "Judge"}}),
        ),
    )
}

#[test]
fn the_text_is_canonical_json_and_is_read_back() {
    let powers = some();
    let text = powers.canonical_json();
    insta::assert_snapshot!(text, @r#"{"calls":{"email-tool":{"send":{"/body":"computed","/to":{"addresses":["ops@example.com"]}}}},"env":["PASSWORD"],"image":"own:1","limits":{"timeoutSeconds":600},"models":["claude"],"network":{"addresses":{"443/TCP":["203.0.113.0/29","203.0.113.9-203.0.113.255"]},"pods":{"8000/TCP":[{"labels":{"langop.io/model":"claude"}}],"8080/TCP":[{"labels":{"langop.io/tool":"email-tool"}}]}},"pace":{"every":{"seconds":86400}},"secrets":["mail/password"]}"#);
    assert_eq!(Powers::parse(Some(&text)), Ok(powers.clone()));
    let [(_, stored), (_, hash)] = as_annotations(&powers);
    assert_eq!(
        (stored, hash.as_str()),
        (text.clone(), &*sha256_hex(text.as_bytes()))
    );
    assert_eq!(powers.hash(), hash);
}

#[test]
fn another_text_is_refused_in_words() {
    let text = some().canonical_json();
    for (broken, why) in [
        (None, "no list of powers is stored"),
        (Some("{".to_owned()), "not as the operator wrote it"),
        (
            Some(text.replace("\"pace\"", "\"peace\"")),
            "unknown field `peace`",
        ),
        (Some(text.replacen(':', ": ", 1)), "canonical form"),
        (
            Some(text.replace("203.0.113.0/29\"", "203.0.113.0/30\",\"203.0.113.4/30\"")),
            "canonical form",
        ),
        (
            Some(text.replace("443/TCP", "443/XXX")),
            "invalid port '443/XXX'",
        ),
        (
            Some("{\"tooLarge\":\"x\"}".to_owned()),
            "longer than 65536 bytes",
        ),
    ] {
        if let Some(broken) = &broken {
            assert_ne!(*broken, text, "the test changes nothing");
        }
        let error = Powers::parse(broken.as_deref()).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn both_calls_and_free_tools_are_no_list_of_ours() {
    let mut both = some();
    both.free_tools = Some(["email-tool".to_owned()].into());
    assert!(Powers::parse(Some(&both.canonical_json())).is_err());
}

#[test]
fn a_list_that_is_too_long_is_not_stored_and_nothing_is_taken_for_known() {
    let steps = |last: &str| {
        let step = |number: usize| {
            let to = if number == 999 {
                last.to_owned()
            } else {
                format!("{number}@{}.example", "x".repeat(60))
            };
            json!({"name": format!("s{number}"), "action": {"useTool": {"tool": "t", "action": "a", "params": {"to": to}}}})
        };
        json!({"steps": (0..1000).map(step).collect::<Vec<_>>()})
    };
    let of = |last: &str| powers(&json!({}), &steps(last));
    let text = of("a@example.com").canonical_json();
    assert!(text.len() < 200, "{}", text.len());
    let error = Powers::parse(Some(&text)).unwrap_err();
    assert_eq!(error, PowersError::TooLarge);
    assert_eq!(
        Widening::of_unknown(&error).to_string(),
        "new: everything, because the list of powers is longer than 65536 bytes, so it is not stored: ask for a smaller agent"
    );
    assert_ne!(of("a@example.com").hash(), of("b@example.com").hash());
    assert_eq!(of("a@example.com").hash(), of("a@example.com").hash());
}

#[test]
fn words_are_short_and_clean() {
    let steps: Vec<_> = (0..100)
        .map(|number| {
            let to = format!("{number}\u{202e}@{}.example", "x".repeat(500));
            json!({"name": format!("s{number}"), "action": {"useTool": {"tool": "t", "action": format!("a{number}"), "params": {"to": to}}}})
        })
        .collect();
    let loud = json!({"steps": steps});
    let wider = powers(&json!({}), &loud).wider_than(&powers(
        &json!({}),
        &json!({"steps": [
        {"name": "A", "action": {"ask": {"prompt": "?", "model": "m"}}}]}),
    ));
    assert_eq!(wider.len(), 100);
    let all = in_words(&wider);
    assert!(
        all.len() <= 1000 && all.ends_with(" more") && !all.contains('\u{202e}'),
        "{all}"
    );
    assert_eq!(in_words(&[]), "");
    assert_eq!(in_words(&wider[..1]), wider[0].to_string());
    let told = code(&loud).told();
    assert_eq!((told.len(), told[11].as_str()), (12, "and 89 more"));
    assert!(
        told.iter().all(|line| line.chars().count() <= 200),
        "{told:?}"
    );
}

#[test]
fn a_few_lines_say_what_code_calls_and_asks() {
    let send = calling(
        "email-tool",
        "send",
        &json!({"to": "ops@example.com", "body": {"$result": "Judge"}}),
    );
    assert_eq!(
        code(&send).told(),
        [
            "calls email-tool.send to ops@example.com with computed body",
            "asks claude"
        ]
    );
    assert_eq!(
        code(&json!({"objectives": ["x"]})).told(),
        [
            "calls any operation of the agent's tools, as its model decides",
            "asks any of the agent's models"
        ]
    );
}

#[test]
fn an_agent_that_cannot_run_has_no_powers_to_approve() {
    let agent = validated(&json!({"schedule": "0 0 30 2 *"}));
    assert!(Powers::of(&agent, None, &settings()).is_err());
}
