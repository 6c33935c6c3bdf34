//! The desk of admission: patients found while typing, and who has come today, by hand or by HL7.

use crate::error::{Error, Kind, Result};
use crate::fhir::documento::{DocumentoId, Systems};
use crate::interaction::Unit;
use crate::search::param::string::fold;
use crate::store::message;
use crate::view::encounter::{self, Class};
use crate::view::find::{self, Asked, Row, marked};
use crate::view::format::Reader;
use crate::view::messages;
use crate::view::page::{Badge, Empty, Link, Page};
use crate::view::patient::{self, Name, search};
use crate::view::visit::{Reply, Visit, encoded};
use jiff::ToSpan;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Arrivals of one day that are read, and those that are shown before somebody asks for all.
const ARRIVALS: usize = 300;
const SHOWN: usize = 30;

#[derive(Serialize)]
struct Model {
    page: Page,
    /// On a phone one of the two is a page: `search` or not.
    searching: bool,
    q: String,
    filter: &'static str,
    count: Option<String>,
    more: bool,
    rows: Vec<Row>,
    /// None when only the patients found are asked for, while somebody types.
    beside: Option<Beside>,
}

#[derive(Serialize)]
struct Beside {
    arrivals: Arrivals,
    hl7: Hl7,
}

#[derive(Serialize)]
struct Arrivals {
    day: String,
    at: String,
    tabs: Vec<Tab>,
    rows: Vec<Arrival>,
    /// Where a page asks whether there is news.
    news: String,
    total: usize,
    shown: String,
    rest: Option<Link>,
    empty: Option<Empty>,
}

/// What comes by HL7: the latest message, and how many were not applied.
#[derive(Serialize)]
struct Hl7 {
    state: Badge,
    last: String,
    failed: Option<Link>,
    all: &'static str,
}

#[derive(Serialize)]
struct Tab {
    link: Link,
    count: usize,
    current: bool,
}

#[derive(Serialize)]
struct Arrival {
    time: String,
    href: String,
    name: Name,
    review: Option<String>,
    document: String,
    place: String,
    hl7: Option<Badge>,
    state: Badge,
    act: Option<Link>,
}

/// The list that a filter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    All,
    Review,
    Of(Class),
}

impl Filter {
    const EACH: [(Filter, &'static str, &'static str); 5] = [
        (Filter::All, "", "admission.all"),
        (Filter::Review, "revisar", "admission.to_review"),
        (Filter::Of(Class::Emergency), "urgencias", "admission.emergency"),
        (Filter::Of(Class::Visit), "consulta", "admission.visit"),
        (Filter::Of(Class::Inpatient), "hospitalizacion", "admission.inpatient"),
    ];

    fn of(visit: &Visit) -> Result<(Filter, &'static str)> {
        let wanted = visit.one_of("filtro", &Filter::EACH.map(|(_, name, _)| name))?;
        let known = Filter::EACH.iter().find(|(_, name, _)| *name == wanted);
        Ok(known.map_or((Filter::All, ""), |(filter, name, _)| (*filter, *name)))
    }
}

/// `/admision`: search, on wide screens with the arrivals beside it.
pub async fn desk(visit: &Visit) -> Result<Reply> {
    show(visit, true).await
}

/// `/admision/llegadas`: the same, on a phone the arrivals.
pub async fn arrivals(visit: &Visit) -> Result<Reply> {
    show(visit, false).await
}

async fn show(visit: &Visit, searching: bool) -> Result<Reply> {
    let q = visit.query.typed("q").to_owned();
    let asked = Asked::read(&q);
    // While somebody types only the patients found are wanted, and nobody else is shown.
    let only_found = visit.query.typed("solo") == "1";
    let chosen = Filter::of(visit)?;
    let (rows, more, arrived) = visit
        .unit(async |unit| {
            let (rows, more) = match &asked {
                Some(asked) => rows(unit, visit, asked).await?,
                None => (Vec::new(), false),
            };
            Ok((rows, more, if only_found { Vec::new() } else { today(unit, visit).await? }))
        })
        .await?;
    let (title, section) =
        if searching { ("admission.patients", "/admision") } else { ("admission.arrivals", "/admision/llegadas") };
    let count = asked.as_ref().map(|_| match more {
        true => visit.text("admission.many_found").to_owned(),
        false => visit.reader.count("admission.found", i64::try_from(rows.len()).unwrap_or(0)),
    });
    let beside = match only_found {
        true => None,
        false => Some(Beside { arrivals: listed(visit, section, &q, chosen, &arrived), hl7: hl7(visit).await? }),
    };
    let (_, filter) = chosen;
    let model =
        Model { page: visit.page(visit.text(title)).at(section), searching, q, filter, count, more, rows, beside };
    visit.show("admission", &model)
}

/// `/admision/llegadas/nuevas`: whether something has changed among the arrivals since a moment, counted; nobody is shown.
pub async fn news(visit: &Visit) -> Result<Reply> {
    let since: jiff::Timestamp = visit
        .query
        .typed("desde")
        .parse()
        .map_err(|_| Error::at(Kind::Value, "desde", "the moment since which there may be news"))?;
    let shown: u64 = visit.query.typed("total").parse().unwrap_or(0);
    let (day, reader) = (arrival_day(&visit.reader), &visit.reader);
    let count = async |unit: &mut Unit<'_>, more: &str| {
        let found = search(unit, "Encounter", &format!("{day}{more}&_summary=count")).await?;
        Ok::<u64, Error>(found.total.unwrap_or(0))
    };
    let (changed, total) = visit
        .unit(async |unit| {
            let changed = count(unit, &format!("&_lastUpdated=gt{}", encoded(&since.to_string()))).await?;
            Ok((changed, if changed > 0 { count(unit, "").await? } else { shown }))
        })
        .await?;
    let new = i64::try_from(total.saturating_sub(shown)).unwrap_or(0);
    let text = match (changed, new) {
        (0, _) => String::new(),
        (_, 0) => reader.text("admission.changes").to_owned(),
        (_, new) => reader.count("admission.news", new),
    };
    Ok(Reply::Json { status: 200, body: json!({"text": text}).to_string() })
}

/// The panel of the HL7 entrance.
async fn hl7(visit: &Visit) -> Result<Hl7> {
    let reader = &visit.reader;
    let since = messages::since(reader);
    let (news, latest) = {
        let conn = visit.app.pool.lane().await?;
        (message::news(&conn, since).await?, message::latest(&conn, since, false, 1).await?)
    };
    let state = match (news.total, news.failed) {
        (0, _) => Badge::new("plain", None, reader.text("admission.hl7_none")),
        (_, 0) => Badge::new("ok", Some("check"), reader.text("admission.hl7_fine")),
        _ => Badge::new("warn", Some("triangle"), reader.text("admission.to_review")),
    };
    let last = latest.first().map_or_else(
        || reader.text("admission.hl7_nothing").to_owned(),
        |one| reader.fill("admission.hl7_last", &[("time", &reader.time(one.received)), ("sender", &one.sender)]),
    );
    let address = format!("{}?error=1", messages::DESK);
    let failed = (news.failed > 0).then(|| Link::new(address, reader.count("admission.hl7_failed", news.failed)));
    Ok(Hl7 { state, last, failed, all: messages::DESK })
}

/// The patients that fit, with the bed they are in and their insurer.
async fn rows(unit: &mut Unit<'_>, visit: &Visit, asked: &Asked) -> Result<(Vec<Row>, bool)> {
    let found = find::find(unit, asked).await?;
    if found.resources.is_empty() {
        return Ok((Vec::new(), false));
    }
    let ids: Vec<&str> = found.resources.iter().map(encounter::id).collect();
    let patients = ids.join(",");
    let stays = search(unit, "Encounter", &format!("patient={patients}&status={}&_count=200", encounter::OPEN)).await?;
    let covers = search(unit, "Coverage", &format!("patient={patients}&status=active&_count=200")).await?;
    let row = |(n, person): (usize, &Value)| {
        let id = encounter::id(person);
        let stay = stays.resources.iter().find(|stay| encounter::patient(stay) == Some(id));
        let cover = covers.resources.iter().find(|cover| beneficiary(cover) == Some(id));
        found_row(visit, asked, n, person, stay, cover)
    };
    Ok((found.resources.iter().enumerate().map(row).collect(), found.more))
}

fn found_row(
    visit: &Visit,
    asked: &Asked,
    n: usize,
    person: &Value,
    stay: Option<&Value>,
    cover: Option<&Value>,
) -> Row {
    let (reader, name) = (&visit.reader, Name::of(person));
    let born = person.get("birthDate").and_then(Value::as_str).map(|date| reader.fhir(date));
    let age = match (patient::age(reader, person), born) {
        (Some(age), Some(born)) => Some(format!("{age} ({born})")),
        (None, born) => born,
        (age, None) => age,
    };
    let who = [patient::document(visit, person), age, patient::sex(reader, person).map(str::to_owned)];
    let insurer = cover.and_then(insurer).map(str::to_owned);
    let whence = [
        municipality(person).map(str::to_owned),
        insurer.or_else(|| Some(reader.text("admission.uninsured").to_owned())),
    ];
    let line = |parts: &[Option<String>]| parts.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" · ");
    let stays = stay.map(|stay| Badge::new("info", Some("bed"), encounter::place(reader, stay)));
    Row {
        href: format!("/admision/paciente/{}", encoded(encounter::id(person))),
        first: n == 0,
        surnames: marked(&name.surnames, &asked.words),
        names: marked(&name.names, &asked.words),
        lines: std::iter::once(find::numbered(line(&who), asked.number.as_deref()))
            .chain(find::otherwise(visit, person, asked.number.as_deref()).map(find::plain))
            .chain([find::plain(line(&whence))])
            .collect(),
        badge: stays,
        act: None,
    }
}

pub fn municipality(patient: &Value) -> Option<&str> {
    patient.get("address")?.as_array()?.iter().find_map(|address| address.get("city")?.as_str())
}

/// The insurer of a Coverage.
pub fn insurer(coverage: &Value) -> Option<&str> {
    coverage.get("payor")?.as_array()?.iter().find_map(|payor| payor.get("display")?.as_str())
}

pub fn beneficiary(coverage: &Value) -> Option<&str> {
    coverage.get("beneficiary")?.get("reference")?.as_str()?.rsplit('/').next()
}

/// An Encounter that began today, and whose it is.
struct Arrived {
    encounter: Value,
    patient: Value,
    review: Option<String>,
}

/// The criteria of an Encounter that begins today.
fn arrival_day(reader: &Reader) -> String {
    let day = reader.today();
    let (before, after) = (day.checked_sub(1.day()).unwrap_or(day), day.checked_add(1.day()).unwrap_or(day));
    format!("date=sa{before}&date=lt{after}")
}

/// The Encounters that begin today, the latest first.
async fn today(unit: &mut Unit<'_>, visit: &Visit) -> Result<Vec<Arrived>> {
    let reader = &visit.reader;
    let query = format!("{}&_sort=-date&_count={ARRIVALS}", arrival_day(reader));
    let found = search(unit, "Encounter", &query).await?;
    let ids: BTreeSet<&str> = found.resources.iter().filter_map(encounter::patient).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = ids.into_iter().collect();
    let people = search(unit, "Patient", &format!("_id={}&_count={ARRIVALS}", ids.join(","))).await?;
    let people: BTreeMap<String, Value> =
        people.resources.into_iter().map(|person| (encounter::id(&person).to_owned(), person)).collect();
    let arrived = |encounter: Value| {
        let patient = people.get(encounter::patient(&encounter)?)?.clone();
        let review = review(reader, &visit.app.systems, &patient)
            .filter(|_| encounter::is_open(&encounter) || encounter::status(&encounter) == "planned");
        Some(Arrived { encounter, patient, review })
    };
    Ok(found.resources.into_iter().filter_map(arrived).collect())
}

/// What somebody at the desk should look at: a document that does not go with the age, or none.
pub fn review(reader: &Reader, systems: &Systems, patient: &Value) -> Option<String> {
    let documento = DocumentoId::of_patient(patient, systems);
    let Some((kind, _)) = documento.as_ref().and_then(DocumentoId::parts) else {
        return Some(reader.text("admission.no_document").to_owned());
    };
    if matches!(kind, "AS" | "MS" | "SI") {
        return Some(reader.text("admission.unidentified").to_owned());
    }
    let birth = reader.day_of(patient.get("birthDate")?.as_str()?)?;
    let wanted = match (kind, years(reader, birth)?) {
        ("TI", 18..) => ("18", "CC"),
        ("RC" | "CN", 18..) => ("18", "CC"),
        ("RC" | "CN", 7..) => ("7", "TI"),
        _ => return None,
    };
    Some(reader.fill("admission.outgrown", &[("age", wanted.0), ("old", kind), ("new", wanted.1)]))
}

/// Whole years of age today.
pub fn years(reader: &Reader, birth: jiff::civil::Date) -> Option<i16> {
    let span = birth.until((jiff::Unit::Year, reader.today())).ok()?;
    (birth <= reader.today()).then(|| span.get_years())
}

fn listed(
    visit: &Visit,
    section: &str,
    q: &str,
    (filter, name): (Filter, &'static str),
    arrived: &[Arrived],
) -> Arrivals {
    let reader = &visit.reader;
    let fits = |filter: Filter, one: &Arrived| match filter {
        Filter::All => true,
        Filter::Review => one.review.is_some(),
        Filter::Of(class) => Class::of(&one.encounter) == class,
    };
    let address = |filter: &str, all: bool| {
        let parts = [("q", q), ("filtro", filter), ("todas", if all { "1" } else { "" })];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        if parts.is_empty() { section.to_owned() } else { format!("{section}?{}", parts.join("&")) }
    };
    let tab = |(of, name, label): &(Filter, &str, &'static str)| Tab {
        link: Link::new(address(name, false), reader.text(label)),
        count: arrived.iter().filter(|one| fits(*of, one)).count(),
        current: *of == filter,
    };
    let tabs = Filter::EACH.iter().map(tab).collect();
    let fitting: Vec<&Arrived> = arrived.iter().filter(|one| fits(filter, one)).collect();
    let all = fitting.len();
    let shown = if visit.query.typed("todas") == "1" { all } else { all.min(SHOWN) };
    let number = |n: usize| reader.whole(i64::try_from(n).unwrap_or(0));
    Arrivals {
        day: reader.weekday(reader.today()),
        at: reader.time(reader.now),
        tabs,
        rows: fitting.iter().take(shown).map(|one| arrival(visit, one)).collect(),
        news: news_address(reader, arrived),
        total: arrived.len(),
        shown: reader.fill("admission.shown", &[("n", &number(shown)), ("all", &number(all))]),
        rest: (shown < all)
            .then(|| Link::new(address(name, true), reader.fill("admission.earlier", &[("n", &number(all - shown))]))),
        empty: fitting.is_empty().then(|| Empty {
            icon: "arrive",
            title: reader.text("admission.none_today"),
            text: reader.text("admission.none_today_help"),
            action: None,
        }),
    }
}

/// Where to ask for news: since the latest change that is shown, or a minute ago when nothing is.
fn news_address(reader: &Reader, arrived: &[Arrived]) -> String {
    let changed = |one: &Arrived| one.encounter.get("meta")?.get("lastUpdated")?.as_str()?.parse().ok();
    let since: jiff::Timestamp = arrived.iter().filter_map(changed).max().unwrap_or(reader.now - 1.minute());
    format!("/admision/llegadas/nuevas?desde={}&total={}", encoded(&since.to_string()), arrived.len())
}

fn arrival(visit: &Visit, one: &Arrived) -> Arrival {
    let (reader, encounter) = (&visit.reader, &one.encounter);
    let person = format!("/admision/paciente/{}", encoded(encounter::id(&one.patient)));
    let of = |what: &str| format!("/admision/encuentro/{}/{what}", encoded(encounter::id(encounter)));
    let act = match encounter::status(encounter) {
        _ if one.review.is_some() => Some(Link::new(person.clone(), reader.text("admission.review"))),
        "planned" => Some(Link::new(of("ingresar"), reader.text("admission.admit"))),
        _ if encounter::is_open(encounter) => Some(Link::new(of("trasladar"), reader.text("admission.transfer"))),
        "finished" => Some(Link::new(person.clone(), reader.text("admission.see"))),
        _ => None,
    };
    let state = match one.review {
        Some(_) => Badge::new("warn", Some("triangle"), reader.text("admission.to_review")),
        None => encounter::badge(reader, encounter),
    };
    Arrival {
        time: encounter::start(encounter).parse().map(|at| reader.time(at)).unwrap_or_default(),
        href: person,
        name: Name::of(&one.patient),
        review: one.review.clone(),
        document: patient::document(visit, &one.patient).unwrap_or_default(),
        place: encounter::place(reader, encounter),
        hl7: encounter::is_from_hl7(encounter).then(|| Badge::new("origin", Some("arrive"), "HL7")),
        state,
        act,
    }
}

/// Whether two texts are the same but for case, accents and marks.
pub fn same(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::tz::Offset;
    use serde_json::json;

    #[test]
    fn documents_that_do_not_go_with_the_age_are_to_be_reviewed() {
        let reader =
            Reader { language: Language::Es, offset: Offset::UTC, now: "2026-11-23T12:00:00Z".parse().unwrap() };
        let check = |kind: &str, birth: &str, expected: Option<&str>| {
            let coding = json!([{"system": "urn:types", "code": kind}]);
            let patient = json!({"identifier": [{"use": "official", "type": {"coding": coding}, "value": "1099999412"}], "birthDate": birth});
            assert_eq!(review(&reader, &Systems::default(), &patient).as_deref(), expected, "{kind} {birth}");
        };
        check("TI", "2008-11-24", None);
        check("TI", "2008-11-23", Some("Cumplió 18 años: cambiar TI por CC"));
        check("RC", "2019-11-24", None);
        check("RC", "2019-11-23", Some("Cumplió 7 años: cambiar RC por TI"));
        check("CC", "1968-03-14", None);
        check("AS", "1968-03-14", Some("Sin documento: falta identificar"));
        check("XX", "1968-03-14", Some("Sin documento registrado"));
    }
}
