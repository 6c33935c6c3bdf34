//! Results are entered: for an order (`/resultados/orden/{id}`), all examinations of a panel in one form, or without an
//! order (`/resultados/nuevo/{patient}`). What is asked for is found by words or LOINC code unless the order says it.
//!
//! Each examination becomes an Observation, preliminary until somebody validates it, and together they are a
//! DiagnosticReport: `partial` while examinations of the panel are still to come, else `preliminary`.

use super::exam::{self, Exam};
use super::list::{self, List};
use super::value::{Measure, Names, limits, reference_of, typed};
use super::{DESK, find, is_critical, is_released, patient_of, who, words};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::encounter;
use crate::view::format::date_field;
use crate::view::loinc::{self, Hit};
use crate::view::observation::{Circumstances, concept, moment_of, observation, put};
use crate::view::page::{Item, Link, Message, Page, Tone};
use crate::view::patient::{self, Name, search};
use crate::view::record::words::{code_of, joined, list, text};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::{Value, json};

/// What is entered: one examination, or those of a panel.
struct Asked {
    code: &'static str,
    name: &'static str,
    exams: Vec<&'static Exam>,
    is_panel: bool,
}

impl Asked {
    fn of(visit: &Visit, code: &str) -> Option<Asked> {
        let language = visit.reader.language;
        if let Some(panel) = exam::panel(code) {
            return Some(Asked {
                code: panel.code,
                name: panel.name(language),
                exams: panel.exams.clone(),
                is_panel: true,
            });
        }
        let exam = exam::exam(code)?;
        Some(Asked { code: exam.common.code, name: exam.common.name(language), exams: vec![exam], is_panel: false })
    }
}

/// What a form is about.
struct Target {
    order: Option<Value>,
    person: Value,
    stay: Option<Value>,
    asked: Option<Asked>,
    answers: Answers,
    /// Earlier results of the same examinations, the last first.
    before: Vec<Value>,
}

/// Statuses of a result that counts: a cancelled one may be entered again.
const COUNTS: &str = "registered,preliminary,final,amended,corrected,appended";

/// What an order has by now.
#[derive(Default)]
struct Answers {
    /// Results that count.
    results: Vec<Value>,
    /// The report that waits for more.
    report: Option<Value>,
}

impl Answers {
    async fn of(unit: &mut Unit<'_>, order: &Value) -> Result<Answers> {
        let order = encoded(&format!("ServiceRequest/{}", text(order, "id")));
        let found = search(unit, "Observation", &format!("based-on={order}&_count=200")).await?;
        let counts = |one: &Value| is_released(one) || matches!(text(one, "status"), "preliminary" | "registered");
        let reports = search(unit, "DiagnosticReport", &format!("based-on={order}&status=partial&_count=1")).await?;
        let report = reports.resources.into_iter().next();
        Ok(Answers { results: found.resources.into_iter().filter(counts).collect(), report })
    }

    fn to(&self, exam: &Exam) -> Option<&Value> {
        self.results.iter().find(|one| code_of(one.get("code"), is_loinc) == exam.common.code)
    }

    /// What was typed although it is there by now.
    fn late<'a>(&'a self, form: &'a Form) -> impl Iterator<Item = (&'static Exam, &'a Value, &'a str)> {
        self.results.iter().filter_map(|one| {
            let exam = exam::exam(&code_of(one.get("code"), is_loinc))?;
            Some((exam, one, form.typed(&exam.value))).filter(|(.., typed)| !typed.is_empty())
        })
    }
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    code: &'static str,
    unit: &'static str,
    is_text: bool,
    /// Where it is critical, and what it was before.
    hint: String,
    fields: Vec<crate::view::sheet::Field>,
    critical: Option<crate::view::sheet::Field>,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    action: String,
    surnames: String,
    names: String,
    who: String,
    order: String,
    q: String,
    count: Option<String>,
    hits: Vec<Hit>,
    chosen: Option<Chosen>,
    list: List,
}

#[derive(Serialize)]
struct Chosen {
    name: &'static str,
    code: &'static str,
    change: Link,
    lines: Vec<Line>,
    is_panel: bool,
    fields: Fields,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let code = visit.draft.as_ref().map_or_else(|| visit.query.typed("codigo"), |draft| draft.typed("codigo"));
    let (target, list) = visit
        .unit(async |unit| {
            let target = target(unit, visit, code).await?;
            let list = list::of(unit, visit, Some(visit.part("id"))).await?;
            Ok((target, list))
        })
        .await?;
    shown(visit, 200, &target, list, visit.draft.as_ref(), Problems::default(), None)
}

/// Everything that the form needs to know, by the address and the code that was chosen.
async fn target(unit: &mut Unit<'_>, visit: &Visit, code: &str) -> Result<Target> {
    let is_order = !visit.path.starts_with(find::NEW);
    let order = if is_order { Some(patient::read(unit, "ServiceRequest", visit.part("id")).await?) } else { None };
    let id = order.as_ref().map_or_else(|| Ok(visit.part("id").to_owned()), patient_of)?;
    let person = patient::read(unit, "Patient", &id).await?;
    let id = encoded(text(&person, "id"));
    let stays = search(unit, "Encounter", &format!("patient={id}&status={}&_count=10", encounter::OPEN)).await?;
    let answers = match &order {
        Some(order) => Answers::of(unit, order).await?,
        None => Answers::default(),
    };
    let mut asked = match (&order, code) {
        // Another examination than the one that was ordered.
        (_, "") if !visit.query.typed("elegir").is_empty() => None,
        (Some(order), "") => code_list(order).iter().find_map(|code| Asked::of(visit, code)),
        (_, code) => Asked::of(visit, code),
    };
    // What the order has already is not asked for again.
    if let Some(asked) = &mut asked {
        asked.exams.retain(|exam| answers.to(exam).is_none());
    }
    let asked = asked.filter(|asked| !asked.exams.is_empty());
    let before = match &asked {
        Some(asked) => {
            let codes: Vec<String> =
                asked.exams.iter().map(|exam| format!("http://loinc.org|{}", exam.common.code)).collect();
            let codes = encoded(&codes.join(","));
            let query = format!("patient={id}&code={codes}&category=laboratory&_sort=-date&_count=100");
            search(unit, "Observation", &query).await?.resources
        }
        None => Vec::new(),
    };
    let stay = stays.resources.into_iter().next();
    Ok(Target { order, person, stay, asked, answers, before })
}

fn is_loinc(system: &str) -> bool {
    system == "http://loinc.org"
}

fn code_list(order: &Value) -> Vec<String> {
    let code = order.get("code");
    code.into_iter().flat_map(|code| list(code, "coding")).map(|coding| text(coding, "code").to_owned()).collect()
}

/// Examinations and panels that fit what was typed.
fn hits(visit: &Visit, q: &str) -> Vec<Hit> {
    let language = visit.reader.language;
    let href = |code: &str| format!("{}?codigo={}", visit.path, encoded(code));
    let panels = exam::panels(q).into_iter().map(|panel| (panel.code, panel.name(language), ""));
    let exams = loinc::search(q).into_iter().filter(|known| known.category == "laboratory");
    let exams = exams.map(|known| (known.code, known.name(language), known.unit));
    let all = panels.chain(exams).enumerate();
    all.map(|(n, (code, name, unit))| Hit { href: href(code), name, code, unit, first: n == 0 }).collect()
}

fn shown(
    visit: &Visit,
    status: u16,
    target: &Target,
    beside: List,
    form: Option<&Form>,
    problems: Problems,
    late: Option<Message>,
) -> Result<Reply> {
    let (reader, words) = (&visit.reader, words(visit));
    let mut page = visit.page(visit.text("lab.enter_title")).at(DESK).inside(DESK, visit.text("lab.list")).with(late);
    let q = visit.query.typed("q").to_owned();
    let found = if target.asked.is_some() { Vec::new() } else { hits(visit, &q) };
    let chosen = target.asked.as_ref().map(|asked| {
        let mut sheet = Sheet::new(reader, form, problems);
        asked.exams.iter().for_each(|exam| add_exam(visit, &mut sheet, target, exam));
        let now = reader.local(reader.now);
        sheet.line("fecha", "taken.date", &date_field(reader.today())).digits();
        sheet.line("hora", "taken.time", &format!("{:02}:{:02}", now.hour(), now.minute())).digits();
        if asked.is_panel {
            sheet.check("completo", "lab.complete", false).hint(visit.text("lab.complete_hint"));
        }
        page = page.clone().with(sheet.summary());
        let mut fields = sheet.fields();
        let lines = asked.exams.iter().map(|exam| line(visit, target, exam, &mut fields)).collect();
        let change = Link::new(format!("{}?elegir=1", visit.path), visit.text("lab.other_exam"));
        Chosen { name: asked.name, code: asked.code, change, lines, is_panel: asked.is_panel, fields }
    });
    let name = Name::of(&target.person);
    let order = target.order.as_ref().map_or_else(
        || visit.text("lab.without_order").to_owned(),
        |order| {
            let when = words.when(order, &["authoredOn"]).text;
            reader.fill("lab.ordered", &[("exam", &words.concept(order.get("code"))), ("date", &when)])
        },
    );
    let model = Model {
        page,
        action: visit.path.clone(),
        surnames: name.surnames,
        names: name.names,
        who: who(visit, &target.person, target.stay.as_ref()),
        order,
        count: (!q.is_empty()).then(|| reader.count("observe.found", i64::try_from(found.len()).unwrap_or(0))),
        q,
        hits: found,
        chosen,
        list: beside,
    };
    visit.show_as(status, "lab-enter", &model)
}

/// The fields of one examination; the reference is that of the last result of this patient, else that of the table.
fn add_exam(visit: &Visit, sheet: &mut Sheet<'_>, target: &Target, exam: &'static Exam) {
    if exam.common.is_text() {
        sheet.text(&exam.value, "lab.value", "");
        sheet.check(&exam.critical, "lab.is_critical", false);
        return;
    }
    let known = reference_of(visit, &target.person, exam.common.code);
    let range = before(target, exam).and_then(|one| list(one, "referenceRange").next());
    let end = |name: &str, table: Option<&str>| {
        let own = range.map(|range| range.get(name).and_then(|end| end.get("value")).map(Value::to_string));
        let digits = own.unwrap_or_else(|| table.map(str::to_owned)).unwrap_or_default();
        visit.reader.field(&digits)
    };
    sheet.line(&exam.value, "lab.value", "").inputmode = Some("decimal");
    sheet.line(&exam.low, "lab.low", &end("low", known.and_then(|known| known.low))).inputmode = Some("decimal");
    sheet.line(&exam.high, "lab.high", &end("high", known.and_then(|known| known.high))).inputmode = Some("decimal");
    // The table knows from where it is critical, or that it never is.
    if known.is_none() {
        sheet.check(&exam.critical, "lab.is_critical", false);
    }
}

/// The last result of an examination in its unit.
fn before<'t>(target: &'t Target, exam: &Exam) -> Option<&'t Value> {
    let same = |one: &&Value| {
        let unit = one.get("valueQuantity").map(|quantity| text(quantity, "code")).unwrap_or_default();
        codes_of(one).any(|code| code == exam.common.code) && unit == exam.common.ucum
    };
    target.before.iter().filter(|one| is_released(one)).find(same)
}

fn codes_of(resource: &Value) -> impl Iterator<Item = &str> {
    resource.get("code").into_iter().flat_map(|code| list(code, "coding")).map(|coding| text(coding, "code"))
}

fn line(visit: &Visit, target: &Target, exam: &'static Exam, fields: &mut Fields) -> Line {
    let reader = &visit.reader;
    let known = reference_of(visit, &target.person, exam.common.code);
    let words = words(visit);
    let last = before(target, exam).and_then(|one| {
        let value = words.measured(one)?.text;
        let when = words.when(one, &["effective", "issued"]).text;
        Some(reader.fill("lab.before", &[("value", &value), ("date", &when)]))
    });
    let hints = [known.map(|known| limits(reader, known)), last];
    Line {
        name: exam.common.name(reader.language),
        code: exam.common.code,
        unit: exam.common.unit,
        is_text: exam.common.is_text(),
        hint: joined(hints.into_iter().flatten(), " · "),
        fields: [&exam.value, &exam.low, &exam.high].iter().filter_map(|name| fields.remove(name.as_str())).collect(),
        critical: fields.remove(exam.critical.as_str()),
    }
}

pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let target = visit.unit(async |unit| target(unit, visit, form.typed("codigo")).await).await?;
    let mut problems = Problems::default();
    let made = match &target.asked {
        Some(asked) => made(visit, &target, asked, form, &mut problems),
        None if Asked::of(visit, form.typed("codigo")).is_some() => Vec::new(),
        None => return Err(Error::at(Kind::Value, "codigo", "not an examination of the list")),
    };
    if target.answers.late(form).next().is_some() {
        return faster(visit, form, problems).await;
    }
    let Some(asked) = target.asked.as_ref().filter(|_| problems.is_empty()) else {
        let list = visit.unit(async |unit| list::of(unit, visit, Some(visit.part("id"))).await).await?;
        return shown(visit, 422, &target, list, Some(form), problems, None);
    };
    let whole = !asked.is_panel || made.len() == asked.exams.len() || form.typed("completo") == "1";
    let done = visit.once(async |unit| keep(unit, &target, asked, &made, whole).await);
    match done.await {
        Err(error) if matches!(error.kind, Kind::MultipleMatches | Kind::StaleVersion) => {
            faster(visit, form, problems).await
        }
        done => {
            let to = done?;
            let said = if to == DESK { "said.lab_entered" } else { "said.lab_critical" };
            Ok(Reply::said(to, said))
        }
    }
}

/// Somebody was faster: what is stored beside what was typed, each a way to its correction with what was typed. What the
/// order still waits for stays in the form.
async fn faster(visit: &Visit, form: &Form, problems: Problems) -> Result<Reply> {
    let (target, beside) = visit
        .unit(async |unit| {
            let target = target(unit, visit, form.typed("codigo")).await?;
            Ok((target, list::of(unit, visit, Some(visit.part("id"))).await?))
        })
        .await?;
    let (reader, words) = (&visit.reader, words(visit));
    let mut items = Vec::new();
    for (exam, stored, typed) in target.answers.late(form) {
        let measured = words.measured(stored).unwrap_or_default();
        let value = joined([measured.text.as_str(), &measured.unit], " ");
        let at = reader.fhir(stored.get("meta").map(|meta| text(meta, "lastUpdated")).unwrap_or_default());
        let by = list(stored, "performer").map(|one| text(one, "display")).filter(|name| !name.is_empty()).last();
        let by = match by {
            Some(who) => reader.fill("conflict.stored_by", &[("who", who), ("time", &at)]),
            None => reader.fill("conflict.stored", &[("time", &at)]),
        };
        let name = exam.common.name(reader.language);
        let (key, href) = if measured.text == typed {
            ("lab.late_same", None)
        } else {
            let pairs = [("valor", typed), ("critico", form.typed(&exam.critical))];
            let to = visit.draft_for(&format!("{DESK}/{}", encoded(text(stored, "id"))), &pairs).await?;
            ("lab.late_line", Some(to))
        };
        let places = [("exam", name), ("stored", &value), ("by", &by), ("typed", typed)];
        items.push(Item { href, label: reader.fill(key, &places) });
    }
    let message = Message::new(Tone::Warn, reader.text("lab.entered_already"), reader.text("lab.entered_help"));
    let message = Message { alert: true, items, ..message };
    // What is wrong beside it is said at its field when this is done.
    let form = target.asked.is_some().then_some(form);
    let problems = if form.is_some() { problems } else { Problems::default() };
    shown(visit, 409, &target, beside, form, problems, Some(message))
}

/// The Observations of what was typed.
fn made(visit: &Visit, target: &Target, asked: &Asked, form: &Form, problems: &mut Problems) -> Vec<Value> {
    let born = text(&target.person, "birthDate");
    let at = moment_of(&visit.reader, born, form.typed("fecha"), form.typed("hora")).unwrap_or_else(|problem| {
        let (field, key) = problem.field();
        problems.add(field, visit.text(key));
        String::new()
    });
    let encounter = target.order.as_ref().and_then(|order| order.get("encounter")).cloned();
    let stay = target.stay.as_ref().map(encounter::id);
    let by = Circumstances { patient: text(&target.person, "id"), encounter: stay, at: &at, by: &visit.name };
    let mut all = Vec::new();
    for exam in asked.exams.iter().filter(|exam| !form.typed(&exam.value).is_empty()) {
        let common = exam.common;
        problems.long_text(&visit.reader, form, &[exam.value.as_str()]);
        let mut one = observation(&by, "laboratory", concept(&[common.code], common.name(visit.reader.language)));
        put(&mut one, "status", json!("preliminary"));
        put(&mut one, "issued", json!(visit.reader.now.to_string()));
        if let Some(encounter) = &encounter {
            put(&mut one, "encounter", encounter.clone());
        }
        if let Some(order) = &target.order {
            put(&mut one, "basedOn", json!([{"reference": format!("ServiceRequest/{}", text(order, "id"))}]));
        }
        let names = Names { value: &exam.value, low: &exam.low, high: &exam.high, critical: &exam.critical };
        let limits = reference_of(visit, &target.person, common.code);
        let measure = Measure { unit: common.unit, ucum: common.ucum, limits };
        typed(visit, &mut one, form, names, measure, problems);
        all.push(one);
    }
    if let Some(first) = asked.exams.first().filter(|_| all.is_empty()) {
        problems.add(&first.value, visit.text(if asked.is_panel { "lab.none_typed" } else { "form.missing" }));
    }
    all
}

/// Saves results and their report; where it leads: a critical one to its form, where the notice is written.
async fn keep(unit: &mut Unit<'_>, target: &Target, asked: &Asked, made: &[Value], whole: bool) -> Result<String> {
    let resource_type = patient::named("Observation")?;
    let (mut results, mut critical) = (Vec::new(), None);
    for one in made {
        let code = code_of(one.get("code"), is_loinc);
        let if_none_exist = of_order(target, &format!("code={}&status={COUNTS}", encoded(&code)));
        let location = created(unit, resource_type, one.clone(), if_none_exist).await?;
        let id = location.split('/').nth(1).ok_or_else(|| Error::internal("a result was saved without an id"))?;
        if is_critical(one) && critical.is_none() {
            critical = Some(format!("{DESK}/{}", encoded(id)));
        }
        results.push(json!({"reference": format!("Observation/{id}")}));
    }
    let status = if whole { "preliminary" } else { "partial" };
    let resource_type = patient::named("DiagnosticReport")?;
    if let Some(stored) = &target.answers.report {
        let mut report = stored.clone();
        let all: Vec<Value> = list(&report, "result").cloned().chain(results).collect();
        put(&mut report, "result", json!(all));
        put(&mut report, "status", json!(status));
        let (id, if_match) = (text(stored, "id").to_owned(), encounter::version(stored));
        unit.run(&Interaction::Update { resource_type, id, resource: Content::new(report), if_match }).await?;
    } else {
        let report = report(target, asked, made, results, status);
        created(unit, resource_type, report, of_order(target, "status=partial")).await?;
    }
    Ok(critical.unwrap_or_else(|| DESK.to_owned()))
}

/// The criteria under which something of the order is there already.
fn of_order(target: &Target, more: &str) -> Option<String> {
    let order = encoded(&format!("ServiceRequest/{}", text(target.order.as_ref()?, "id")));
    Some(format!("based-on={order}&{more}"))
}

/// Creates, and returns the location; what is there already somebody else has made meanwhile.
async fn created(
    unit: &mut Unit<'_>,
    resource_type: ResourceType,
    resource: Value,
    if_none_exist: Option<String>,
) -> Result<String> {
    let create = Interaction::Create { resource_type, resource: Content::new(resource), if_none_exist };
    let answer = unit.run(&create).await?;
    if answer.status != 201 {
        return Err(Error::new(Kind::MultipleMatches, "somebody else has entered this by now"));
    }
    Ok(answer.location.unwrap_or_default())
}

fn report(target: &Target, asked: &Asked, made: &[Value], results: Vec<Value>, status: &str) -> Value {
    let category = json!({"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"});
    let mut report = json!({
        "resourceType": "DiagnosticReport",
        "status": status,
        "category": [{"coding": [category]}],
        "code": concept(&[asked.code], asked.name),
        "result": results,
    });
    // What the results say of it, their report says too.
    for name in ["basedOn", "subject", "encounter", "effectiveDateTime", "issued", "performer"] {
        if let Some(value) = made.first().and_then(|one| one.get(name)) {
            put(&mut report, name, value.clone());
        }
    }
    // An order is reported under its own name.
    let ordered = target.order.as_ref().and_then(|order| order.get("code"));
    if let Some(code) = ordered.filter(|code| list(code, "coding").any(|coding| text(coding, "code") == asked.code)) {
        put(&mut report, "code", code.clone());
    }
    report
}
