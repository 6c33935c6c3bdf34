//! What is told when a parameter or modifier is not known: its name, and what is.

use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};
use crate::search::param::token::{has_concepts, has_identifier, has_text};
use crate::search::param::uri;

/// Names of the standard that are no parameters of a type, or none that this version has.
const LATER: [&str; 3] = ["_contained", "_containedType", "_score"];

/// What says which results come, and how, beside the parameters of a type.
const RESULT: [&str; 12] = [
    "_content",
    "_count",
    "_elements",
    "_filter",
    "_format",
    "_include",
    "_list",
    "_revinclude",
    "_sort",
    "_summary",
    "_text",
    "_total",
];

/// A name as an error may show it: short, and without what could break a line.
pub fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `code` (of `name`, which may carry a modifier) is none of `known`.
pub fn unknown(t: ResourceType, name: &str, code: &str, known: &[&SearchParameter]) -> Error {
    let text = if code == "_has" {
        "is written _has:Type:reference:parameter".to_owned()
    } else if code == "_type" {
        "is for a search over several types (GET [base]?_type=A,B)".to_owned()
    } else if code == "_query" {
        "named queries are not supported".to_owned()
    } else if matches!(code, "_content" | "_filter" | "_list" | "_text") && name != code {
        "takes no modifier".to_owned()
    } else if LATER.contains(&code) {
        "is not supported yet".to_owned()
    } else {
        let known = known.iter().filter(|parameter| parameter.expression.is_some()).map(|parameter| parameter.code);
        let known = known.chain(RESULT);
        format!("is no search parameter of {t}; the nearest are {}", nearest(code, known).join(", "))
    };
    Error::at(Kind::NotSupported, shown(name), text)
}

/// Whether a parameter can be asked: one that is being built would miss what was not read for it yet. `name`: as given.
pub fn finished(definitions: &Definitions, t: ResourceType, name: &str, code: &str) -> Result<()> {
    let Some(percent) = definitions.unfinished(t, code) else { return Ok(()) };
    let text = format!(
        "{t}.{} cannot be asked yet: $reindex has read {percent} % of the stored resources for it",
        shown(code)
    );
    Err(Error::at(Kind::NotSupported, shown(name), text))
}

/// A modifier that the parameter does not take; tells those that it does.
pub fn unsupported(parameter: &SearchParameter, modifier: &str) -> Error {
    let taken = match parameter.kind {
        _ if matches!(parameter.code, "_id" | "_lastUpdated") => ":missing",
        SearchKind::String => ":exact, :contains, :missing",
        SearchKind::Token if has_identifier(parameter) => ":not, :text, :of-type, :missing, and on Patient :code-text",
        SearchKind::Token if has_text(parameter) => ":not, :text, :in, :not-in, :above, :below, :missing",
        SearchKind::Token if has_concepts(parameter) => ":not, :in, :not-in, :above, :below, :missing",
        SearchKind::Token => ":not, :missing",
        SearchKind::Uri if uri::has_below(parameter.code) => ":above, :below, :missing",
        SearchKind::Uri => ":above, :missing",
        SearchKind::Reference => ":identifier, :missing and a type that the parameter may point at",
        _ => ":missing",
    };
    let text = format!("the modifier :{} is not supported here; supported: {taken}", shown(modifier));
    Error::all(vec![Issue::at(Kind::NotSupported, parameter.code, text)])
}

/// The three codes with the fewest edits to `name`.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let name: Vec<char> = name.chars().take(64).collect();
    let mut ranked: Vec<(usize, &str)> = known.map(|code| (edits(&name, code), code)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(3).map(|(_, code)| code).collect()
}

/// Levenshtein distance.
fn edits(a: &[char], b: &str) -> usize {
    let mut row: Vec<usize> = (0..=a.len()).collect();
    for (line, letter) in b.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(line + 1);
        for ((above, before), known) in row.iter().skip(1).zip(&row).zip(a) {
            let left = next.last().copied().unwrap_or(0);
            next.push((above + 1).min(left + 1).min(before + usize::from(*known != letter)));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
