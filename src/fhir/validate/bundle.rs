//! The invariants of Bundle (<https://hl7.org/fhir/R4/bundle.html>): bdl-1 to bdl-12 (R4 has no bdl-6).
//!
//! An entry that is to be executed is judged without its Bundle: of it, only bdl-5 and bdl-8.

use super::{Members, Walk};
use crate::error::Kind;
use crate::fhir::resource::Place;
use serde_json::Value;
use std::collections::HashSet;

impl<'v> Walk<'v> {
    pub(super) fn bundle(&mut self, members: &'v Members, place: &Place) {
        let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
        if members.contains_key("total") && !matches!(kind, "searchset" | "history") {
            self.issue(Kind::Invariant, &Place::Member(place, "total"), "rule.bdl1");
        }
        if self.envelope {
            return;
        }
        let entries = members.get("entry").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let list = Place::Member(place, "entry");
        let mut urls = HashSet::new();
        for (n, entry) in entries.iter().enumerate() {
            let at = Place::Item(&list, n);
            self.parts(kind, entry, &at);
            let version = entry.get("resource").and_then(|resource| resource.get("meta"));
            let version = version.and_then(|meta| meta.get("versionId")).and_then(Value::as_str);
            if let Some(url) = entry.get("fullUrl").and_then(Value::as_str)
                && kind != "history"
                && !urls.insert((url, version))
            {
                self.issue(Kind::Invariant, &Place::Member(&at, "fullUrl"), "rule.bdl7");
            }
        }
        let first = entries.first().and_then(|entry| entry.get("resource")?.get("resourceType")?.as_str());
        match kind {
            "document" => self.document(members, first, place),
            "message" if first != Some("MessageHeader") => self.issue(Kind::Invariant, &list, "rule.bdl12"),
            _ => {}
        }
    }

    /// What an entry has in a Bundle of its kind.
    fn parts(&mut self, kind: &str, entry: &Value, place: &Place) {
        let there = |name: &str| entry.get(name).is_some();
        if there("search") && kind != "searchset" {
            self.issue(Kind::Invariant, &Place::Member(place, "search"), "rule.bdl2");
        }
        match (there("request"), matches!(kind, "batch" | "transaction" | "history")) {
            (false, true) => self.issue(Kind::Invariant, place, "rule.bdl3_absent"),
            (true, false) => self.issue(Kind::Invariant, &Place::Member(place, "request"), "rule.bdl3_present"),
            _ => {}
        }
        match (there("response"), matches!(kind, "batch-response" | "transaction-response" | "history")) {
            (false, true) => self.issue(Kind::Invariant, place, "rule.bdl4_absent"),
            (true, false) => self.issue(Kind::Invariant, &Place::Member(place, "response"), "rule.bdl4_present"),
            _ => {}
        }
    }

    fn document(&mut self, members: &Members, first: Option<&str>, place: &Place) {
        let identifier = members.get("identifier");
        let there = |name: &str| identifier.is_some_and(|identifier| identifier.get(name).is_some());
        if !(there("system") && there("value")) {
            self.issue(Kind::Invariant, &Place::Member(place, "identifier"), "rule.bdl9");
        }
        if !members.contains_key("timestamp") {
            self.issue(Kind::Invariant, &Place::Member(place, "timestamp"), "rule.bdl10");
        }
        if first != Some("Composition") {
            self.issue(Kind::Invariant, &Place::Member(place, "entry"), "rule.bdl11");
        }
    }

    pub(super) fn bundle_entry(&mut self, members: &Members, place: &Place) {
        if !["resource", "request", "response"].iter().any(|name| members.contains_key(*name)) {
            self.issue(Kind::Invariant, place, "rule.bdl5");
        }
        if members.get("fullUrl").and_then(Value::as_str).is_some_and(|url| url.contains("/_history/")) {
            self.issue(Kind::Invariant, &Place::Member(place, "fullUrl"), "rule.bdl8");
        }
    }
}
