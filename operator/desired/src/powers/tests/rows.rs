//! The table, row by row: what makes an agent's powers wider, in which words, and what does not.

use super::*;

/// What is new of the second definition, under one spec.
fn by_code(before: &Value, now: &Value) -> Vec<String> {
    let spec = json!({"toolRefs": [{"name": "email-tool"}], "modelRefs": [{"name": "claude"}]});
    words(&powers(&spec, now).wider_than(&powers(&spec, before)))
}

/// What is new of the second spec, with one code.
fn by_spec(before: &Value, now: &Value) -> Vec<String> {
    let code = calling("email-tool", "send", &json!({}));
    words(&powers(now, &code).wider_than(&powers(before, &code)))
}

fn send(params: &Value) -> Value {
    calling("email-tool", "send", params)
}

const NOTHING: [&str; 0] = [];

#[test]
fn calls() {
    let judge = json!({"steps": [{"name": "Judge", "action": {"ask": {"prompt": "What?", "model": "claude"}}}]});
    let computed = json!({"$result": "Judge"});
    for (before, now, expected) in [
        // a new tool and operation
        (
            judge.clone(),
            send(&json!({"to": "ops@example.com"})),
            &["new: email-tool.send to ops@example.com"][..],
        ),
        (
            send(&json!({})),
            calling("email-tool", "read", &json!({})),
            &["new: email-tool.read"],
        ),
        (
            send(&json!({})),
            calling("other", "send", &json!({})),
            &["new: other.send"],
        ),
        (
            judge.clone(),
            send(&json!({"to": "ops@example.com", "body": computed, "subject": "News"})),
            &["new: email-tool.send to ops@example.com with computed body"],
        ),
        // a new address at a place
        (
            send(&json!({"to": "ops@example.com"})),
            send(&json!({"to": "boss@example.com"})),
            &["new: email-tool.send to boss@example.com"],
        ),
        (
            send(&json!({"to": "ops@example.com"})),
            send(&json!({"to": "ops@example.com", "cc": "boss@example.com"})),
            &["new: email-tool.send cc boss@example.com"],
        ),
        (
            send(&json!({"to": ["a@example.com"]})),
            send(&json!({"to": ["a@example.com", {"also": "b@example.com"}]})),
            &["new: email-tool.send to/1/also b@example.com"],
        ),
        // an address that becomes computed
        (
            send(&json!({"to": "ops@example.com"})),
            send(&json!({"to": computed})),
            &["email-tool.send to a computed value instead of ops@example.com"],
        ),
        // what was no address may be one now
        (
            send(&json!({"body": "Hello"})),
            send(&json!({"body": computed})),
            &["new: email-tool.send with computed body"],
        ),
        // narrower, or the same
        (
            send(&json!({"to": computed})),
            send(&json!({"to": "ops@example.com"})),
            &[],
        ),
        (
            send(&json!({"to": computed})),
            send(&json!({"to": ["ops@example.com"]})),
            &[],
        ),
        (
            send(&json!({"to": "ops@example.com"})),
            send(&json!({})),
            &[],
        ),
        (send(&json!({"to": "ops@example.com"})), judge, &[]),
        (
            send(&json!({"subject": "Hello"})),
            send(&json!({"subject": "Good morning", "n": 3})),
            &[],
        ),
    ] {
        assert_eq!(by_code(&before, &now), expected, "{before} {now}");
    }
}

#[test]
fn the_only_operation_of_a_tool_is_one_of_its_own() {
    let unnamed = json!({"steps": [{"name": "A", "action": {"useTool": {"tool": "email-tool"}}},
        {"name": "B", "action": {"ask": {"prompt": "?"}}}]});
    assert_eq!(
        by_code(&send(&json!({})), &unnamed),
        ["new: the only operation of email-tool"]
    );
    assert_eq!(
        by_code(&unnamed, &send(&json!({}))),
        ["new: email-tool.send"]
    );
}

#[test]
fn an_address_is_a_mail_a_url_a_host_a_path_a_channel_or_a_name() {
    let found = |text: &str| {
        super::super::address::addresses(text)
            .into_iter()
            .collect::<Vec<_>>()
    };
    for address in [
        "ops@example.com",
        "https://example.com/x?y=1",
        "example.com",
        "db.internal:5432",
        "127.0.0.1",
        "[2001:db8::1]:443",
        "localhost",
        "localhost:8080",
        "/workspace",
        "/",
        "#alerts",
        "@bob",
        "mailto:ops@example.com",
        "example.com/path",
    ] {
        assert_eq!(found(address), [address]);
    }
    for other in [
        "", "News", "3.14", "1.2.3", "42", "a: b", "yes/no", "e.g.", "C#", "x @ y", "v1.2",
    ] {
        assert_eq!(found(other), NOTHING, "{other}");
    }
    for (text, addresses) in [
        (
            "Ops <ops@example.com>, b@example.com",
            &["b@example.com", "ops@example.com"][..],
        ),
        (
            "curl https://evil.example/x -o /tmp/y",
            &["/tmp/y", "https://evil.example/x"],
        ),
        ("Ask #ops or @bob.", &["#ops", "@bob"]),
        // Most words with a dot in a sentence are none.
        ("See report.txt", &[]),
    ] {
        assert_eq!(found(text), addresses, "{text}");
    }
    let long = format!("https://example.com/{}", "x".repeat(5000));
    let other = format!("{long}y");
    assert!(found(&long)[0].len() < 256 && found(&long) != found(&other));
}

#[test]
fn free_tools() {
    let claude = json!([{"name": "claude"}]);
    let two = json!({"toolRefs": [{"name": "email-tool"}, {"name": "files"}], "modelRefs": claude});
    let one = json!({"toolRefs": [{"name": "email-tool"}], "modelRefs": claude});
    let free = json!({"objectives": ["Report"]});
    let wider = |now: Powers, before: Powers| words(&now.wider_than(&before));
    assert_eq!(
        wider(powers(&two, &free), powers(&one, &free)),
        [
            "new: every operation of files",
            "new: tool files on port 8080/TCP"
        ]
    );
    assert_eq!(wider(powers(&one, &free), powers(&two, &free)), NOTHING);
    // A workflow that goes away; one that comes.
    let workflow = calling("email-tool", "send", &json!({"to": "ops@example.com"}));
    assert_eq!(
        wider(powers(&one, &free), powers(&one, &workflow)),
        [
            "calls of its model's choice instead of a workflow",
            "new: every operation of email-tool"
        ]
    );
    assert_eq!(wider(powers(&one, &workflow), powers(&one, &free)), NOTHING);
    assert_eq!(
        wider(
            powers(&one, &calling("other", "send", &json!({}))),
            powers(&one, &free)
        ),
        ["new: other.send"]
    );
    // Without code its own image may call whatever there is.
    let own = Powers::of(&validated(&one), None, &settings()).unwrap();
    assert_eq!(
        wider(own, powers(&one, &workflow))[1..],
        ["new: every operation of email-tool"]
    );
}

#[test]
fn models() {
    let asking = |model: &Value, only_if: &Value| json!({"steps": [{"name": "A", "onlyIf": only_if, "action": {"ask": {"prompt": "?", "model": model}}}]});
    let null = Value::Null;
    let spec = json!({"modelRefs": [{"name": "claude"}, {"name": "gpt"}]});
    let wider =
        |now: &Value, before: &Value| words(&powers(&spec, now).wider_than(&powers(&spec, before)));
    let claude = asking(&json!("claude"), &null);
    assert_eq!(
        wider(&asking(&json!("gpt"), &null), &claude),
        ["new: model gpt"]
    );
    // Without a name any of them may answer, and any judges a condition.
    assert_eq!(wider(&asking(&null, &null), &claude), ["new: model gpt"]);
    assert_eq!(
        wider(&asking(&json!("claude"), &json!("it is late")), &claude),
        ["new: model gpt"]
    );
    assert_eq!(wider(&claude, &asking(&null, &null)), NOTHING);
    assert_eq!(
        by_spec(&json!({"modelRefs": [{"name": "claude"}]}), &spec),
        ["new: model gpt on port 8000/TCP"]
    );
}

#[test]
fn pace() {
    let every = |seconds: u64| json!({"steps": [], "schedule": {"every": {"seconds": seconds}}});
    let cron = |expression: &str| json!({"schedule": {"cron": {"expression": expression, "timeZone": "Europe/Berlin"}}});
    for (before, now, expected) in [
        (
            cron("0 9 * * *"),
            cron("*/5 * * * *"),
            &["every 5 min instead of daily"][..],
        ),
        (
            cron("0 9 * * *"),
            cron("0 9,12 * * *"),
            &["every 3 hours instead of daily"],
        ),
        (
            cron("0 9 1 * *"),
            cron("0 9 * * 1"),
            &["weekly instead of every 28 days"],
        ),
        (
            every(5400),
            every(600),
            &["every 10 min instead of every 1h30m"],
        ),
        (
            cron("0 9 * * *"),
            json!({}),
            &["all the time instead of daily"],
        ),
        (
            every(7200),
            cron("0 * * * *"),
            &["hourly instead of every 2 hours"],
        ),
        (
            every(120),
            every(60),
            &["every minute instead of every 2 min"],
        ),
        (cron("*/5 * * * *"), cron("0 9 * * *"), &[]),
        (json!({}), every(60), &[]),
        // at another time, as often
        (cron("0 9 * * *"), cron("30 2 * * *"), &[]),
    ] {
        assert_eq!(by_code(&before, &now), expected, "{before} {now}");
    }
    // The spec's word wins.
    assert_eq!(
        by_spec(
            &json!({"schedule": "0 9 * * *"}),
            &json!({"schedule": "*/5 * * * *"})
        ),
        ["every 5 min instead of daily"]
    );
    assert_eq!(
        by_spec(
            &json!({"schedule": "0 9 * * *"}),
            &json!({"executionMode": "autonomous"})
        ),
        ["all the time instead of daily"]
    );
}

#[test]
fn limits() {
    let code = |constraints: Value| json!({"constraints": constraints});
    for (before, now, expected) in [
        (
            json!({"maxIterations": 10}),
            json!({"maxIterations": 20}),
            &["at most 20 iterations instead of at most 10 iterations"][..],
        ),
        (
            json!({"maxIterations": 10}),
            json!({}),
            &["any number of iterations instead of at most 10 iterations"],
        ),
        (
            json!({"timeoutSeconds": 600}),
            json!({"timeoutSeconds": 5400}),
            &["runs of at most 1h30m instead of runs of at most 10m"],
        ),
        (
            json!({"timeoutSeconds": 600}),
            json!({}),
            &["runs of any length instead of runs of at most 10m"],
        ),
        (
            json!({"maxIterations": 20, "timeoutSeconds": 60}),
            json!({"maxIterations": 19, "timeoutSeconds": 60}),
            &[],
        ),
        (
            json!({}),
            json!({"maxIterations": 20, "timeoutSeconds": 60}),
            &[],
        ),
    ] {
        assert_eq!(
            by_code(&code(before.clone()), &code(now.clone())),
            expected,
            "{before} {now}"
        );
    }
    assert_eq!(
        by_spec(
            &json!({"limits": {"timeout": "10m", "maxIterations": 3}}),
            &json!({"limits": {"timeout": "20m", "maxIterations": 3}})
        ),
        ["runs of at most 20m instead of runs of at most 10m"]
    );
    // The spec's word wins over the code's.
    let spec = json!({"limits": {"maxIterations": 5, "timeout": "5m"}});
    for field in ["maxIterations", "timeoutSeconds"] {
        let of = |most: u32| powers(&spec, &code(json!({field: most})));
        assert_eq!(words(&of(9).wider_than(&of(1))), NOTHING, "{field}");
    }
}

#[test]
fn network() {
    let egress =
        |cidr: &str, port: u32| json!({"egress": [{"cidr": cidr, "ports": [{"port": port}]}]});
    let pods = |labels: Value| json!({"egress": [{"podLabels": labels, "ports": [{"port": 5432, "protocol": "UDP"}]}]});
    let tools = |names: &[&str]| {
        let refs: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"toolRefs": refs})
    };
    for (before, now, expected) in [
        (
            json!({}),
            egress("203.0.113.0/24", 443),
            &["new: 203.0.113.0/24 on port 443/TCP"][..],
        ),
        (
            egress("203.0.113.0/25", 443),
            egress("203.0.113.0/24", 443),
            &["new: 203.0.113.128/25 on port 443/TCP"],
        ),
        (
            egress("203.0.113.0/24", 443),
            egress("203.0.113.0/24", 25),
            &["new: 203.0.113.0/24 on port 25/TCP"],
        ),
        (
            egress("203.0.113.0/24", 443),
            egress("203.0.113.0/25", 443),
            &[],
        ),
        (
            json!({"egress": [{"cidr": "203.0.113.0/24", "except": ["203.0.113.0/30"], "ports": [{"port": 443}]}]}),
            egress("203.0.113.0/24", 443),
            &["new: 203.0.113.0/30 on port 443/TCP"],
        ),
        (
            json!({"egress": [
                {"cidr": "203.0.113.0/25", "ports": [{"port": 443}]}, {"cidr": "203.0.113.128/25", "ports": [{"port": 443}]},
            ]}),
            egress("203.0.113.0/24", 443),
            &[],
        ),
        (
            json!({}),
            egress("2001:db8::/32", 443),
            &["new: 2001:db8::/32 on port 443/TCP"],
        ),
        (
            pods(json!({"app": "db", "tier": "1"})),
            pods(json!({"app": "db"})),
            &["new: pods with app=db on port 5432/UDP"],
        ),
        (
            pods(json!({"app": "db"})),
            pods(json!({"app": "db", "tier": "1"})),
            &[],
        ),
        (
            json!({}),
            json!({"egress": [{"namespaceLabels": {"team": "b"}, "ports": [{"port": 1}]}]}),
            &["new: all pods in namespaces with team=b on port 1/TCP"],
        ),
        (
            json!({}),
            tools(&["files"]),
            &["new: tool files on port 8080/TCP"],
        ),
        (tools(&["files"]), json!({}), &[]),
        // a sidecar's egress is its agent's
        (
            json!({}),
            tools(&["side-mail"]),
            &[
                "new: 198.51.100.0/24 on port 25/TCP",
                "new: sidecar side-mail of image i",
            ],
        ),
    ] {
        assert_eq!(by_spec(&before, &now), expected, "{before} {now}");
    }
}

#[test]
fn who_answers_dns_and_takes_traces_is_no_power_of_an_agent() {
    let agent = validated(&json!({}));
    let of = |settings: &Settings| {
        let rules = super::super::network(&agent, settings).unwrap();
        serde_json::to_value(rules).unwrap()
    };
    assert_eq!(of(&settings()), json!({"addresses": {}, "pods": {}}));
}

#[test]
fn image_variables_and_secrets() {
    let secret = |name: &str, key: &str| json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]});
    let value = |name: &str, text: &str| json!({"env": [{"name": name, "value": text}]});
    for (before, now, expected) in [
        (
            json!({"image": "a:1"}),
            json!({"image": "a:2"}),
            &["image a:2 instead of image a:1"][..],
        ),
        (
            json!({}),
            json!({"image": "a:2"}),
            &["image a:2 instead of the operator's image"],
        ),
        (
            json!({"image": "a:2"}),
            json!({}),
            &["the operator's image instead of image a:2"],
        ),
        (value("A", "1"), value("A", "2"), &[]),
        (value("A", "1"), value("B", "1"), &["new: variable B"]),
        (value("A", "1"), json!({}), &[]),
        (
            value("A", "1"),
            secret("mail", "password"),
            &["new: Secret mail/password"],
        ),
        (
            secret("mail", "user"),
            secret("mail", "password"),
            &["new: Secret mail/password"],
        ),
        (secret("mail", "user"), value("A", "1"), &[]),
        (
            json!({}),
            json!({"imagePullSecrets": [{"name": "registry"}]}),
            &["new: Secret registry"],
        ),
    ] {
        assert_eq!(by_spec(&before, &now), expected, "{before} {now}");
    }
}

#[test]
fn what_is_less_is_said_the_other_way_round() {
    let spec = json!({});
    let of = |definition: &Value| powers(&spec, definition);
    let daily = json!({"schedule": {"every": {"seconds": 86_400}}, "steps": [
        {"name": "A", "action": {"useTool": {"tool": "t", "action": "a"}}}]});
    let often = json!({"schedule": {"every": {"seconds": 300}}, "steps": [
        {"name": "A", "action": {"useTool": {"tool": "t", "action": "b"}}}]});
    let undone: Vec<_> = of(&often)
        .wider_than(&of(&daily))
        .iter()
        .map(Widening::undone)
        .collect();
    assert_eq!(undone, ["no longer: t.b", "daily instead of every 5 min"]);
}

#[test]
fn a_sidecar_is_an_image_a_command_variables_and_secrets() {
    let password = json!({"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "mail", "key": "password"}}});
    let of = |also: &Value| {
        let agent = validated_beside(&json!({"toolRefs": [{"name": "side"}]}), also);
        let code = code(&calling("side", "list", &json!({})));
        Powers::of(&agent, Some(&code), &settings()).unwrap()
    };
    let stdio = |args: &[&str]| json!({"transport": "stdio", "command": ["node"], "args": args});
    for (before, now, expected) in [
        (
            json!({}),
            json!({"image": "j"}),
            &["sidecar side of image j instead of i"][..],
        ),
        (
            stdio(&["a.js"]),
            stdio(&["b.js"]),
            &["sidecar side running node b.js instead of node a.js"],
        ),
        (
            json!({}),
            json!({"command": ["sh"]}),
            &["sidecar side running sh instead of its own command"],
        ),
        // a word after the image's own command is not one in its place
        (
            json!({"args": ["sh"]}),
            json!({"command": ["sh"]}),
            &["sidecar side running sh instead of its own command sh"],
        ),
        (
            json!({}),
            json!({"env": [{"name": "LOG", "value": "1"}, password]}),
            &[
                "new: sidecar side with variable LOG, PASSWORD",
                "new: sidecar side with Secret mail/password",
            ],
        ),
        // one of the pod's, which each of its images is pulled with
        (
            json!({}),
            json!({"imagePullSecrets": [{"name": "registry"}]}),
            &["new: Secret registry"],
        ),
        // less, or the same
        (
            json!({"env": [{"name": "LOG", "value": "1"}, password]}),
            json!({"env": [{"name": "LOG", "value": "2"}]}),
            &[],
        ),
        (json!({}), json!({"description": "Reads files"}), &[]),
    ] {
        let wider = of(&now).wider_than(&of(&before));
        assert_eq!(words(&wider), expected, "{before} {now}");
    }
    let with = json!({"image": "files:1", "command": ["serve"], "env": [password]});
    assert_eq!(
        words(&of(&with).wider_than(&powers(&json!({}), &json!({}))))
            .iter()
            .filter(|words| words.contains("image"))
            .collect::<Vec<_>>(),
        ["new: sidecar side of image files:1 running serve with Secret mail/password"]
    );
}

#[test]
fn long_images_that_differ_at_their_ends_are_different() {
    let of = |image: String| {
        let also = json!({"image": image});
        let agent = validated_beside(&json!({"toolRefs": [{"name": "side"}]}), &also);
        Powers::of(&agent, None, &settings()).unwrap()
    };
    let long = |end: &str| of(format!("{}{end}", "x".repeat(300)));
    assert_eq!(long("a").wider_than(&long("b")).len(), 1);
}
