//! `GET $explain?url=Type?query`: how a search is carried out, for the administrator of the database (docs/operations/search.md).
//!
//! Admin alone, who may read no record: what comes back are statements, plans and figures in tens, never a value of a row.
//! With `analyze=true` the statements are carried out as far as the search would go. Audited like every interaction.

use crate::access;
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::interaction::request::pairs;
use crate::interaction::unit::Unit;
use crate::interaction::{Answer, search};
use crate::search::query::Query;
use crate::store::explain::{self, Explained, Step};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

pub(in crate::interaction) async fn run(unit: &mut Unit<'_>, query: &str) -> Result<Answer> {
    // Whoever may not ask learns nothing of what can be asked.
    access::may_explain(unit.caller)?;
    let (url, analyze) = parameters(query)?;
    let (name, raw) = url.split_once('?').unwrap_or((&url, ""));
    let name = name.trim_start_matches('/');
    let name = name.strip_prefix("fhir/").unwrap_or(name);
    let resource_type = ResourceType::parse(name);
    let resource_type = resource_type.ok_or_else(|| Error::at(Kind::Value, "url", "must be Type?parameters"))?;
    let access = access::explain(unit.caller, resource_type)?;
    let started = Instant::now();
    let mut query = search::parsed(unit, resource_type, raw, false)?;
    let read = started.elapsed();
    if query.unanswered().is_some() {
        // Each is a search of its own, which the administrator may not make.
        return Err(Error::at(Kind::NotSupported, "url", "chains and _has are not explained; explain their searches"));
    }
    let (guard, documents) = search::bounds(unit, &access, &mut query).await?;
    let found = started.elapsed() - read;
    let explained = unit
        .with_own(async |conn| explain::explain(conn, &access, &guard, &query, documents.as_deref(), analyze).await)
        .await?;
    let names: BTreeSet<&str> = query.self_parameters.iter().map(|(name, _)| name.as_str()).collect();
    let detail = names.into_iter().collect::<Vec<_>>().join("&");
    let event = Event::new(unit.caller, "operation").of(resource_type);
    unit.audit(Event { detail: Some(format!("$explain {detail}")), ..event });
    Ok(Answer::bundle(told(&query, &explained, (read, found)).to_string().into_bytes()))
}

/// The search and whether it is to be carried out.
fn parameters(query: &str) -> Result<(String, bool)> {
    let (mut url, mut analyze) = (None, false);
    for (name, value) in pairs(query)? {
        match (name.as_str(), value.as_str()) {
            ("_format" | "_pretty", _) => {}
            ("url", _) if url.is_none() => url = Some(value),
            ("analyze", "true" | "false") => analyze = value == "true",
            ("analyze", _) => return Err(Error::at(Kind::Value, "analyze", "must be true or false")),
            ("url", _) => return Err(Error::at(Kind::Value, "url", "is given more than once")),
            _ => return Err(Error::new(Kind::Value, "the parameters of $explain are url and analyze")),
        }
    }
    let url = url.filter(|url| !url.is_empty());
    Ok((
        url.ok_or_else(|| Error::at(Kind::Required, "url", "the search to explain: Type?parameters, encoded"))?,
        analyze,
    ))
}

fn milliseconds(time: Duration) -> Value {
    // Three digits after the point, and nothing of how a double is written.
    format!("{:.3}", time.as_secs_f64() * 1000.0).parse::<f64>().unwrap_or(0.0).into()
}

/// The answer as Parameters.
fn told(query: &Query, explained: &Explained, (read, found): (Duration, Duration)) -> Value {
    let mut shown = query.clone();
    // A hundred and fifty numbers that tell nothing.
    shown.years = Vec::new();
    let mut all = vec![
        json!({"name": "query", "valueString": format!("{shown:#?}")}),
        json!({"name": "milliseconds", "part": [
            {"name": "parse", "valueDecimal": milliseconds(read)}, {"name": "place", "valueDecimal": milliseconds(found)}]}),
    ];
    if let Some(guess) = explained.guess {
        let part = |name: &str, rows: f64| json!({"name": name, "valueDecimal": rows.round()});
        let parts = [part("rows", guess.rows), part("rarest", guess.most), part("matches", guess.matches)];
        all.push(json!({"name": "statistics", "part": parts}));
    }
    all.extend(explained.steps.iter().map(step));
    json!({"resourceType": "Parameters", "parameter": all})
}

fn step(step: &Step) -> Value {
    let mut parts = vec![
        json!({"name": "plan", "valueCode": step.plan}),
        json!({"name": "sql", "valueString": step.sql}),
        json!({"name": "parameters", "valueString": step.parameters.join(", ")}),
        json!({"name": "tree", "valueString": step.tree.to_string()}),
        json!({"name": "milliseconds", "valueDecimal": milliseconds(step.took)}),
    ];
    parts.extend(step.visited.map(|rows| json!({"name": "visited", "valueDecimal": rows})));
    parts.extend(step.complete.map(|complete| json!({"name": "complete", "valueBoolean": complete})));
    json!({"name": "statement", "part": parts})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused_by_name() {
        let check = |query: &str, expected: &str| {
            let shown = match parameters(query) {
                Ok((url, analyze)) => format!("{url} {analyze}"),
                Err(error) => error.issues[0].expression.clone().unwrap_or_default(),
            };
            assert_eq!(shown, expected, "{query}");
        };
        check("url=Patient%3Fname%3Dana%26gender%3Dmale", "Patient?name=ana&gender=male false");
        check("url=Patient&analyze=true&_format=json", "Patient true");
        check("analyze=yes&url=Patient", "analyze");
        check("url=Patient&url=Patient", "url");
        check("", "url");
        check("url=Patient?name=ana&gender=male", "");
    }
}
