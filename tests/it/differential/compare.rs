//! Whether two answers say the same.

use crate::differential::world::{SIDES, World};
use crate::harness::Reply;
use historia::fhir::definitions::{self, ResourceType};
use historia::fhir::format::{Limits, parse_xml};
use historia::search::Context;
use historia::search::hash::Hasher;
use historia::search::index::columns;
use serde_json::Value;
use std::collections::BTreeSet;

/// The public address of both servers: with one base, the addresses in their answers are equal.
pub const BASE: &str = "http://historia.test";

/// Seconds east of UTC: the default time zone of the servers.
const LOCAL: i32 = -18_000;

/// What the entries of a search are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortBy {
    /// The main date of the type.
    Date,
    Updated,
    Id,
}

/// What fixes the order of an answer's entries. Ids that the servers make differ, and so does the order of rows that only
/// the id tells apart: each side must be in the order of its own ids, and both must hold the same.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// As it stands.
    Fixed,
    Search {
        by: SortBy,
        descending: bool,
    },
    /// `$everything`: by type and id.
    Everything,
}

/// What a request was answered with: one page, or several.
pub struct Pages {
    pub replies: Vec<Reply>,
    /// Whether the last page is the last.
    pub complete: bool,
}

/// What differs, shortly; none when nothing does.
pub fn difference(world: &World, order: Order, pages: &[Pages; 2]) -> Option<String> {
    let [one, other] = pages;
    for (n, (a, b)) in one.replies.iter().zip(&other.replies).enumerate() {
        if a.status != b.status || a.status >= 500 {
            return Some(format!("page {n}: {} {}\n  {} {}", a.status, short(&a.text()), b.status, short(&b.text())));
        }
        for name in ["content-type", "etag", "location", "allow", "retry-after", "www-authenticate"] {
            let [a, b] = [(0, a), (1, b)].map(|(side, reply)| world.canonical(side, reply.header(name)));
            if a != b {
                return Some(format!("page {n}, header {name}: {a}\n  {b}"));
            }
        }
    }
    let sorted = !matches!(order, Order::Fixed) && one.replies.iter().all(|reply| reply.status == 200);
    for (n, (a, b)) in one.replies.iter().zip(&other.replies).enumerate() {
        let [a, b] = [(0, a), (1, b)].map(|(side, reply)| said(world, side, reply, sorted));
        if a != b {
            return Some(format!("page {n}: {}", apart(&a, &b)));
        }
    }
    if one.replies.len() != other.replies.len() || one.complete != other.complete {
        return Some(format!("{} pages\n  {} pages", one.replies.len(), other.replies.len()));
    }
    if sorted { entries_apart(world, order, pages) } else { None }
}

/// The body, canonical; of a page in an order of its own, what stands around the entries and how many they are.
fn said(world: &World, side: usize, reply: &Reply, sorted: bool) -> String {
    let read = if reply.header("content-type").starts_with("application/fhir+xml") {
        parse_xml(&reply.body, &Limits::default()).ok()
    } else {
        serde_json::from_slice::<Value>(&reply.body).ok()
    };
    let Some(mut body) = read else {
        return world.canonical(side, &without_times(&reply.text()));
    };
    steady(&mut body);
    if sorted && let Some(entries) = body.get_mut("entry") {
        let all = entries.as_array().map(Vec::as_slice).unwrap_or_default();
        *entries = all.iter().filter(|entry| entry["search"]["mode"] != "include").count().into();
    }
    world.canonical(side, &timeless(&body.to_string()))
}

/// Texts that name a time of the server: an instant in UTC with milliseconds, which nothing else here has.
fn timeless(text: &str) -> String {
    const FORM: &str = "0000-00-00T00:00:00.000Z";
    let is_time = |text: &str| {
        text.len() >= FORM.len()
            && text.bytes().zip(FORM.bytes()).all(|(b, form)| if form == b'0' { b.is_ascii_digit() } else { b == form })
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '2' && is_time(rest) {
            out.push_str("time");
            rest = &rest[FORM.len()..];
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// Takes away what no two answers share: ids and times of Bundles, tokens of pages.
fn steady(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("resourceType").is_some_and(|name| name == "Bundle") {
                for name in ["id", "timestamp", "meta"] {
                    members.remove(name);
                }
            }
            for (name, value) in members.iter_mut() {
                match (name.as_str(), &mut *value) {
                    ("url", Value::String(url)) => {
                        if let Some((before, _)) = url.split_once("_page=") {
                            *url = format!("{before}_page");
                        }
                    }
                    _ => steady(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(steady),
        _ => {}
    }
}

/// An acknowledgement without its own time and id (MSH-7, MSH-10).
fn without_times(ack: &str) -> String {
    let line = |line: &str| -> String {
        if !line.starts_with("MSH|") {
            return line.to_owned();
        }
        let fields = line.split('|').enumerate().map(|(n, field)| if matches!(n, 6 | 9) { "" } else { field });
        fields.collect::<Vec<_>>().join("|")
    };
    ack.split('\r').map(line).collect::<Vec<_>>().join("\n")
}

/// Where two texts part.
fn apart(a: &str, b: &str) -> String {
    let at = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| {
        let start = (0..=at.saturating_sub(60)).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
        text[start..].chars().take(300).collect::<String>()
    };
    format!("{}\n  {}", from(a), from(b))
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}

/// In place of what an entry is sorted by: it comes beside matches, in the order of ids that differ.
const INCLUDED: &str = "included";

/// What an entry is sorted by, and what it says.
type Sorted = (String, String, String);

fn entries_apart(world: &World, order: Order, pages: &[Pages; 2]) -> Option<String> {
    let mut sides: [Vec<Sorted>; 2] = SIDES.map(|side| entries(world, side, order, &pages[side]));
    // Parts of resources may be without what they are sorted by.
    let are_parts = pages.iter().flat_map(|side| &side.replies).any(|reply| reply.text().contains("SUBSETTED"));
    if let (Order::Search { by: SortBy::Date, .. }, true) = (&order, are_parts) {
        if !pages[0].complete {
            return None;
        }
    } else if let Order::Search { by, descending } = order {
        for (side, all) in sides.iter().enumerate() {
            let matches = all.iter().filter(|(key, ..)| key != INCLUDED);
            let keys: Vec<(&str, &str)> = matches.map(|(key, id, _)| (key.as_str(), id.as_str())).collect();
            let right = keys.windows(2).all(|two| if descending { two[0] > two[1] } else { two[0] < two[1] });
            if !right {
                return Some(format!("side {side} is not sorted: {}", short(&format!("{keys:?}"))));
            }
        }
        match by {
            // Rows at one time are in the order of ids that differ: of an open last group nothing can be said.
            SortBy::Date if !pages[0].complete => {
                for all in &mut sides {
                    all.retain(|(key, ..)| key != INCLUDED);
                    let last = all.last().map(|(key, ..)| key.clone()).unwrap_or_default();
                    all.retain(|(key, ..)| *key != last);
                }
            }
            SortBy::Id | SortBy::Updated if !pages[0].complete => return None,
            _ => {}
        }
    }
    if matches!(order, Order::Everything) && !pages[0].complete {
        return None;
    }
    let [a, b] = sides.map(|all| all.into_iter().map(|(_, _, said)| said).collect::<BTreeSet<_>>());
    let only = |own: &BTreeSet<String>, other: &BTreeSet<String>| {
        own.difference(other).map(|said| short(said)).take(3).collect::<Vec<_>>()
    };
    (a != b).then(|| format!("only here: {:?}\n  only there: {:?}", only(&a, &b), only(&b, &a)))
}

fn entries(world: &World, side: usize, order: Order, pages: &Pages) -> Vec<Sorted> {
    let mut all = Vec::new();
    for reply in &pages.replies {
        let bundle = reply.json();
        for entry in bundle["entry"].as_array().into_iter().flatten() {
            let resource = &entry["resource"];
            let key = match order {
                Order::Search { .. } if entry["search"]["mode"] != "match" => INCLUDED.to_owned(),
                Order::Search { by: SortBy::Date, .. } => sort_date(resource),
                Order::Search { by: SortBy::Updated, .. } => {
                    resource["meta"]["lastUpdated"].as_str().unwrap_or_default().to_owned()
                }
                _ => String::new(),
            };
            let id = resource["id"].as_str().unwrap_or_default().to_owned();
            let mut entry = entry.clone();
            steady(&mut entry);
            all.push((key, id, world.canonical(side, &timeless(&entry.to_string()))));
        }
    }
    all
}

/// When a resource stands in an order by date, as text that sorts; rows without a date are the oldest.
fn sort_date(resource: &Value) -> String {
    let hasher = Hasher::new([7; 16]);
    let context =
        Context { hasher: &hasher, definitions: definitions::r4(), base: "http://historia.test/fhir", local: LOCAL };
    let resource_type = resource["resourceType"].as_str().and_then(ResourceType::parse).expect("a resource");
    let date = columns(&context, resource_type, resource).ok().and_then(|columns| columns.sort_date);
    // Seconds from the year 1 on, so that they sort as text.
    date.map(|date| format!("{:014}.{:09}", date.as_second() + 62_135_596_800, date.subsec_nanosecond()))
        .unwrap_or_default()
}
