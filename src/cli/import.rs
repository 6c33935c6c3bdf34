//! `historia import`: FHIR Bundles, resources, NDJSON, folders of them. Each Bundle is one transaction; what fails for a
//! missing target is tried again after the others.

use super::{Exit, Failure, app, runtime, say};
use crate::access::Caller;
use crate::app::App;
use crate::clock;
use crate::config::Environment;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::{self, Content, Interaction};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Load FHIR Bundles, resources, NDJSON files, or folders of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  historia import bundles/\n  zcat patients.ndjson.gz | historia import -")]
pub struct Arguments {
    /// Files or folders; - is stdin
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Report as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Between two lines of progress where nobody watches a terminal.
const PROGRESS: Duration = Duration::from_secs(10);
/// Lines of an NDJSON file that go into one transaction.
const LINES: usize = 200;

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let groups = named_together(&arguments.paths)?;
    runtime()?.block_on(async {
        let app = app(file, environment).await?;
        let started = Instant::now();
        let mut report = Report::default();
        let mut progress = Progress::new(groups.iter().map(Vec::len).sum());
        for files in groups {
            load(&app, files, &mut progress, &mut report).await;
        }
        crate::store::search::analyze(&app.pool.dedicated().await?).await?;
        report.seconds = started.elapsed().as_secs_f64();
        report.bytes_per_resource = crate::store::search::bytes_per_resource(&app.pool.dedicated().await?).await?;
        if arguments.json {
            report.json()
        } else {
            report.text()
        }
        Ok(report.exit())
    })
}

/// Folders one after the other, the files of each in order of their names, its own before those of the folders in it; `-`
/// stands for stdin. What belongs together is finished before the next begins.
fn gather(path: &Path, groups: &mut Vec<Vec<PathBuf>>) -> std::io::Result<()> {
    if path.as_os_str() == "-" || !path.is_dir() {
        if path.as_os_str() != "-" {
            std::fs::metadata(path)?;
        }
        groups.push(vec![path.to_owned()]);
        return Ok(());
    }
    let mut inside: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<std::io::Result<_>>()?;
    inside.sort();
    let (folders, mut files): (Vec<PathBuf>, Vec<PathBuf>) = inside.into_iter().partition(|path| path.is_dir());
    files.retain(|path| path.extension().is_some_and(|e| e == "json" || e == "ndjson"));
    groups.push(files);
    folders.iter().try_for_each(|folder| gather(folder, groups))
}

/// Files that are named one by one belong together, like those of a folder.
pub(super) fn named_together(paths: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, Failure> {
    let mut groups: Vec<Vec<PathBuf>> = Vec::new();
    let mut after_file = false;
    for path in paths {
        let mut found = Vec::new();
        gather(path, &mut found)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot read {}: {e}", path.display())))?;
        let is_file = !path.is_dir();
        match groups.last_mut() {
            Some(last) if is_file && after_file => last.extend(found.into_iter().flatten()),
            _ => groups.extend(found),
        }
        after_file = is_file;
    }
    Ok(groups)
}

#[derive(Default)]
struct Report {
    bundles: u64,
    entries: u64,
    created: BTreeMap<String, u64>,
    failed: Vec<Failed>,
    seconds: f64,
    bytes_per_resource: Option<f64>,
}

struct Failed {
    file: String,
    entry: Option<u64>,
    issue: String,
}

/// One unit of loading: what is executed, and where it came from.
#[derive(Clone)]
struct Load {
    file: String,
    /// The first line of an NDJSON chunk.
    line: Option<u64>,
    entries: u64,
    interaction: Arc<Interaction>,
}

async fn load(app: &Arc<App>, files: Vec<PathBuf>, progress: &mut Progress, report: &mut Report) {
    let workers = app.config.limits.bundles_at_once.max(1);
    let mut waiting: Vec<Load> = Vec::new();
    let mut running: JoinSet<(Load, Result<Value>)> = JoinSet::new();
    for path in files {
        let name = path.display().to_string();
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read.map_err(Error::internal).and_then(|r| r) {
            Ok(loads) => {
                for load in loads {
                    while running.len() >= workers {
                        take(running.join_next().await, report, Some(&mut waiting));
                    }
                    spawn(app, &mut running, load);
                }
            }
            Err(error) => report.failed.push(Failed { file: name, entry: None, issue: error.to_string() }),
        }
        progress.one(report);
    }
    while !running.is_empty() {
        take(running.join_next().await, report, Some(&mut waiting));
    }
    // As long as something of what waited could be loaded, the rest may find its targets.
    loop {
        let round = std::mem::take(&mut waiting);
        let before = round.len();
        for load in round {
            while running.len() >= workers {
                take(running.join_next().await, report, Some(&mut waiting));
            }
            spawn(app, &mut running, load);
        }
        while !running.is_empty() {
            take(running.join_next().await, report, Some(&mut waiting));
        }
        if waiting.is_empty() {
            return;
        }
        if waiting.len() == before {
            break;
        }
    }
    for load in waiting {
        spawn(app, &mut running, load);
        take(running.join_next().await, report, None);
    }
}

fn spawn(app: &Arc<App>, running: &mut JoinSet<(Load, Result<Value>)>, load: Load) {
    let app = app.clone();
    running.spawn(async move {
        let caller = Caller::system("import", clock::uuid().to_string());
        let answer = interaction::execute(&app, &caller, &load.interaction).await;
        let response = answer.and_then(|answer| match (answer.body, answer.location) {
            (Some(body), _) if matches!(*load.interaction, Interaction::Transaction { .. }) => {
                parse_json(&body, &Limits::default())
            }
            (_, location) => {
                Ok(json!({"entry": [{"response": {"status": answer.status.to_string(), "location": location}}]}))
            }
        });
        (load, response)
    });
}

/// Takes the result of a load. `again`: where those go that miss a target.
fn take(
    done: Option<Result<(Load, Result<Value>), tokio::task::JoinError>>,
    report: &mut Report,
    again: Option<&mut Vec<Load>>,
) {
    let (load, result) = match done {
        Some(Ok(done)) => done,
        Some(Err(error)) => {
            report.failed.push(Failed { file: "?".to_owned(), entry: None, issue: error.to_string() });
            return;
        }
        None => return,
    };
    match result {
        Ok(response) => {
            report.bundles += 1;
            report.entries += load.entries;
            for entry in response.get("entry").and_then(Value::as_array).into_iter().flatten() {
                let Some(response) = entry.get("response") else { continue };
                let created = response.get("status").and_then(Value::as_str).is_some_and(|s| s.starts_with("201"));
                let of_type = response.get("location").and_then(Value::as_str).and_then(|l| l.split('/').next());
                if let (true, Some(name)) = (created, of_type) {
                    *report.created.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        Err(error) => match again {
            Some(waiting) if error.kind == Kind::BusinessRule || error.is_transient() => waiting.push(load),
            _ => {
                for issue in error.issues.iter().take(20) {
                    let entry = issue.expression.as_deref().and_then(entry_number).or(load.line);
                    let place = issue.expression.as_deref().map(|e| format!("{e}: ")).unwrap_or_default();
                    report.failed.push(Failed {
                        file: load.file.clone(),
                        entry,
                        issue: format!("{place}{}", issue.text),
                    });
                }
            }
        },
    }
}

/// `Bundle.entry[17].resource...` -> 17
fn entry_number(expression: &str) -> Option<u64> {
    expression.split_once("Bundle.entry[")?.1.split(']').next()?.parse().ok()
}

fn read(path: &Path) -> Result<Vec<Load>> {
    let (mut bytes, name) = (Vec::new(), path.display().to_string());
    let read = match name.as_str() {
        "-" => std::io::stdin().read_to_end(&mut bytes),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|e| Error::new(Kind::Invalid, format!("cannot be read: {e}")))?;
    let lines = name.ends_with(".ndjson") || (name == "-" && is_ndjson(&bytes));
    if !lines {
        let value = parse_json(&bytes, &Limits::default())?;
        drop(bytes);
        return Ok(vec![load_of(value, &name, None)?]);
    }
    let mut loads = Vec::new();
    let mut chunk: Vec<Value> = Vec::new();
    let mut first = 1;
    for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let number = n as u64 + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value = parse_json(line, &Limits::default()).map_err(|e| e.within(&format!("line {number}")))?;
        if is_bundle(&value) {
            loads.push(load_of(value, &name, Some(number))?);
            continue;
        }
        if chunk.is_empty() {
            first = number;
        }
        chunk.push(entry_of(value, None)?);
        if chunk.len() >= LINES {
            loads.push(transaction(std::mem::take(&mut chunk), &name, Some(first)));
        }
    }
    if !chunk.is_empty() {
        loads.push(transaction(chunk, &name, Some(first)));
    }
    Ok(loads)
}

/// Several JSON values one below the other: the first line is a value of its own.
fn is_ndjson(bytes: &[u8]) -> bool {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    first.len() + 1 < bytes.len() && parse_json(first, &Limits::default()).is_ok()
}

fn is_bundle(value: &Value) -> bool {
    value.get("resourceType").and_then(Value::as_str) == Some("Bundle")
}

fn load_of(value: Value, file: &str, line: Option<u64>) -> Result<Load> {
    if !is_bundle(&value) {
        return Ok(Load { file: file.to_owned(), line, entries: 1, interaction: Arc::new(single(value)?) });
    }
    let entries = value.get("entry").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    match value.get("type").and_then(Value::as_str) {
        Some("transaction") => Ok(Load {
            file: file.to_owned(),
            line,
            entries,
            interaction: Arc::new(Interaction::Transaction { bundle: value, returns: None }),
        }),
        // Everything else that holds resources is loaded as one transaction of them.
        _ => {
            let inside = value.get("entry").and_then(Value::as_array).cloned().unwrap_or_default();
            let mut converted = Vec::with_capacity(inside.len());
            for (n, entry) in inside.into_iter().enumerate() {
                let full_url = entry.get("fullUrl").and_then(Value::as_str).map(str::to_owned);
                let resource = entry.get("resource").cloned();
                let resource = resource.ok_or_else(|| {
                    Error::at(Kind::Required, format!("Bundle.entry[{n}]"), "the entry has no resource")
                })?;
                converted.push(entry_of(resource, full_url)?);
            }
            Ok(transaction(converted, file, line))
        }
    }
}

fn transaction(entries: Vec<Value>, file: &str, line: Option<u64>) -> Load {
    let count = entries.len() as u64;
    let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
    Load {
        file: file.to_owned(),
        line,
        entries: count,
        interaction: Arc::new(Interaction::Transaction { bundle, returns: None }),
    }
}

/// A resource with an id keeps it (PUT), one without gets one (POST).
fn entry_of(resource: Value, full_url: Option<String>) -> Result<Value> {
    let name = resource
        .get("resourceType")
        .and_then(Value::as_str)
        .ok_or_else(|| Error::at(Kind::Structure, "resourceType", "not a resource"))?;
    let id = resource.get("id").and_then(Value::as_str);
    let request = match id {
        Some(id) => json!({"method": "PUT", "url": format!("{name}/{id}")}),
        None => json!({"method": "POST", "url": name}),
    };
    let mut entry = json!({"request": request, "resource": resource});
    if let (Some(full_url), Value::Object(members)) = (full_url, &mut entry) {
        members.insert("fullUrl".to_owned(), Value::String(full_url));
    }
    Ok(entry)
}

fn single(value: Value) -> Result<Interaction> {
    let resource_type = crate::fhir::resource::resource_type(&value)?;
    let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(of_single(resource_type, id, Content::new(value)))
}

fn of_single(resource_type: ResourceType, id: Option<String>, resource: Content) -> Interaction {
    match id {
        Some(id) => Interaction::Update { resource_type, id, resource, if_match: None },
        None => Interaction::Create { resource_type, resource, if_none_exist: None },
    }
}

struct Progress {
    files: usize,
    done: usize,
    last: Instant,
    terminal: bool,
}

impl Progress {
    fn new(files: usize) -> Progress {
        Progress { files, done: 0, last: Instant::now(), terminal: std::io::stderr().is_terminal() }
    }

    fn one(&mut self, report: &Report) {
        self.done += 1;
        let wait = if self.terminal { Duration::from_millis(200) } else { PROGRESS };
        if self.last.elapsed() >= wait {
            self.last = Instant::now();
            let end = if self.terminal { "\r" } else { "\n" };
            eprint!(
                "{} of {} files, {} entries, {} problems{end}",
                self.done,
                self.files,
                report.entries,
                report.failed.len()
            );
        }
    }
}

impl Report {
    fn exit(&self) -> Exit {
        match (self.failed.is_empty(), self.bundles) {
            (true, _) => Exit::Done,
            (false, 0) => Exit::Failed,
            (false, _) => Exit::PartlyDone,
        }
    }

    fn json(&self) {
        let failed: Vec<Value> =
            self.failed.iter().map(|f| json!({"file": f.file, "entry": f.entry, "issue": f.issue})).collect();
        let report = json!({
            "bundles": self.bundles, "entries": self.entries, "created": self.created, "failed": failed,
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "entries_per_second": (self.entries as f64 / self.seconds.max(0.001)).round(),
            "bytes_per_resource": self.bytes_per_resource.map(f64::round), "peak_memory_bytes": peak_memory(),
        });
        say(&format!("{report}\n"));
    }

    fn text(&self) {
        for failed in &self.failed {
            let entry = failed.entry.map(|n| format!(" entry {n}")).unwrap_or_default();
            say(&format!("{}{entry}: {}\n", failed.file, failed.issue));
        }
        let created: Vec<String> = self.created.iter().map(|(name, count)| format!("{name} {count}")).collect();
        say(&format!("created: {}\n", created.join(", ")));
        let bytes =
            self.bytes_per_resource.map(|b| format!(", {b:.0} bytes a resource in the database")).unwrap_or_default();
        let memory = peak_memory().map(|b| format!(", peak memory {} MiB", b / 1024 / 1024)).unwrap_or_default();
        say(&format!(
            "{} Bundles, {} entries in {:.1} s ({:.0} entries/s){bytes}{memory}, {} problems\n",
            self.bundles,
            self.entries,
            self.seconds,
            self.entries as f64 / self.seconds.max(0.001),
            self.failed.len()
        ));
    }
}

/// Peak resident memory of this process, as Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().split(' ').next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
