//! The HL7 v2 messages of today at the desk of admission: which came, what became of each, and what was wrong. Read only:
//! what a message holds is not shown, and correcting and sending again are the sender's so far.

use crate::audit::Event;
use crate::error::Result;
use crate::hl7v2::irregular::KINDS;
use crate::i18n::Language;
use crate::store::message::{self, Listed};
use crate::view::format::Reader;
use crate::view::page::{Badge, Empty, Link, Page};
use crate::view::visit::{Reply, Visit, encoded};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

pub const DESK: &str = "/admision/mensajes";
const MOST: i64 = 200;

#[derive(Serialize)]
struct Row {
    time: String,
    event: String,
    sender: String,
    control: String,
    /// Whose it is: a search at the desk.
    patient: Option<Link>,
    state: Badge,
    wrong: Option<String>,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    day: String,
    tabs: [Tab; 2],
    rows: Vec<Row>,
    more: bool,
    empty: Empty,
}

#[derive(Serialize)]
struct Tab {
    link: Link,
    count: i64,
    current: bool,
}

/// The moment at which today began here.
pub fn since(reader: &Reader) -> Timestamp {
    let midnight = reader.today().to_zoned(TimeZone::fixed(reader.offset));
    midnight.map_or(reader.now, |midnight| midnight.timestamp())
}

/// `/admision/mensajes`; `?error=1`: those that were not applied.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let (reader, failed) = (&visit.reader, visit.one_of("error", &["1"])? == "1");
    let since = since(reader);
    let (rows, news) = {
        let conn = visit.app.pool.lane().await?;
        (message::latest(&conn, since, failed, MOST).await?, message::news(&conn, since).await?)
    };
    visit.app.audit.record(vec![Event::new(&visit.caller, "message-list")]).await?;
    let tab = |href: &str, key: &str, count: i64, current: bool| Tab {
        link: Link::new(href, reader.text(key)),
        count,
        current,
    };
    let model = Model {
        page: visit.page(visit.text("messages.title")).at(DESK),
        day: reader.weekday(reader.today()),
        tabs: [
            tab(DESK, "messages.all", news.total, !failed),
            tab(&format!("{DESK}?error=1"), "messages.failed", news.failed, failed),
        ],
        rows: rows.iter().map(|one| row(reader, one)).collect(),
        more: i64::try_from(rows.len()).unwrap_or(MOST) == MOST,
        empty: Empty {
            icon: "mail",
            title: reader.text(if failed { "messages.none_failed" } else { "messages.none" }),
            text: reader.text("messages.none_help"),
            action: None,
        },
    };
    visit.show("messages", &model)
}

fn row(reader: &Reader, one: &Listed) -> Row {
    let (kind, icon, key) = match one.state.as_str() {
        "applied" => ("ok", Some("check"), "messages.applied"),
        "rejected" => ("crit", Some("octagon"), "messages.rejected"),
        "conflict" => ("warn", Some("triangle"), "messages.held"),
        _ => ("crit", Some("octagon"), "messages.error"),
    };
    let document = reader.document(&one.documento_id);
    Row {
        time: reader.time(one.received),
        event: one.event.clone(),
        sender: one.sender.clone(),
        control: one.control_id.clone(),
        patient: document.map(|shown| Link::new(format!("/admision?q={}", encoded(&one.documento_id)), shown)),
        state: Badge::new(kind, icon, reader.text(key)),
        wrong: one.ack.as_deref().and_then(|ack| wrong(reader, ack)),
    }
}

/// What the answer said was wrong, and where: `PID-3: ...`. Segments and fields are named, never what stood in them.
fn wrong(reader: &Reader, ack: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(ack);
    let segment = text.split(['\r', '\n']).find(|segment| segment.starts_with("ERR|"))?;
    let field = |n: usize| segment.split('|').nth(n).unwrap_or_default();
    let name = field(7).split(['^', '~', ':']).next().unwrap_or_default();
    let kind = KINDS.iter().find(|kind| kind.name() == name)?;
    let said = match reader.language {
        Language::Es => kind.text(),
        Language::En => kind.code_text(),
    };
    let place: Vec<&str> = field(2).split(['^', '~']).collect();
    let place = match place.as_slice() {
        [segment, _, field, ..] if !field.is_empty() => format!("{segment}-{field}: "),
        [segment, ..] if !segment.is_empty() => format!("{segment}: "),
        _ => String::new(),
    };
    Some(format!("{place}{said}"))
}
