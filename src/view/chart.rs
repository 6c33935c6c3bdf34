//! `/paciente/{id}`: the chart on one screen, as far as the role may see it; as JSON the Bundle of `$everything`.
//!
//! Sections that the role may not see are absent. The order is that of the design language: what is critical, results and
//! signs, problems, medication, encounters, then everything else that is recorded.

use crate::access::Role;
use crate::error::Result;
use crate::interaction;
use crate::view::export;
use crate::view::page::{self, Link, Page};
use crate::view::panels::{self, Critical, Event, Lines, Panels, Results, SignTable, WHOLE};
use crate::view::patient::{Act, Allergies, Allergy, Banner, Fact};
use crate::view::record::clinical::{AllergyState, Item};
use crate::view::record::{self, Extent, Record, Sees};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;

#[derive(Serialize)]
struct Model {
    page: Page,
    sees: Sees,
    critical: Vec<Critical>,
    results: Vec<Results>,
    results_more: Option<Link>,
    signs: SignTable,
    problems: Lines,
    medication: Lines,
    visits: Lines,
    activity: Vec<Event>,
    others: Vec<Lines>,
    observations: Vec<Results>,
    facts: Vec<record::who::Fact>,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    if !visit.wants_html {
        return bundle(visit).await;
    }
    let record = of(visit, Extent::Whole).await?;
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

/// What a page needs of the record that the address means.
pub async fn of(visit: &Visit, extent: Extent) -> Result<Record> {
    record::page(&visit.app, &visit.caller, &visit.reader, visit.part("id"), extent).await
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
        AllergyState::NotAsked => {
            let ask = Link::new(format!("{}/alergia", address(&record.id)), reader.text("allergy.ask"));
            Some(Allergies::unasked(reader, writes(visit).then_some(ask)))
        }
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
pub fn reaction(detail: &str) -> String {
    detail.split(", ").take(2).collect::<Vec<_>>().join(", ")
}

fn model(visit: &Visit, page: Page, record: &Record, whole: bool) -> Model {
    let panels = Panels { visit, record, whole };
    let (results, results_more) = panels.results();
    Model {
        page,
        sees: record.sees,
        critical: panels::criticals(record, visit.reader.now)
            .into_iter()
            .map(|(row, reading)| panels.critical(row, reading))
            .collect(),
        results,
        results_more,
        signs: panels.signs(),
        problems: panels.problems(),
        medication: panels.medication(),
        visits: panels.visits(),
        activity: panels.activity(),
        others: panels.others(),
        observations: panels.observations(),
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
