//! Answers of two servers that were asked the same: equal but for the ids that each makes, and for times.

use serde_json::Value;
use std::collections::HashMap;

/// Members that tell when, not what.
const TIMES: &[&str] = &["lastUpdated", "lastModified", "timestamp"];

/// Ids of one server and the same ones of the other.
#[derive(Default)]
pub struct Ids {
    /// Of the first server to those of the other.
    pub there: HashMap<String, String>,
    back: HashMap<String, String>,
}

impl Ids {
    fn are_same(&mut self, one: &str, other: &str) -> bool {
        match (self.there.get(one), self.back.get(other)) {
            (None, None) if one == other => true,
            (None, None) if is_made(one) && is_made(other) => {
                self.there.insert(one.to_owned(), other.to_owned());
                self.back.insert(other.to_owned(), one.to_owned());
                true
            }
            (Some(known), _) => known == other,
            _ => false,
        }
    }

    /// Puts the entries of the other Bundle in the order of the first, as far as their ids are known.
    pub fn reorder(&self, one: &Value, other: &mut Value) {
        let id = |entry: &Value| entry["resource"]["id"].as_str().unwrap_or_default().to_owned();
        let Some(wanted) = one["entry"].as_array() else { return };
        let place = |entry: &Value| {
            let there = id(entry);
            let here = self.back.get(&there).unwrap_or(&there);
            wanted.iter().position(|entry| id(entry) == *here)
        };
        if let Some(entries) = other["entry"].as_array_mut() {
            let at: Vec<Option<usize>> = entries.iter().map(place).collect();
            // Those that are not known keep the places that are left, in their order.
            let mut free = (0..entries.len()).filter(|n| !at.contains(&Some(*n)));
            let mut placed: Vec<(usize, Value)> = at
                .iter()
                .zip(entries.drain(..))
                .map(|(at, entry)| (at.or_else(|| free.next()).unwrap_or(0), entry))
                .collect();
            placed.sort_by_key(|(at, _)| *at);
            entries.extend(placed.into_iter().map(|(_, entry)| entry));
        }
    }

    /// Texts are the same when their words are.
    pub fn text(&mut self, one: &str, other: &str) -> bool {
        let words = |text: &str| -> Vec<String> {
            let ends = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '.'));
            text.split_inclusive(ends).map(|word| word.trim_end_matches(ends).to_owned()).collect()
        };
        let (a, b) = (words(one), words(other));
        one == other || (a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| self.are_same(a, b)))
    }

    /// The first place where two values differ.
    pub fn differ(&mut self, at: &str, one: &Value, other: &Value) -> Option<String> {
        match (one, other) {
            (Value::Object(a), Value::Object(b)) => {
                if !a.keys().eq(b.keys()) {
                    return Some(format!(
                        "{at}: {:?} and {:?}",
                        a.keys().collect::<Vec<_>>(),
                        b.keys().collect::<Vec<_>>()
                    ));
                }
                let members = a.iter().filter(|(name, _)| !TIMES.contains(&name.as_str()) && *name != "link");
                members.into_iter().find_map(|(name, value)| self.differ(&format!("{at}.{name}"), value, &b[name]))
            }
            (Value::Array(a), Value::Array(b)) => {
                if a.len() != b.len() {
                    return Some(format!("{at}: {} and {} items", a.len(), b.len()));
                }
                a.iter().zip(b).enumerate().find_map(|(n, (a, b))| self.differ(&format!("{at}[{n}]"), a, b))
            }
            (Value::String(a), Value::String(b)) => (!self.text(a, b)).then(|| format!("{at}: {a} and {b}")),
            _ => (one != other).then(|| format!("{at}: {one} and {other}")),
        }
    }
}

/// Forms of ids that a server makes: of a record, inside one, of nobody.
fn is_made(id: &str) -> bool {
    let base32 = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
    match id.split_once('.') {
        Some((record, tail)) => record.len() == 10 && tail.len() == 26 && base32(record) && base32(tail),
        None => (id.len() == 10 && base32(id)) || (id.len() == 36 && id.matches('-').count() == 4),
    }
}
