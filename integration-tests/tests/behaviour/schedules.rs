//! The one cron dialect, against the API server that will be given its expressions: what we accept
//! it accepts, and what it refuses we refuse with a better message. Nothing is stored: dry runs.

use k8s_openapi::{api::batch::v1::CronJob, jiff::Timestamp};
use kube::api::PostParams;
use langop_dsl::CronSchedule;
use langop_integration_tests::{ControlPlane, TestNamespace};
use serde_json::json;

/// (expression, time zone, whether the dialect has it)
const TABLE: &[(&str, Option<&str>, bool)] = &[
    ("0 9 * * 1-5", None, true),
    ("*/5 * * * *", None, true),
    ("0,30 8-18/2 * * mon-fri", None, true),
    ("0 0 1 JAN *", None, true),
    ("59 23 31 12 6", None, true),
    ("0 0 29 2 *", None, true),
    ("0 9 * * *", Some("Europe/Berlin"), true),
    ("0 9 * * *", Some("Mars/Olympus"), false),
    ("0 9 * * *", Some("Local"), false),
    ("0 9 * * 7", None, false),
    ("0 9 * *", None, false),
    ("0 9 * * * *", None, false),
    ("60 9 * * *", None, false),
    ("0 24 * * *", None, false),
    ("0 9 0 * *", None, false),
    ("0 9 L * *", None, false),
    ("0 9 * * 1#2", None, false),
    ("0 9 15W * *", None, false),
    ("@daily", None, false),
    ("TZ=UTC 0 9 * * *", None, false),
    ("every day", None, false),
    ("*/90 * * * *", None, false),
    ("5-1 * * * *", None, false),
    ("0 0 31 2 *", None, false),
    ("", None, false),
];

async fn server_takes(ns: &TestNamespace, expression: &str, zone: Option<&str>) -> bool {
    let job: CronJob = serde_json::from_value(json!({
        "metadata": {"name": "probe"},
        "spec": {
            "schedule": expression,
            "timeZone": zone,
            "jobTemplate": {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}},
        },
    }))
    .unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match ns.api::<CronJob>().create(&dry_run, &job).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.is_invalid() => false,
        Err(error) => panic!("{expression}: {error}"),
    }
}

#[tokio::test]
async fn what_the_dialect_accepts_the_api_server_accepts() {
    let cp = ControlPlane::shared().await;
    let ns = TestNamespace::create(cp, "cron").await.unwrap();
    let now = Timestamp::now();
    for (expression, zone, expected) in TABLE {
        let ours = CronSchedule::parse(expression, *zone, now);
        assert_eq!(ours.is_ok(), *expected, "{expression:?} {zone:?}: {ours:?}");
        if ours.is_ok() {
            assert!(
                server_takes(&ns, expression, *zone).await,
                "{expression:?} {zone:?}"
            );
        }
    }
}

#[tokio::test]
async fn no_expression_made_of_legal_parts_slips_through() {
    let cp = ControlPlane::shared().await;
    let ns = TestNamespace::create(cp, "crons").await.unwrap();
    let now = Timestamp::now();
    let (mut accepted, mut refused) = (0, 0);
    // Every combination of these parts in turn over the fields: edges of ranges, names, steps, and
    // things other crons know.
    let parts = [
        "*", "0", "1", "7", "12", "31", "32", "59", "60", "*/2", "*/7", "*/32", "1-5", "5-1",
        "1,2", "sun", "JAN", "?", "L", "1/2",
    ];
    for (n, part) in parts.iter().cycle().take(parts.len() * 12).enumerate() {
        let other = parts[(n * 7 + n / parts.len()) % parts.len()];
        let mut fields = ["0", "0", "*", "*", "*"];
        fields[n % 5] = part;
        fields[(n + 1 + n / 60) % 5] = other;
        let expression = fields.join(" ");
        if CronSchedule::parse(&expression, None, now).is_ok() {
            accepted += 1;
            assert!(
                server_takes(&ns, &expression, None).await,
                "{expression}: we accept it, the server does not"
            );
        } else {
            refused += 1;
        }
    }
    assert!(
        accepted > 40 && refused > 40,
        "{accepted} accepted, {refused} refused: the table tells little"
    );
}
