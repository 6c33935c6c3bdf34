//! `/paciente/{id}/visto/{rid}`: that the physician saw a critical value, as a Communication about its Observation
//! (<https://hl7.org/fhir/R4/communication.html>). It holds for the value that was seen: another one is to be seen again.

use crate::error::Result;
use crate::interaction::{Content, Interaction};
use crate::oauth::form::Form;
use crate::view::chart;
use crate::view::panels;
use crate::view::patient::named;
use crate::view::record::Extent;
use crate::view::record::clinical::SEEN;
use crate::view::versions::absent;
use crate::view::visit::{Reply, Visit};
use serde_json::json;

pub async fn save(visit: &Visit, _: &Form) -> Result<Reply> {
    let record = chart::of(visit, Extent::Whole).await?;
    let to = chart::address(&record.id);
    let id = visit.part("rid");
    let all = panels::criticals(&record, visit.reader.now);
    let (row, reading) = all.into_iter().find(|(_, reading)| reading.id == id).ok_or_else(absent)?;
    let mark = reading.mark();
    if record.seen.iter().any(|seen| seen.of == id && seen.mark == mark) {
        return Ok(Reply::see(to));
    }
    let made = json!({
        "resourceType": "Communication",
        "status": "completed",
        "category": [{"coding": [{"system": "urn:historia:communication-category", "code": SEEN}], "text": visit.text("chart.seen_category")}],
        "subject": {"reference": format!("Patient/{}", record.id)},
        "about": [{"reference": format!("Observation/{id}")}],
        "sent": visit.reader.now.display_with_offset(visit.reader.offset).to_string(),
        "sender": {"display": visit.name},
        "payload": [{"contentString": mark}],
        "note": [{"text": panels::said(row, reading)}],
    });
    let resource_type = named("Communication")?;
    let done = visit.once(async |unit| {
        unit.run(&Interaction::Create { resource_type, resource: Content::new(made.clone()), if_none_exist: None })
            .await?;
        Ok(to.clone())
    });
    Ok(Reply::said(done.await?, "said.seen"))
}
