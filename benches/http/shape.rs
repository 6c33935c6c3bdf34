//! The shapes of work, sent to historia and to the floor in turns.

use crate::cpu::Used;
use crate::load::{self, Answer, Run, Script, request};
use crate::options::Options;
use crate::prepare::{Seeded, Stage};
use crate::server::connect;
use crate::{Result, floor, sample};
use std::sync::Arc;

/// One measurement of one side.
pub struct Sample {
    pub per_second: f64,
    pub p50: f64,
    pub p99: f64,
    /// Milliseconds per request, or per entry of a Bundle.
    pub used: Used,
}

/// A line of the table: the repeats of both sides, in their order.
pub struct Measured {
    pub shape: &'static str,
    pub connections: usize,
    pub historia: Vec<Sample>,
    pub floor: Vec<Sample>,
}

/// Requests of one measurement: so many that it takes a second or more, because CPU time is counted in ticks of 10 ms.
fn usual(shape: &str) -> usize {
    match shape {
        "read" => 24_000,
        "import" => 20,
        _ => 8_000,
    }
}

/// Bundles sent at once: `limits.bundles_at_once`.
const BUNDLES: usize = 4;

pub async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Measured>> {
    let mut rows = Vec::new();
    for shape in ["read", "create", "update", "search", "import"] {
        if !options.wants(shape) {
            continue;
        }
        let connections: &[usize] = if shape == "import" { &[BUNDLES] } else { &options.connections };
        for (n, connections) in connections.iter().enumerate() {
            rows.push(one(stage, options, shape, *connections, n).await?);
        }
    }
    Ok(rows)
}

async fn one(
    stage: &Stage,
    options: &Options,
    shape: &'static str,
    connections: usize,
    part: usize,
) -> Result<Measured> {
    let count = options.count(usual(shape)).max(connections);
    let mut row = Measured { shape, connections, historia: Vec::new(), floor: Vec::new() };
    let (mut ours, mut theirs) = match shape {
        "import" => (Vec::new(), Vec::new()),
        _ => (
            scripts(stage, options, shape, Side::Historia, (connections, part))?,
            scripts(stage, options, shape, Side::Floor, (connections, part))?,
        ),
    };
    for repeat in 0..=options.repeats {
        if shape == "import" {
            (ours, theirs) = bundles(stage, count)?;
        }
        let (used, run, back) = timed(stage, Side::Historia, ours, count).await?;
        ours = back;
        eprint!("{shape} {connections} connections, {repeat} of {}: ", options.repeats);
        tell(used, count);
        // The first turn warms both: plans, caches, connections.
        let each = if shape == "import" { sample::ENTRIES } else { 1 };
        if repeat > 0 {
            row.historia.push(sample_of(used, &run, count, each));
        }
        if options.alone {
            eprintln!();
            continue;
        }
        let (used, run, back) = timed(stage, Side::Floor, theirs, count).await?;
        theirs = back;
        eprint!("  floor ");
        tell(used, count);
        if repeat > 0 {
            row.floor.push(sample_of(used, &run, count, each));
        }
        eprintln!();
        settle(stage, shape).await?;
    }
    Ok(row)
}

/// A turn as it comes, on stderr.
fn tell(used: Used, count: usize) {
    eprint!("server {:.4} PG {:.4}", used.server / count as f64, used.postgres / count as f64);
}

/// What a write leaves to be done later (vacuum) is not to fall into the turn of the other side.
async fn settle(stage: &Stage, shape: &str) -> Result<()> {
    if matches!(shape, "create" | "update" | "import") {
        for database in [&stage.database, stage.database.clone().dbname(floor::DATABASE)] {
            let client = connect(database).await?;
            client.batch_execute("vacuum analyze").await?;
            client.batch_execute("checkpoint").await?;
        }
    }
    Ok(())
}

async fn timed(
    stage: &Stage,
    side: Side,
    scripts: Vec<Box<dyn Script>>,
    count: usize,
) -> Result<(Used, Run, Vec<Box<dyn Script>>)> {
    let (to, pid) = match side {
        Side::Historia => (stage.historia, stage.historia_pid),
        Side::Floor => (stage.floor, stage.floor_pid),
    };
    let before = Used::now(pid, stage.postgres_pid)?;
    let (run, scripts) = load::run(to, scripts, count).await?;
    let used = Used::now(pid, stage.postgres_pid)?.since(before);
    Ok((used, run, scripts))
}

fn sample_of(used: Used, run: &Run, count: usize, each: usize) -> Sample {
    let units = (count * each) as f64;
    Sample {
        per_second: run.per_second() * each as f64,
        p50: run.percentile(0.5),
        p99: run.percentile(0.99),
        used: Used { server: used.server / units, postgres: used.postgres / units },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Historia,
    Floor,
}

/// One script for each connection. The connections of a shape share nothing: each has Observations of its own.
fn scripts(
    stage: &Stage,
    options: &Options,
    shape: &str,
    side: Side,
    (connections, part): (usize, usize),
) -> Result<Vec<Box<dyn Script>>> {
    let all = &stage.observations;
    // Updates know the versions they have made, so each number of connections takes a part of its own.
    let (parts, part) = if shape == "update" { (options.connections.len(), part) } else { (1, 0) };
    let size = all.len() / parts / connections;
    if size == 0 {
        return Err("too few Observations for so many connections: raise --patients".into());
    }
    let start = part * (all.len() / parts);
    Ok((0..connections)
        .map(|n| -> Box<dyn Script> {
            let common = Common {
                side,
                headers: if side == Side::Historia { stage.fhir_headers() } else { String::new() },
                all: all.clone(),
                first: start + n * size,
                size,
                turn: n * 1_000_003,
            };
            match shape {
                "read" => Box::new(Read(common)),
                "create" => Box::new(Create(common)),
                "search" => Box::new(Search(common)),
                _ => Box::new(Update { versions: vec![1; common.size], common }),
            }
        })
        .collect())
}

struct Common {
    side: Side,
    headers: String,
    all: Arc<Vec<Seeded>>,
    /// The slice of `all` that this connection works on.
    first: usize,
    size: usize,
    turn: usize,
}

impl Common {
    /// The next Observation, and its place in the slice.
    fn next(&mut self) -> (usize, Option<&Seeded>) {
        self.turn += 1;
        let place = self.turn % self.size.max(1);
        (place, self.all.get(self.first + place))
    }

    fn expect(&self, answer: &Answer<'_>, status: u16, least: usize) -> Result<()> {
        if answer.status == status && answer.body.len() >= least {
            return Ok(());
        }
        let start = answer.body.get(..answer.body.len().min(300)).unwrap_or_default();
        Err(format!("answered {} instead of {status}: {}", answer.status, String::from_utf8_lossy(start)).into())
    }
}

struct Read(Common);

impl Script for Read {
    fn next(&mut self, out: &mut Vec<u8>) {
        let (side, headers) = (self.0.side, self.0.headers.clone());
        if let (_, Some(one)) = self.0.next() {
            match side {
                Side::Historia => request("GET", &format!("/fhir/Observation/{}", one.id), &headers, "", out),
                Side::Floor => request("GET", &format!("/t/{}", one.floor_id), &headers, "", out),
            }
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        self.0.expect(answer, 200, 1_000)
    }
}

struct Create(Common);

impl Script for Create {
    fn next(&mut self, out: &mut Vec<u8>) {
        let (side, headers) = (self.0.side, self.0.headers.clone());
        let turn = self.0.turn;
        if let (_, Some(one)) = self.0.next() {
            let body = sample::observation(None, &one.subject, &one.encounter, one.code, turn);
            request("POST", if side == Side::Historia { "/fhir/Observation" } else { "/t" }, &headers, &body, out);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        self.0.expect(answer, 201, 1_000)
    }
}

struct Update {
    common: Common,
    versions: Vec<u64>,
}

impl Script for Update {
    fn next(&mut self, out: &mut Vec<u8>) {
        let (side, mut headers) = (self.common.side, self.common.headers.clone());
        let turn = self.common.turn;
        if let (place, Some(one)) = self.common.next() {
            let body = sample::observation(Some(&one.id), &one.subject, &one.encounter, one.code, turn);
            if side == Side::Floor {
                return request("PUT", &format!("/t/{}", one.floor_id), &headers, &body, out);
            }
            if let Some(version) = self.versions.get_mut(place) {
                headers.push_str(&format!("if-match: W/\"{version}\"\r\n"));
                *version += 1;
            }
            request("PUT", &format!("/fhir/Observation/{}", one.id), &headers, &body, out);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        self.common.expect(answer, 200, 1_000)
    }
}

/// The newest 20 of one code of one patient; the floor walks its key.
struct Search(Common);

impl Script for Search {
    fn next(&mut self, out: &mut Vec<u8>) {
        let (side, headers) = (self.0.side, self.0.headers.clone());
        if let (_, Some(one)) = self.0.next() {
            let (subject, code) = (&one.subject, one.code.0);
            let patient = subject.trim_start_matches("Patient/");
            match side {
                Side::Historia => {
                    let path = format!("/fhir/Observation?patient={subject}&code=http://loinc.org%7C{code}&_count=20");
                    request("GET", &path, &headers, "", out);
                }
                Side::Floor => request("GET", &format!("/list/{patient}.{code}."), &headers, "", out),
            }
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        self.0.expect(answer, 200, 20_000)
    }
}

/// Bundles made before the clock starts, shared out over the connections.
fn bundles(stage: &Stage, count: usize) -> Result<(Vec<Box<dyn Script>>, Vec<Box<dyn Script>>)> {
    let first = stage.next_bundle.get();
    stage.next_bundle.set(first + count);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in first..first + count {
        let bundle = sample::bundle(number);
        let mut line = Vec::new();
        request("POST", "/lines", "", &sample::lines(&bundle)?, &mut line);
        theirs.push(line);
        let mut whole = Vec::new();
        request("POST", "/fhir", &stage.fhir_headers(), &bundle, &mut whole);
        ours.push(whole);
    }
    Ok((shared(ours), shared(theirs)))
}

fn shared(requests: Vec<Vec<u8>>) -> Vec<Box<dyn Script>> {
    let queue = Arc::new(std::sync::Mutex::new(requests));
    (0..BUNDLES).map(|_| -> Box<dyn Script> { Box::new(Made { queue: queue.clone() }) }).collect()
}

/// Requests that are ready, each sent once.
struct Made {
    queue: Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
}

impl Script for Made {
    fn next(&mut self, out: &mut Vec<u8>) {
        if let Ok(mut queue) = self.queue.lock()
            && let Some(mut made) = queue.pop()
        {
            out.append(&mut made);
        }
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        match answer.status {
            200 => Ok(()),
            status => Err(format!("a Bundle was answered {status}: {}", String::from_utf8_lossy(answer.body)).into()),
        }
    }
}
