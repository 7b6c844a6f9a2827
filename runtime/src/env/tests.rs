//! What the environment may say, and what it may not.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
    Environment::read(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn an_empty_environment_is_one_run_with_defaults() {
    let environment = read(&[("AGENT_MODE", " ")]).unwrap();
    assert_eq!(environment.schedule, RunSchedule::Once { by_job: false });
    assert_eq!(environment.max_iterations, 25);
    assert_eq!(environment.port, 8088);
    assert!(environment.tools.is_empty() && environment.models.is_empty());
}

#[test]
fn urls_follow_the_rule() {
    let tools = r#"[{"name":"a","url":"http://a:8080"},{"name":"b","url":"http://b:1/x/"}]"#;
    let models = r#"[{"name":"m","url":"http://m:8000","model":"x"},
        {"name":"n","url":"https://n/v1"},{"name":"o","url":"https://o/api/v1/"}]"#;
    let environment = read(&[("MCP_SERVERS", tools), ("MODEL_ENDPOINTS", models)]).unwrap();
    let urls = |urls: Vec<&Url>| urls.into_iter().map(Url::to_string).collect::<Vec<_>>();
    assert_eq!(
        urls(environment.tools.iter().map(|tool| &tool.url).collect()),
        ["http://a:8080/mcp", "http://b:1/x/"]
    );
    assert_eq!(
        urls(environment.models.iter().map(|model| &model.url).collect()),
        [
            "http://m:8000/v1/chat/completions",
            "https://n/v1/chat/completions",
            "https://o/api/v1/chat/completions"
        ]
    );
    assert_eq!(environment.models[0].model, "x");
    assert_eq!(environment.models[1].model, "n");
}

#[test]
fn schedules() {
    for (mode, schedule, expected) in [
        ("scheduled", "0 9 * * *", RunSchedule::Once { by_job: true }),
        (
            "scheduled",
            "every 90m",
            RunSchedule::Every(Duration::from_mins(90)),
        ),
        ("autonomous", "", RunSchedule::Continuous),
    ] {
        let environment = read(&[("AGENT_MODE", mode), ("AGENT_SCHEDULE", schedule)]);
        assert_eq!(environment.unwrap().schedule, expected, "{mode} {schedule}");
    }
}

#[test]
fn days_are_of_agents_that_a_cron_job_starts() {
    let only = ("AGENT_SCHEDULE_ONLY", "first MON");
    for (mode, schedule, has_days) in [
        ("scheduled", "0 9 * * *", true),
        ("scheduled", "", true),
        ("scheduled", "every 90m", false),
        ("autonomous", "", false),
        ("", "0 9 * * *", false),
    ] {
        let given = [("AGENT_MODE", mode), ("AGENT_SCHEDULE", schedule), only];
        let environment = read(&given).unwrap();
        assert_eq!(
            environment.due_days.is_some(),
            has_days,
            "{mode} {schedule}"
        );
        assert!(read(&given[..2]).unwrap().due_days.is_none());
    }
    for (wrong, value) in [
        ("AGENT_SCHEDULE_ONLY", "fifth MON"),
        ("AGENT_SCHEDULE", "0 25 * * *"),
        ("AGENT_TIME_ZONE", "Mars/Base"),
    ] {
        let error = read(&[(wrong, value), ("AGENT_MODE", "scheduled"), only]);
        assert_eq!(error.unwrap_err().variable, wrong);
    }
}

#[test]
fn faults_name_the_variable_and_what_to_write() {
    for (variable, value, said) in [
        ("MCP_SERVERS", "{}", "write for example"),
        ("MCP_SERVERS", r#"[{"name":"a","url":"a:8080"}]"#, "http://"),
        (
            "MCP_SERVERS",
            r#"[{"name":"","url":"http://a"}]"#,
            "without a name",
        ),
        (
            "MODEL_ENDPOINTS",
            r#"[{"name":"a","url":"http://a"},{"name":"a","url":"http://b"}]"#,
            "twice",
        ),
        ("AGENT_TIMEOUT", "5x", "write"),
        ("AGENT_MAX_ITERATIONS", "0", "from 1 to 10000"),
        ("PORT", "70000", "from 1 to 65535"),
        ("AGENT_MODE", "sometimes", "write autonomous"),
        ("LANGOP_AGENT_SERVE", "mcp,ftp", "write mcp"),
        ("LANGOP_AGENT_PARALLEL", "9", "from 1 to 4"),
    ] {
        let error = read(&[(variable, value)]).unwrap_err();
        assert_eq!(error.variable, variable);
        assert!(error.to_string().contains(said), "{error}");
    }
    let every = read(&[("AGENT_MODE", "scheduled"), ("AGENT_SCHEDULE", "every x")]);
    assert_eq!(every.unwrap_err().variable, "AGENT_SCHEDULE");
}

#[test]
fn no_value_is_repeated() {
    let error = read(&[("MCP_SERVERS", "sk-secret")]).unwrap_err();
    assert!(!error.to_string().contains("sk-secret"), "{error}");
}
