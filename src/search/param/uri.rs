//! URI parameters: compared exactly. <https://hl7.org/fhir/R4/search.html#uri>
//!
//! A canonical `url|version` is also found by its url alone. `:below` finds what begins with whole segments of an address,
//! `:above` the addresses that an address begins with. Other URIs (urn:) have nothing above or below but themselves.
//! `_profile` and `_source` of every resource are not indexed for `:below`.

use super::unescape;
use crate::fhir::path::Node;
use crate::search::hash::{Form, Slot};

/// An address with more segments is found by its first ones only.
const SEGMENTS: usize = 24;

/// Whether a parameter takes `:below`.
pub fn has_below(code: &str) -> bool {
    !code.starts_with('_')
}

pub fn index(slot: &Slot, code: &str, node: Node<'_>, keys: &mut Vec<i64>) {
    let Some(uri) = node.value.as_str() else { return };
    forms(uri, &mut |form, parts| keys.push(slot.key(form, parts)));
    if has_below(code) {
        keys.extend(above(uri).into_iter().map(|address| slot.key(Form::Below, &[address])));
    }
}

/// The forms of an address, with and without the version of a canonical.
pub fn forms<'a>(uri: &'a str, put: &mut dyn FnMut(Form, &[&'a str])) {
    put(Form::Address, &[uri]);
    if let Some((url, _)) = uri.split_once('|') {
        put(Form::Address, &[url]);
    }
}

/// An address and those that it begins with, segment by segment, down to its host; without slashes at the end and
/// without the version of a canonical.
fn above(uri: &str) -> Vec<&str> {
    let url = uri.split('|').next().unwrap_or(uri);
    let url = url.trim_end_matches('/');
    let Some(host) = url.find("://").map(|at| at + 3) else { return vec![url] };
    let ends = url.match_indices('/').map(|(at, _)| at).filter(|at| *at > host);
    let mut all: Vec<&str> = ends.take(SEGMENTS).filter_map(|end| url.get(..end)).collect();
    all.push(url);
    all
}

/// The keys that a query value (escapes still in it) asks for.
pub fn keys(slot: &Slot, modifier: Option<&str>, value: &str) -> Vec<i64> {
    let value = unescape(value);
    match modifier {
        None => vec![slot.key(Form::Address, &[&value])],
        Some("below") => vec![slot.key(Form::Below, &[value.trim_end_matches('/')])],
        // As written, and with the slash that some end with.
        Some(_) => {
            let mut keys = vec![slot.key(Form::Address, &[&value])];
            for address in above(&value) {
                keys.push(slot.key(Form::Address, &[address]));
                keys.push(slot.key(Form::Address, &[&format!("{address}/")]));
            }
            keys
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_segments() {
        assert_eq!(above("http://a.b/fhir/c/"), ["http://a.b", "http://a.b/fhir", "http://a.b/fhir/c"]);
        assert_eq!(above("http://a.b/c|2"), ["http://a.b", "http://a.b/c"]);
        assert_eq!(above("urn:oid:1.2/3"), ["urn:oid:1.2/3"]);
    }
}
