//! References between resources, as far as a unit answers for them: what it writes points at something that is there, and
//! nothing points at what it deletes.

use super::Unit;
use crate::access;
use crate::config::References;
use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::reference::{self, Reference};
use crate::fhir::rule;
use crate::interaction::places::existing_at;
use crate::search::index;
use crate::store;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Deleted resources that are looked for in one query: each is looked for by all references that there may be.
const RELEASED_AT_A_TIME: usize = 100;

impl Unit<'_> {
    /// Remembers the references of a resource that must point at something.
    pub(super) fn take_targets(&mut self, value: &Value) -> Result<()> {
        if self.app.config.fhir.references == References::Off {
            return Ok(());
        }
        let base = &self.app.base;
        let prefix = self.place.as_deref();
        let mut wrong: Vec<Issue> = Vec::new();
        let mut targets = Vec::new();
        reference::walk_references(value, &mut |place, text| {
            let at = || {
                let place = place.to_string();
                match (prefix, place.split_once('.')) {
                    (Some(prefix), Some((_, inside))) => format!("{prefix}.{inside}"),
                    _ => place,
                }
            };
            match Reference::parse(text, base) {
                Some(Reference::Relative { resource_type, id, .. }) => {
                    targets.push((resource_type, id.to_owned(), at()))
                }
                Some(Reference::Urn(_)) => {
                    wrong.push(rule::issue(Kind::BusinessRule, at(), "rule.target_urn", &[]));
                }
                Some(Reference::Conditional { .. }) => {
                    wrong.push(rule::issue(Kind::BusinessRule, at(), "rule.target_conditional", &[]));
                }
                // Another server's, or inside the resource; what is none of these was refused by validation.
                Some(Reference::Absolute(_) | Reference::Fragment(_)) | None => {}
            }
        });
        if !wrong.is_empty() {
            return Err(Error::all(wrong));
        }
        self.targets.extend(targets);
        Ok(())
    }

    /// Every reference points at something that is there and that the caller may read: one query a place.
    pub(in crate::interaction) async fn check_targets(&mut self) -> Result<()> {
        let mut open: BTreeMap<(ResourceType, String), String> = BTreeMap::new();
        let gone: HashSet<(ResourceType, &str)> = self.released.iter().map(|(ty, id, _)| (*ty, id.as_str())).collect();
        let missing = |ty: ResourceType, place: String| {
            rule::issue(Kind::BusinessRule, place, "rule.target_absent", &[("type", ty.name())])
        };
        for (resource_type, id, place) in std::mem::take(&mut self.targets) {
            if gone.contains(&(resource_type, id.as_str())) {
                return Err(Error::all(vec![missing(resource_type, place)]));
            }
            if !self.written.contains(&(resource_type, id.clone())) {
                open.entry((resource_type, id)).or_insert(place);
            }
        }
        let Some(access) = self.access.clone() else { return Ok(()) };
        if open.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(ResourceType, &str)> = open
            .keys()
            .filter(|(ty, _)| access::may_read(self.caller, *ty))
            .map(|(ty, id)| (*ty, id.as_str()))
            .collect();
        let placement = &self.app.placement;
        let candidates = self.with(async |conn| placement.candidates(conn, &wanted).await).await?;
        let mut found = existing_at(self, &access, wanted.iter().copied().zip(candidates)).await?;
        let rest: Vec<(ResourceType, &str)> =
            wanted.iter().copied().filter(|(ty, id)| !found.contains(&(*ty, (*id).to_owned()))).collect();
        let directory = self.with(async |conn| placement.directory(conn, &rest).await).await?;
        found.extend(existing_at(self, &access, rest.iter().copied().zip(directory)).await?);
        let lost: Vec<Issue> = open
            .into_iter()
            .filter(|(target, _)| !found.contains(target))
            .map(|((ty, _), place)| missing(ty, place))
            .collect();
        if lost.is_empty() { Ok(()) } else { Err(Error::all(lost)) }
    }

    /// Remembers what is deleted.
    pub(super) fn release(&mut self, resource_type: ResourceType, id: &str) {
        if self.app.config.fhir.references == References::Enforce {
            self.released.push((resource_type, id.to_owned(), self.place.clone()));
        }
    }

    /// Nothing that is there points at what this unit has deleted: looked for when its rows are written, so that all it does
    /// counts; for a single delete before, so that it stays one statement.
    pub(in crate::interaction) async fn check_holders(&mut self) -> Result<()> {
        let released = std::mem::take(&mut self.released);
        let Some(access) = self.access.clone() else { return Ok(()) };
        for some in released.chunks(RELEASED_AT_A_TIME) {
            let context = self.app.search_context();
            let mut whose: HashMap<i64, usize> = HashMap::new();
            for (n, (resource_type, id, _)) in some.iter().enumerate() {
                whose.extend(index::reference_keys(&context, *resource_type, id).into_iter().map(|key| (key, n)));
            }
            let keys: Vec<i64> = whose.keys().copied().collect();
            let own: Vec<String> = some.iter().map(|(resource_type, id, _)| format!("{resource_type}/{id}")).collect();
            let holders = self.with(async |conn| store::search::holders(conn, &access, &keys, &own).await).await?;
            let held = holders.iter().filter_map(|(key, holder)| Some((*whose.get(key)?, holder.as_str())));
            // The first of them, by the order of the deletes and of the names.
            if let Some((n, holder)) = held.min()
                && let Some((resource_type, _, place)) = some.get(n)
            {
                let mut issue = Issue::new(Kind::Conflict, format!("this {resource_type} is referenced by a {holder}"));
                issue.expression = place.as_deref().map(|place| place.trim_end_matches(".resource").to_owned());
                return Err(Error::all(vec![issue]));
            }
        }
        Ok(())
    }
}
