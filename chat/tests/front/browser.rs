//! A real Chromium without a window, driven over its debugging protocol. It reaches nothing but this
//! machine.

use std::{
    collections::VecDeque,
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Stdio,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use super::front::LONGEST;

/// Names of the program in distributions.
const PROGRAMS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chromium-headless-shell",
];

/// Its size, and what it prefers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) is_dark: bool,
}

pub(crate) const DESKTOP: Screen = Screen {
    width: 1280,
    height: 800,
    is_dark: false,
};
pub(crate) const PHONE: Screen = Screen {
    width: 360,
    height: 740,
    is_dark: true,
};

/// A page in a browser of its own.
pub(crate) struct Page {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    session: Option<String>,
    last: u64,
    /// What the browser told in between, the oldest first.
    events: VecDeque<Json>,
    _child: Child,
    _profile: TempDir,
}

/// Set to `required` where the page must be tried, as `.ci/run` does.
const REQUIRED: &str = "LANGOP_BROWSER";

/// Where the browser is; none, said on stderr, on a machine without: the test is to return.
pub(crate) fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path).collect();
    let found = PROGRAMS.iter().find_map(|name| {
        let programs = folders.iter().map(|folder| folder.join(name));
        programs.into_iter().find(|program| program.is_file())
    });
    if found.is_none() {
        let is_required = env::var(REQUIRED).is_ok_and(|value| value == "required");
        let problem = "there is no Chromium: install the package chromium";
        assert!(!is_required, "{problem}; {REQUIRED}=required says so");
        // Not by a macro, whose output the test runner keeps to itself. Nobody reads it: nothing to do.
        let _ = writeln!(
            io::stderr(),
            "\nSKIPPED: the chat page in a browser; {problem}\n"
        );
    }
    found
}

impl Page {
    /// An empty page.
    pub(crate) async fn open(program: &Path, screen: Screen) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
                "--disable-gpu",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            // Nothing has a name but this machine, so that nothing else can be reached.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            // The sandbox wants a user who is not root, and shared memory that containers lack.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(profile.path().join("stderr")).unwrap())
            .kill_on_drop(true);
        let child = command.spawn().unwrap();
        let address = address(profile.path()).await;
        let (socket, _) = connect_async(address).await.unwrap();
        let mut page = Self {
            socket,
            session: None,
            last: 0,
            events: VecDeque::new(),
            _child: child,
            _profile: profile,
        };
        page.attach().await;
        page.resize(screen).await;
        page
    }

    async fn attach(&mut self) {
        let target = self
            .command("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.command("Target.attachToTarget", target).await;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            self.command(&format!("{domain}.enable"), json!({})).await;
        }
    }

    pub(crate) async fn resize(&mut self, screen: Screen) {
        let metrics = json!({
            "width": screen.width, "height": screen.height, "deviceScaleFactor": 2,
            "mobile": screen.width.min(screen.height) < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let scheme = if screen.is_dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.command("Emulation.setEmulatedMedia", media).await;
    }

    /// Sends a command, and waits for what it gives.
    pub(crate) async fn command(&mut self, method: &str, params: Json) -> Json {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
        loop {
            let next = timeout(LONGEST, self.socket.next()).await;
            let next = next.unwrap_or_else(|_| panic!("no answer to {method}"));
            let Message::Text(text) = next.unwrap().unwrap() else {
                continue;
            };
            let mut heard: Json = serde_json::from_str(&text).unwrap();
            if heard["id"] == self.last {
                assert!(heard["error"].is_null(), "{method}: {heard}");
                return heard["result"].take();
            }
            self.events.push_back(heard);
        }
    }

    /// Everything that was told of these since the last time.
    pub(crate) async fn events(&mut self, method: &str) -> Vec<Json> {
        // What comes before this answer was told before.
        self.evaluate("0").await;
        let of_it = |event: &&Json| event["method"] == method;
        let found = self
            .events
            .iter()
            .filter(of_it)
            .map(|event| event["params"].clone())
            .collect();
        self.events.retain(|event| event["method"] != method);
        found
    }

    pub(crate) async fn visit(&mut self, url: &str) {
        self.command("Page.navigate", json!({"url": url})).await;
        self.until(&format!(
            "location.href == {} && document.readyState == 'complete'",
            json!(url)
        ))
        .await;
    }

    pub(crate) async fn reload(&mut self) {
        self.evaluate("window.isOld = true").await;
        self.command("Page.reload", json!({})).await;
        self.until("!window.isOld && document.readyState == 'complete'")
            .await;
    }

    /// The value of a JavaScript expression.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Json {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut given = self.command("Runtime.evaluate", params).await;
        assert!(given["exceptionDetails"].is_null(), "{expression}: {given}");
        given["result"]["value"].take()
    }

    /// Waits until a JavaScript expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        // A page that is being replaced has no values.
        let guarded =
            format!("!!(() => {{ try {{ return {expression} }} catch {{ return false }} }})()");
        let waited = timeout(LONGEST, async {
            while self.evaluate(&guarded).await != true {
                sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        let is_true = waited.await.is_ok();
        let text = if is_true {
            Json::Null
        } else {
            self.evaluate("document.body.innerText").await
        };
        assert!(
            is_true,
            "waited in vain until {expression}; the page says {text}"
        );
    }

    /// Presses a key and lets it go.
    pub(crate) async fn press(&mut self, key: &str) {
        self.press_with(key, 0).await;
    }

    /// With Shift held.
    pub(crate) async fn press_shift(&mut self, key: &str) {
        self.press_with(key, 8).await;
    }

    async fn press_with(&mut self, key: &str, modifiers: u8) {
        let (code, number, text) = match key {
            "Enter" => ("Enter", 13, "\r"),
            "Tab" => ("Tab", 9, ""),
            "Escape" => ("Escape", 27, ""),
            _ => panic!("the key '{key}' is not known here"),
        };
        let mut params = json!({
            "type": "rawKeyDown", "key": key, "code": code, "windowsVirtualKeyCode": number,
            "modifiers": modifiers,
        });
        if !text.is_empty() {
            params["type"] = "keyDown".into();
            params["text"] = text.into();
        }
        self.command("Input.dispatchKeyEvent", params.clone()).await;
        params["type"] = "keyUp".into();
        self.command("Input.dispatchKeyEvent", params).await;
    }

    /// Types a text, key by key.
    pub(crate) async fn write(&mut self, text: &str) {
        for c in text.chars() {
            let params = json!({"type": "char", "text": c.to_string()});
            self.command("Input.dispatchKeyEvent", params).await;
        }
    }

    /// The texts whose colour is too near to that behind them.
    pub(crate) async fn faint(&mut self) -> Vec<String> {
        let found = self.evaluate(include_str!("faint.js")).await;
        serde_json::from_value(found).unwrap()
    }

    /// Writes a picture where `LANGOP_CHAT_PICTURES` names a folder, for people to look at.
    pub(crate) async fn picture(&mut self, name: &str) {
        let Some(folder) = env::var_os("LANGOP_CHAT_PICTURES") else {
            return;
        };
        let taken = self
            .command("Page.captureScreenshot", json!({"format": "png"}))
            .await;
        let bytes = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        fs::write(Path::new(&folder).join(format!("{name}.png")), bytes).unwrap();
    }
}

/// Where the browser listens, once it does.
async fn address(profile: &Path) -> String {
    let file = profile.join("DevToolsActivePort");
    let waited = timeout(LONGEST, async {
        loop {
            let said = fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = said.split_once('\n')
                && !path.is_empty()
            {
                return format!("ws://127.0.0.1:{port}{path}");
            }
            sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| {
        let said = fs::read_to_string(profile.join("stderr"));
        panic!("the browser does not start: {said:?}")
    })
}
