//! The sample of `historia dev`: composed people of Colombia with histories of months (`examples/fhir/muestra`), loaded
//! once through the same interactions as anyone's. Nobody in it exists.
//!
//! The files have fixed days. They are moved by whole days, so that the newest day of the sample is the day of the
//! first start; times of the day, offsets and ages stay. A Bundle is one transaction, and its Patient is marked as test
//! data (`HTEST`): a start that was cut off goes on with the Bundles that are missing.

use crate::access::Caller;
use crate::app::App;
use crate::clock;
use crate::error::{Error, Result};
use crate::fhir::datetime::{DateTime, Form, Precision};
use crate::fhir::definitions::ResourceType;
use crate::fhir::format::{Limits, parse_json};
use crate::interaction::{self, Interaction};
use crate::store::installation;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Span, Unit};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;

macro_rules! files {
    ($($name:literal),* $(,)?) => { &[$(include_str!(concat!("../../examples/fhir/muestra/", $name))),*] };
}

/// Organizations, practitioners, places: what the histories refer to.
const DIRECTORY: &str = include_str!("../../examples/fhir/muestra/00-directorio.json");
/// One history each, in any order.
const HISTORIES: &[&str] = files![
    "01-munoz-penaranda.json",
    "02-munoz-pedraza.json",
    "03-perez-munoz.json",
    "04-pelaez-munoz.json",
    "05-ibanez-guiza.json",
    "06-avila-londono.json",
    "07-zuniga-cardenas.json",
    "08-cabezon-yepez.json",
    "09-ortegon-nungo.json",
    "10-quinones-pardo.json",
    "11-bermudez-nunez.json",
    "12-guecha-rincon.json",
    "13-chaparro-nustez.json",
    "14-nustez-rojas.json",
    "15-sin-identificar.json",
    "16-de-la-espriella-daza.json",
    "17-okafor.json",
];
/// New versions of results that stand in the histories.
const CORRECTIONS: &str = include_str!("../../examples/fhir/muestra/99-correcciones.json");

/// Whom the paciente sign-in is bound to: the first history.
const PACIENTE: &str = "identifier=https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC|51999208";
/// The mark of test data (<https://terminology.hl7.org/CodeSystem-v3-ActReason.html>).
const MARK: &str = "_security=http://terminology.hl7.org/CodeSystem/v3-ActReason|HTEST";
/// The name under which the installation keeps that the sample is there.
const LOADED: &str = "sample_patient";

/// Loads the sample on the first start. Returns Patient.id and documento_id of the patient that the paciente sign-in is
/// bound to.
pub async fn load(app: &Arc<App>) -> Result<Option<(String, String)>> {
    let conn = app.pool.dedicated().await?;
    if let Some(kept) = installation::read(&conn, LOADED).await? {
        let kept = String::from_utf8(kept).map_err(Error::internal)?;
        return Ok(kept.split_once(' ').map(|(id, documento_id)| (id.to_owned(), documento_id.to_owned())));
    }
    let mut bundles = parsed()?;
    let days = bundles.iter().filter_map(newest_day).max().map_or(Ok(0), |newest| days_to(newest, today(app)?))?;
    bundles.iter_mut().for_each(|bundle| moved(bundle, days));
    execute_all(app, bundles).await?;

    let found = search(app, &format!("{PACIENTE}&{MARK}")).await?;
    let Some(id) = resources(&found).find_map(|patient| patient.get("id")?.as_str()) else { return Ok(None) };
    let record = app.placement.records_of(&conn, &[id]).await?.remove(id);
    let Some(record) = record else { return Ok(None) };
    installation::key(&conn, LOADED, || Ok(format!("{id} {}", record.documento_id).into_bytes())).await?;
    Ok(Some((id.to_owned(), record.documento_id.clone())))
}

/// The directory, the histories that are not there yet side by side, the corrections.
async fn execute_all(app: &Arc<App>, bundles: Vec<Value>) -> Result<()> {
    let there = search(app, &format!("{MARK}&_count=1000")).await?;
    let there: BTreeSet<String> = resources(&there).filter_map(document).map(str::to_owned).collect();
    let mut bundles = bundles.into_iter();
    let Some(directory) = bundles.next() else { return Ok(()) };
    execute(app, directory).await?;
    let corrections = bundles.next_back();

    let mut running = JoinSet::new();
    for bundle in bundles {
        if resources(&bundle).find_map(document).is_some_and(|number| there.contains(number)) {
            continue;
        }
        if running.len() >= app.config.limits.bundles_at_once.max(1) {
            running.join_next().await.transpose().map_err(Error::internal)?.transpose()?;
        }
        let app = app.clone();
        running.spawn(async move { execute(&app, bundle).await });
    }
    while let Some(done) = running.join_next().await {
        done.map_err(Error::internal)??;
    }
    match corrections {
        Some(corrections) => execute(app, corrections).await,
        None => Ok(()),
    }
}

async fn execute(app: &Arc<App>, bundle: Value) -> Result<()> {
    let caller = Caller::system("dev", clock::uuid().to_string());
    interaction::execute(app, &caller, &Interaction::Transaction { bundle, returns: None }).await.map(drop)
}

/// A search for Patients.
async fn search(app: &Arc<App>, query: &str) -> Result<Value> {
    let caller = Caller::system("dev", clock::uuid().to_string());
    let resource_type = ResourceType::parse("Patient").ok_or_else(|| Error::internal("no type Patient"))?;
    let interaction = Interaction::SearchType { resource_type, query: query.to_owned(), lenient: false };
    let answer = interaction::execute(app, &caller, &interaction).await?;
    parse_json(answer.body.as_deref().unwrap_or_default(), &Limits::default())
}

/// The Bundles in the order of loading: directory, histories, corrections.
fn parsed() -> Result<Vec<Value>> {
    let texts = std::iter::once(&DIRECTORY).chain(HISTORIES).chain(std::iter::once(&CORRECTIONS));
    texts.map(|text| parse_json(text.as_bytes(), &Limits::default())).collect()
}

fn resources(bundle: &Value) -> impl Iterator<Item = &Value> {
    bundle.get("entry").and_then(Value::as_array).into_iter().flatten().filter_map(|entry| entry.get("resource"))
}

/// The number of a Patient's document.
fn document(resource: &Value) -> Option<&str> {
    let patient = resource.get("resourceType")?.as_str()? == "Patient";
    patient.then(|| resource.get("identifier")?.as_array()?.first()?.get("value")?.as_str()).flatten()
}

/// The day it is where the hospital is.
fn today(app: &App) -> Result<Date> {
    let offset = Offset::from_seconds(app.local).map_err(Error::internal)?;
    Ok(offset.to_datetime(clock::now()).date())
}

fn days_to(from: Date, to: Date) -> Result<i64> {
    let span = from.until((Unit::Day, to)).map_err(Error::internal)?;
    Ok(i64::from(span.get_days()))
}

/// The latest day that is written anywhere in a resource or Bundle.
pub fn newest_day(value: &Value) -> Option<Date> {
    match value {
        Value::Object(members) => members.values().filter_map(newest_day).max(),
        Value::Array(items) => items.iter().filter_map(newest_day).max(),
        Value::String(text) => {
            let parsed = DateTime::parse(text, Form::DateTime)?;
            if parsed.precision >= Precision::Day { civil(parsed.date()) } else { None }
        }
        _ => None,
    }
}

/// Moves every date of a resource or Bundle by whole days. Numbers keep their digits, times of the day and offsets stay.
pub fn moved(value: &mut Value, days: i64) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match member {
                    Value::String(text) => {
                        if let Some(later) = moved_text(name, text, days) {
                            *text = later;
                        }
                    }
                    member => moved(member, days),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| moved(item, days)),
        _ => {}
    }
}

/// A date moved; none for what is no date. A year or a month alone is one only where the name of the element says so,
/// and is moved from its middle.
fn moved_text(name: &str, text: &str, days: i64) -> Option<String> {
    let parsed = DateTime::parse(text, Form::DateTime)?;
    let (year, month, day) = parsed.date();
    let span = Span::new().try_days(days).ok()?;
    let from = |date: (i64, i64, i64)| civil(date)?.checked_add(span).ok();
    match parsed.precision {
        Precision::Year if is_date(name) => Some(format!("{:04}", from((year, 7, 1))?.year())),
        Precision::Month if is_date(name) => {
            let date = from((year, month, 15))?;
            Some(format!("{:04}-{:02}", date.year(), date.month()))
        }
        Precision::Year | Precision::Month => None,
        _ => Some(format!("{}{}", from((year, month, day))?, text.get(10..)?)),
    }
}

fn is_date(name: &str) -> bool {
    matches!(name, "date" | "start" | "end") || name.ends_with("Date") || name.ends_with("DateTime")
}

fn civil((year, month, day): (i64, i64, i64)) -> Option<Date> {
    Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fhir::documento::{DocumentoId, Systems};
    use serde_json::json;

    #[test]
    fn dates_are_moved_by_whole_days_and_nothing_else_is() {
        let check = |name: &str, text: &str, days: i64, expected: Option<&str>| {
            assert_eq!(moved_text(name, text, days).as_deref(), expected, "{name} {text} {days}");
        };
        check("birthDate", "2024-02-29", 1, Some("2024-03-01"));
        check("birthDate", "2024-02-29", -366, Some("2023-02-28"));
        check("effectiveDateTime", "2026-12-31T23:59:60.50-05:00", 1, Some("2027-01-01T23:59:60.50-05:00"));
        check("issued", "2026-11-23T06:20:00Z", 30, Some("2026-12-23T06:20:00Z"));
        check("onsetDateTime", "2024-08", 20, Some("2024-09"));
        check("onsetDateTime", "2024-08", 10, Some("2024-08"));
        check("performedDateTime", "2003", 200, Some("2004"));
        check("start", "2003", -190, Some("2002"));
        check("value", "2003", 200, None);
        check("value", "2024-08", 200, None);
        check("value", "51999208", 200, None);
        check("text", "2026-13-01", 1, None);
        check("text", "el 2026-11-23", 1, None);
        check("birthDate", "9999-12-31", 1, None);
    }

    #[test]
    fn the_newest_day_becomes_today_and_digits_stay() {
        let text = r#"{"entry": [{"resource": {"birthDate": "1968-03-14", "value": 72.50, "period": {"start": "2026-11-20T23:00:00-05:00"}}}, {"date": "2026-11-23"}]}"#;
        let mut bundle = parse_json(text.as_bytes(), &Limits::default()).unwrap();
        let newest = newest_day(&bundle).unwrap();
        let today = jiff::civil::date(2027, 1, 2);
        moved(&mut bundle, days_to(newest, today).unwrap());
        assert_eq!(newest_day(&bundle), Some(today));
        assert_eq!(bundle["entry"][0]["resource"]["birthDate"], "1968-04-23");
        assert_eq!(bundle["entry"][0]["resource"]["period"]["start"], "2026-12-30T23:00:00-05:00");
        assert_eq!(bundle["entry"][0]["resource"]["value"].to_string(), "72.50");
        assert_eq!(days_to(today, newest).unwrap(), -40);
        assert_eq!(newest_day(&json!({"value": "2026", "n": 3})), None);
    }

    #[test]
    fn every_file_of_the_folder_is_loaded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fhir/muestra");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let json: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
        assert_eq!(json.len(), HISTORIES.len() + 2);
        for path in json {
            let text = std::fs::read_to_string(&path).unwrap();
            let known = HISTORIES.iter().chain([&DIRECTORY, &CORRECTIONS]).any(|known| **known == text);
            assert!(known, "{} is not in the list", path.display());
        }
    }

    /// What the issue asks of the sample; and nothing that points at a day which a move would leave behind.
    #[test]
    fn the_sample_is_what_it_should_be() {
        let bundles = parsed().unwrap();
        let patients: Vec<&Value> =
            bundles.iter().flat_map(resources).filter(|r| r["resourceType"] == "Patient").collect();
        assert!(patients.len() >= 12);
        let documents: BTreeSet<String> = patients
            .iter()
            .map(|p| DocumentoId::of_patient(p, &Systems::default()).unwrap().as_str().to_owned())
            .collect();
        assert_eq!(documents.len(), patients.len());
        for kind in ["CC-", "TI-", "CE-", "RC-", "PPT-"] {
            assert!(documents.iter().any(|document| document.starts_with(kind)), "{kind}");
        }
        assert!(patients.iter().all(|patient| patient["meta"]["security"][0]["code"] == "HTEST"));
        for bundle in &bundles {
            assert!(newest_day(bundle).is_none_or(|day| day <= jiff::civil::date(2026, 11, 23)));
            assert_eq!(bundle["type"], "transaction");
        }
        let of_type = |name: &str| bundles.iter().flat_map(resources).filter(|r| r["resourceType"] == name).count();
        for (name, least) in [
            ("Encounter", 60),
            ("Observation", 700),
            ("DiagnosticReport", 80),
            ("ServiceRequest", 15),
            ("Immunization", 30),
        ] {
            assert!(of_type(name) >= least, "{name}: {}", of_type(name));
        }
    }
}
