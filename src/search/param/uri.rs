//! URI parameters: compared exactly. <https://hl7.org/fhir/R4/search.html#uri>
//!
//! A canonical `url|version` is also found by its url alone. `:above` and `:below` are not here yet.

use super::unescape;
use crate::fhir::path::Node;
use crate::search::hash::{Form, Slot};

pub fn index(slot: &Slot, node: Node<'_>, keys: &mut Vec<i64>) {
    let Some(uri) = node.value.as_str() else { return };
    put(slot, uri, keys);
}

/// The keys of an address, with and without the version of a canonical.
pub fn put(slot: &Slot, uri: &str, keys: &mut Vec<i64>) {
    keys.push(slot.key(Form::Address, &[uri]));
    if let Some((url, _)) = uri.split_once('|') {
        keys.push(slot.key(Form::Address, &[url]));
    }
}

/// The key that a query value (escapes still in it) asks for.
pub fn key(slot: &Slot, value: &str) -> i64 {
    slot.key(Form::Address, &[&unescape(value)])
}
