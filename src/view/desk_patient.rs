//! `/admision/paciente/{id}`: one patient at the desk: who it is, the stay that goes on, the past ones, what can be done.

use crate::error::Result;
use crate::view::admission::{beneficiary, insurer, review};
use crate::view::encounter::{self, Class};
use crate::view::page::{Empty, Link, Message, Page, Tone};
use crate::view::patient::{self, Banner, search};
use crate::view::stay::{Fact, Stay, address, facts, of, stay};
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::Value;

/// Past encounters that the page lists.
const PAST: usize = 20;

#[derive(Serialize)]
struct PatientModel {
    page: Page,
    id: String,
    facts: Vec<Fact>,
    open: Vec<Stay>,
    past: Vec<Stay>,
    past_more: bool,
    empty: Option<Empty>,
    admit: Link,
    edit: Link,
}

/// `/admision/paciente/{id}`.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let (patient, encounters, covers, more) = visit
        .unit(async |unit| {
            let patient = patient::resolve(unit, visit.part("id")).await?;
            let id = encounter::id(&patient).to_owned();
            let open = search(unit, "Encounter", &format!("patient={id}&status=planned,{}&_count=50", encounter::OPEN))
                .await?;
            let past =
                search(unit, "Encounter", &format!("patient={id}&status=finished,cancelled&_sort=-date&_count={PAST}"))
                    .await?;
            let covers = search(unit, "Coverage", &format!("patient={id}&status=active&_count=10")).await?;
            Ok((patient, [open.resources, past.resources], covers.resources, past.more))
        })
        .await?;
    let reader = &visit.reader;
    let id = encounter::id(&patient).to_owned();
    let [open, past] = &encounters;
    let current = open
        .iter()
        .find(|one| encounter::is_open(one) && Class::of(one) != Class::Visit)
        .or_else(|| open.iter().find(|one| encounter::is_open(one)));
    let cover = covers.iter().find(|cover| beneficiary(cover) == Some(&id));
    let admit = Link::new(format!("{}/ingresar", address(&id)), reader.text("admission.admit"));
    let mut banner = Banner::new(
        visit,
        &patient,
        current.map(|one| encounter::place(reader, one)).as_deref(),
        cover.and_then(insurer),
        None,
    );
    banner = match current {
        Some(one) => banner.action(of(one, "trasladar"), reader.text("admission.transfer"), Some("bed")).action(
            of(one, "egresar"),
            reader.text("admission.discharge"),
            None,
        ),
        None => banner.action(admit.href.clone(), admit.label.clone(), Some("arrive")),
    };
    let title = patient::Name::of(&patient).whole();
    let mut page = visit.page(title).inside("/admision", visit.text("admission.patients")).about(banner);
    // What this address has to say goes before what an earlier form has left to be said.
    if page.message.is_none() || !visit.query.typed("ya").is_empty() {
        page.message = notice(visit, &patient).or(page.message);
    }
    let model = PatientModel {
        facts: facts(visit, &patient, cover),
        open: open.iter().map(|one| stay(visit, one)).collect(),
        past: past.iter().map(|one| stay(visit, one)).collect(),
        past_more: more,
        empty: (open.is_empty() && past.is_empty()).then(|| Empty {
            icon: "bed",
            title: reader.text("admission.no_encounters"),
            text: reader.text("admission.no_encounters_help"),
            action: None,
        }),
        edit: Link::new(format!("{}/datos", address(&id)), reader.text("admission.edit")),
        admit,
        id,
        page,
    };
    visit.show("admission-patient", &model)
}

/// What the page before found out: it was there already.
fn notice(visit: &Visit, patient: &Value) -> Option<Message> {
    let reader = &visit.reader;
    match visit.query.typed("ya") {
        "registro" => Some(Message::new(
            Tone::Info,
            reader.text("admission.already_registered"),
            reader.text("admission.already_registered_help"),
        )),
        _ => review(reader, &visit.app.systems, patient).map(|text| Message::new(Tone::Warn, text, "")),
    }
}
