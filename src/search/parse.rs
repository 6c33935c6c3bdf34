//! Query text -> [`Query`]. <https://hl7.org/fhir/R4/search.html>
//!
//! Nothing is ignored: an unknown parameter, modifier or value is an error that names the parameter and the nearest known
//! ones, and all problems are told at once. Values stand in no error text. Not here yet, and refused by name: number,
//! quantity, composite and special parameters, chains, `_has`, includes, modifiers beyond `:exact`, `:not`, `:[type]` and
//! `identifier:code-text` of Patient.

use crate::error::{Error, Issue, Kind, Result};
use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};
use crate::fhir::reference::is_id;
use crate::search::hash::{Form, Slot};
use crate::search::main_date::{is_single, main_date};
use crate::search::param::{bad_value, date, reference, split, string, token, unescape, uri};
use crate::search::query::{Clause, Query, Sort, SortBy, Total};
use crate::search::{Context, page};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

/// Limits of one search; each a config key.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the query text.
    pub length: usize,
    pub parameters: usize,
    /// Alternatives in one parameter.
    pub terms: usize,
    pub count: u32,
    pub count_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { length: 16 * 1024, parameters: 100, terms: 500, count: 20, count_max: 1000 }
    }
}

/// The parameters of a type that [`parse`] takes, in the order of their codes: what the CapabilityStatement may promise.
pub fn supported(definitions: &'static Definitions, t: ResourceType) -> Vec<&'static SearchParameter> {
    let takes = |parameter: &&SearchParameter| {
        let kind = matches!(
            parameter.kind,
            SearchKind::Number | SearchKind::Quantity | SearchKind::Composite | SearchKind::Special
        );
        !kind && parameter.expression.is_some()
    };
    definitions.search_parameters(t).iter().filter(takes).collect()
}

/// Reads the query of a URL or of a form body, as it came (percent-encoded). `now` is for the prefix `ap`.
pub fn parse(context: &Context<'_>, t: ResourceType, raw: &str, limits: &Limits, now: Timestamp) -> Result<Query> {
    if raw.len() > limits.length {
        return Err(Error::new(Kind::TooCostly, format!("the query is longer than {} bytes", limits.length)));
    }
    let mut pairs = Vec::new();
    for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)
            .ok_or_else(|| Error::new(Kind::Value, "the name of a parameter is not valid percent-encoded UTF-8"))?;
        let value = decode(value)
            .ok_or_else(|| Error::at(Kind::Value, shown(&name), "the value is not valid percent-encoded UTF-8"))?;
        pairs.push((name, value));
    }
    parse_pairs(context, t, pairs, limits, now)
}

/// Reads names and values that are decoded already (scope filters, conditional criteria).
pub fn parse_pairs(
    context: &Context<'_>,
    t: ResourceType,
    pairs: Vec<(String, String)>,
    limits: &Limits,
    now: Timestamp,
) -> Result<Query> {
    if pairs.len() > limits.parameters {
        return Err(Error::new(Kind::TooCostly, format!("the query has more than {} parameters", limits.parameters)));
    }
    let mut parser = Parser {
        context,
        t,
        limits,
        now,
        main: main_date(context.definitions, t).map(|parameter| parameter.code),
        seen: Vec::new(),
        count_only: false,
        page: None,
        query: Query {
            resource_type: t.name(),
            clauses: Vec::new(),
            patient: None,
            selective: false,
            sort: Sort { by: SortBy::Date, descending: true },
            count: limits.count,
            total: Total::Unasked,
            cursor: None,
            self_parameters: Vec::new(),
        },
    };
    let mut issues = Vec::new();
    for (name, value) in pairs {
        if let Err(error) = parser.parameter(name, value) {
            issues.extend(error.issues);
        }
    }
    if !issues.is_empty() {
        return Err(Error::all(issues));
    }
    parser.finish()
}

/// Percent-decoding with `+` as blank; none when it is not UTF-8 or holds NUL, which PostgreSQL cannot hold.
fn decode(text: &str) -> Option<String> {
    let well_formed =
        text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()));
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    (well_formed && !decoded.contains('\0')).then(|| decoded.into_owned())
}

/// A name as an error may show it: short, and without what could break a line.
fn shown(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

struct Parser<'a> {
    context: &'a Context<'a>,
    t: ResourceType,
    limits: &'a Limits,
    now: Timestamp,
    /// Code of the main date parameter.
    main: Option<&'static str>,
    /// Result parameters that were given.
    seen: Vec<&'static str>,
    count_only: bool,
    page: Option<String>,
    query: Query,
}

impl Parser<'_> {
    fn parameter(&mut self, name: String, value: String) -> Result<()> {
        if value.is_empty() {
            return Err(Error::at(Kind::Value, shown(&name), "the value is empty"));
        }
        match name.as_str() {
            "_count" => self.count(&value),
            "_sort" => self.sort(&value),
            "_total" => self.total(&value),
            "_summary" => self.summary(&value),
            "_page" => {
                self.once("_page")?;
                self.page = Some(value);
                Ok(())
            }
            // How the answer is written, not what is in it.
            "_format" | "_pretty" => Ok(()),
            _ => {
                self.criterion(&name, &value)?;
                self.query.self_parameters.push((name, value));
                Ok(())
            }
        }
    }

    fn once(&mut self, name: &'static str) -> Result<()> {
        if self.seen.contains(&name) {
            return Err(Error::at(Kind::Value, name, "is given more than once"));
        }
        self.seen.push(name);
        Ok(())
    }

    /// A larger page than the limit is served up to the limit, and the self link says so.
    fn count(&mut self, value: &str) -> Result<()> {
        self.once("_count")?;
        if !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad_value("_count", "a whole number"));
        }
        let count = value.parse::<u64>().unwrap_or(u64::MAX);
        self.query.count = u32::try_from(count).unwrap_or(u32::MAX).min(self.limits.count_max);
        self.query.self_parameters.push(("_count".to_owned(), self.query.count.to_string()));
        Ok(())
    }

    fn sort(&mut self, value: &str) -> Result<()> {
        self.once("_sort")?;
        let (descending, code) = value.strip_prefix('-').map_or((false, value), |code| (true, code));
        let by = match code {
            "_lastUpdated" => SortBy::Updated,
            "_id" => SortBy::Id,
            _ if Some(code) == self.main => SortBy::Date,
            _ => {
                let main = self.main.map_or(String::new(), |main| format!("{main}, "));
                let text =
                    format!("{} can be sorted by one of {main}_lastUpdated, _id, each also with - before it", self.t);
                return Err(Error::at(Kind::NotSupported, "_sort", text));
            }
        };
        self.query.sort = Sort { by, descending };
        self.query.self_parameters.push(("_sort".to_owned(), value.to_owned()));
        Ok(())
    }

    fn total(&mut self, value: &str) -> Result<()> {
        self.once("_total")?;
        self.query.total = match value {
            "none" => Total::None,
            "estimate" => Total::Estimate,
            "accurate" => Total::Accurate,
            _ => return Err(bad_value("_total", "none, estimate or accurate")),
        };
        self.query.self_parameters.push(("_total".to_owned(), value.to_owned()));
        Ok(())
    }

    fn summary(&mut self, value: &str) -> Result<()> {
        self.once("_summary")?;
        match value {
            "count" => self.count_only = true,
            "false" => {}
            "true" | "text" | "data" => {
                return Err(Error::at(Kind::NotSupported, "_summary", "only count and false are supported"));
            }
            _ => return Err(bad_value("_summary", "count or false")),
        }
        self.query.self_parameters.push(("_summary".to_owned(), value.to_owned()));
        Ok(())
    }

    /// One `code[:modifier]=value[,value...]`.
    fn criterion(&mut self, name: &str, value: &str) -> Result<()> {
        let (code, modifier) = name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)));
        let values = split(value, ',');
        if values.len() > self.limits.terms {
            return Err(Error::at(Kind::TooCostly, shown(name), format!("has more than {} values", self.limits.terms)));
        }
        if values.iter().any(|value| value.is_empty()) {
            return Err(Error::at(Kind::Value, shown(name), "one of the values is empty"));
        }
        let Some(parameter) = self.context.definitions.search_parameter(self.t, code) else {
            return Err(self.unknown(name, code));
        };
        let slot = self.context.hasher.slot(self.t.name(), parameter.code);
        let clause = match (parameter.kind, modifier) {
            _ if parameter.expression.is_none() => {
                return Err(Error::at(Kind::NotSupported, parameter.code, "is not supported yet"));
            }
            _ if parameter.code == "_id" && modifier.is_none() => ids(&values)?,
            (SearchKind::Date, None) => self.date(&slot, parameter, &values)?,
            (SearchKind::Token, None | Some("not")) if parameter.code != "_id" => {
                let keys =
                    values.iter().map(|value| token::key(&slot, parameter.code, value)).collect::<Result<_>>()?;
                if modifier.is_some() { Clause::Not(keys) } else { Clause::Any(keys) }
            }
            (SearchKind::Token, Some("code-text")) if token::has_starts(self.t.name(), parameter.code) => {
                let any: Vec<String> = values.iter().map(|value| token::squeezed(&unescape(value))).collect();
                if any.iter().any(String::is_empty) {
                    return Err(bad_value(parameter.code, "the beginning of an identifier"));
                }
                Clause::Prefix { key: slot.key(Form::Strings, &[]), any }
            }
            (SearchKind::String, None) => {
                let any = values.iter().map(|value| string::prefix(&unescape(value))).collect();
                Clause::Prefix { key: slot.key(Form::Strings, &[]), any }
            }
            (SearchKind::String, Some("exact")) => {
                Clause::Any(values.iter().map(|value| slot.key(Form::Exact, &[&unescape(value)])).collect())
            }
            (SearchKind::Uri, None) => Clause::Any(values.iter().map(|value| uri::key(&slot, value)).collect()),
            (SearchKind::Reference, _) => self.reference(&slot, parameter, modifier, &values)?,
            (SearchKind::Number | SearchKind::Quantity | SearchKind::Composite | SearchKind::Special, _) => {
                return Err(Error::at(
                    Kind::NotSupported,
                    parameter.code,
                    format!("parameters of type {} are not supported yet", kind_name(parameter.kind)),
                ));
            }
            (_, Some(modifier)) => return Err(unsupported_modifier(parameter, modifier)),
            (_, None) => return Err(Error::at(Kind::NotSupported, parameter.code, "is not supported")),
        };
        self.query.selective |= is_identifying(parameter.code) && matches!(clause, Clause::Any(_));
        self.query.clauses.push(clause);
        Ok(())
    }

    fn date(&self, slot: &Slot, parameter: &SearchParameter, values: &[&str]) -> Result<Clause> {
        let (local, now) = (self.context.local, self.now);
        let any = values
            .iter()
            .map(|value| date::comparison(parameter.code, &unescape(value), local, now))
            .collect::<Result<_>>()?;
        Ok(match parameter.code {
            "_lastUpdated" => Clause::Updated(any),
            code if Some(code) == self.main && is_single(self.t) => Clause::Date(any),
            _ => Clause::Range { key: slot.key(Form::Ranges, &[]), any },
        })
    }

    fn reference(
        &mut self,
        slot: &Slot,
        parameter: &SearchParameter,
        modifier: Option<&str>,
        values: &[&str],
    ) -> Result<Clause> {
        let of_type = match modifier {
            None => None,
            Some(modifier) => match reference::modifier_type(parameter, modifier) {
                Some(named) => Some(named),
                None => return Err(unsupported_modifier(parameter, modifier)),
            },
        };
        let mut keys = Vec::with_capacity(values.len());
        let mut locals = Vec::new();
        for value in values {
            let target = reference::target(slot, parameter, of_type, value, self.context.base)?;
            keys.push(target.key);
            locals.extend(target.local);
        }
        if locals.len() == values.len() && !locals.is_empty() {
            self.restrict(parameter, &locals);
        }
        Ok(Clause::Any(keys))
    }

    /// Every alternative is a Patient in whose compartment the row must be: its rows lie under that Patient's keys. Not so
    /// for Patient (a link gives no place) and Group (lies under no patient).
    fn restrict(&mut self, parameter: &SearchParameter, locals: &[(ResourceType, String)]) {
        let compartment = self.context.definitions.compartment("Patient", self.t);
        let all_patients = locals.iter().all(|(t, _)| t.name() == "Patient");
        self.query.selective |= all_patients;
        // Of `subject` and `patient` the definition of a compartment names one; where it names any, both are the same element.
        let named = compartment.contains(&parameter.code)
            || (!compartment.is_empty() && matches!(parameter.code, "subject" | "patient"));
        if all_patients && named && !matches!(self.t.name(), "Patient" | "Group") {
            let mut ids: Vec<String> = locals.iter().map(|(_, id)| id.clone()).collect();
            ids.sort_unstable();
            ids.dedup();
            // Of several restrictions any one will do: the clauses say the rest.
            self.query.patient.get_or_insert(ids);
        }
    }

    fn unknown(&self, name: &str, code: &str) -> Error {
        let known = self.context.definitions.search_parameters(self.t).iter().map(|parameter| parameter.code);
        let text = if code.contains('.') || name.contains('.') {
            "chained parameters are not supported yet".to_owned()
        } else if matches!(
            code,
            "_has"
                | "_include"
                | "_revinclude"
                | "_list"
                | "_type"
                | "_elements"
                | "_contained"
                | "_containedType"
                | "_score"
        ) {
            "is not supported yet".to_owned()
        } else {
            format!("is no search parameter of {}; the nearest are {}", self.t, nearest(code, known).join(", "))
        };
        Error::at(Kind::NotSupported, shown(name), text)
    }

    fn finish(mut self) -> Result<Query> {
        if self.count_only {
            self.query.count = 0;
        }
        if self.query.count == 0 && self.query.total == Total::Unasked {
            self.query.total = Total::Accurate;
        }
        if let Some(token) = self.page {
            let cursor = page::read(self.context.hasher, self.query.resource_type, &self.query.self_parameters, &token);
            let Some(cursor) = cursor else {
                return Err(Error::at(Kind::Value, "_page", "is not a page of this search"));
            };
            self.query.cursor = Some(cursor);
            self.query.self_parameters.push(("_page".to_owned(), token));
        }
        Ok(self.query)
    }
}

fn ids(values: &[&str]) -> Result<Clause> {
    if !values.iter().all(|value| is_id(value)) {
        return Err(bad_value("_id", "an id"));
    }
    let mut ids: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Clause::Ids(ids))
}

/// Parameters whose values few rows share.
fn is_identifying(code: &str) -> bool {
    matches!(
        code,
        "identifier" | "phone" | "email" | "telecom" | "group-identifier" | "encounter" | "specimen" | "based-on"
    )
}

fn kind_name(kind: SearchKind) -> &'static str {
    match kind {
        SearchKind::Number => "number",
        SearchKind::Date => "date",
        SearchKind::String => "string",
        SearchKind::Token => "token",
        SearchKind::Reference => "reference",
        SearchKind::Composite => "composite",
        SearchKind::Quantity => "quantity",
        SearchKind::Uri => "uri",
        SearchKind::Special => "special",
    }
}

fn unsupported_modifier(parameter: &SearchParameter, modifier: &str) -> Error {
    let supported = match parameter.kind {
        _ if parameter.code == "_id" => "none",
        SearchKind::String => ":exact",
        SearchKind::Token if parameter.code == "identifier" => ":not, and on Patient :code-text",
        SearchKind::Token => ":not",
        SearchKind::Reference => ": and a type that the parameter may point at",
        _ => "none",
    };
    let text = format!("the modifier :{} is not supported here; supported: {supported}", shown(modifier));
    Error::all(vec![Issue::at(Kind::NotSupported, parameter.code, text)])
}

/// The three codes with the fewest edits to `name`.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
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

#[cfg(test)]
mod tests;
