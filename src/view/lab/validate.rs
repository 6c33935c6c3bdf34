//! `/resultados/{id}`: one result. Preliminary: its value, the notice of a critical value, and made final. Released: only a
//! new version, `corrected` when the value was wrong, `amended` when something was added; the old ones stay readable.
//!
//! A critical value is made final with its notice, or with the reason why nobody was told ([`notice`]). The reason of a
//! correction and what was added are notes of the Observation (author and time), which every reader of it shows.

use super::exam::{self, Reference};
use super::list::{self, List};
use super::notice::{self, Notice};
use super::value::{Measure, amount, code, interpreted, limits, reference_of};
use super::{DESK, Judged, follow, id_of, is_critical, is_released, patient_of, status, who, words};
use crate::error::{Kind, Result};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::conflict::{self, Pair};
use crate::view::correct::other;
use crate::view::encounter;
use crate::view::observation::{Amount, MomentProblem, field_of, float, moment, put};
use crate::view::page::{Badge, Flag, Link, Page};
use crate::view::patient::{self, Name, search};
use crate::view::record::words::{Words, code_of, joined, list, text};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::trend::{self, Band, Large, Mark};
use crate::view::visit::{Reply, Visit, encoded};
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use serde_json::{Value, json};

/// Earlier results that are read for the trend.
const EARLIER: usize = 20;

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    version: String,
    surnames: String,
    names: String,
    who: String,
    specimen: String,
    name: String,
    code: String,
    status: Badge,
    flag: Option<Flag>,
    /// Reference, limits, the value before.
    hint: String,
    trend: Option<Large>,
    notes: Vec<String>,
    /// The notice may be written; it must be, because nobody was told.
    notice: bool,
    released: bool,
    versions: Link,
    chart: Link,
    fields: Fields,
    list: List,
}

/// What the page knows.
struct Known {
    result: Value,
    person: Value,
    stay: Option<Value>,
    specimen: Option<Value>,
    /// Results of the same examination, this one among them, the last first.
    series: Vec<Value>,
}

async fn known(unit: &mut Unit<'_>, visit: &Visit) -> Result<Known> {
    let result = patient::read(unit, "Observation", visit.part("id")).await?;
    let person = patient::read(unit, "Patient", &patient_of(&result)?).await?;
    let id = encoded(text(&person, "id"));
    let stays = search(unit, "Encounter", &format!("patient={id}&status={}&_count=10", encounter::OPEN)).await?;
    let specimen = match result.get("specimen").map(id_of).filter(|id| !id.is_empty()) {
        Some(specimen) => {
            search(unit, "Specimen", &format!("_id={}&_count=1", encoded(specimen))).await?.resources.into_iter().next()
        }
        None => None,
    };
    let loinc = code_of(result.get("code"), |system| system == "http://loinc.org");
    let series = match loinc.as_str() {
        "" => Vec::new(),
        loinc => {
            let code = encoded(&format!("http://loinc.org|{loinc}"));
            let query = format!("patient={id}&code={code}&_sort=-date&_count={EARLIER}");
            search(unit, "Observation", &query).await?.resources
        }
    };
    Ok(Known { result, person, stay: stays.resources.into_iter().next(), specimen, series })
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let (known, list) = visit
        .unit(async |unit| {
            let known = known(unit, visit).await?;
            let list = list::of(unit, visit, Some(visit.part("id"))).await?;
            Ok((known, list))
        })
        .await?;
    shown(visit, 200, &known, list, visit.draft.as_ref(), Problems::default())
}

/// The value as the field writes it.
fn stored_value(words: &Words<'_>, result: &Value) -> String {
    match result.get("valueQuantity") {
        Some(quantity) => field_of(words.reader, quantity),
        None => text(result, "valueString").to_owned(),
    }
}

/// The fields, by what is stored and what was typed: the notice is asked for when the value is critical, also the typed one.
fn sheet<'v>(visit: &'v Visit, known: &Known, form: Option<&'v Form>, problems: Problems) -> (Sheet<'v>, bool) {
    let (words, result) = (words(visit), &known.result);
    let released = is_released(result);
    let mut typed = result.clone();
    if let Some(form) = form {
        changed(visit, known, &mut typed, form, &mut Problems::default());
    }
    let told = notice::of(result).is_some_and(|notice| notice.is_told());
    let notice = is_critical(&typed) && (!told || stored_value(&words, result) != stored_value(&words, &typed));
    let mut sheet = Sheet::new(&visit.reader, form, problems);
    if let Some((unit, _)) = unit_of(result) {
        let shown = words.measured(result).map(|value| value.unit).filter(|unit| !unit.is_empty());
        sheet.line("valor", "lab.value", &stored_value(&words, result)).unit(shown.unwrap_or(unit));
    } else {
        sheet.text("valor", "lab.value", &stored_value(&words, result));
    }
    if asks_critical(visit, known) {
        sheet.check("critico", "lab.is_critical", is_critical(result));
    }
    sheet.text("nota", if released { "lab.added" } else { "lab.comment" }, "").optional();
    if released {
        sheet.line("motivo", "lab.reason", "").hint(visit.text("lab.reason_hint"));
    }
    if notice {
        sheet.line("aviso", "lab.told", "");
        sheet.line("hora", "lab.told_at", "").digits();
        sheet.check("repitio", "lab.read_back", false);
        sheet.line("sinaviso", "lab.why_untold", "").optional();
    }
    (sheet, notice)
}

fn shown(
    visit: &Visit,
    code: u16,
    known: &Known,
    beside: List,
    form: Option<&Form>,
    problems: Problems,
) -> Result<Reply> {
    let (words, result, person) = (words(visit), &known.result, &known.person);
    let released = is_released(result);
    let (sheet, notice) = sheet(visit, known, form, problems);
    let title = visit.text(if released { "lab.amend_title" } else { "lab.validate_title" });
    let page = visit.page(title).at(DESK).inside(DESK, visit.text("lab.list"));
    let page = Page { message: sheet.summary().or(page.message.clone()), ..page };
    let (name, id) = (Name::of(person), text(person, "id"));
    let (trend, hint) = story(visit, &words, known);
    let typed_version = form.map(|form| form.typed("version")).filter(|typed| !typed.is_empty());
    let note = |note: &Value| {
        let who = joined([text(note, "authorString"), &visit.reader.fhir(text(note, "time"))], ", ");
        joined([text(note, "text").to_owned(), who], " · ")
    };
    let model = Model {
        page,
        action: visit.path.clone(),
        version: typed_version.map_or_else(|| version(result), str::to_owned),
        surnames: name.surnames,
        names: name.names,
        who: who(visit, person, known.stay.as_ref()),
        specimen: taken(&words, result, known.specimen.as_ref()),
        name: words.concept(result.get("code")),
        code: code_of(result.get("code"), |system| system == "http://loinc.org"),
        status: status(visit, result),
        flag: Judged::of(result).map(|judged| judged.flag(&visit.reader)),
        hint,
        trend,
        notes: list(result, "note").map(note).collect(),
        notice,
        released,
        versions: Link::new(chart::entry(id, "Observation", text(result, "id")), visit.text("lab.versions")),
        chart: Link::new(chart::address(&encoded(id)), visit.text("lab.chart")),
        fields: sheet.fields(),
        list: beside,
    };
    visit.show_as(code, "lab-validate", &model)
}

fn version(resource: &Value) -> String {
    encounter::version(resource).map(|version| version.to_string()).unwrap_or_default()
}

/// `Suero · tomada hoy 05:31 · recibida hoy 05:40`.
fn taken(words: &Words<'_>, result: &Value, specimen: Option<&Value>) -> String {
    let reader = words.reader;
    let said = |key: &str, at: &str| {
        if at.is_empty() { String::new() } else { reader.fill(key, &[("date", &reader.fhir(at))]) }
    };
    let kind = words.concept(specimen.and_then(|specimen| specimen.get("type")));
    let received = said("lab.received", specimen.map(|specimen| text(specimen, "receivedTime")).unwrap_or_default());
    joined([kind, said("lab.taken", &words.when(result, &["effective"]).iso), received], " · ")
}

/// The trend with values and dates, and reference, limits and the value before in words.
fn story(visit: &Visit, words: &Words<'_>, known: &Known) -> (Option<Large>, String) {
    let (reader, result) = (&visit.reader, &known.result);
    let at = |one: &Value| words.when(one, &["effective", "issued"]);
    let (own, unit) = (at(result).at, words.measured(result).unwrap_or_default().unit);
    let mut series: Vec<(i64, Option<Timestamp>, trend::Value)> = Vec::new();
    for one in &known.series {
        let (when, here) = (at(one), text(one, "id") == text(result, "id"));
        let Some(value) = words.measured(one).filter(|value| value.unit == unit) else { continue };
        let counts = here || ((is_released(one) || text(one, "status") == "preliminary") && when.at < own);
        let (Some(number), Some(day)) = (value.number.filter(|_| counts), reader.day_of(&when.iso)) else { continue };
        let moment = if when.iso.len() > 10 { when.iso.parse().ok() } else { None };
        series.push((when.at, moment, trend::Value { number, text: value.text, date: reader.short_date(day) }));
    }
    series.sort_by_key(|(at, ..)| *at);
    let days: Vec<String> = series.iter().map(|(.., value)| value.date.clone()).collect();
    let today = reader.short_date(reader.today());
    for (_, moment, value) in &mut series {
        // Several on one day are told apart by their time.
        if let Some(at) =
            moment.filter(|_| days.iter().filter(|day| **day == value.date).count() > 1 || value.date == today)
        {
            let day = value.date.split(' ').next().unwrap_or_default();
            value.date = if value.date == today { reader.time(at) } else { format!("{day}, {}", reader.time(at)) };
        }
    }
    let before = series.len().checked_sub(2).and_then(|n| series.get(n)).map(|(_, moment, value)| {
        let date = moment.map_or_else(|| value.date.clone(), |at| reader.short_moment(at));
        reader.fill("lab.before", &[("value", &value.text), ("date", &date)])
    });
    let series: Vec<trend::Value> = series.into_iter().map(|(.., value)| value).collect();
    let range = list(result, "referenceRange").next();
    let digits = |name: &str| range.and_then(|range| range.get(name)).and_then(|end| end.get("value"));
    let band = Band { low: digits("low").map(float), high: digits("high").map(float) };
    let shown = |name: &str| digits(name).map(|end| reader.number(&end.to_string()));
    let mark = match Judged::of(result).map(|judged| judged.tone) {
        Some("crit") => Mark::Crit,
        Some("high") => Mark::High,
        Some("low") => Mark::Low,
        _ => Mark::Normal,
    };
    let name = words.concept(result.get("code"));
    let chart = trend::large(
        &series,
        band,
        mark,
        (shown("low"), shown("high")),
        trend::sentence(reader, &name, &series, &unit),
    );
    let reference = range.map(|range| words.range(range.get("low"), range.get("high"))).unwrap_or_default();
    let reference = if reference.is_empty() { reference } else { format!("{} {reference}", visit.text("result.ref")) };
    let known_limits = limits_of(visit, known);
    let hints = [Some(reference), known_limits.map(|known| limits(reader, known)), before];
    (chart, joined(hints.into_iter().flatten(), " · "))
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let known = visit.unit(async |unit| known(unit, visit).await).await?;
    let mut problems = Problems::default();
    let result = applied(visit, &known, form, &mut problems);
    if !problems.is_empty() {
        let list = visit.unit(async |unit| list::of(unit, visit, Some(visit.part("id"))).await).await?;
        return shown(visit, 422, &known, list, Some(form), problems);
    }
    let if_match = Some(form.typed("version").parse::<i64>().unwrap_or(0));
    let saved = visit.once(async |unit| {
        // Before its first write: report and order wait for whoever makes another of their results final now.
        unit.lock_what_is_read();
        let resource_type = patient::named("Observation")?;
        let (id, resource) = (text(&result, "id").to_owned(), Content::new(result.clone()));
        unit.run(&Interaction::Update { resource_type, id, resource, if_match }).await?;
        if is_released(&result) {
            follow::result(unit, &result).await?;
        }
        Ok(DESK.to_owned())
    });
    let said = match text(&result, "status") {
        "final" => "said.lab_final",
        "corrected" => "said.lab_corrected",
        "amended" => "said.lab_amended",
        _ => "said.lab_entered",
    };
    match saved.await {
        Err(error) if error.kind == Kind::StaleVersion => conflicting(visit, form).await,
        done => Ok(Reply::said(done?, said)),
    }
}

/// The next version, as the form says it.
fn applied(visit: &Visit, known: &Known, form: &Form, problems: &mut Problems) -> Value {
    let stored = &known.result;
    let mut result = stored.clone();
    let released = is_released(stored);
    problems.long_text(&visit.reader, form, &["valor", "nota", "motivo", "aviso", "sinaviso"]);
    let other_value = changed(visit, known, &mut result, form, problems);
    let mut notes: Vec<Value> = list(stored, "note").cloned().collect();
    let note = |said: String| json!({"authorString": visit.name, "time": visit.reader.now.to_string(), "text": said});
    let notice = said_of_notice(visit, form, problems);
    let is_final = form.typed("hacer") != "preliminar" || released;
    let wanted = is_critical(&result) && (other_value || notice::of(stored).is_none());
    if is_final && wanted && notice.is_none() && problems.is_empty() {
        problems.add("aviso", visit.text("lab.notice_missing"));
    }
    if released && other_value {
        match form.typed("motivo") {
            "" => problems.add("motivo", visit.text("form.missing")),
            reason => notes.push(note(visit.reader.fill("lab.reason_note", &[("text", reason)]))),
        }
    }
    let added = form.typed("nota");
    if released && !other_value && added.is_empty() && notice.is_none() {
        problems.add("valor", visit.text("lab.nothing_new"));
    }
    notes.extend((!added.is_empty()).then(|| note(added.to_owned())));
    notes.extend(notice.map(|notice| notice.note(&visit.reader, &visit.name)));
    if !notes.is_empty() {
        put(&mut result, "note", json!(notes));
    }
    let next = match (released, is_final) {
        // What was once corrected does not look as if nothing had been wrong.
        (true, _) if other_value || text(stored, "status") == "corrected" => "corrected",
        (true, _) => "amended",
        (false, true) => "final",
        (false, false) => "preliminary",
    };
    put(&mut result, "status", json!(next));
    put(&mut result, "issued", json!(visit.reader.now.to_string()));
    let mut performers: Vec<Value> = list(stored, "performer").cloned().collect();
    if !performers.iter().any(|known| text(known, "display") == visit.name) {
        performers.push(json!({"display": visit.name}));
        put(&mut result, "performer", json!(performers));
    }
    result
}

/// What the form says of the notice; nothing when its fields are empty.
fn said_of_notice(visit: &Visit, form: &Form, problems: &mut Problems) -> Option<Notice> {
    let (whom, hour, why) = (form.typed("aviso"), form.typed("hora"), form.typed("sinaviso"));
    if whom.is_empty() && hour.is_empty() {
        if form.typed("repitio") == "1" {
            problems.add("aviso", visit.text("form.missing"));
        }
        return (!why.is_empty()).then(|| Notice::NotTold { why: why.to_owned() });
    }
    if whom.is_empty() {
        problems.add("aviso", visit.text("form.missing"));
    }
    if form.typed("repitio") != "1" {
        problems.add("repitio", visit.text("lab.read_back_missing"));
    }
    if !why.is_empty() {
        problems.add("sinaviso", visit.text("lab.told_or_not"));
    }
    // A time that is still to come was that of yesterday.
    let (today, yesterday) = (visit.reader.today(), visit.reader.today().saturating_sub(1.day()));
    let at = match moment(&visit.reader, &today.to_string(), hour) {
        Err(MomentProblem::Future) => moment(&visit.reader, &yesterday.to_string(), hour),
        at => at,
    };
    match at {
        Ok(at) => Some(Notice::Told { whom: whom.to_owned(), at }),
        Err(_) => {
            problems.add("hora", visit.text("taken.time_wrong"));
            None
        }
    }
}

fn limits_of(visit: &Visit, known: &Known) -> Option<&'static Reference> {
    reference_of(visit, &known.person, &code_of(known.result.get("code"), |system| system == "http://loinc.org"))
}

/// Whether a person says that it is critical, because no limit does.
fn asks_critical(visit: &Visit, known: &Known) -> bool {
    limits_of(visit, known).is_none_or(|limits| {
        is_critical(&known.result) && limits.critical_low.is_none() && limits.critical_high.is_none()
    })
}

/// Unit and UCUM code of a number; none when the value is text. What was not measured has those of its examination.
fn unit_of(result: &Value) -> Option<(String, String)> {
    if let Some(quantity) = result.get("valueQuantity") {
        return Some((text(quantity, "unit").to_owned(), text(quantity, "code").to_owned()));
    }
    let members = result.as_object()?;
    let exam = exam::exam(&code_of(result.get("code"), |system| system == "http://loinc.org"))?.common;
    let is_measured = members.keys().any(|name| name.starts_with("value")) || exam.is_text();
    (!is_measured).then(|| (exam.unit.to_owned(), exam.ucum.to_owned()))
}

/// Puts another value in, and judges it: what was said of the old one goes unless it is true of the new one too. Whether it
/// is another, or is judged otherwise.
fn changed(visit: &Visit, known: &Known, result: &mut Value, form: &Form, problems: &mut Problems) -> bool {
    let (typed, stored) = (form.typed("valor"), stored_value(&words(visit), result));
    let said = if asks_critical(visit, known) { Some(form.typed("critico") == "1") } else { None };
    let (is_same, is_critical) = (typed == stored, said == Some(true));
    if is_same && said.is_none_or(|said| said == self::is_critical(result)) {
        return false;
    }
    // What has no value may be made final as it is: it says why.
    if typed.is_empty() && !is_same {
        problems.add("valor", visit.text("form.missing"));
        return false;
    }
    let is_coded =
        |name: &String| name.starts_with("value") && !matches!(name.as_str(), "valueQuantity" | "valueString");
    if !is_same && result.as_object().is_some_and(|members| members.keys().any(is_coded)) {
        problems.add("valor", visit.text("lab.coded"));
        return false;
    }
    let limits = limits_of(visit, known);
    let number = match unit_of(result) {
        _ if is_same => result.get("valueQuantity").and_then(Amount::of),
        Some((unit, ucum)) => {
            let of = Measure { unit: &unit, ucum: &ucum, limits };
            let system = result.get("valueQuantity").and_then(|quantity| quantity.get("system")).cloned();
            let Some(value) = amount(visit, result, "valor", typed, of, problems) else { return false };
            // A code of another system stays one.
            if let (Some(system), Some(quantity)) = (system, result.get_mut("valueQuantity")) {
                put(quantity, "system", system);
            }
            Some(value)
        }
        None => {
            put(result, "valueString", json!(typed));
            None
        }
    };
    if let Some(members) = result.as_object_mut().filter(|_| !is_same) {
        members.shift_remove("dataAbsentReason");
    }
    let range = list(result, "referenceRange").next();
    let end = |name: &str| range.and_then(|range| range.get(name)).and_then(|end| end.get("value")).map(float);
    let judged = match number {
        Some(number) => code(number, (end("low"), end("high")), limits, is_critical),
        None => is_critical.then_some("AA"),
    };
    interpreted(result, judged);
    true
}

/// Somebody was faster: both versions, and who it was.
async fn conflicting(visit: &Visit, form: &Form) -> Result<Reply> {
    let stored = visit.unit(async |unit| patient::read(unit, "Observation", visit.part("id")).await).await?;
    let other = other(visit, &patient_of(&stored)?, "Observation", &stored).await?;
    let value = stored_value(&words(visit), &stored);
    let typed = form.typed("valor").to_owned();
    let pair = Pair {
        name: "valor",
        label: visit.text("lab.value").to_owned(),
        stored_shown: value.clone(),
        stored: value,
        typed_shown: typed.clone(),
        typed,
    };
    let names = ["motivo", "nota", "aviso", "hora", "repitio", "sinaviso", "critico", "hacer"];
    let mut carried: Vec<(String, String)> =
        names.iter().map(|name| ((*name).to_owned(), form.typed(name).to_owned())).collect();
    carried.push(("version".to_owned(), version(&stored)));
    let page = visit.page(visit.text("conflict.title")).at(DESK);
    conflict::page(visit, page, vec![pair], carried, &other, &visit.path)
}
