//! `_include` and `_revinclude` -> [`Include`].

use super::Parser;
use super::known::{finished, shown};
use super::link::no_reference;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{ResourceType, SearchKind};
use crate::search::include::Include;
use crate::search::param::reference;

/// Whether a parameter is one of these, with or without modifier.
pub(super) fn is_include(name: &str) -> bool {
    matches!(name.split(':').next(), Some("_include" | "_revinclude"))
}

impl Parser<'_> {
    /// `*`, `Type:*`, `Type:parameter`, `Type:parameter:Target`.
    pub(super) fn include(&mut self, name: String, value: String) -> Result<()> {
        let wrong = |text: String| Error::at(Kind::NotSupported, shown(&name), text);
        let iterate = match name.split_once(':') {
            None => false,
            Some((_, "iterate")) => true,
            Some(_) => return Err(wrong("only the modifier :iterate is supported".to_owned())),
        };
        let reverse = name.starts_with("_rev");
        let mut include = Include { reverse, iterate, source: None, code: None, target: None };
        if value != "*" {
            let parts: Vec<&str> = value.split(':').collect();
            let (source, code, target) = match parts.as_slice() {
                [source, code] => (*source, *code, None),
                [source, code, target] => (*source, *code, Some(*target)),
                _ => return Err(wrong("is written Type:reference, Type:reference:Type, Type:* or *".to_owned())),
            };
            let known = |name: &str| {
                ResourceType::parse(name).ok_or_else(|| wrong("names a type that is none of R4".to_owned()))
            };
            let holder = known(source)?;
            include.source = Some(holder);
            include.target = target.map(known).transpose()?;
            include.code = match code {
                "*" => None,
                _ => Some(self.reference_of(holder, code).map_err(&wrong)?),
            };
        }
        self.could_apply(&include).map_err(wrong)?;
        if !self.query.includes.contains(&include) {
            self.query.includes.push(include);
        }
        self.query.self_parameters.push((name, value));
        Ok(())
    }

    fn reference_of(&self, holder: ResourceType, code: &str) -> Result<&'static str, String> {
        let definitions = self.context.definitions;
        finished(definitions, holder, code, code)
            .map_err(|error| error.issues.into_iter().map(|one| one.text).collect::<String>())?;
        let all = definitions.search_parameters(holder).iter();
        let codes = all.filter(|one| one.kind == SearchKind::Reference && one.expression.is_some()).map(|one| one.code);
        match codes.clone().find(|one| *one == code) {
            Some(code) => Ok(code),
            None => Err(no_reference(holder, code, codes)),
        }
    }

    /// What could never include anything is a mistake, not an empty answer.
    fn could_apply(&self, include: &Include) -> Result<(), String> {
        let definitions = self.context.definitions;
        let t = self.t;
        if !include.reverse && !include.iterate && include.source.is_some_and(|source| source != t) {
            return Err(format!("is not of {t}, which is searched; of what is included: with :iterate"));
        }
        if include.reverse && !include.iterate && include.target.is_some_and(|target| target != t) {
            return Err(format!("does not point at {t}, which is searched; at what is included: with :iterate"));
        }
        let target = match (include.reverse, include.iterate) {
            (true, false) => Some(t),
            _ => include.target,
        };
        let (Some(holder), Some(target)) = (include.source, target) else { return Ok(()) };
        let mut references =
            definitions.search_parameters(holder).iter().filter(|one| one.kind == SearchKind::Reference);
        let points =
            references.any(|one| include.code.is_none_or(|code| code == one.code) && reference::points_at(one, target));
        if points { Ok(()) } else { Err(format!("does not point at {target}")) }
    }
}
