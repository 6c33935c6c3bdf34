//! "Somebody changed this": both versions side by side, and nothing is lost. The page is a form of its own: what differs
//! is chosen, what does not is carried along, and sending it saves on top of the new version.

use crate::error::Result;
use crate::view::page::{Link, Message, Page, Tone};
use crate::view::visit::{Reply, Visit};
use serde::Serialize;

/// One datum of which there are two.
#[derive(Clone, Debug, Serialize)]
pub struct Pair {
    /// The field that is sent.
    pub name: &'static str,
    pub label: String,
    /// The stored value, as the field writes it and as it is shown.
    pub stored: String,
    pub stored_shown: String,
    pub typed: String,
    pub typed_shown: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Carried {
    pub name: String,
    pub value: String,
}

/// Who saved meanwhile, when that is known, and when.
pub struct Other {
    pub who: Option<String>,
    pub at: String,
}

#[derive(Serialize)]
struct Model<'m> {
    page: Page,
    action: &'m str,
    pairs: Vec<Pair>,
    carried: Vec<Carried>,
    stored_by: String,
    keep: Link,
}

/// The page, 409. `carried`: the other fields, with the version that is now the stored one. `keep`: where one goes who
/// leaves the stored version.
pub fn page(
    visit: &Visit,
    page: Page,
    pairs: Vec<Pair>,
    carried: Vec<(String, String)>,
    other: &Other,
    keep: &str,
) -> Result<Reply> {
    let reader = &visit.reader;
    let (text, stored_by) = match &other.who {
        Some(who) => (
            reader.fill("conflict.who", &[("who", who), ("time", &other.at)]),
            reader.fill("conflict.stored_by", &[("who", who), ("time", &other.at)]),
        ),
        None => (
            reader.fill("conflict.somebody", &[("time", &other.at)]),
            reader.fill("conflict.stored", &[("time", &other.at)]),
        ),
    };
    let model = Model {
        page: page.says(Message::new(Tone::Warn, "", text)),
        action: &visit.path,
        pairs,
        carried: carried.into_iter().map(|(name, value)| Carried { name, value }).collect(),
        stored_by,
        keep: Link::new(keep, reader.text("conflict.keep")),
    };
    visit.show_as(409, "conflict", &model)
}
