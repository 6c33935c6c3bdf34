//! One parameter that picks resources -> [`Clause`].

use super::Parser;
use super::known::{finished, shown, unknown, unsupported};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{Component, ResourceType, SearchKind, SearchParameter};
use crate::fhir::reference::is_id;
use crate::search::hash::{Form, Slot};
use crate::search::index::is_main_quantity;
use crate::search::main_date::is_single;
use crate::search::param::composite::{self, Way};
use crate::search::param::{
    bad_value, date, near, number, quantity, reference, split, string, token, unescape, uri, words,
};
use crate::search::query::{Clause, Concepts, Place, Term};

impl Parser<'_> {
    /// One `code[:modifier]=value[,value...]`.
    pub(super) fn criterion(&mut self, name: &str, value: &str) -> Result<()> {
        if let Some(rest) = name.strip_prefix("_has:") {
            return self.has(name, rest, value);
        }
        if let Some((head, rest)) = name.split_once('.') {
            return self.chain(name, head, rest, value);
        }
        let (code, modifier) = name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)));
        let values = self.values(name, value)?;
        let definitions = self.context.definitions;
        finished(definitions, self.t, name, code)?;
        let parameter = definitions.search_parameter(self.t, code).filter(|parameter| parameter.expression.is_some());
        let Some(parameter) = parameter else {
            return Err(unknown(self.t, name, code, definitions.search_parameters(self.t)));
        };
        let clause = self.clause(parameter, modifier, &values)?;
        let names_one = is_identifying(parameter.code) || matches!(modifier, Some("identifier" | "of-type"));
        self.query.selective |= names_one && matches!(clause, Clause::Any(_));
        match clause {
            Clause::All(all) => self.query.clauses.extend(all),
            one => self.query.clauses.push(one),
        }
        Ok(())
    }

    /// `_content`, `_text`: of one of the values every word.
    pub(super) fn words(&mut self, name: &str, value: &str) -> Result<()> {
        let values = self.values(name, value)?;
        let definitions = self.context.definitions;
        finished(definitions, self.t, name, name)?;
        let parameter = definitions.search_parameter(self.t, name);
        let Some(parameter) = parameter else {
            return Err(unknown(self.t, name, name, definitions.search_parameters(self.t)));
        };
        let slot = self.context.hasher.slot(self.t.name(), parameter.code);
        let mut any = Vec::with_capacity(values.len());
        for value in values {
            let keys = words::keys(&slot, parameter.code, value)?;
            any.push(keys.into_iter().map(|key| Clause::Any(vec![key])).collect::<Vec<_>>());
        }
        match any.as_slice() {
            [_] => self.query.clauses.extend(any.pop().unwrap_or_default()),
            _ => self.query.clauses.push(Clause::Either(any.into_iter().map(Clause::All).collect())),
        }
        Ok(())
    }

    /// The alternatives of a parameter.
    fn values<'v>(&self, name: &str, value: &'v str) -> Result<Vec<&'v str>> {
        let values = split(value, ',');
        if values.len() > self.limits.terms {
            return Err(Error::at(Kind::TooCostly, shown(name), format!("has more than {} values", self.limits.terms)));
        }
        if values.iter().any(|value| value.is_empty()) {
            return Err(Error::at(Kind::Value, shown(name), "one of the values is empty"));
        }
        Ok(values)
    }

    pub(super) fn clause(
        &mut self,
        parameter: &'static SearchParameter,
        modifier: Option<&str>,
        values: &[&str],
    ) -> Result<Clause> {
        if modifier == Some("missing") {
            return missing(parameter.code, values);
        }
        // Of tokens the two have keys of their own, of everything else each asks its parts.
        if let Some(parts) = composite::combined(parameter.code)
            && (parameter.kind != SearchKind::Token || modifier == Some("text"))
        {
            let (definitions, t) = (self.context.definitions, self.t);
            let parts = parts.into_iter().filter_map(|code| definitions.search_parameter(t, code));
            let parts: Vec<Clause> = parts.map(|part| self.clause(part, modifier, values)).collect::<Result<_>>()?;
            return Ok(Clause::Either(parts));
        }
        let slot = self.context.hasher.slot(self.t.name(), parameter.code);
        match (parameter.kind, modifier) {
            _ if parameter.code == "_id" => match modifier {
                None => ids(values),
                Some(modifier) => Err(unsupported(parameter, modifier)),
            },
            (SearchKind::Date, None) => self.date(&slot, parameter, values),
            (SearchKind::Token, Some("code-text")) if token::has_starts(self.t.name(), parameter.code) => {
                let any: Vec<String> = values.iter().map(|value| token::squeezed(&unescape(value))).collect();
                if any.iter().any(String::is_empty) {
                    return Err(bad_value(parameter.code, "the beginning of an identifier"));
                }
                Ok(Clause::Text { keys: vec![slot.key(Form::Strings, &[])], place: Place::Start, any })
            }
            (SearchKind::Token, Some(modifier @ ("in" | "not-in" | "above" | "below")))
                if token::has_concepts(parameter) =>
            {
                concepts(parameter, modifier, values)
            }
            (SearchKind::Token, _) => token_clause(&slot, parameter, modifier, values),
            (SearchKind::String, _) => string_clause(&slot, parameter, modifier, values),
            (SearchKind::Uri, Some("below")) if !uri::has_below(parameter.code) => Err(unsupported(parameter, "below")),
            (SearchKind::Uri, None | Some("above" | "below")) => {
                Ok(Clause::Any(values.iter().flat_map(|value| uri::keys(&slot, modifier, value)).collect()))
            }
            (SearchKind::Reference, Some("identifier")) => {
                let slot = reference::logical(self.context.hasher, self.t.name(), parameter.code);
                keys(values, |value| token::key(&slot, parameter.code, value))
            }
            (SearchKind::Reference, _) => self.reference(&slot, parameter, modifier, values),
            (SearchKind::Number, None) => {
                let key = slot.key(Form::Ranges, &[]);
                let term = |value: &&str| {
                    let interval = number::comparison(parameter.code, &unescape(value))?;
                    Ok(Term { key, marks: Vec::new(), interval })
                };
                values.iter().map(term).collect::<Result<_>>().map(Clause::Range)
            }
            (SearchKind::Quantity, None) => {
                let asked: Vec<_> =
                    values.iter().map(|value| quantity::asked(parameter.code, value)).collect::<Result<_>>()?;
                Ok(quantity::clause(&slot, is_main_quantity(self.t, parameter.code), &asked))
            }
            (SearchKind::Composite, None) => self.composite(&slot, parameter, values),
            (SearchKind::Special, None) => {
                let circles = values.iter().map(|value| near::circle(&slot, parameter.code, value));
                circles.collect::<Result<_>>().map(Clause::Near)
            }
            (_, Some(modifier)) => Err(unsupported(parameter, modifier)),
        }
    }

    fn date(&self, slot: &Slot, parameter: &SearchParameter, values: &[&str]) -> Result<Clause> {
        let (local, now) = (self.context.local, self.now);
        let any: Vec<_> = values
            .iter()
            .map(|value| date::comparison(parameter.code, &unescape(value), local, now))
            .collect::<Result<_>>()?;
        Ok(match parameter.code {
            "_lastUpdated" => Clause::Updated(any),
            code if Some(code) == self.main && is_single(self.t) => Clause::Date(any),
            _ => {
                let key = slot.key(Form::Ranges, &[]);
                let term = |one| Term { key, marks: Vec::new(), interval: date::interval(one) };
                Clause::Range(any.iter().map(term).collect())
            }
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
                None => return Err(unsupported(parameter, modifier)),
            },
        };
        let mut keys = Vec::with_capacity(values.len());
        let mut locals = Vec::new();
        for value in values {
            let target = reference::target(parameter.code, &parameter.targets, of_type, value, self.context.base)?;
            keys.push(target.key(slot));
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

    /// `value$value` of each alternative.
    fn composite(&mut self, slot: &Slot, parameter: &'static SearchParameter, values: &[&str]) -> Result<Clause> {
        let way = composite::way(parameter, self.t);
        let mut alternatives = Vec::with_capacity(values.len());
        let mut terms = Vec::new();
        let mut pairs = Vec::new();
        for value in values {
            let parts = split(value, '$');
            if parts.len() != parameter.components.len() || parts.iter().any(|part| part.is_empty()) {
                let names: Vec<&str> = parameter.components.iter().map(|component| component.code).collect();
                return Err(bad_value(parameter.code, &format!("the values of {} joined by $", names.join(" and "))));
            }
            match (way, parts.as_slice(), parameter.components.as_slice()) {
                (Way::Apart, ..) => alternatives.push(self.apart(parameter, &parts)?),
                (Way::Quantity, [code, amount], _) => terms.push(beside(slot, parameter.code, code, amount)?),
                (Way::Pair, [one, two], [first, second]) => {
                    let (form, parts) = self.exact(first, one)?;
                    let (other, others) = self.exact(second, two)?;
                    pairs.push(composite::pair(slot, (form, &texts(&parts)), (other, &texts(&others))));
                }
                _ => return Err(Error::at(Kind::NotSupported, parameter.code, "is not supported yet")),
            }
        }
        Ok(match way {
            Way::Quantity => Clause::Range(terms),
            Way::Pair => Clause::Any(pairs),
            _ if alternatives.len() == 1 => alternatives.pop().unwrap_or(Clause::Never),
            _ => Clause::Either(alternatives),
        })
    }

    fn apart(&mut self, parameter: &'static SearchParameter, parts: &[&str]) -> Result<Clause> {
        let mut all = Vec::with_capacity(parts.len());
        for (component, part) in parameter.components.iter().zip(parts) {
            let of = self.context.definitions.search_parameter(self.t, component.code);
            let of = of.ok_or_else(|| Error::at(Kind::NotSupported, parameter.code, "is not supported yet"))?;
            // What is wrong is said of the parameter that was given.
            let clause = self.clause(of, None, &[part]).map_err(|mut error| {
                error.issues.iter_mut().for_each(|issue| issue.expression = Some(parameter.code.to_owned()));
                error
            })?;
            all.push(clause);
        }
        Ok(Clause::All(all))
    }

    fn exact(&self, component: &Component, value: &str) -> Result<(Form, Vec<String>)> {
        match composite::kind(component) {
            SearchKind::Reference => {
                let target = reference::target(component.code, &[], None, value, self.context.base)?;
                Ok((target.form, target.parts))
            }
            _ => token::asked(component.code, value),
        }
    }
}

fn texts(parts: &[String]) -> Vec<&str> {
    parts.iter().map(String::as_str).collect()
}

/// A quantity beside a code, whose system is a mark of the row.
fn beside(slot: &Slot, parameter: &str, code: &str, amount: &str) -> Result<Term> {
    let (form, parts) = token::asked(parameter, code)?;
    let code = parts.last().filter(|_| form != Form::System);
    let code = code.ok_or_else(|| bad_value(parameter, "code, system|code or |code before the $"))?;
    let mark = (form != Form::Code).then(|| slot.key(form, &texts(&parts)));
    Ok(quantity::asked(parameter, amount)?.term_beside(slot, code, mark))
}

fn keys(values: &[&str], key: impl Fn(&str) -> Result<i64>) -> Result<Clause> {
    values.iter().map(|value| key(value)).collect::<Result<_>>().map(Clause::Any)
}

fn token_clause(slot: &Slot, parameter: &SearchParameter, modifier: Option<&str>, values: &[&str]) -> Result<Clause> {
    let types = parameter.expression.as_ref().map_or(&[][..], |expression| expression.result_types());
    let is_flag = !types.is_empty() && types.iter().all(|one| *one == "boolean");
    if is_flag && !values.iter().all(|value| matches!(value.rsplit('|').next(), Some("true" | "false" | ""))) {
        return Err(bad_value(parameter.code, "true or false"));
    }
    match modifier {
        None => keys(values, |value| token::key(slot, parameter.code, value)),
        Some("not") => {
            values.iter().map(|value| token::key(slot, parameter.code, value)).collect::<Result<_>>().map(Clause::Not)
        }
        Some("of-type") if token::has_identifier(parameter) => {
            keys(values, |value| token::of_type(slot, parameter.code, value))
        }
        Some("text") if token::has_text(parameter) => Ok(Clause::Text {
            keys: vec![slot.key(Form::Text, &[])],
            place: Place::Word,
            any: values.iter().map(|value| string::prefix(&unescape(value))).collect(),
        }),
        Some(modifier) => Err(unsupported(parameter, modifier)),
    }
}

/// `:in` and `:not-in` take value sets, `:above` and `:below` codes of a code system.
fn concepts(parameter: &'static SearchParameter, modifier: &str, values: &[&str]) -> Result<Clause> {
    let asked = |value: &&str| {
        if matches!(modifier, "in" | "not-in") {
            return Ok(Concepts::In(unescape(value).into_owned()));
        }
        match token::asked(parameter.code, value)? {
            (Form::SystemCode, parts) => match <[String; 2]>::try_from(parts) {
                Ok([system, code]) if modifier == "below" => Ok(Concepts::Below { system, code }),
                Ok([system, code]) => Ok(Concepts::Above { system, code }),
                Err(_) => Err(bad_value(parameter.code, "system|code")),
            },
            _ => Err(bad_value(parameter.code, "system|code")),
        }
    };
    Ok(Clause::Concepts {
        code: parameter.code,
        asked: values.iter().map(asked).collect::<Result<_>>()?,
        not: modifier == "not-in",
        bare: token::is_bare(parameter),
    })
}

fn string_clause(slot: &Slot, parameter: &SearchParameter, modifier: Option<&str>, values: &[&str]) -> Result<Clause> {
    let place = match modifier {
        None => Place::Start,
        Some("contains") => Place::Anywhere,
        Some("exact") => {
            return Ok(Clause::Any(values.iter().map(|value| slot.key(Form::Exact, &[&unescape(value)])).collect()));
        }
        Some(modifier) => return Err(unsupported(parameter, modifier)),
    };
    let any = values.iter().map(|value| string::prefix(&unescape(value))).collect();
    Ok(Clause::Text { keys: string::both(slot).to_vec(), place, any })
}

/// <https://hl7.org/fhir/R4/search.html#missing>
pub(super) fn missing(code: &'static str, values: &[&str]) -> Result<Clause> {
    let missing = match values {
        ["true"] => true,
        ["false"] => false,
        _ => return Err(bad_value(code, "true or false")),
    };
    Ok(match code {
        // Every resource has them.
        "_id" | "_lastUpdated" if missing => Clause::Never,
        "_id" | "_lastUpdated" => Clause::All(Vec::new()),
        _ => Clause::Missing { code, missing },
    })
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
