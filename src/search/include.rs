//! `_include` and `_revinclude`: resources that come beside the matches. <https://hl7.org/fhir/R4/search.html#include>
//!
//! Pure: what a set of resources asks for ([`Asked`]), and where a page goes on whose includes do not fit ([`Resume`]).
//! A canonical without version means every version that is here.

use crate::fhir::definitions::{Definitions, ResourceType, SearchKind, SearchParameter};
use crate::search::Context;
use crate::search::hash::Form;
use crate::search::link::{canonical, each_target, is_called};
use crate::search::param::reference::{self, Pointed};
use crate::search::query::Cursor;
use serde_json::Value;
use std::collections::BTreeSet;

/// One `_include` or `_revinclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    pub reverse: bool,
    /// Also of what is included.
    pub iterate: bool,
    /// The type that holds the reference; none: any.
    pub source: Option<ResourceType>,
    /// The reference parameter; none: all of them.
    pub code: Option<&'static str>,
    /// Only what is of this type; none: any.
    pub target: Option<ResourceType>,
}

impl Include {
    fn parameters(
        &self,
        context: &Context<'_>,
        holder: ResourceType,
    ) -> impl Iterator<Item = &'static SearchParameter> + use<'_> {
        let code = self.code;
        references(context.definitions, holder).filter(move |one| code.is_none_or(|code| code == one.code))
    }
}

/// What a set of resources asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What they point at.
    pub named: BTreeSet<(ResourceType, String)>,
    /// What has this url, and this version if one is named; of these types only.
    pub called: BTreeSet<(String, Option<String>, Vec<ResourceType>)>,
    /// Keys of what points at them.
    pub keys: BTreeSet<i64>,
    /// Some of these keys are of a url: others with the url may have another version ([`Asked::is_meant`]).
    pub loose: bool,
    /// Url and version of those that are called so.
    urls: BTreeSet<(String, Option<String>)>,
}

impl Asked {
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.called.is_empty() && self.keys.is_empty()
    }

    /// What a resource of type `t` asks for at step `level`, 1 for the matches.
    pub fn add(
        &mut self,
        context: &Context<'_>,
        includes: &[Include],
        level: usize,
        t: ResourceType,
        resource: &Value,
    ) {
        for include in includes.iter().filter(|include| level == 1 || include.iterate) {
            match include.reverse {
                false if include.source.is_none_or(|source| source == t) => self.forward(context, include, t, resource),
                true if include.target.is_none_or(|target| target == t) => self.reverse(context, include, t, resource),
                _ => {}
            }
        }
    }

    fn forward(&mut self, context: &Context<'_>, include: &Include, t: ResourceType, resource: &Value) {
        let wanted = |target: ResourceType| include.target.is_none_or(|only| only == target);
        for parameter in include.parameters(context, t) {
            each_target(parameter, resource, context.base, &mut |pointed| match pointed {
                Pointed::Here(target, id) if wanted(target) => drop(self.named.insert((target, id.to_owned()))),
                Pointed::Here(..) => {}
                Pointed::Canonical(url, version) => {
                    let types = ResourceType::all().filter(|target| {
                        wanted(*target)
                            && reference::points_at(parameter, *target)
                            && is_called(context.definitions, *target)
                    });
                    self.called.insert((url.to_owned(), version.map(str::to_owned), types.collect()));
                }
            });
        }
    }

    fn reverse(&mut self, context: &Context<'_>, include: &Include, t: ResourceType, resource: &Value) {
        let Some(id) = resource.get("id").and_then(Value::as_str) else { return };
        let called = canonical(resource).filter(|_| is_called(context.definitions, t));
        for holder in ResourceType::all().filter(|holder| include.source.is_none_or(|source| source == *holder)) {
            for parameter in include.parameters(context, holder).filter(|one| reference::points_at(one, t)) {
                let slot = context.hasher.slot(holder.name(), parameter.code);
                self.keys.insert(slot.key(Form::Typed, &[t.name(), id]));
                let Some((url, version)) = called.filter(|_| reference::is_canonical(parameter)) else { continue };
                self.keys.insert(slot.key(Form::Address, &[url]));
                self.loose = true;
                self.urls.insert((url.to_owned(), version.map(str::to_owned)));
            }
        }
    }

    /// Whether a resource that has one of the keys points at one of those, and not at another version of it. `ids`:
    /// `Type/id` of those.
    pub fn is_meant(
        &self,
        context: &Context<'_>,
        includes: &[Include],
        ids: &BTreeSet<String>,
        t: ResourceType,
        resource: &Value,
    ) -> bool {
        let mut meant = false;
        let holds = |include: &&Include| include.reverse && include.source.is_none_or(|source| source == t);
        for parameter in includes.iter().filter(holds).flat_map(|include| include.parameters(context, t)) {
            each_target(parameter, resource, context.base, &mut |pointed| {
                meant |= match pointed {
                    Pointed::Here(to, id) => ids.contains(&format!("{to}/{id}")),
                    Pointed::Canonical(url, version) => self.urls.iter().any(|(own, own_version)| {
                        own == url && version.is_none_or(|version| own_version.as_deref() == Some(version))
                    }),
                };
            });
        }
        meant
    }

    /// Keys of what may be called so, among the types that `may` allows.
    pub fn called_keys(&self, context: &Context<'_>, may: impl Fn(ResourceType) -> bool) -> Vec<i64> {
        let mut keys = Vec::new();
        for (url, _, types) in &self.called {
            let types = types.iter().filter(|t| may(**t));
            keys.extend(types.map(|t| context.hasher.key(t.name(), "url", Form::Address, &[url])));
        }
        keys
    }

    /// Whether a resource is called as one of what was asked for.
    pub fn is_called_so(&self, t: ResourceType, resource: &Value) -> bool {
        let Some((url, version)) = canonical(resource) else { return false };
        self.called.iter().any(|(asked, of, types)| {
            asked == url && of.as_deref().is_none_or(|of| version == Some(of)) && types.contains(&t)
        })
    }
}

fn references(definitions: &'static Definitions, t: ResourceType) -> impl Iterator<Item = &'static SearchParameter> {
    let all = definitions.search_parameters(t).iter().copied();
    all.filter(move |one| {
        one.kind == SearchKind::Reference && one.expression.is_some() && definitions.unfinished(t, one.code).is_none()
    })
}

/// The values that `_include` takes in a search of a type, but those that name a target: what the CapabilityStatement may
/// promise.
pub fn forward_paths(definitions: &'static Definitions, t: ResourceType) -> Vec<String> {
    let mut paths: Vec<String> = references(definitions, t).map(|one| format!("{t}:{}", one.code)).collect();
    if !paths.is_empty() {
        paths.push("*".to_owned());
    }
    paths
}

/// The same of `_revinclude`.
pub fn reverse_paths(definitions: &'static Definitions, t: ResourceType) -> Vec<String> {
    let mut paths = vec!["*".to_owned()];
    for holder in ResourceType::all() {
        let pointing = references(definitions, holder).filter(|one| reference::points_at(one, t));
        paths.extend(pointing.map(|one| format!("{holder}:{}", one.code)));
    }
    paths
}

/// The last included resource of a page: step, type, id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    pub level: usize,
    pub resource_type: String,
    pub id: String,
}

/// A page whose matches were told and whose includes go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Where its matches begin and end.
    pub start: Option<Cursor>,
    pub end: Cursor,
    /// Whether there are matches behind it.
    pub more: bool,
    pub after: Position,
}

impl Resume {
    /// As the content of a page token.
    pub fn written(&self) -> Cursor {
        let mut values = vec![self.start.is_some().to_string(), self.more.to_string(), self.after.level.to_string()];
        for cursor in self.start.iter().chain([&self.end]) {
            values.extend(cursor.values.iter().cloned());
            values.push(cursor.id.clone());
        }
        values.push(self.after.resource_type.clone());
        Cursor { values, id: self.after.id.clone() }
    }

    /// Reads the content of a page token of a query with so many sort keys; none when it is one of plain matches.
    pub fn read(token: &Cursor, sorts: usize) -> Option<Resume> {
        let mut values = token.values.iter().cloned();
        let (starts, more, level) = (values.next()?, values.next()?, values.next()?);
        let mut cursor = || {
            let of: Vec<String> = values.by_ref().take(sorts).collect();
            let id = values.next()?;
            (of.len() == sorts).then_some(Cursor { values: of, id })
        };
        let start = if starts == "true" { Some(cursor()?) } else { None };
        let end = cursor()?;
        let after = Position { level: level.parse().ok()?, resource_type: values.next()?, id: token.id.clone() };
        values.next().is_none().then_some(Resume { start, end, more: more == "true", after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_on_where_it_was() {
        let cursor = |id: &str| Cursor { values: vec!["2020".into(), String::new()], id: id.into() };
        let after = Position { level: 2, resource_type: "Patient".into(), id: "x".into() };
        for start in [None, Some(cursor("a"))] {
            let resume = Resume { start, end: cursor("b"), more: true, after: after.clone() };
            assert_eq!(Resume::read(&resume.written(), 2), Some(resume.clone()));
            assert_eq!(Resume::read(&resume.written(), 3), None);
        }
        assert_eq!(Resume::read(&cursor("a"), 2), None);
    }
}
