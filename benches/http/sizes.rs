//! `--only sizes`: whether a search costs the same when the site grows.
//!
//! The patients of Synthea (`HISTORIA_SHARED`/data/synthea-smart-generated) are sent as transaction Bundles again and again, each
//! copy with a document, a birth date and a surname of its own, so that the server gives it ids of its own. At each size
//! every shape of `size_list.rs` is asked over HTTP, one request after the other, and explained once.

use crate::Result;
use crate::load::{Connection, once, request};
use crate::options::Options;
use crate::sample::mixed;
use crate::server::{Historia, connect};
use crate::size_list::{SHAPES, Shape};
use futures_util::StreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Bundles sent at once: `limits.bundles_at_once`.
const AT_ONCE: usize = 4;
/// Bundles between two sign-ins: a token lives for minutes.
const PART: usize = 500;
/// People whose data stand in the requests.
const PEOPLE: usize = 200;
const REQUESTS: usize = 200;
/// A shape that takes long is asked less often.
const LONGEST: Duration = Duration::from_secs(10);
/// The copies' documents: CC-1000000000 and on.
const FIRST: usize = 1_000_000_000;

pub async fn bench(historia: &Historia, options: &Options) -> Result<()> {
    let database: tokio_postgres::Config = historia.database_url.parse()?;
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for size in &options.sizes {
        let there = patients(&database).await?;
        if there < *size {
            fill(historia, there, *size).await?;
        }
        let client = connect(&database).await?;
        client.batch_execute("vacuum analyze resource, search_string, search_range").await?;
        let row = client.query_one("select count(*), pg_database_size(current_database()) from resource", &[]).await?;
        let (rows, bytes): (i64, i64) = (row.get(0), row.get(1));
        names.push(format!("{} patients, {rows} resources, {} MB", patients(&database).await?, bytes / 1_000_000));
        eprintln!("{}", names.last().map(String::as_str).unwrap_or_default());
        // The server reads the statistics every minute.
        tokio::time::sleep(Duration::from_secs(61)).await;
        columns.push(measure(historia, &database, options).await?);
    }
    print(&names, &columns);
    Ok(())
}

// ---------------------------------------------------------------------- copies

async fn patients(database: &tokio_postgres::Config) -> Result<usize> {
    let sql = "select count(*) from record where documento_id between 'CC-1000000000' and 'CC-1999999999'";
    Ok(usize::try_from(connect(database).await?.query_one(sql, &[]).await?.get::<_, i64>(0))?)
}

/// Sends the copies `from` to `to`.
async fn fill(historia: &Historia, from: usize, to: usize) -> Result<()> {
    let folder = std::env::temp_dir().join(format!("historia-bench-synthea-{}", std::process::id()));
    let sources = unpacked(&folder)?;
    let (started, mut sent) = (Instant::now(), 0);
    for part in (from..to).step_by(PART) {
        let headers = format!(
            "{}content-type: application/fhir+json\r\nprefer: return=minimal\r\n",
            historia.client_authorization().await?
        );
        let (headers, sources, address) = (&headers, &sources, historia.address);
        let mut answers = futures_util::stream::iter(part..to.min(part + PART))
            .map(|n| async move {
                let (bundle, entries) = copy(sources, n)?;
                let mut bytes = Vec::with_capacity(bundle.len() + 512);
                request("POST", "/fhir", headers, &bundle, &mut bytes);
                let (status, body) = once(address, &bytes).await?;
                match status {
                    200 => Ok(entries),
                    _ => Err(format!("a Bundle was answered {status}: {}", String::from_utf8_lossy(&body))),
                }
                .map_err(crate::Error::from)
            })
            .buffer_unordered(AT_ONCE);
        while let Some(entries) = answers.next().await {
            sent += entries?;
        }
        let rate = sent as f64 / started.elapsed().as_secs_f64();
        eprintln!("{} of {to} patients, {sent} entries, {rate:.0} a second", to.min(part + PART));
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn unpacked(folder: &Path) -> Result<Vec<PathBuf>> {
    let shared = std::env::var_os("HISTORIA_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let archive = shared.join("data/synthea-smart-generated.tar.zst");
    std::fs::create_dir_all(folder)?;
    let done = Command::new("tar").arg("--zstd").arg("-xf").arg(&archive).arg("-C").arg(folder).status()?;
    if !done.success() {
        return Err(format!("{} cannot be unpacked", archive.display()).into());
    }
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "json" => files.push(path),
                _ => {}
            }
        }
    }
    // Two are of the hospitals and of those who work there, and say what each patient's says again.
    files.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().contains("Information")));
    files.sort();
    Ok(files)
}

/// The nth patient: the Bundle and how many entries it has. Every twentieth is in the house today, half of them still.
fn copy(sources: &[PathBuf], n: usize) -> Result<(String, usize)> {
    let source = sources.get(n % sources.len().max(1)).ok_or("no Synthea patients")?;
    let round = n / sources.len().max(1);
    let mut bundle: Value = serde_json::from_slice(&std::fs::read(source)?)?;
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut).ok_or("a Bundle without entries")?;
    let kind = |entry: &Value| entry.pointer("/resource/resourceType").and_then(Value::as_str) == Some("Patient");
    let first = entries.iter_mut().find(|entry| kind(entry)).ok_or("a Bundle without Patient")?;
    let subject = first.get("fullUrl").and_then(Value::as_str).unwrap_or_default().to_owned();
    let patient = first.get_mut("resource").and_then(Value::as_object_mut).ok_or("an entry without resource")?;
    let number = (FIRST + n).to_string();
    patient.insert(
        "identifier".to_owned(),
        json!([{"use": "official", "system": "https://www.registraduria.gov.co", "value": number,
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "CC"}]}}]),
    );
    let day = mixed(n as u64);
    let born = format!("{}-{:02}-{:02}", 1930 + day % 80, 1 + day / 80 % 12, 1 + day / 960 % 28);
    patient.insert("birthDate".to_owned(), born.into());
    for name in patient.get_mut("name").and_then(Value::as_array_mut).into_iter().flatten() {
        let family = name.get("family").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(name) = name.as_object_mut() {
            name.insert("family".to_owned(), format!("{family}{round:02x}").into());
        }
    }
    if n.is_multiple_of(20) {
        let today = jiff::Zoned::now().strftime("%Y-%m-%d").to_string();
        let status = if n.is_multiple_of(40) { "in-progress" } else { "finished" };
        entries.push(json!({"request": {"method": "POST", "url": "Encounter"}, "resource": {
            "resourceType": "Encounter", "status": status, "subject": {"reference": subject},
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EMER"},
            "period": {"start": format!("{today}T{:02}:{:02}:00-05:00", 7 + n / 20 % 12, n / 240 % 60)}}}));
    }
    let count = entries.len();
    Ok((bundle.to_string(), count))
}

// ---------------------------------------------------------------------- measuring

/// What one shape cost at one size.
#[derive(Default)]
struct Cost {
    status: u16,
    entries: usize,
    /// In tens; none when it cannot be explained.
    visited: Option<f64>,
    plans: String,
    p50: f64,
    p99: f64,
}

const SAMPLE: &str = "\
select p.patient_id, substr(p.documento_id, 4), convert_from(r.body, 'UTF8'),
  (select id from resource where documento_id = p.documento_id and resource_type = 'Encounter' order by sort_date desc limit 1),
  (select id from resource where documento_id = p.documento_id and resource_type = 'Observation' order by sort_date desc limit 1),
  (select max(sort_date at time zone '-05')::date::text from resource where resource_type = 'Encounter'),
  (select convert_from(body, 'UTF8') from resource where documento_id = '-' and resource_type = 'Practitioner' offset ascii(right(p.documento_id, 1)) limit 1)
from record p join resource r on r.documento_id = p.documento_id and r.resource_type = 'Patient' and r.id = p.patient_id
where p.documento_id between 'CC-1000000000' and 'CC-1999999999' order by md5(p.documento_id) limit $1";

/// What stands for the words in braces: one list for each of the people.
type Person = Vec<(&'static str, String)>;

async fn people(database: &tokio_postgres::Config) -> Result<Vec<Person>> {
    let rows = connect(database).await?.query(SAMPLE, &[&i64::try_from(PEOPLE)?]).await?;
    let absent: Vec<String> = (0..200).map(|n| format!("http://example.org|none-{n}")).collect();
    let family = |text: &str| -> Result<String> {
        let body: Value = serde_json::from_str(text)?;
        Ok(body.pointer("/name/0/family").and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    rows.iter()
        .map(|row| {
            let text = |n: usize| row.get::<_, Option<String>>(n).unwrap_or_else(|| "none".to_owned());
            let patient: Value = serde_json::from_str(&text(2))?;
            let own = family(&text(2))?;
            Ok(vec![
                ("{patient}", text(0)),
                ("{document}", text(1)),
                ("{start}", own.chars().take(3).collect()),
                ("{family}", own),
                ("{born}", patient.get("birthDate").and_then(Value::as_str).unwrap_or_default().to_owned()),
                ("{encounter}", text(3)),
                ("{observation}", text(4)),
                ("{today}", text(5)),
                ("{practitioner}", family(&text(6)).unwrap_or_default()),
                ("{absent}", absent.join(",")),
            ])
        })
        .collect()
}

fn filled(path: &str, person: &Person) -> String {
    let mut path = path.to_owned();
    for (word, value) in person {
        path = path.replace(word, value);
    }
    path
}

/// As an address: what may not stand in one is encoded.
fn address(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            '|' | '$' | ' ' => utf8_percent_encode(&c.to_string(), NON_ALPHANUMERIC).to_string(),
            c if c.is_ascii() => c.to_string(),
            c => utf8_percent_encode(&c.to_string(), NON_ALPHANUMERIC).to_string(),
        })
        .collect()
}

async fn measure(historia: &Historia, database: &tokio_postgres::Config, options: &Options) -> Result<Vec<Cost>> {
    let people = people(database).await?;
    let mut costs = Vec::new();
    for shape in SHAPES {
        // Anew for each: a token lives for minutes.
        let (clinic, admin) = (historia.authorization("medico").await?, historia.authorization("admin").await?);
        let mut cost = asked(historia, shape, &people, &clinic, options.count(REQUESTS)).await?;
        if cost.status == 200 {
            explained(historia, shape, &people, &admin, &mut cost).await?;
        }
        eprintln!("{} {:.2} ms {:?} {}", shape.path, cost.p50, cost.visited, cost.plans);
        costs.push(cost);
    }
    Ok(costs)
}

async fn asked(historia: &Historia, shape: &Shape, people: &[Person], headers: &str, count: usize) -> Result<Cost> {
    let mut connection = Connection::open(historia.address).await?;
    let (mut cost, mut times, started) = (Cost::default(), Vec::with_capacity(count), Instant::now());
    // The first tenth warms plans and caches.
    let warm = count / 10;
    for (n, person) in people.iter().cycle().take(count + warm).enumerate() {
        let mut bytes = Vec::new();
        request("GET", &format!("/fhir/{}", address(&filled(shape.path, person))), headers, "", &mut bytes);
        let sent = Instant::now();
        let answer = connection.exchange(&bytes).await?;
        let took = sent.elapsed().as_secs_f64() * 1000.0;
        cost.status = answer.status;
        if answer.status != 200 {
            return Ok(cost);
        }
        let entries = answer.body.windows(11).filter(|part| *part == b"{\"fullUrl\":").count();
        cost.entries = cost.entries.max(entries);
        if n >= warm {
            times.push(took);
        }
        if started.elapsed() > LONGEST && times.len() > 4 {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get(((times.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
    (cost.p50, cost.p99) = (at(0.5).unwrap_or(0.0), at(0.99).unwrap_or(0.0));
    Ok(cost)
}

/// The most rows that a few of the people make the server look at.
async fn explained(
    historia: &Historia,
    shape: &Shape,
    people: &[Person],
    headers: &str,
    cost: &mut Cost,
) -> Result<()> {
    for person in people.iter().take(5) {
        let url = utf8_percent_encode(&address(&filled(shape.path, person)), NON_ALPHANUMERIC).to_string();
        let mut bytes = Vec::new();
        request("GET", &format!("/fhir/$explain?analyze=true&url={url}"), headers, "", &mut bytes);
        let (status, body) = once(historia.address, &bytes).await?;
        if status != 200 {
            return Ok(());
        }
        let told: Value = serde_json::from_slice(&body)?;
        let parts = |name: &'static str| {
            let all = told.get("parameter").and_then(Value::as_array).into_iter().flatten();
            let steps = all.filter(|one| one.get("name").and_then(Value::as_str) == Some("statement"));
            steps
                .filter_map(|step| step.get("part").and_then(Value::as_array))
                .flatten()
                .filter(move |part| part.get("name").and_then(Value::as_str) == Some(name))
        };
        let visited: f64 =
            parts("visited").filter_map(|part| part.get("valueDecimal")?.as_f64()).fold(0.0, |sum, rows| sum + rows);
        if cost.visited.is_none_or(|most| visited > most) {
            cost.visited = Some(visited);
            let plans: Vec<&str> = parts("plan").filter_map(|part| part.get("valueCode")?.as_str()).collect();
            cost.plans = plans.join(", ");
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------- the table

fn print(names: &[String], columns: &[Vec<Cost>]) {
    println!(
        "p50 / p99 in ms over HTTP, one request after the other; rows visited in tens; x: p50 against the first size"
    );
    for (n, name) in names.iter().enumerate() {
        println!("{}: {name}", n + 1);
    }
    println!();
    let heads: Vec<String> = (1..=columns.len()).map(|n| format!(" {n}: ms | plan | rows |")).collect();
    println!("| | search |{} x |", heads.join(""));
    println!("|---|---|{}---|", "---|---|---|".repeat(columns.len()));
    for (n, shape) in SHAPES.iter().enumerate() {
        let costs: Vec<&Cost> = columns.iter().filter_map(|column| column.get(n)).collect();
        let cells: Vec<String> = costs.iter().map(|cost| cell(cost)).collect();
        let ratio = match (costs.first(), costs.last()) {
            (Some(first), Some(last)) if first.p50 > 0.0 && last.p50 > 0.0 => format!("{:.1}", last.p50 / first.p50),
            _ => "–".to_owned(),
        };
        println!("| {} | `{}` |{} {ratio} |", shape.group, shape.path.replace('|', "\\|"), cells.join(""));
    }
}

/// A star where more than 50 rows were looked at for each that is shown.
fn cell(cost: &Cost) -> String {
    if cost.status != 200 {
        return format!(" {} | | |", cost.status);
    }
    let far = cost.visited.is_some_and(|rows| rows > 50.0 * cost.entries.max(1) as f64);
    let rows = cost.visited.map_or_else(|| "–".to_owned(), |rows| format!("{rows}{}", if far { "*" } else { "" }));
    format!(" {:.1} / {:.1} | {} | {rows} of {} |", cost.p50, cost.p99, cost.plans, cost.entries)
}
