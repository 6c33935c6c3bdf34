//! chromedriver, one for the run, and a browser of its own for each day.
//!
//! WebDriver (<https://www.w3.org/TR/webdriver2/>) is JSON over HTTP, and the tests have an HTTP client already: a client
//! crate for it would bring 22 more packages for these few lines.

use crate::person::Size;
use historia::i18n::Language;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(90));
    builder.build().expect("an HTTP client")
});

/// Under this name WebDriver speaks of an element.
pub const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// $1: folder; then the command, in a process group of its own. When the test process has ended, however it did, the pipe
/// closes: the group is ended, browsers included, and the folder removed. Ctrl-C reaches the guard as well: it goes on to that.
const GUARD: &str = r#"
folder=$1; shift
trap : INT TERM
exec 3<&0
setsid "$@" </dev/null 3<&- & pid=$!
cat <&3 >/dev/null
kill -TERM "-$pid" 2>/dev/null
n=0; while kill -0 "-$pid" 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n + 1)); done
kill -KILL "-$pid" 2>/dev/null
rm -rf "$folder"
"#;

struct Driver {
    root: String,
    folder: PathBuf,
    /// Holds the pipe.
    _guard: Child,
}

/// The program of this name on the path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Why there is no browser here.
pub fn missing() -> Option<&'static str> {
    match (program("chromedriver"), program("chromium").or_else(|| program("google-chrome"))) {
        (None, _) => Some("chromedriver is not installed"),
        (_, None) => Some("chromium is not installed"),
        _ => None,
    }
}

fn driver() -> &'static Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    DRIVER.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("historia-browser-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for profiles");
        let said = folder.join("said");
        let out = std::fs::File::create(&said).expect("a file");
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "guard"]).arg(&folder).args(["chromedriver", "--port=0"]);
        // A home of its own too: browsers find there whom they trust.
        command
            .env("TMPDIR", &folder)
            .env("HOME", &folder)
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a file"))
            .stderr(out);
        // It is waited for by nobody: it ends when the pipe to this process closes.
        #[allow(clippy::zombie_processes)]
        let guard = command.spawn().expect("the guard starts");
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            if let Some(port) = text.split("started successfully on port ").nth(1) {
                let port: u16 = port.trim().trim_end_matches('.').parse().expect("a port");
                return Driver { root: format!("http://127.0.0.1:{port}"), folder, _guard: guard };
            }
            assert!(started.elapsed() < Duration::from_secs(60), "chromedriver does not start: {text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

/// Browsers that are opened from now on trust an authority, as phones do on which it was installed.
pub fn trust(authority: &Path) {
    let database = driver().folder.join(".pki/nssdb");
    std::fs::create_dir_all(&database).expect("a folder for certificates");
    let place = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil").args(["-d", &place]).args(arguments).output().expect("certutil runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    certutil(&["-N", "--empty-password"]);
    certutil(&["-A", "-t", "C,,", "-n", "historia", "-i", authority.to_str().expect("a path")]);
}

/// One browser with a profile of its own.
pub struct Session {
    root: String,
}

impl Session {
    pub async fn open(language: Language) -> Session {
        let languages = match language {
            Language::Es => "es-CO,es",
            Language::En => "en-US,en",
        };
        let mut flags = vec![
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-crash-reporter",
            "--no-first-run",
            "--hide-scrollbars",
            "--window-size=1440,1000",
        ];
        // Chromium refuses its sandbox to root.
        if nix::unistd::Uid::effective().is_root() {
            flags.push("--no-sandbox");
        }
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": flags, "prefs": {"intl.accept_languages": languages}},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let root = &driver().root;
        let made = call("POST", &format!("{root}/session"), &wanted).await.expect("chromium starts");
        Session { root: format!("{root}/session/{}", made["sessionId"].as_str().expect("a session")) }
    }

    pub async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        call(method, &format!("{}/{path}", self.root), body).await
    }

    /// Runs a script in the page; its parameters are `arguments`.
    pub async fn script(&self, text: &str, arguments: Value) -> Result<Value, String> {
        self.call("POST", "execute/sync", &json!({"script": text, "args": arguments})).await
    }

    /// The same for a script that calls its last argument.
    pub async fn script_async(&self, text: &str, arguments: Value) -> Result<Value, String> {
        self.call("POST", "execute/async", &json!({"script": text, "args": arguments})).await
    }

    /// A command of the Chrome DevTools protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.call("POST", "goog/cdp/execute", &body).await.unwrap_or_else(|e| panic!("{command}: {e}"))
    }

    /// The screen of this size, as wide and at least as high as said.
    pub async fn screen(&self, size: Size, width: u32, least: u64) {
        let (height, scale, phone) = match size {
            Size::Phone => (740, 2.0, true),
            Size::Desk => (900, 1.5, false),
        };
        let height = least.max(height);
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
        self.devtools("Emulation.setTouchEmulationEnabled", json!({"enabled": phone})).await;
    }

    pub async fn close(&self) {
        let _ = call("DELETE", &self.root, &Value::Null).await;
    }
}

async fn call(method: &str, url: &str, body: &Value) -> Result<Value, String> {
    let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = CLIENT.request(method, url);
    if !body.is_null() {
        request = request.json(body);
    }
    let reply = request.send().await.map_err(|e| e.to_string())?;
    let mut answer: Value = reply.json().await.map_err(|e| e.to_string())?;
    match answer["value"]["error"].as_str() {
        Some(error) => Err(format!("{error}: {}", answer["value"]["message"].as_str().unwrap_or_default())),
        None => Ok(answer["value"].take()),
    }
}
