//! `/resultados/pacientes`: a patient, whose chart and PDF are read. `/resultados/nuevo`: a patient, to enter a result that
//! nobody ordered. Found by what people type, whatever the accents.

use super::{DESK, who};
use crate::error::Result;
use crate::interaction::Unit;
use crate::view::encounter;
use crate::view::find::{self, Asked, Row, marked};
use crate::view::page::{Empty, Page};
use crate::view::patient::{Name, search};
use crate::view::record::words::text;
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;

pub const PATIENTS: &str = "/resultados/pacientes";
pub const NEW: &str = "/resultados/nuevo";

#[derive(Serialize)]
struct Model {
    page: Page,
    action: &'static str,
    /// To enter a result.
    enters: bool,
    q: String,
    count: Option<String>,
    rows: Vec<Row>,
    more: bool,
    empty: Option<Empty>,
}

pub async fn patients(visit: &Visit) -> Result<Reply> {
    show(visit, visit.page(visit.text("lab.patients")).at(PATIENTS), PATIENTS).await
}

pub async fn new(visit: &Visit) -> Result<Reply> {
    let page = visit.page(visit.text("lab.free_title")).at(DESK).inside(DESK, visit.text("lab.list"));
    show(visit, page, NEW).await
}

async fn show(visit: &Visit, page: Page, action: &'static str) -> Result<Reply> {
    let q = visit.query.typed("q").to_owned();
    let asked = Asked::read(&q);
    let (rows, more) = match &asked {
        Some(asked) => visit.unit(async |unit| found(unit, visit, asked, action).await).await?,
        None => (Vec::new(), false),
    };
    let count = asked.as_ref().map(|_| match more {
        true => visit.text("medico.many").to_owned(),
        false => visit.reader.count("medico.found", i64::try_from(rows.len()).unwrap_or(0)),
    });
    let empty = (asked.is_some() && rows.is_empty()).then(|| Empty {
        icon: "search",
        title: visit.text("medico.nobody"),
        text: visit.text("lab.nobody_help"),
        action: None,
    });
    visit.show("lab-find", &Model { page, action, enters: action == NEW, q, count, rows, more, empty })
}

async fn found(unit: &mut Unit<'_>, visit: &Visit, asked: &Asked, action: &str) -> Result<(Vec<Row>, bool)> {
    let found = find::find(unit, asked).await?;
    let ids: Vec<&str> = found.resources.iter().map(|person| text(person, "id")).collect();
    if ids.is_empty() {
        return Ok((Vec::new(), false));
    }
    let stays = format!("patient={}&status={}&_count=100", ids.join(","), encounter::OPEN);
    let stays = search(unit, "Encounter", &stays).await?;
    let stays: HashMap<&str, &Value> =
        stays.resources.iter().filter_map(|stay| Some((encounter::patient(stay)?, stay))).collect();
    let row = |(n, person): (usize, &Value)| {
        let (id, name) = (text(person, "id"), Name::of(person));
        let to = if action == NEW { NEW } else { "/paciente" };
        Row {
            href: format!("{to}/{}", encoded(id)),
            first: n == 0,
            surnames: marked(&name.surnames, &asked.words),
            names: marked(&name.names, &asked.words),
            lines: vec![find::numbered(who(visit, person, stays.get(id).copied()), asked.number.as_deref())],
            badge: None,
            act: Some(visit.text(if action == NEW { "lab.enter" } else { "lab.see_chart" })),
        }
    };
    Ok((found.resources.iter().enumerate().map(row).collect(), found.more))
}
