//! `/admision/paciente/{id}/ingresar`: a new stay. A patient has one at a time; who is here already is shown with the stay
//! that goes on, and what was typed can become its transfer.

use crate::error::{Error, Kind, Result};
use crate::interaction::{Content, Interaction, Unit};
use crate::oauth::form::Form;
use crate::view::bed::{self, Taken};
use crate::view::encounter::{self, Class};
use crate::view::page::{Message, Tone};
use crate::view::patient::{self, search};
use crate::view::sheet::Problems;
use crate::view::stay::{Change, DEATH, Why, address, is_sure, kind, of, problems, shown, typed};
use crate::view::visit::{Reply, SURE, Visit};
use serde_json::{Map, Value};

/// The form; who is here already is said before anything is typed.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let (patient, here) = visit
        .unit(async |unit| {
            let patient = patient::resolve(unit, visit.part("id")).await?;
            let here = same(unit, Class::Inpatient, encounter::id(&patient)).await?;
            Ok((patient, here))
        })
        .await?;
    let draft = visit.draft.as_ref();
    match here {
        Some(here) if draft.is_none() => already(visit, &patient, &here, None).await,
        _ => shown(visit, Change::Receive, &patient, None, draft, Why::Asked(Problems::default())),
    }
}

/// The stay that goes on, when another of this kind is not made.
async fn same(unit: &mut Unit<'_>, class: Class, patient: &str) -> Result<Option<Value>> {
    let found = search(unit, "Encounter", &format!("{}&_sort=-date&_count=1", class.same(patient))).await?;
    Ok(found.resources.into_iter().next())
}

/// The patient is here already: where, and what was typed, which can be a transfer.
async fn already(visit: &Visit, patient: &Value, here: &Value, form: Option<&Form>) -> Result<Reply> {
    let reader = &visit.reader;
    let (place, start) = (encounter::place(reader, here), reader.fhir(encounter::start(here)));
    let text = reader.fill("admission.already_admitted_at", &[("place", &place), ("time", &start)]);
    let transfer = of(here, "trasladar");
    let message = match form {
        Some(form) => {
            let typed = ["servicio", "cama"].map(|name| (name, form.typed(name)));
            let transfer = visit.draft_for(&transfer, &typed).await?;
            Message::new(Tone::Warn, reader.text("admission.already_admitted"), text)
                .link(transfer, reader.text("admission.transfer_typed"))
        }
        None => Message::new(Tone::Info, reader.text("admission.is_here"), text)
            .link(transfer, reader.text("admission.transfer")),
    };
    let message = Message { alert: form.is_some(), ..message };
    shown(visit, Change::Receive, patient, Some(here), form, Why::Here { message, lost: form.is_some() })
}

const HERE: &str = "the patient has a stay that goes on";

/// Admits: one stay a patient. Of two clerks at once the second sees the stay that the first one made.
pub async fn save(visit: &Visit, form: &Form) -> Result<Reply> {
    let problems = problems(visit, Change::Receive, form);
    let to = (form.typed("servicio"), form.typed("cama"));
    let class = Class::parse(form.typed("clase")).filter(|_| problems.is_empty());
    let look = async |unit: &mut Unit<'_>| {
        let patient = patient::resolve(unit, visit.part("id")).await?;
        let id = encounter::id(&patient);
        let Some(class) = class else { return Ok((patient, None, None)) };
        let here = same(unit, class, id).await?;
        let taken = bed::taken(unit, visit, to, id).await?;
        Ok((patient, here, taken))
    };
    let (patient, here, taken) = visit.unit(look).await?;
    if !problems.is_empty() {
        return shown(visit, Change::Receive, &patient, None, Some(form), Why::Asked(problems));
    }
    if let Some(here) = here {
        return already(visit, &patient, &here, Some(form)).await;
    }
    if patient::is_deceased(&patient) && !is_sure(form, DEATH) {
        return shown(visit, Change::Receive, &patient, None, Some(form), Why::Dead);
    }
    if let Some(taken) = taken.filter(|taken| !is_sure(form, &taken.stay)) {
        let said = form.typed(SURE);
        let stay = if said.is_empty() { taken.stay } else { format!("{said} {}", taken.stay) };
        let taken = Taken { stay, ..taken };
        return shown(visit, Change::Receive, &patient, None, Some(form), Why::Taken(taken));
    }
    let done = visit.once(async |unit| {
        let id = encounter::id(&patient);
        let (typed, mut resource) = (typed(form)?, Map::new());
        encounter::admit(&mut resource, typed, id, &encounter::now(&visit.reader));
        let resource = Content::new(Value::Object(resource));
        let create =
            Interaction::Create { resource_type: kind()?, resource, if_none_exist: Some(typed.class.same(id)) };
        match unit.run(&create).await {
            Ok(answer) if answer.status == 201 => Ok(address(id)),
            Ok(_) => Err(Error::new(Kind::MultipleMatches, HERE)),
            Err(error) => Err(error),
        }
    });
    match done.await {
        Ok(to) => Ok(Reply::said(to, "said.admitted")),
        Err(error) if error.kind == Kind::MultipleMatches => match visit.unit(look).await? {
            (patient, Some(here), _) => already(visit, &patient, &here, Some(form)).await,
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}
