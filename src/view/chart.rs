//! `/paciente/{id}`: the chart on one screen, as far as the role may see it; as JSON the Bundle of `$everything`.
//!
//! Sections that the role may not see are absent. The order is that of the design language: what is critical, results and
//! signs, problems, medication, encounters, then everything else that is recorded.

use crate::access::Role;
use crate::error::Result;
use crate::interaction;
use crate::view::export;
use crate::view::page::{self, Badge, Link, Message, Page, Tone};
use crate::view::patient::{Act, Allergies, Allergy, Banner, Fact};
use crate::view::record::clinical::{AllergyState, Item};
use crate::view::record::results::{Flag, Group, Reading, Row, Signs};
use crate::view::record::{self, Record, Sees};
use crate::view::trend;
use crate::view::visit::{Reply, Visit, encoded};
use jiff::Timestamp;
use serde::Serialize;

/// Lines of a panel, and rows of results, before "see all".
const LINES: usize = 6;
const ROWS: usize = 9;
/// The query parameter that shows everything.
const WHOLE: &str = "todo";

/// A panel of lines.
#[derive(Serialize)]
struct Lines {
    id: &'static str,
    title: String,
    count: Option<String>,
    items: Vec<Line>,
    add: Option<Link>,
    more: Option<Link>,
    none: &'static str,
}

#[derive(Serialize)]
struct Line {
    href: String,
    what: String,
    code: String,
    second: String,
    badge: Option<Badge>,
    now: bool,
}

/// The partial `result`.
#[derive(Serialize)]
struct ResultRow {
    critical: bool,
    href: String,
    name: String,
    value: String,
    unit: String,
    tone: Option<&'static str>,
    flag: Option<page::Flag>,
    reference: String,
    trend: Option<trend::Small>,
    status: Option<Badge>,
}

#[derive(Serialize)]
struct Results {
    title: String,
    when: String,
    rows: Vec<ResultRow>,
}

#[derive(Serialize)]
struct SignRow {
    href: String,
    name: String,
    unit: String,
    earlier: Vec<String>,
    last: String,
    before: Option<String>,
    tone: Option<&'static str>,
    flag: Option<page::Flag>,
    trend: Option<trend::Small>,
}

#[derive(Serialize)]
struct SignTable {
    times: Vec<String>,
    last: String,
    rows: Vec<SignRow>,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    sees: Sees,
    writes: bool,
    critical: Vec<Message>,
    results: Vec<Results>,
    results_more: Option<Link>,
    signs: SignTable,
    problems: Lines,
    medication: Lines,
    visits: Lines,
    others: Vec<Lines>,
    observations: Vec<Results>,
    facts: Vec<record::who::Fact>,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    if !visit.wants_html {
        return bundle(visit).await;
    }
    let record = of(visit).await?;
    let whole = visit.query.get(WHOLE).is_some();
    let page = visit.page(record.who.full_name()).about(banner(visit, &record));
    let page = match visit.caller.role {
        Role::Medico => page.inside("/medico", visit.text("medico.patients")),
        role => page.inside(page::home(role), visit.text("chart.back")),
    };
    let model = model(visit, page, &record, whole);
    visit.show("chart-page", &model)
}

/// `application/fhir+json`: the Bundle, paged as the query says.
async fn bundle(visit: &Visit) -> Result<Reply> {
    let query = visit.address.split_once('?').map_or("", |(_, query)| query);
    let done = interaction::show(&visit.app, &visit.caller, visit.part("id"), query, "operation", async |answer| {
        Ok((answer.body.unwrap_or_default(), "$everything".to_owned()))
    });
    Ok(Reply::Fhir { body: done.await? })
}

/// `/exportar_pdf/{id}`: the same record on paper.
pub async fn pdf(visit: &Visit) -> Result<Reply> {
    let document = export::pdf(&visit.app, &visit.caller, &visit.reader, visit.part("id")).await?;
    Ok(Reply::File { media_type: "application/pdf", name: "historia-clinica.pdf", bytes: document.bytes })
}

/// The record that the address means.
pub async fn of(visit: &Visit) -> Result<Record> {
    record::page(&visit.app, &visit.caller, &visit.reader, visit.part("id")).await
}

/// Whether the role records what is clinical.
pub fn writes(visit: &Visit) -> bool {
    visit.caller.role == Role::Medico
}

/// The address of a patient's chart.
pub fn address(id: &str) -> String {
    format!("/paciente/{}", encoded(id))
}

/// The address of one entry: its versions.
pub fn entry(patient: &str, kind: &str, id: &str) -> String {
    format!("{}/registro/{kind}/{}", address(patient), encoded(id))
}

/// A page inside the chart: the banner without its buttons, and the way back.
pub fn inner(visit: &Visit, record: &Record, title: impl Into<String>) -> Page {
    let banner = Banner { actions: Vec::new(), ..banner(visit, record) };
    visit.page(title).about(banner).inside(address(&record.id), visit.text("chart.area"))
}

/// Who it is, from the record.
fn banner(visit: &Visit, record: &Record) -> Banner {
    let (reader, who) = (&visit.reader, &record.who);
    let fact = |term: Option<&str>, hidden: &str, text: &str, desk: bool| {
        (!text.is_empty()).then(|| Fact {
            term: term.map(|key| reader.text(key)),
            hidden: reader.text(hidden),
            text: text.to_owned(),
            desk,
        })
    };
    // "EPS EPS Ejemplo" says it twice.
    let insurer = who
        .insurance
        .first()
        .and_then(|text| text.split(" · ").next())
        .map_or("", |text| text.strip_prefix(reader.text("banner.insurer")).unwrap_or(text).trim());
    let facts = [
        fact(Some("banner.age"), "banner.age", &who.age, false),
        fact(None, "banner.sex", &who.sex, false),
        fact(None, "banner.document", who.document(), false),
        fact(Some("banner.born"), "banner.born", &who.birth.text, true),
        fact(Some("banner.insurer"), "banner.insurer", insurer, true),
        fact(None, "banner.bed", &who.place, false),
        fact(Some("chart.died"), "chart.died", who.deceased.as_deref().unwrap_or_default(), false),
    ];
    let allergies = match record.allergies.state {
        AllergyState::Hidden => None,
        AllergyState::NotAsked => Some(Allergies::unasked(reader, None)),
        AllergyState::NoneKnown => {
            Some(Allergies::none(reader, Some(record.allergies.asked.text.clone()).filter(|text| !text.is_empty())))
        }
        AllergyState::Known => {
            let known = record.allergies.items.iter().filter(|item| item.active);
            let allergy = |item: &Item| Allergy {
                substance: item.what.clone(),
                reaction: Some(reaction(&item.detail)).filter(|text| !text.is_empty()),
            };
            Some(Allergies::has(reader, known.map(allergy).collect()))
        }
    };
    let act = |href: String, label: &str, icon: Option<&'static str>, primary: bool| Act {
        href,
        label: reader.text(label).to_owned(),
        icon,
        primary,
    };
    let chart = address(&record.id);
    let mut actions = Vec::new();
    if writes(visit) {
        actions.push(act(format!("{chart}/signos"), "chart.signs", None, true));
        actions.push(act(format!("{chart}/agregar"), "chart.add", None, false));
    }
    if crate::access::role::exports(visit.caller.role) {
        actions.push(act(format!("/exportar_pdf/{}", encoded(&record.id)), "chart.pdf", None, false));
    }
    Banner {
        surnames: who.surnames.clone(),
        names: who.names.clone(),
        facts: facts.into_iter().flatten().collect(),
        allergies,
        actions,
    }
}

/// What happened and how bad it was; criticality and notes stand in the panel of allergies.
fn reaction(detail: &str) -> String {
    detail.split(", ").take(2).collect::<Vec<_>>().join(", ")
}

fn model(visit: &Visit, page: Page, record: &Record, whole: bool) -> Model {
    let mut left = if whole { usize::MAX } else { ROWS };
    let mut results = Vec::new();
    for group in &record.results {
        if left == 0 {
            break;
        }
        results.push(group_of(visit, record, group));
        left = left.saturating_sub(group.rows.len());
    }
    let n = record.results.len();
    let hidden = n > results.len();
    let see_all = |part: &str, n: usize| {
        Link::new(
            format!("{}?{WHOLE}=1#{part}", address(&record.id)),
            visit.reader.fill("chart.see_all", &[("n", &n.to_string())]),
        )
    };
    let rows = record.results.iter().map(|group| group.rows.len()).sum();
    let lists = Lister { visit, record, whole };
    Model {
        page,
        sees: record.sees,
        writes: writes(visit),
        critical: record
            .results
            .iter()
            .flat_map(|group| &group.rows)
            .filter(|row| row.last.flag.is_critical())
            .map(|row| critical(visit, record, row))
            .collect(),
        results,
        results_more: hidden.then(|| see_all("resultados", rows)),
        signs: signs(visit, record, &record.signs),
        problems: lists.lines(
            "problemas",
            "chart.problems",
            "chart.no_problems",
            &record.problems,
            writes(visit).then_some("problema"),
        ),
        medication: lists.lines("medicacion", "chart.medication", "chart.no_medication", &record.medication, None),
        visits: lists.lines("encuentros", "chart.visits", "chart.no_visits", &record.visits, None),
        others: lists.others(),
        observations: record.observations.iter().map(|group| group_of(visit, record, group)).collect(),
        facts: facts(visit, record),
    }
}

/// What is known of the person beside the banner.
fn facts(visit: &Visit, record: &Record) -> Vec<record::who::Fact> {
    let who = &record.who;
    let fact = |term: &str, text: String| record::who::Fact { term: visit.text(term).to_owned(), text };
    let known = [
        fact("chart.municipality", who.municipality.clone()),
        fact("chart.address", who.address.clone()),
        fact("chart.telephone", who.telephones.join(", ")),
        fact("chart.insurance", who.insurance.join("; ")),
    ];
    known.into_iter().filter(|fact| !fact.text.is_empty()).chain(who.more.iter().cloned()).collect()
}

/// "Potasio 6,3 mmol/L, crítico alto. Preliminar, hoy 12:48."
fn critical(visit: &Visit, record: &Record, row: &Row) -> Message {
    let last = &row.last;
    let strong = format!("{} {}, {}.", row.name, value_of(last), last.flag_text);
    let text = format!("{}, {}.", capital(&last.status), moment(visit, last));
    let message = Message::new(Tone::Crit, strong, text);
    // Not an error: it does not take the focus.
    Message { alert: false, ..message }.link(entry(&record.id, "Observation", &last.id), visit.text("chart.see_result"))
}

pub fn value_of(reading: &Reading) -> String {
    record::words::joined([&reading.value, &reading.unit], " ")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// When it was, `hoy 12:48` when it was today.
pub fn moment(visit: &Visit, reading: &Reading) -> String {
    if reading.when.iso.len() > 10 { visit.reader.fhir(&reading.when.iso) } else { reading.when.text.clone() }
}

fn group_of(visit: &Visit, record: &Record, group: &Group) -> Results {
    let when = group.when.iso.parse::<Timestamp>().map_or_else(|_| group.when.text.clone(), |at| short(visit, at));
    Results {
        title: group.title.clone(),
        when,
        rows: group.rows.iter().map(|row| result_row(visit, record, row)).collect(),
    }
}

/// `hoy 05:31`, else `20 nov, 12:48`.
fn short(visit: &Visit, at: Timestamp) -> String {
    let reader = &visit.reader;
    if reader.local(at).date() == reader.today() { reader.moment(at) } else { reader.short_moment(at) }
}

fn result_row(visit: &Visit, record: &Record, row: &Row) -> ResultRow {
    let last = &row.last;
    ResultRow {
        critical: last.flag.is_critical(),
        href: entry(&record.id, "Observation", &last.id),
        name: row.name.clone(),
        value: last.value.clone(),
        unit: last.unit.clone(),
        tone: tone(last.flag),
        flag: flag(last),
        reference: last.reference.clone(),
        trend: small(visit, row),
        status: status(last),
    }
}

pub fn small(visit: &Visit, row: &Row) -> Option<trend::Small> {
    let sentence = trend::sentence(&visit.reader, &row.name, &row.series, &row.last.unit);
    trend::small(&row.series, row.band, row.mark, sentence)
}

pub fn tone(flag: Flag) -> Option<&'static str> {
    match flag {
        Flag::None | Flag::Abnormal => None,
        Flag::High => Some("high"),
        Flag::Low => Some("low"),
        _ => Some("crit"),
    }
}

pub fn flag(reading: &Reading) -> Option<page::Flag> {
    if reading.flag_text.is_empty() {
        return None;
    }
    let icon = match reading.flag {
        Flag::High => "up",
        Flag::Low => "down",
        Flag::None | Flag::Abnormal => "info",
        _ => "octagon",
    };
    Some(page::Flag { crit: reading.flag.is_critical(), icon, label: reading.flag_text.clone() })
}

/// The status as a badge; final is the rule and carries none.
pub fn status(reading: &Reading) -> Option<Badge> {
    let (kind, icon) = match reading.status_code.as_str() {
        "final" | "" => return None,
        "preliminary" | "partial" => ("warn", "half"),
        "amended" | "corrected" | "appended" => ("info", "pencil"),
        "cancelled" | "entered-in-error" => ("off", "off"),
        _ => ("plain", "pending"),
    };
    Some(Badge::new(kind, Some(icon), capital(&reading.status)))
}

fn signs(visit: &Visit, record: &Record, signs: &Signs) -> SignTable {
    let mut day = None;
    let mut times: Vec<String> = Vec::new();
    for when in &signs.times {
        let at = when.iso.parse::<Timestamp>().ok();
        let date = at.map(|at| visit.reader.local(at).date());
        times.push(match at {
            Some(at) if date == day => visit.reader.time(at),
            Some(at) => short(visit, at),
            None => when.text.clone(),
        });
        day = date;
    }
    let last = times.pop().unwrap_or_default();
    let row = |row: &Row| {
        let at = |when| signs.at(row, when);
        let (newest, earlier) = signs
            .times
            .split_last()
            .map_or((None, Vec::new()), |(last, before)| (at(last), before.iter().map(at).collect()));
        let shown = newest.unwrap_or(&row.last);
        let is_old = newest.is_none();
        SignRow {
            href: entry(&record.id, "Observation", &row.last.id),
            name: row.name.clone(),
            unit: row.last.unit.clone(),
            earlier: earlier
                .into_iter()
                .map(|reading| reading.map_or_else(|| "–".to_owned(), |reading| reading.value.clone()))
                .collect(),
            last: if is_old { "–".to_owned() } else { shown.value.clone() },
            before: if is_old {
                Some(format!("{} · {}", row.last.value, moment(visit, &row.last)))
            } else {
                row.earlier.first().map(|reading| reading.value.clone())
            },
            tone: tone(shown.flag).filter(|_| !is_old),
            flag: flag(shown).filter(|_| !is_old),
            trend: small(visit, row),
        }
    };
    SignTable { times, last, rows: signs.rows.iter().map(row).collect() }
}

/// Makes panels of lines.
struct Lister<'a> {
    visit: &'a Visit,
    record: &'a Record,
    whole: bool,
}

impl Lister<'_> {
    fn lines(
        &self,
        id: &'static str,
        title: &'static str,
        none: &'static str,
        items: &[Item],
        add: Option<&str>,
    ) -> Lines {
        let (visit, chart) = (self.visit, address(&self.record.id));
        let active = items.iter().filter(|item| item.active).count();
        let shown = if self.whole { items.len() } else { LINES.max(active.min(2 * LINES)) };
        let count = match id {
            "problemas" | "medicacion" if active > 0 => {
                Some(visit.reader.count("chart.active", i64::try_from(active).unwrap_or(0)))
            }
            _ => None,
        };
        let more = (items.len() > shown).then(|| {
            Link::new(
                format!("{chart}?{WHOLE}=1#{id}"),
                visit.reader.fill("chart.see_all", &[("n", &items.len().to_string())]),
            )
        });
        Lines {
            id,
            title: visit.text(title).to_owned(),
            count,
            items: items.iter().take(shown).map(|item| self.line(id, item)).collect(),
            add: add.map(|path| Link::new(format!("{chart}/{path}"), visit.text("chart.add_problem"))),
            more,
            none: visit.text(none),
        }
    }

    fn line(&self, list: &str, item: &Item) -> Line {
        let when = match list {
            "problemas" if !item.when.text.is_empty() => {
                self.visit.reader.fill("chart.since", &[("date", &item.when.text)])
            }
            "medicacion" => String::new(),
            _ => item.when.text.clone(),
        };
        let badge = (!item.active && matches!(list, "problemas" | "medicacion") && !item.status.is_empty())
            .then(|| Badge::new("plain", None, item.status.clone()));
        Line {
            href: entry(&self.record.id, item.kind, &item.id),
            what: item.what.clone(),
            code: if list == "problemas" { item.code.clone() } else { String::new() },
            second: record::words::joined([when.as_str(), &self.detail(list, item)], " · "),
            badge,
            now: item.active,
        }
    }

    /// Of an encounter where it was, on the chart; the rest stands on its own page.
    fn detail(&self, list: &str, item: &Item) -> String {
        if list != "encuentros" || self.whole {
            return item.detail.clone();
        }
        record::words::joined(item.detail.split(" · ").filter(|part| *part != item.what).take(2), " · ")
    }

    /// Everything else that has lines.
    fn others(&self) -> Vec<Lines> {
        let record = self.record;
        let named: [(&'static str, &'static str, &[Item]); 6] = [
            ("ordenes", "chart.orders", &record.orders),
            ("informes", "chart.reports", &record.reports),
            ("procedimientos", "chart.procedures", &record.procedures),
            ("vacunas", "chart.vaccines", &record.vaccines),
            ("documentos", "chart.documents", &record.documents),
            ("alergias", "chart.allergies", &record.allergies.items),
        ];
        let named = named
            .into_iter()
            .filter(|(_, _, items)| !items.is_empty())
            .map(|(id, title, items)| self.lines(id, title, "chart.nothing", items, None));
        let rest = record.others.iter().filter(|section| section.kind != "Specimen").map(|section| Lines {
            title: section.title.clone(),
            ..self.lines(section.kind, "chart.nothing", "chart.nothing", &section.items, None)
        });
        named.chain(rest).collect()
    }
}
