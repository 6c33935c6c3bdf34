//! Query text -> [`Query`]. <https://hl7.org/fhir/R4/search.html>
//!
//! Nothing is ignored in silence: an unknown parameter, modifier or value is an error that names the parameter and the
//! nearest known ones, and all problems are told at once; with lenient handling what is not supported is left out and told
//! beside the matches. Values stand in no error text.

mod criterion;
mod filter;
mod include;
mod known;
mod link;
mod several;

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};
use crate::fhir::reference::is_id;
use crate::search::Context;
use crate::search::hash::Form;
use crate::search::index::year_key_of;
use crate::search::main_date::main_date;
use crate::search::param::bad_value;
use crate::search::param::composite::{self, Way};
use crate::search::query::{Clause, FIRST_YEAR, LAST_YEAR, Query, Sort, SortBy, Total};
use jiff::Timestamp;
use known::{finished, shown};
use percent_encoding::percent_decode_str;
pub use several::{Several, several};

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
    /// Steps of a chain.
    pub chain_depth: usize,
    /// Resources that a chain or `_has` may go by.
    pub linked: u32,
    /// What is not supported is left out and told (`Prefer: handling=lenient`) instead of refused.
    pub lenient: bool,
}

/// More sort keys are refused.
const SORT_KEYS: usize = 4;
/// Lists that one `_list` may name.
const LISTS: usize = 8;
/// A code list with more codes has no order here.
const SORT_CODES: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            length: 16 * 1024,
            parameters: 100,
            terms: 500,
            count: 20,
            count_max: 1000,
            chain_depth: 4,
            linked: 1000,
            lenient: false,
        }
    }
}

/// The parameters of a type that [`parse`] takes, in the order of their codes: what the CapabilityStatement may promise.
pub fn supported(definitions: &'static Definitions, t: ResourceType) -> Vec<&'static SearchParameter> {
    let takes = |parameter: &&SearchParameter| match parameter.kind {
        SearchKind::Special => parameter.code == "near",
        SearchKind::Composite => composite::way(parameter, t) != Way::Unsupported,
        _ => parameter.expression.is_some(),
    };
    let finished = definitions.search_parameters(t).iter().copied();
    finished.filter(|one| definitions.unfinished(t, one.code).is_none()).filter(takes).collect()
}

/// Reads the query of a URL or of a form body, as it came (percent-encoded). `now` is for the prefix `ap`.
pub fn parse(context: &Context<'_>, t: ResourceType, raw: &str, limits: &Limits, now: Timestamp) -> Result<Query> {
    parse_pairs(context, t, pairs(raw, limits)?, limits, now)
}

/// The decoded parameters of a query text.
pub fn pairs(raw: &str, limits: &Limits) -> Result<Vec<(String, String)>> {
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
    Ok(pairs)
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
    let mut parser = Parser::new(context, t, limits, now);
    let mut issues = Vec::new();
    for (name, value) in pairs {
        if let Err(error) = parser.parameter(name, value) {
            let lenient = limits.lenient && error.kind == Kind::NotSupported;
            if lenient { parser.query.ignored.extend(error.issues) } else { issues.extend(error.issues) }
        }
    }
    if !issues.is_empty() {
        return Err(Error::all(issues));
    }
    Ok(parser.finish())
}

/// Percent-decoding with `+` as blank; none when it is not UTF-8 or holds NUL, which PostgreSQL cannot hold.
fn decode(text: &str) -> Option<String> {
    let well_formed =
        text.split('%').skip(1).all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()));
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8().ok()?;
    (well_formed && !decoded.contains('\0')).then(|| decoded.into_owned())
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
    /// Steps of the chain that lead here, and searches that the whole query asks besides its own.
    depth: usize,
    arms: usize,
    query: Query,
}

impl<'a> Parser<'a> {
    fn new(context: &'a Context<'a>, t: ResourceType, limits: &'a Limits, now: Timestamp) -> Parser<'a> {
        Parser {
            context,
            t,
            limits,
            now,
            main: main_date(context.definitions, t).map(|parameter| parameter.code),
            seen: Vec::new(),
            count_only: false,
            depth: 0,
            arms: 0,
            query: Query {
                resource_type: t.name(),
                clauses: Vec::new(),
                patient: None,
                each: None,
                selective: false,
                sort: vec![Sort { by: SortBy::Date, descending: true }],
                years: Vec::new(),
                count: limits.count,
                total: Total::Unasked,
                page: None,
                cursor: None,
                until: None,
                includes: Vec::new(),
                bare: false,
                self_parameters: Vec::new(),
                ignored: Vec::new(),
            },
        }
    }
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
            "_elements" => {
                self.once("_elements")?;
                self.query.self_parameters.push((name, value));
                Ok(())
            }
            "_page" => {
                self.once("_page")?;
                self.query.page = Some(value);
                Ok(())
            }
            // How the answer is written, not what is in it.
            "_format" | "_pretty" => Ok(()),
            _ if include::is_include(&name) => self.include(name, value),
            _ => {
                match name.as_str() {
                    "_filter" => self.filter(&value)?,
                    "_list" => self.list(&value)?,
                    "_content" | "_text" => self.words(&name, &value)?,
                    _ => self.criterion(&name, &value)?,
                }
                self.query.self_parameters.push((name, value));
                Ok(())
            }
        }
    }

    /// <https://hl7.org/fhir/R4/search.html#list>
    fn list(&mut self, value: &str) -> Result<()> {
        let ids: Vec<&str> = value.split(',').collect();
        if ids.iter().any(|id| id.starts_with('$')) {
            return Err(Error::at(Kind::NotSupported, "_list", "functional lists ($current-...) are not supported"));
        }
        if ids.len() > LISTS {
            return Err(Error::at(Kind::TooCostly, "_list", format!("has more than {LISTS} values")));
        }
        if !ids.iter().all(|id| is_id(id)) {
            return Err(bad_value("_list", "the id of a List"));
        }
        self.query.clauses.push(Clause::Listed(ids.into_iter().map(str::to_owned).collect()));
        Ok(())
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

    /// `code,-code,...`; what comes after `_id` changes nothing.
    fn sort(&mut self, value: &str) -> Result<()> {
        self.once("_sort")?;
        let mut keys = Vec::new();
        for part in value.split(',') {
            let (descending, code) = part.strip_prefix('-').map_or((false, part), |code| (true, code));
            if code.contains('.') {
                return Err(Error::at(Kind::NotSupported, "_sort", "a chained parameter gives no order here"));
            }
            finished(self.context.definitions, self.t, "_sort", code)?;
            let Some(by) = self.sort_by(code) else {
                let text =
                    format!("{} can be sorted by {}, each also with - before it", self.t, self.sortable().join(", "));
                return Err(Error::at(Kind::NotSupported, "_sort", text));
            };
            if keys.last().is_none_or(|last: &Sort| last.by != SortBy::Id) {
                keys.push(Sort { by, descending });
            }
        }
        if keys.len() > SORT_KEYS {
            return Err(Error::at(Kind::TooCostly, "_sort", format!("has more than {SORT_KEYS} keys")));
        }
        self.query.sort = keys;
        self.query.self_parameters.push(("_sort".to_owned(), value.to_owned()));
        Ok(())
    }

    /// Dates, strings, numbers, and codes of a closed list that stand at the top of the resource. Of other tokens,
    /// references and addresses only hashes are kept, and quantities of different units have no order.
    fn sort_by(&self, code: &str) -> Option<SortBy> {
        match code {
            "_lastUpdated" => return Some(SortBy::Updated),
            "_id" => return Some(SortBy::Id),
            _ if Some(code) == self.main => return Some(SortBy::Date),
            _ => {}
        }
        let parameter =
            self.context.definitions.search_parameter(self.t, code).filter(|one| one.expression.is_some())?;
        let slot = self.context.hasher.slot(self.t.name(), parameter.code);
        match parameter.kind {
            SearchKind::String => Some(SortBy::Text { key: slot.key(Form::Strings, &[]) }),
            SearchKind::Date | SearchKind::Number => Some(SortBy::Range { key: slot.key(Form::Ranges, &[]) }),
            SearchKind::Token => {
                let element = self.context.definitions.resource(self.t).element_named(code)?;
                let codes = element.binding?.codes();
                let closed = !codes.is_empty()
                    && codes.len() <= SORT_CODES
                    && element.types.iter().all(|one| one.code == "code");
                closed.then(|| SortBy::Code {
                    keys: codes.iter().map(|(code, _)| slot.key(Form::Code, &[code])).collect(),
                })
            }
            _ => None,
        }
    }

    fn sortable(&self) -> Vec<&'static str> {
        let all = self.context.definitions.search_parameters(self.t).iter().map(|parameter| parameter.code);
        all.filter(|code| self.sort_by(code).is_some()).collect()
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

    /// What of a resource is shown is no matter of the query: `fhir::subset` has read it.
    fn summary(&mut self, value: &str) -> Result<()> {
        self.once("_summary")?;
        match value {
            "count" => self.count_only = true,
            "true" | "text" | "data" | "false" => {}
            _ => return Err(bad_value("_summary", "true, text, data, count or false")),
        }
        self.query.self_parameters.push(("_summary".to_owned(), value.to_owned()));
        Ok(())
    }

    fn finish(mut self) -> Query {
        if self.count_only {
            self.query.count = 0;
        }
        if self.query.count == 0 && self.query.total == Total::Unasked {
            self.query.total = Total::Accurate;
        }
        let goes_by_year = self.query.patient.is_none()
            && !self.query.clauses.is_empty()
            && self.query.walk_order().is_some_and(|sort| sort.by == SortBy::Date);
        if goes_by_year {
            let slot = self.context.hasher.slot(self.t.name(), "");
            self.query.years = (FIRST_YEAR..=LAST_YEAR).map(|year| year_key_of(&slot, year)).collect();
        }
        self.query
    }
}

#[cfg(test)]
mod tests;
