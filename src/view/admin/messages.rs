//! HL7 v2 messages, counted by day, sender and state. Nothing of what is in them.

use crate::audit::Event;
use crate::error::Result;
use crate::store::message::{self, Count};
use crate::view::page::{Empty, Page};
use crate::view::visit::{Reply, Visit};
use jiff::ToSpan;
use serde::Serialize;

const DESK: &str = "/admin/mensajes";

#[derive(Serialize)]
struct Row {
    day: String,
    sender: String,
    applied: String,
    error: String,
    rejected: String,
    conflict: String,
    /// Something is to be looked at.
    warn: bool,
    total: String,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    rows: Vec<Row>,
    long: bool,
    empty: Empty,
}

/// The last 7 days, or 30 (`?dias=30`).
pub async fn list(visit: &Visit) -> Result<Reply> {
    let long = visit.one_of("dias", &["7", "30"])? == "30";
    let days = if long { 30 } else { 7 };
    let since = visit.reader.now - (days * 24).hours();
    let counts = message::counts(&*visit.app.pool.lane().await?, since, visit.app.local).await?;
    visit.app.audit.record(vec![Event::new(&visit.caller, "message-counts")]).await?;
    let model = Model {
        page: visit.page(visit.text("admin.messages_title")).at(DESK),
        rows: counts.iter().map(|count| row(visit, count)).collect(),
        long,
        empty: Empty {
            icon: "mail",
            title: visit.text("admin.messages_none"),
            text: visit.text("admin.messages_none_help"),
            action: None,
        },
    };
    visit.show("admin/messages", &model)
}

fn row(visit: &Visit, count: &Count) -> Row {
    let number = |n: i64| visit.reader.whole(n);
    Row {
        day: visit.reader.fhir(&count.day),
        sender: count.sender.clone(),
        applied: number(count.applied),
        error: number(count.error),
        rejected: number(count.rejected),
        conflict: number(count.conflict),
        warn: count.error + count.rejected + count.conflict > 0,
        total: number(count.applied + count.error + count.rejected + count.conflict),
    }
}
