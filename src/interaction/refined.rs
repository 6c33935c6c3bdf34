//! What is wanted of an answer: only when it has changed (conditional read, <https://hl7.org/fhir/R4/http.html#cread>), or
//! only a part of it (`_summary`, `_elements`). It is done after the interaction itself, so rights and audit are the same.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::r4;
use crate::fhir::subset::{self, Subset};
use crate::interaction::request::{Conditions, pairs};
use crate::interaction::unit::Unit;
use crate::interaction::{Answer, Interaction};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::Value;

/// When a read is answered with 304 instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unless {
    /// `If-None-Match`: the entity tags, without `W/` and quotes; empty stands for `*`.
    none_match: Option<Vec<String>>,
    modified_since: Option<Since>,
}

/// The precision of a time: an HTTP date has seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Second(i64),
    Instant(Timestamp),
}

impl Unless {
    /// Of headers, or of the members of an entry's request. A date that is none is not heeded (RFC 9110, 13.1.3).
    fn of(conditions: &Conditions) -> Result<Option<Unless>> {
        let none_match = conditions.if_none_match.as_deref().map(tags).transpose()?;
        let modified_since = conditions.if_modified_since.as_deref().and_then(since);
        let is_any = none_match.is_some() || modified_since.is_some();
        Ok(is_any.then_some(Unless { none_match, modified_since }))
    }

    /// Whether the client has this version. A tag outweighs a date.
    fn has(&self, version: i64, updated: Timestamp) -> bool {
        match (&self.none_match, self.modified_since) {
            (Some(tags), _) => tags.is_empty() || tags.iter().any(|tag| *tag == version.to_string()),
            (None, Some(Since::Second(second))) => updated.as_second() <= second,
            (None, Some(Since::Instant(instant))) => updated <= instant,
            (None, None) => false,
        }
    }
}

/// `W/"1", "2"` or `*` (RFC 9110, 13.1.2), compared weakly.
fn tags(text: &str) -> Result<Vec<String>> {
    let wrong =
        || Error::at(Kind::Value, "If-None-Match", "If-None-Match must be * or a list of ETags such as W/\"1\"");
    if text.trim() == "*" {
        return Ok(Vec::new());
    }
    let mut tags = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let quoted = rest.strip_prefix("W/").unwrap_or(rest).strip_prefix('"').ok_or_else(wrong)?;
        let (tag, after) = quoted.split_once('"').ok_or_else(wrong)?;
        tags.push(tag.to_owned());
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start_matches([',', ' ', '\t']),
            None if after.is_empty() => after,
            None => return Err(wrong()),
        };
    }
    if tags.is_empty() { Err(wrong()) } else { Ok(tags) }
}

/// An HTTP date, or an instant as in `Bundle.entry.request.ifModifiedSince`.
fn since(text: &str) -> Option<Since> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(Since::Instant(instant));
    }
    DateTimeParser::new().parse_timestamp(text).ok().map(|time| Since::Second(time.as_second()))
}

/// Adds to an interaction what its request wants of the answer.
pub(super) fn refine(interaction: Interaction, query: &str, conditions: &Conditions) -> Result<Interaction> {
    let (asked, counts, unless) = match &interaction {
        Interaction::Read { .. } | Interaction::Vread { .. } => (query, false, Unless::of(conditions)?),
        Interaction::Capabilities { .. } => (query, false, None),
        Interaction::HistoryInstance { query, .. }
        | Interaction::HistoryMany { query, .. }
        | Interaction::Everything { query, .. } => (query.as_str(), false, None),
        Interaction::SearchType { query, .. }
        | Interaction::SearchSystem { query, .. }
        | Interaction::SearchCompartment { query, .. } => (query.as_str(), true, None),
        _ => return Ok(interaction),
    };
    let subset = match asked.contains("_summary") || asked.contains("_elements") || asked.contains('%') {
        true => part(&interaction, &pairs(asked)?, counts)?,
        false => None,
    };
    if subset.is_none() && unless.is_none() {
        return Ok(interaction);
    }
    Ok(Interaction::Refined { interaction: Box::new(interaction), unless, subset })
}

fn part(interaction: &Interaction, pairs: &[(String, String)], counts: bool) -> Result<Option<Subset>> {
    let of = match interaction {
        // Of all types of the compartment.
        Interaction::Everything { .. } => None,
        one => one.resource_type(),
    };
    if !counts && pairs.iter().any(|(name, value)| name == "_summary" && value == "count") {
        return Err(Error::at(Kind::Value, "_summary", "count is for searches"));
    }
    let subset = subset::parse(r4(), of, pairs)?;
    let is_include = |name: &str| name.starts_with("_include") || name.starts_with("_revinclude");
    if subset == Some(Subset::Text) && pairs.iter().any(|(name, _)| is_include(name)) {
        return Err(Error::at(Kind::Invalid, "_summary", "_summary=text and includes exclude each other"));
    }
    Ok(subset)
}

pub(super) async fn run(
    unit: &mut Unit<'_>,
    interaction: &Interaction,
    unless: Option<&Unless>,
    subset: Option<&Subset>,
) -> Result<Answer> {
    let mut answer = Box::pin(unit.run(interaction)).await?;
    if let (Some(unless), Some(version), Some(updated)) = (unless, answer.version, answer.updated)
        && unless.has(version, updated)
    {
        (answer.status, answer.body) = (304, None);
        return Ok(answer);
    }
    if let (Some(subset), Some(body)) = (subset, &answer.body) {
        let mut value: Value = serde_json::from_slice(body).map_err(Error::internal)?;
        match interaction {
            Interaction::Read { .. } | Interaction::Vread { .. } | Interaction::Capabilities { .. } => {
                subset::of_resource(r4(), subset, &mut value);
            }
            _ => subset::of_bundle(r4(), subset, &mut value),
        }
        answer.body = Some(value.to_string().into_bytes());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags() {
        let check = |text: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|tags| tags.iter().map(|t| (*t).to_owned()).collect::<Vec<String>>());
            assert_eq!(tags(text).ok(), expected, "{text}");
        };
        check("W/\"3\"", Some(&["3"]));
        check("\"3\"", Some(&["3"]));
        check(" W/\"3\" , \"a,b\",W/\"4\"", Some(&["3", "a,b", "4"]));
        check("*", Some(&[]));
        for bad in ["", "3", "W/3", "\"3", "W/\"3\" \"4\"", ",", "w/\"3\""] {
            check(bad, None);
        }
    }

    #[test]
    fn a_client_that_has_the_version_is_told_so() {
        let updated: Timestamp = "2026-11-24T08:31:11.123Z".parse().unwrap();
        let has = |tag: Option<&str>, date: Option<&str>| {
            let (if_none_match, if_modified_since) = (tag.map(str::to_owned), date.map(str::to_owned));
            let conditions = Conditions { if_none_match, if_modified_since, ..Conditions::default() };
            Unless::of(&conditions).unwrap().is_some_and(|unless| unless.has(3, updated))
        };
        assert!(has(Some("W/\"3\""), None) && has(Some("\"1\", \"3\""), None) && has(Some("*"), None));
        assert!(!has(Some("W/\"2\""), None) && !has(Some("W/\"03\""), None));
        assert!(has(None, Some("Tue, 24 Nov 2026 08:31:11 GMT")));
        assert!(!has(None, Some("Tue, 24 Nov 2026 08:31:10 GMT")));
        assert!(has(None, Some("2026-11-24T08:31:11.123Z")) && !has(None, Some("2026-11-24T08:31:11.122Z")));
        assert!(has(None, Some("2026-11-24T03:31:11.123-05:00")));
        assert!(!has(None, Some("ayer")) && !has(None, None));
        // The tag outweighs the date.
        assert!(!has(Some("W/\"2\""), Some("Tue, 24 Nov 2026 09:00:00 GMT")));
    }
}
