//! A real Prometheus (Debian's package) on loopback that scrapes programs of ours, and what it
//! answers. It must not know what is asked.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::control_plane::ports;
use crate::{peers, programs, run_dir, wait};

/// Until it is up, or has scraped once more.
const SOON: Duration = Duration::from_mins(1);

/// A series, and its value at the time of the question.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// The server. It ends when this value is dropped, or this process ends in whatever way.
pub struct Prometheus {
    url: String,
    _folder: TempDir,
    _process: Child,
}

impl Prometheus {
    /// Starts one that scrapes these programs, given as job and base URL, every two seconds, and
    /// that has the rules of this file. Labels are honoured, as the chart's `PodMonitor`s say.
    ///
    /// # Errors
    /// If it is not installed, or does not become ready.
    pub async fn scraping(jobs: &[(&str, &str)], rules: &Path) -> Result<Self> {
        Self::start(&configuration(jobs, rules)?).await
    }

    /// Starts one that scrapes, as one job and every two seconds, what is listed in this file, which
    /// may change: see [`write_targets`].
    ///
    /// # Errors
    /// If it is not installed, or does not become ready.
    pub async fn following(job: &str, targets: &Path) -> Result<Self> {
        let found = json!([{"files": [targets], "refresh_interval": "1s"}]);
        let scrape = json!({"job_name": job, "honor_labels": true, "file_sd_configs": found});
        Self::start(&json!({"global": global(), "scrape_configs": [scrape]})).await
    }

    async fn start(configuration: &Value) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("prometheus.json");
        // JSON is YAML.
        fs::write(&config, configuration.to_string())?;
        let [port] = ports::free()?;
        let address = format!("127.0.0.1:{port}");
        let log = run_dir()?.join(format!("prometheus-{port}.log"));
        let process = peers::guarded(&program()?)?
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--enable-feature=exemplar-storage")
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot run control-plane")?;
        let url = format!("http://{address}");
        let what = format!("Prometheus, which logs to {}", log.display());
        wait::until(&what, SOON, async || {
            programs::get(&format!("{url}/-/ready")).await
        })
        .await?;
        Ok(Self {
            url,
            _folder: folder,
            _process: process,
        })
    }

    /// Where it answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The series that an expression has now.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let data = self.get("query", &[("query", expression)]).await?;
        let series = data["result"].as_array().context("not a vector")?;
        series.iter().map(sample).collect()
    }

    /// The labels of the exemplars of the series that an expression asks for.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn exemplars(&self, expression: &str) -> Result<Vec<BTreeMap<String, String>>> {
        let (start, end) = ("0", (now() + 60.0).to_string());
        let parameters = [("query", expression), ("start", start), ("end", &end)];
        let data = self.get("query_exemplars", &parameters).await?;
        let series = data.as_array().context("not a list")?;
        let exemplars = series
            .iter()
            .filter_map(|series| series["exemplars"].as_array());
        let exemplars = exemplars.flatten();
        exemplars
            .map(|exemplar| labels(&exemplar["labels"]))
            .collect()
    }

    /// The rules that it could not evaluate, with its reasons.
    ///
    /// # Errors
    /// If it does not answer, or has not evaluated all of them yet.
    pub async fn broken_rules(&self) -> Result<Vec<String>> {
        let data = self.get("rules", &[]).await?;
        let groups = data["groups"].as_array().context("no groups")?;
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        let mut broken = Vec::new();
        for rule in rules.flatten() {
            match rule["health"].as_str() {
                Some("ok") => {}
                Some("unknown") => bail!("{} is not evaluated yet", rule["name"]),
                _ => broken.push(format!("{}: {}", rule["name"], rule["lastError"])),
            }
        }
        Ok(broken)
    }

    /// Waits until it has scraped every program once more.
    ///
    /// # Errors
    /// If it does not, or cannot.
    pub async fn scrapes(&self) -> Result<()> {
        let begun = now();
        wait::until("a scrape of all programs", SOON, async || {
            let times = self.query("timestamp(up == 1)").await?;
            let of_all = self.query("up").await?.len();
            let later = times.iter().filter(|time| time.value > begun).count();
            if later == of_all && later > 0 {
                Ok(())
            } else {
                bail!("{later} of {of_all} programs")
            }
        })
        .await
    }

    async fn get(&self, what: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = format!("{}/api/v1/{what}", self.url);
        let url = reqwest::Url::parse_with_params(&url, parameters)?;
        let mut answer: Value = serde_json::from_str(&programs::get(url.as_str()).await?)?;
        Ok(answer["data"].take())
    }
}

/// Lists what a Prometheus that follows this file scrapes: base URL of a program, and its labels.
/// Whoever reads the file sees a whole list.
///
/// # Errors
/// If it cannot be written, or a URL is not plain HTTP.
pub fn write_targets(file: &Path, targets: &[(&str, Value)]) -> Result<()> {
    let mut groups = Vec::new();
    for (url, labels) in targets {
        groups.push(json!({"targets": [address(url)?], "labels": labels}));
    }
    let new = file.with_extension("new");
    fs::write(&new, Value::from(groups).to_string())?;
    fs::rename(&new, file)?;
    Ok(())
}

fn address(url: &str) -> Result<&str> {
    url.strip_prefix("http://").context("not plain HTTP")
}

fn global() -> Value {
    json!({"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"})
}

fn configuration(jobs: &[(&str, &str)], rules: &Path) -> Result<Value> {
    let mut scrapes = Vec::new();
    for (job, url) in jobs {
        let labels = json!({"namespace": "langop-system", "pod": format!("{job}-0")});
        scrapes.push(json!({
            "job_name": job, "honor_labels": true,
            "static_configs": [{"targets": [address(url)?], "labels": labels}],
        }));
    }
    Ok(json!({
        "global": global(),
        "storage": {"exemplars": {"max_exemplars": 10_000}},
        "rule_files": [rules],
        "scrape_configs": scrapes,
    }))
}

fn program() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("prometheus"))
        .find(|program| program.is_file())
        .context("there is no prometheus: install Debian's package of that name")
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn sample(series: &Value) -> Result<Sample> {
    let value = series["value"][1].as_str().context("no value")?;
    Ok(Sample {
        labels: labels(&series["metric"])?,
        value: value.parse()?,
    })
}

fn labels(value: &Value) -> Result<BTreeMap<String, String>> {
    Ok(serde_json::from_value(value.clone())?)
}
