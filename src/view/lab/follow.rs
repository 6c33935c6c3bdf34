//! What follows from a result: its reports and its orders.
//!
//! * A report is final when none of its results waits, unless examinations of it are still to come (`partial`); after that
//!   it is corrected or amended with its results.
//! * An order is completed when all its results are released and no report of it is partial.
//!
//! Two results of one report can be made final at the same moment. Each must see the other, or the report stays preliminary
//! for ever: so the report and the order are locked before their results are looked at.

use super::{id_of, is_released};
use crate::error::Result;
use crate::interaction::{Content, Interaction, Unit};
use crate::view::encounter;
use crate::view::observation::put;
use crate::view::patient::{self, search};
use crate::view::record::words::{list, text};
use crate::view::visit::encoded;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};

/// Reports and orders of one result.
const MOST: usize = 5;

/// After a write of a result in this unit, which locks what it reads.
pub async fn result(unit: &mut Unit<'_>, result: &Value) -> Result<()> {
    let id = text(result, "id");
    let held = format!("result=Observation/{}&_count={MOST}", encoded(id));
    let held = search(unit, "DiagnosticReport", &held).await?;
    let mut reports = Vec::new();
    for report in &held.resources {
        reports.push(patient::read(unit, "DiagnosticReport", text(report, "id")).await?);
    }
    let mut orders = Vec::new();
    for order in list(result, "basedOn").filter(|order| text(order, "reference").contains("ServiceRequest/")).take(MOST)
    {
        orders.push(patient::read(unit, "ServiceRequest", id_of(order)).await?);
    }
    let ids: BTreeSet<&str> = reports.iter().flat_map(|report| list(report, "result").map(id_of)).collect();
    if !ids.is_empty() {
        let ids: Vec<&str> = ids.into_iter().collect();
        let found = search(unit, "Observation", &format!("_id={}&_count=500", encoded(&ids.join(",")))).await?;
        let states: HashMap<&str, &str> =
            found.resources.iter().map(|one| (text(one, "id"), text(one, "status"))).collect();
        for report in &mut reports {
            let of: Vec<&str> = list(report, "result").filter_map(|one| states.get(id_of(one)).copied()).collect();
            if let Some(next) = next(text(report, "status"), &of, text(result, "status")) {
                put(report, "status", json!(next));
                if let Some(issued) = result.get("issued") {
                    put(report, "issued", issued.clone());
                }
                update(unit, report).await?;
            }
        }
    }
    let ids: Vec<String> = orders
        .iter()
        .filter(|order| matches!(text(order, "status"), "active" | "on-hold"))
        .map(|order| format!("ServiceRequest/{}", text(order, "id")))
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let ids = encoded(&ids.join(","));
    let results = search(unit, "Observation", &format!("based-on={ids}&_count=500")).await?;
    let partial =
        search(unit, "DiagnosticReport", &format!("based-on={ids}&status=registered,partial,preliminary&_count=50"))
            .await?;
    for order in &mut orders {
        let id = text(order, "id").to_owned();
        let is_of = |one: &&Value| list(one, "basedOn").any(|order| id_of(order) == id);
        let waits = results.resources.iter().filter(is_of).any(|one| !is_settled(one))
            || partial.resources.iter().any(|one| is_of(&one));
        if !waits && text(order, "status") != "completed" {
            put(order, "status", json!("completed"));
            update(unit, order).await?;
        }
    }
    Ok(())
}

/// Nothing more comes of it.
fn is_settled(result: &Value) -> bool {
    is_released(result) || matches!(text(result, "status"), "cancelled" | "entered-in-error")
}

/// The status of a report after one of its results became `now`; none when it stays.
fn next(report: &str, results: &[&str], now: &str) -> Option<&'static str> {
    let waits = results.iter().any(|status| matches!(*status, "preliminary" | "registered"));
    match (report, now) {
        ("preliminary" | "registered", _) if !waits => Some("final"),
        ("final" | "amended" | "appended", "corrected") => Some("corrected"),
        ("final", "amended") => Some("amended"),
        _ => None,
    }
}

async fn update(unit: &mut Unit<'_>, resource: &Value) -> Result<()> {
    let resource_type = patient::named(text(resource, "resourceType"))?;
    let (id, if_match) = (text(resource, "id").to_owned(), encounter::version(resource));
    unit.run(&Interaction::Update { resource_type, id, resource: Content::new(resource.clone()), if_match }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn a_report_follows_its_results() {
        assert_eq!(next("preliminary", &["final", "corrected", "cancelled"], "final"), Some("final"));
        assert_eq!(next("preliminary", &["final", "preliminary"], "final"), None);
        assert_eq!(next("partial", &["final"], "final"), None);
        assert_eq!(next("final", &["corrected"], "corrected"), Some("corrected"));
        assert_eq!(next("final", &["amended"], "amended"), Some("amended"));
        assert_eq!(next("corrected", &["amended"], "amended"), None);
        assert_eq!(next("cancelled", &["final"], "final"), None);
    }
}
