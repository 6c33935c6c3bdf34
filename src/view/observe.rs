//! `/paciente/{id}/agregar` and `/paciente/{id}/observacion`: any other observation. First it is found by words in Spanish
//! or English in a list of common ones, then its value is recorded.

use crate::error::{Error, Kind, Result};
use crate::interaction::{Content, Interaction};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::format::{NumberProblem, date_field};
use crate::view::lab::exam::Reference;
use crate::view::lab::value::{code, interpreted, reference_of};
use crate::view::loinc::{self, Common, Hit};
use crate::view::observation::{
    self, Amount, Circumstances, concept, float, impossible, judge, moment_of, number, put, quantity,
};
use crate::view::page::{Link, Page};
use crate::view::panels;
use crate::view::patient::named;
use crate::view::record::clinical::AllergyState;
use crate::view::record::{Extent, Record};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::signs::encounter;
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Choices {
    page: Page,
    links: Vec<Choice>,
}

#[derive(Serialize)]
struct Choice {
    href: String,
    label: &'static str,
    text: &'static str,
}

/// What can be recorded.
pub async fn add(visit: &Visit) -> Result<Reply> {
    let record = chart::of(visit, Extent::Banner).await?;
    let to = |part: &str| format!("{}/{part}", chart::address(&record.id));
    let links = [
        ("signos", "add.signs", "add.signs_help"),
        ("observacion", "add.observation", "add.observation_help"),
        ("problema", "add.problem", "add.problem_help"),
        ("medicacion", "add.medication", "add.medication_help"),
        ("alergia", "add.allergy", "add.allergy_help"),
        ("sin-alergias", "banner.no_allergies", "add.no_allergies_help"),
    ];
    let is_known = record.allergies.state == AllergyState::Known;
    let links = links
        .into_iter()
        .filter(|(part, ..)| !(is_known && *part == "sin-alergias"))
        .map(|(part, label, text)| Choice { href: to(part), label: visit.text(label), text: visit.text(text) })
        .collect();
    visit.show("add", &Choices { page: chart::inner(visit, &record, visit.text("chart.add")), links })
}

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    back: String,
    q: String,
    hits: Vec<Hit>,
    count: Option<String>,
    chosen: Option<Chosen>,
}

#[derive(Serialize)]
struct Chosen {
    name: &'static str,
    code: &'static str,
    change: Link,
    is_text: bool,
    before: Option<String>,
    fields: Fields,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let code = visit.draft.as_ref().map_or_else(|| visit.query.typed("codigo"), |draft| draft.typed("codigo"));
    let chosen = loinc::find(code);
    let record = chart::of(visit, if chosen.is_some() { Extent::Results } else { Extent::Banner }).await?;
    shown(visit, &record, chosen, visit.draft.as_ref(), Problems::default(), 200)
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Results).await?;
    let Some(common) = loinc::find(form.typed("codigo")) else {
        return Err(Error::at(Kind::Value, "codigo", "not a code of the list"));
    };
    let mut problems = Problems::default();
    let at = match moment_of(&visit.reader, &record.who.birth.iso, form.typed("fecha"), form.typed("hora")) {
        Ok(at) => at,
        Err(problem) => {
            let (field, key) = problem.field();
            problems.add(field, visit.text(key));
            String::new()
        }
    };
    let of = Circumstances { patient: &record.id, encounter: encounter(&record), at: &at, by: &visit.name };
    let made = made(visit, &of, common, limits_of(visit, &record, common), form, &mut problems);
    if !problems.is_empty() {
        return shown(visit, &record, Some(common), Some(form), problems, 422);
    }
    let resource_type = named("Observation")?;
    let done = visit.once(async |unit| {
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None })
            .await?;
        Ok(chart::address(&record.id))
    });
    Ok(Reply::said(done.await?, "said.saved"))
}

/// What the laboratory's table says of an examination of this person.
pub fn limits_of(visit: &Visit, record: &Record, common: &Common) -> Option<&'static Reference> {
    let person = json!({"birthDate": record.who.birth.iso, "gender": record.who.gender});
    reference_of(visit, &person, common.code).filter(|_| common.category == "laboratory")
}

fn judged(
    made: &mut Value,
    amount: Amount,
    (low, high): (Option<Value>, Option<Value>),
    common: &Common,
    limits: &Reference,
) {
    let range = (low.as_ref().map(float), high.as_ref().map(float));
    judge(made, amount, (low, high), common.unit, common.ucum);
    interpreted(made, code(amount, range, Some(limits), false));
}

fn made(
    visit: &Visit,
    of: &Circumstances<'_>,
    common: &Common,
    limits: Option<&Reference>,
    form: &Form,
    problems: &mut Problems,
) -> Value {
    let name = common.name(visit.reader.language);
    let mut made = observation::observation(of, common.category, concept(&[common.code], name));
    let typed = form.typed("valor");
    problems.long_text(&visit.reader, form, &["valor", "nota"]);
    if typed.is_empty() {
        problems.add("valor", visit.text("form.missing"));
    } else if common.is_text() {
        put(&mut made, "valueString", json!(typed));
    } else {
        let (comparator, digits) = comparator(typed);
        if let Some(value) = numbered(visit, "valor", digits, problems) {
            let mut amount = quantity(&value, common.unit, common.ucum);
            if let Some(comparator) = comparator {
                put(&mut amount, "comparator", json!(comparator));
            }
            put(&mut made, "valueQuantity", amount);
            if let Some(text) = impossible(&visit.reader, &value, common.unit, loinc::possible(common.code)) {
                problems.add("valor", text);
            }
            let mut end = |field: &'static str| {
                Some(form.typed(field))
                    .filter(|typed| !typed.is_empty())
                    .and_then(|typed| numbered(visit, field, typed, problems))
            };
            let ends = (end("minimo"), end("maximo"));
            if let (Some(low), Some(high)) = (&ends.0, &ends.1)
                && float(low) > float(high)
            {
                problems.add("maximo", visit.text("observe.range_order"));
            }
            let amount = Amount { number: float(&value), comparator };
            if let Some(limits) = limits {
                // From where it is critical the laboratory's table knows.
                judged(&mut made, amount, ends, common, limits);
            } else {
                judge(&mut made, amount, ends, common.unit, common.ucum);
            }
        }
    }
    if !form.typed("nota").is_empty() {
        put(&mut made, "note", json!([{"authorString": of.by, "time": of.at, "text": form.typed("nota")}]));
    }
    made
}

/// `<5` and `>5`: less or more than the method measures.
pub fn comparator(typed: &str) -> (Option<&'static str>, &str) {
    let known = [("<=", "<="), (">=", ">="), ("≤", "<="), ("≥", ">="), ("<", "<"), (">", ">")];
    let found =
        known.into_iter().find_map(|(sign, code)| typed.strip_prefix(sign).map(|rest| (Some(code), rest.trim())));
    found.unwrap_or((None, typed))
}

/// The number of a field; what is wrong with it goes to the problems.
pub fn numbered(visit: &Visit, field: &'static str, typed: &str, problems: &mut Problems) -> Option<Value> {
    match number(typed, visit.reader.language) {
        Ok(value) => Some(value),
        Err(problem) => {
            problems.add(
                field,
                visit.text(if problem == NumberProblem::Ambiguous { "number.ambiguous" } else { "number.none" }),
            );
            None
        }
    }
}

fn shown(
    visit: &Visit,
    record: &Record,
    common: Option<&'static Common>,
    typed: Option<&Form>,
    problems: Problems,
    status: u16,
) -> Result<Reply> {
    let reader = &visit.reader;
    let (q, action) = (visit.query.typed("q").to_owned(), format!("{}/observacion", chart::address(&record.id)));
    let found = if common.is_some() { Vec::new() } else { loinc::search(&q) };
    let hit = |(n, known): (usize, &&'static Common)| Hit {
        href: format!("{action}?codigo={}", encoded(known.code)),
        name: known.name(reader.language),
        code: known.code,
        unit: known.unit,
        first: n == 0,
    };
    let hits: Vec<Hit> = found.iter().enumerate().map(hit).collect();
    let count = (!q.is_empty()).then(|| reader.count("observe.found", i64::try_from(hits.len()).unwrap_or(0)));
    let page = chart::inner(visit, record, reader.text("observe.title"));
    let (page, chosen) = match common {
        None => (page, None),
        Some(common) => {
            let mut sheet = Sheet::new(reader, typed, problems);
            let value = sheet.line("valor", "observe.value", "");
            if !common.is_text() {
                value
                    .unit(if common.unit.is_empty() { "" } else { common.unit })
                    .hint(reader.text("observe.value_hint"));
                let known = limits_of(visit, record, common);
                let end = |end: Option<&str>| end.map(|end| reader.field(end)).unwrap_or_default();
                let (low, high) = (end(known.and_then(|of| of.low)), end(known.and_then(|of| of.high)));
                sheet.line("minimo", "observe.low", &low).optional().digits();
                sheet.line("maximo", "observe.high", &high).optional().digits();
            }
            let now = reader.local(reader.now);
            sheet
                .line("fecha", "taken.date", &date_field(reader.today()))
                .hint(reader.text("taken.date_hint"))
                .digits();
            sheet
                .line("hora", "taken.time", &format!("{:02}:{:02}", now.hour(), now.minute()))
                .hint(reader.text("taken.time_hint"))
                .digits();
            sheet.text("nota", "observe.note", "").optional();
            let page = match sheet.summary() {
                Some(summary) => page.says(summary),
                None => page,
            };
            let before = rows(record)
                .find(|row| row.code == common.code)
                .map(|row| format!("{} · {}", panels::value_of(&row.last), panels::moment(visit, &row.last)));
            let change = Link::new(action.clone(), reader.text("observe.change"));
            let chosen = Chosen {
                name: common.name(reader.language),
                code: common.code,
                change,
                is_text: common.is_text(),
                before,
                fields: sheet.fields(),
            };
            (page, Some(chosen))
        }
    };
    visit.show_as(status, "observe", &Model { page, action, back: chart::address(&record.id), q, hits, count, chosen })
}

/// All rows of observations.
pub fn rows(record: &Record) -> impl Iterator<Item = &crate::view::record::results::Row> {
    let groups = record.results.iter().chain(&record.observations).flat_map(|group| &group.rows);
    groups.chain(&record.signs.rows)
}

#[cfg(test)]
mod tests {
    use super::comparator;

    #[test]
    fn comparators_stand_before_the_number() {
        let check = |typed: &str, expected: (Option<&str>, &str)| assert_eq!(comparator(typed), expected, "{typed}");
        check("< 5", (Some("<"), "5"));
        check("≥5,0", (Some(">="), "5,0"));
        check("<=5", (Some("<="), "5"));
        check("5", (None, "5"));
    }
}
