//! `/resultados/historico`: the released results of a day, by when they were taken.

use super::RELEASED;
use super::list::{Entry, Kind, Row, rows};
use crate::error::Result;
use crate::view::format::{date_field, typed_date};
use crate::view::page::{Empty, Link, Page};
use crate::view::patient::search;
use crate::view::record::words::text;
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit};
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

pub const HISTORY: &str = "/resultados/historico";
/// Results of a day.
const MOST: usize = 300;

#[derive(Serialize)]
struct Model {
    page: Page,
    day: String,
    fields: Fields,
    earlier: Option<Link>,
    later: Option<Link>,
    rows: Vec<Row>,
    shown: String,
    more: bool,
    empty: Option<Empty>,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let reader = &visit.reader;
    let typed = visit.query.typed("dia");
    let mut problems = Problems::default();
    let day = typed_date(typed);
    if day.is_none() && !typed.is_empty() {
        problems.add("dia", reader.text("taken.date_wrong"));
    }
    let day = day.unwrap_or_else(|| reader.today());
    let (found, rows, before, after) = visit
        .unit(async |unit| {
            let of =
                |date: &str, count: usize| format!("status={RELEASED}&category=laboratory&date={date}&_count={count}");
            let found = search(unit, "Observation", &format!("{}&_sort=-date", of(&day.to_string(), MOST))).await?;
            let before = search(unit, "Observation", &format!("{}&_sort=-date", of(&format!("eb{day}"), 1))).await?;
            let after = search(unit, "Observation", &format!("{}&_sort=date", of(&format!("sa{day}"), 1))).await?;
            let more = found.more;
            let entries: Vec<Entry> =
                found.resources.into_iter().map(|one| Entry::new(visit, one, Kind::Done)).collect();
            let rows = rows(unit, visit, &entries, None).await?;
            Ok((more, rows, before.resources, after.resources))
        })
        .await?;
    let to = |found: &[Value]| {
        let at = found.first().map(|one| text(one, "effectiveDateTime"))?;
        let day: Date = reader.day_of(at)?;
        Some(Link::new(format!("{HISTORY}?dia={day}"), reader.date(day)))
    };
    let mut sheet = Sheet::new(reader, visit.query.get("dia").map(|_| &visit.query), problems);
    sheet.line("dia", "lab.day", &date_field(day)).digits();
    let empty = Empty {
        icon: "flask",
        title: reader.text("lab.history_none"),
        text: reader.text("lab.history_none_help"),
        action: None,
    };
    let mut fields = sheet.fields();
    // As it is written here, whatever way the address says it.
    if let Some(field) = fields.get_mut("dia").filter(|field| field.error.is_none()) {
        field.value = date_field(day);
    }
    let model = Model {
        page: visit.page(reader.text("lab.history")).at(HISTORY),
        day: reader.weekday(day),
        fields,
        earlier: to(&before),
        later: to(&after),
        shown: reader.count("lab.history_count", i64::try_from(rows.len()).unwrap_or(0)),
        more: found,
        empty: rows.is_empty().then_some(empty),
        rows,
    };
    visit.show("lab-history", &model)
}
