//! Chained parameters and `_has` -> [`Link`].

use super::Parser;
use super::known::{finished, nearest, shown, unsupported};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{ResourceType, SearchKind, SearchParameter};
use crate::search::link::{Link, Way};
use crate::search::param::reference;
use crate::search::query::{Clause, Sort, SortBy, Total};

/// Searches that one query may ask besides its own: a chain without type asks one for each type that it may lead to.
const ARMS: usize = 32;

impl Parser<'_> {
    /// `subject:Patient.name`, or `subject.name` over all types that have it.
    pub(super) fn chain(&mut self, name: &str, head: &str, rest: &str, value: &str) -> Result<()> {
        let (code, named) = head.split_once(':').map_or((head, None), |(code, named)| (code, Some(named)));
        let parameter = self.joining(self.t, name, code)?;
        let targets = match named {
            Some(named) => {
                let target = reference::modifier_type(parameter, named);
                vec![target.ok_or_else(|| about(unsupported(parameter, named), name))?]
            }
            None => self.targets_with(parameter, name, rest)?,
        };
        let link =
            Link { name: shown(name), way: Way::Chain, code: parameter.code, typed: named.is_some(), arms: Vec::new() };
        self.link(link, &targets, rest, value)
    }

    /// `_has:Observation:patient:code`.
    pub(super) fn has(&mut self, name: &str, rest: &str, value: &str) -> Result<()> {
        let malformed =
            || Error::at(Kind::NotSupported, shown(name), "is written _has:Type:reference:parameter, all of R4");
        let (holder, rest) = rest.split_once(':').ok_or_else(malformed)?;
        let (code, rest) = rest.split_once(':').ok_or_else(malformed)?;
        let holder = ResourceType::parse(holder).ok_or_else(malformed)?;
        let parameter = self.joining(holder, name, code)?;
        if !reference::points_at(parameter, self.t) {
            let text = format!("{holder}:{code} does not point at {}", self.t);
            return Err(Error::at(Kind::NotSupported, shown(name), text));
        }
        let link = Link { name: shown(name), way: Way::Has, code: parameter.code, typed: true, arms: Vec::new() };
        self.link(link, &[holder], rest, value)
    }

    /// The reference parameter `code` of a type.
    fn joining(&self, t: ResourceType, name: &str, code: &str) -> Result<&'static SearchParameter> {
        finished(self.context.definitions, t, name, code)?;
        let all = self.context.definitions.search_parameters(t).iter().copied();
        let mut references = all.filter(|one| one.kind == SearchKind::Reference && one.expression.is_some());
        match references.clone().find(|parameter| parameter.code == code) {
            Some(parameter) => Ok(parameter),
            None => {
                let text = no_reference(t, code, references.by_ref().map(|parameter| parameter.code));
                Err(Error::at(Kind::NotSupported, shown(name), text))
            }
        }
    }

    /// The types that a reference may lead to and that have the parameter which `rest` begins with.
    fn targets_with(&self, parameter: &SearchParameter, name: &str, rest: &str) -> Result<Vec<ResourceType>> {
        let definitions = self.context.definitions;
        let next = rest.split([':', '.']).next().unwrap_or_default();
        // Of `_has` those that its reference may point at.
        let mut held = rest.strip_prefix("_has:").unwrap_or_default().split(':');
        let held = held.next().and_then(ResourceType::parse).zip(held.next());
        let held = held.and_then(|(holder, code)| definitions.search_parameter(holder, code));
        let has_it = |t: &ResourceType| {
            held.is_some_and(|one| reference::points_at(one, *t))
                || definitions.unfinished(*t, next).is_some()
                || definitions.search_parameter(*t, next).is_some_and(|one| one.expression.is_some())
        };
        let targets = ResourceType::all().filter(|t| reference::points_at(parameter, *t));
        let found: Vec<ResourceType> = targets.filter(has_it).collect();
        if found.is_empty() {
            let text = format!("nothing that {} may point at has the parameter {}", parameter.code, shown(next));
            return Err(Error::at(Kind::NotSupported, shown(name), text));
        }
        Ok(found)
    }

    fn link(&mut self, mut link: Link, targets: &[ResourceType], rest: &str, value: &str) -> Result<()> {
        if self.depth >= self.limits.chain_depth {
            let text = format!("has more than {} steps (limits.chain_depth)", self.limits.chain_depth);
            return Err(Error::at(Kind::TooCostly, link.name, text));
        }
        for target in targets {
            if self.arms >= ARMS {
                let text = format!("asks for more than {ARMS} types; name the type, as in subject:Patient.name");
                return Err(Error::at(Kind::TooCostly, link.name, text));
            }
            let mut inner = Parser::new(self.context, *target, self.limits, self.now);
            (inner.depth, inner.arms) = (self.depth + 1, self.arms + 1);
            inner.criterion(rest, value).map_err(|error| about(error, &link.name))?;
            self.arms = inner.arms;
            inner.query.sort = vec![Sort { by: SortBy::Id, descending: false }];
            inner.query.count = self.limits.linked;
            inner.query.total = Total::None;
            link.arms.push(inner.query);
        }
        self.query.clauses.push(Clause::Linked(Box::new(link)));
        Ok(())
    }
}

/// `code` is none of the reference parameters of a type.
pub(super) fn no_reference<'a>(t: ResourceType, code: &str, references: impl Iterator<Item = &'a str>) -> String {
    let near = nearest(code, references).join(", ");
    let known = if near.is_empty() { "it has none".to_owned() } else { format!("the nearest are {near}") };
    format!("{} is no reference parameter of {t}; {known}", shown(code))
}

/// What is wrong inside is said of the parameter that was given.
fn about(mut error: Error, name: &str) -> Error {
    error.issues.iter_mut().for_each(|issue| issue.expression = Some(shown(name)));
    error
}
