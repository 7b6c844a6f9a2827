//! Builds programs from pinned Go modules (`control-plane/*`, `node/*` and `programs/*` of integration-tests) and
//! shows progress.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use super::process::{bound_command, tail};

/// A Go module of ours, and the programs that its `tool` directives pin.
pub(crate) struct Module {
    /// For messages, and for names in the cache.
    pub name: &'static str,
    /// Its folder below integration-tests.
    pub folder: &'static str,
    /// Main package and the name of the program it becomes.
    pub packages: &'static [(&'static str, &'static str)],
    /// What the programs need from the system's C libraries.
    pub linking: Linking,
    /// How long a cold build usually takes on two cores.
    pub usual: &'static str,
}

/// How a program may use C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linking {
    /// As the installed Go does it by itself.
    Default,
    /// No C at all, so that the program runs in an image of its own.
    Pure,
    /// C libraries as part of the program; with these build tags.
    StaticC(&'static str),
}

impl Linking {
    fn cgo(self) -> Option<&'static str> {
        match self {
            Self::Default => None,
            Self::Pure => Some("0"),
            Self::StaticC(_) => Some("1"),
        }
    }

    /// What the cache's key has of it: nothing for the default, whose programs were there first.
    pub(crate) fn identity(self) -> Option<String> {
        let cgo = self.cgo()?;
        Some(format!("CGO_ENABLED={cgo} -tags={}", self.tags()))
    }

    fn tags(self) -> &'static str {
        match self {
            Self::StaticC(tags) => tags,
            Self::Default | Self::Pure => "",
        }
    }
}

impl Module {
    fn dir(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(self.folder)
    }

    /// The text of all files that the programs are built from: `go.mod`, `go.sum` and Go sources of
    /// ours.
    pub(crate) fn sources(&self) -> Result<Vec<String>> {
        let dir = self.dir();
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        names.retain(|name| ["mod", "sum", "go"].iter().any(|kind| is_of(name, kind)));
        names.sort_unstable();
        names.iter().map(|name| self.text(name)).collect()
    }

    fn text(&self, file: &str) -> Result<String> {
        let path = self.dir().join(file);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// What the linker is told. Without the version, kubectl, helm and kwok refuse or misread the
    /// server.
    pub(crate) fn ldflags(&self) -> Result<String> {
        let strip = match self.linking {
            Linking::StaticC(_) => "-s -w -extldflags -static",
            Linking::Default | Linking::Pure => "-s -w",
        };
        if !self.folder.ends_with("/kubernetes") {
            return Ok(strip.to_owned());
        }
        let version = required_version(&self.text("go.mod")?, "k8s.io/kubernetes")?;
        let mut parts = version.trim_start_matches('v').split('.');
        let (major, minor) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let base = "k8s.io/component-base/version";
        Ok(format!(
            "{strip} -X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor} \
             -X k8s.io/client-go/pkg/version.gitVersion={version}"
        ))
    }
}

/// Whether a file's name ends in `.kind`.
fn is_of(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == kind)
}

/// The version a go.mod requires of a module.
fn required_version(go_mod: &str, module: &str) -> Result<String> {
    let mut words = go_mod.lines().map(str::split_whitespace);
    words
        .find_map(|mut line| {
            let first = line.next()?;
            let name = if first == "require" {
                line.next()?
            } else {
                first
            };
            (name == module).then(|| line.next()).flatten()
        })
        .map(str::to_owned)
        .with_context(|| format!("go.mod requires no {module}"))
}

/// An installed Go that is new enough.
pub(crate) struct Toolchain {
    /// Version and platform, part of the cache key.
    pub identity: String,
}

impl Toolchain {
    /// Finds `go` and compares it with the newest `go` line of the modules.
    pub(crate) async fn find(modules: &[&Module]) -> Result<Self> {
        let mut needed = Version::default();
        for module in modules {
            needed = needed.max(go_line(&module.text("go.mod")?)?);
        }
        let output = Command::new("go")
            .args(["env", "GOVERSION", "GOOS", "GOARCH"])
            .env("GOTOOLCHAIN", "local")
            .output()
            .await;
        let output = match output {
            Ok(output) if output.status.success() => output,
            Ok(output) => bail!(
                "`go env` failed: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => bail!("{}", advice(&format!("no Go was found ({error})"), needed)),
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let installed = text.lines().next().unwrap_or_default();
        if Version::parse(installed.trim_start_matches("go"))
            .is_none_or(|installed| installed < needed)
        {
            bail!(
                "{}",
                advice(&format!("the Go found is {installed}"), needed)
            );
        }
        Ok(Self {
            identity: text.split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }
}

fn advice(problem: &str, needed: Version) -> String {
    let Version(major, minor, patch) = needed;
    format!(
        "{problem}, but the control plane's programs are built once from pinned Go modules: install Go {major}.{minor}.{patch} or newer \
         from go.dev/dl, or set KUBEBUILDER_ASSETS to a folder that holds them ready-made, or name an existing cluster where the \
         program has --kubeconfig"
    )
}

/// major, minor, patch
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    /// Reads `1.26.8`, `1.26`, `1.27rc1` (as 1.27.0) and `1.26.8 X:nocoverageredesign`.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', ' ', '-']).map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        Some(Self(
            numbers.next()??,
            numbers.next()??,
            numbers.next().flatten().unwrap_or(0),
        ))
    }
}

fn go_line(go_mod: &str) -> Result<Version> {
    let line = go_mod.lines().find_map(|line| line.strip_prefix("go "));
    line.and_then(Version::parse)
        .context("go.mod has no `go` line")
}

/// Builds the module's programs into `out`, each appearing there whole or not at all.
///
/// `place` is the module's number among how many are built, for the progress.
pub(crate) async fn build(module: &Module, out: &Path, place: (usize, usize)) -> Result<()> {
    let temporary = out.with_file_name(format!("building-{}-{}", module.name, std::process::id()));
    fs::create_dir_all(&temporary)?;
    let label = format!("[{}/{}] {}", place.0, place.1, module.name);
    say(&format!(
        "{label}: building (usually {} on 2 cores, once)",
        module.usual
    ));
    let start = Instant::now();
    let ldflags = module.ldflags()?;
    for (package, program) in module.packages {
        let target = temporary.join(program);
        let args = [
            "build".into(),
            "-trimpath".into(),
            "-ldflags".into(),
            ldflags.clone(),
            format!("-tags={}", module.linking.tags()),
            "-o".into(),
        ];
        let mut command = go(module)?;
        command.args(args).arg(&target).arg(package);
        run(command, &temporary.join("log"), &label, start).await?;
        fs::create_dir_all(out)?;
        fs::rename(&target, out.join(program))?;
    }
    fs::remove_dir_all(&temporary)?;
    say(&format!("{label}: done after {}", seconds(start)));
    Ok(())
}

/// The folder where the source of a dependency lies, downloaded if need be.
pub(crate) async fn source_of(module: &Module, dependency: &str) -> Result<PathBuf> {
    source(go(module)?, dependency).await
}

/// The same, for a process that cannot bind `go` to its own end.
pub(crate) async fn source_of_unbound(module: &Module, dependency: &str) -> Result<PathBuf> {
    source(within(module, Command::new("go")), dependency).await
}

async fn source(mut download: Command, dependency: &str) -> Result<PathBuf> {
    let output = download
        .args(["mod", "download", "-json", dependency])
        .output()
        .await?;
    if !output.status.success() {
        bail!(
            "cannot download {dependency}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let dir = answer["Dir"]
        .as_str()
        .with_context(|| format!("Go does not say where {dependency} is"))?;
    Ok(PathBuf::from(dir))
}

fn go(module: &Module) -> Result<Command> {
    Ok(within(module, bound_command(Path::new("go"))?))
}

fn within(module: &Module, mut command: Command) -> Command {
    // The installed Go or a clear error, not a download of another one; and no file of ours
    // changed.
    command
        .current_dir(module.dir())
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly")
        .stdin(Stdio::null());
    if let Some(cgo) = module.linking.cgo() {
        command.env("CGO_ENABLED", cgo);
    }
    command
}

/// Runs one `go build`, saying every 15 s that it still does.
async fn run(mut command: Command, log: &Path, label: &str, start: Instant) -> Result<()> {
    let file = File::create(log)?;
    let mut child = command
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .context("cannot run go")?;
    let _group = child.id().map(Group);
    let mut beat = tokio::time::interval(Duration::from_secs(15));
    beat.tick().await;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = beat.tick() => say(&format!("{label}: {} so far", seconds(start))),
        }
    };
    if !status.success() {
        bail!("{label}: go build ended with {status}:\n{}", tail(log, 30));
    }
    Ok(())
}

/// Ends the compilers that `go build` has started, also when the wait for it is given up.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0).ok().and_then(Pid::from_raw) {
            // An error says that none is left.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn seconds(since: Instant) -> String {
    let seconds = since.elapsed().as_secs();
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a build of minutes must be seen by the person who waits for it"
)]
pub(crate) fn say(line: &str) {
    eprintln!("control plane: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_compare_by_number() {
        for (older, newer) in [
            ("1.9.2", "1.26.0"),
            ("1.26", "1.26.1"),
            ("1.26.8", "1.27rc1"),
            ("1.26.8 X:foo", "1.26.9"),
        ] {
            assert!(
                Version::parse(older).unwrap() < Version::parse(newer).unwrap(),
                "{older} {newer}"
            );
        }
        assert_eq!(Version::parse("devel"), None);
        assert_eq!(
            go_line("module x\n\ngo 1.26.0\n").unwrap(),
            Version(1, 26, 0)
        );
    }

    #[test]
    fn the_servers_version_is_the_one_that_is_pinned() {
        let go_mod = "require (\n\tk8s.io/kubernetes v1.37.2 // indirect\n)\nreplace (\n\tk8s.io/api => k8s.io/api v0.37.2\n)\n";
        assert_eq!(
            required_version(go_mod, "k8s.io/kubernetes").unwrap(),
            "v1.37.2"
        );
        assert!(required_version(go_mod, "k8s.io/kube").is_err());
        let flags = super::super::binaries::KUBERNETES.ldflags().unwrap();
        assert!(
            flags.contains(".gitMajor=1 ")
                && flags.contains("client-go/pkg/version.gitVersion=v1."),
            "{flags}"
        );
    }

    #[test]
    fn the_advice_says_what_to_do() {
        let text = advice("no Go was found", Version(1, 26, 0));
        assert!(
            text.contains("install Go 1.26.0") && text.contains("KUBEBUILDER_ASSETS"),
            "{text}"
        );
    }
}
