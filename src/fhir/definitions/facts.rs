//! From the text under `fhir-profiles/r4` to the registry; the form is described in `src/bin/definitions.rs`.

use super::currency;
use super::{ElementDef, ElementType, Max, ResourceType, SearchKind, Standard, TypeDef, TypeId, TypeKind, ValueSet};
use crate::error::{Error, Result};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

const TYPES: &str = include_str!("../../../fhir-profiles/r4/types.json");
const SEARCH_PARAMETERS: &str = include_str!("../../../fhir-profiles/r4/search-parameters.json");
const COMPARTMENTS: &str = include_str!("../../../fhir-profiles/r4/compartments.json");
const VALUE_SETS: &str = include_str!("../../../fhir-profiles/r4/value-sets.json");

#[derive(Deserialize)]
struct TypeFact {
    name: &'static str,
    kind: TypeKind,
    base: Option<&'static str>,
    #[serde(default, rename = "abstract")]
    is_abstract: bool,
    elements: Vec<&'static str>,
}

#[derive(Deserialize)]
pub(super) struct ParameterFact {
    pub url: &'static str,
    pub code: &'static str,
    #[serde(rename = "type")]
    pub kind: SearchKind,
    pub base: Vec<&'static str>,
    pub expression: Option<&'static str>,
    #[serde(default)]
    pub target: Vec<&'static str>,
    #[serde(default)]
    pub component: Vec<ComponentFact>,
}

#[derive(Deserialize)]
pub(super) struct ComponentFact {
    pub definition: &'static str,
    pub expression: &'static str,
}

#[derive(Deserialize)]
struct CompartmentFact {
    code: &'static str,
    resources: HashMap<&'static str, Vec<&'static str>>,
}

#[derive(Deserialize)]
struct ValueSetFact {
    url: &'static str,
    codes: Option<BTreeMap<&'static str, Vec<&'static str>>>,
}

pub(super) fn read() -> Result<Standard> {
    let mut registry = Standard { value_sets: value_sets(parse(VALUE_SETS)?), ..Standard::default() };
    types(parse(TYPES)?, &mut registry)?;
    parameters(parse(SEARCH_PARAMETERS)?, &mut registry);
    compartments(parse(COMPARTMENTS)?, &mut registry);
    Ok(registry)
}

fn parse<T: Deserialize<'static>>(text: &'static str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn broken(fact: &str) -> Error {
    Error::internal(format!("broken fact: {fact}"))
}

fn value_sets(facts: Vec<ValueSetFact>) -> HashMap<&'static str, &'static ValueSet> {
    let read = |mut fact: ValueSetFact| {
        if fact.url == currency::VALUE_SET && fact.codes.is_none() {
            let codes = currency::CODES.split_whitespace().collect();
            fact.codes = Some(BTreeMap::from([(currency::SYSTEM, codes)]));
        }
        let mut systems = Vec::new();
        let codes = fact.codes.map(|by_system| {
            systems.extend(by_system.keys().copied());
            let mut codes: Vec<(&'static str, &'static str)> = Vec::new();
            for (system, of_system) in by_system {
                codes.extend(of_system.into_iter().map(|code| (code, system)));
            }
            codes.sort_unstable();
            codes
        });
        // The registry lives as long as the process: leaked once, so that elements can point at it.
        let value_set: &'static ValueSet = Box::leak(Box::new(ValueSet { url: fact.url, codes, systems }));
        (fact.url, value_set)
    };
    facts.into_iter().map(read).collect()
}

fn types(facts: Vec<TypeFact>, registry: &mut Standard) -> Result<()> {
    for (place, fact) in facts.iter().enumerate() {
        let id = TypeId(u16::try_from(place).map_err(Error::internal)?);
        registry.by_name.insert(fact.name, id);
        if fact.kind == TypeKind::Resource && !fact.is_abstract {
            registry.resources.push(id);
        }
    }
    // The facts are sorted by name, so the resource types are too.
    let numbers: HashMap<&'static str, ResourceType> = registry
        .resources
        .iter()
        .filter_map(|id| facts.get(usize::from(id.0)))
        .zip(0..)
        .map(|(fact, number)| (fact.name, ResourceType(number)))
        .collect();
    let reader = ElementReader { by_name: &registry.by_name, numbers, value_sets: &registry.value_sets };
    let own: Vec<Vec<ElementDef>> = facts
        .iter()
        .map(|fact| fact.elements.iter().map(|element| reader.element(element)).collect())
        .collect::<Result<_>>()?;
    for (place, fact) in facts.iter().enumerate() {
        let elements = with_inherited(place, &facts, &own, &registry.by_name);
        let by_json_name = json_names(&elements);
        let TypeFact { name, kind, base, is_abstract, .. } = *fact;
        registry.types.push(TypeDef { name, kind, base, is_abstract, elements, by_json_name });
    }
    Ok(())
}

/// The elements of a type after those of its bases; one that says an inherited name takes its place.
fn with_inherited(
    place: usize,
    facts: &[TypeFact],
    own: &[Vec<ElementDef>],
    by_name: &HashMap<&'static str, TypeId>,
) -> Vec<ElementDef> {
    let mut chain = Vec::new();
    let mut next = Some(place);
    while let Some(place) = next.filter(|_| chain.len() < 16) {
        chain.push(place);
        let base = facts.get(place).and_then(|fact| fact.base);
        next = base.and_then(|base| by_name.get(base)).map(|id| usize::from(id.0));
    }
    let mut elements: Vec<ElementDef> = Vec::new();
    for element in chain.iter().rev().filter_map(|place| own.get(*place)).flatten() {
        match elements.iter_mut().find(|inherited| inherited.name == element.name) {
            Some(inherited) => *inherited = *element,
            None => elements.push(*element),
        }
    }
    elements
}

fn json_names(elements: &[ElementDef]) -> Vec<(&'static str, u16, u16)> {
    let mut names = Vec::new();
    for (element, place) in elements.iter().zip(0..) {
        names.extend(element.types.iter().zip(0..).map(|(element_type, n)| (element_type.json_name, place, n)));
    }
    names.sort_unstable();
    names
}

/// Reads `name[[x]] min..max type[(target,...)]|... [summary] [modifier] [required=value-set]`.
struct ElementReader<'r> {
    by_name: &'r HashMap<&'static str, TypeId>,
    numbers: HashMap<&'static str, ResourceType>,
    value_sets: &'r HashMap<&'static str, &'static ValueSet>,
}

impl ElementReader<'_> {
    fn element(&self, fact: &'static str) -> Result<ElementDef> {
        let mut words = fact.split(' ');
        let (Some(name), Some(count), Some(types)) = (words.next(), words.next(), words.next()) else {
            return Err(broken(fact));
        };
        let (name, choice) = name.strip_suffix("[x]").map_or((name, false), |name| (name, true));
        let (min, max) = count.split_once("..").ok_or_else(|| broken(fact))?;
        let max = match max {
            "*" => Max::Unbounded,
            "1" => Max::One,
            "0" => Max::Zero,
            n => Max::AtMost(n.parse().map_err(|_| broken(fact))?),
        };
        let types: Vec<ElementType> = types
            .split('|')
            .map(|text| self.element_type(text, name, choice))
            .collect::<Option<_>>()
            .ok_or_else(|| broken(fact))?;
        let mut element = ElementDef {
            name,
            min: min.parse().map_err(|_| broken(fact))?,
            max,
            types: Vec::leak(types),
            choice,
            binding: None,
            summary: false,
            modifier: false,
        };
        for word in words {
            match (word, word.strip_prefix("required=")) {
                (_, Some(url)) => element.binding = Some(self.value_sets.get(url).ok_or_else(|| broken(fact))?),
                ("summary", _) => element.summary = true,
                ("modifier", _) => element.modifier = true,
                _ => return Err(broken(fact)),
            }
        }
        Ok(element)
    }

    fn element_type(&self, text: &'static str, name: &'static str, choice: bool) -> Option<ElementType> {
        let (code, targets) = text.split_once('(').unwrap_or((text, ""));
        let targets: Vec<ResourceType> = match targets.strip_suffix(')') {
            Some(targets) => {
                targets.split(',').map(|target| self.numbers.get(target).copied()).collect::<Option<_>>()?
            }
            None => Vec::new(),
        };
        let json_name = if choice { choice_name(name, code) } else { name };
        Some(ElementType { code, json_name, targets: Vec::leak(targets), def: *self.by_name.get(code)? })
    }
}

/// `value` + `dateTime` -> `valueDateTime`.
fn choice_name(name: &str, code: &str) -> &'static str {
    let mut text = String::with_capacity(name.len() + code.len());
    text.push_str(name);
    let mut rest = code.chars();
    text.extend(rest.next().map(|first| first.to_ascii_uppercase()));
    text.push_str(rest.as_str());
    String::leak(text)
}

fn parameters(facts: Vec<ParameterFact>, registry: &mut Standard) {
    registry.parameter_by_url = facts.iter().enumerate().map(|(place, fact)| (fact.url, place)).collect();
    registry.parameters_of = vec![Vec::new(); registry.resources.len()];
    registry.compiled = registry.resources.iter().map(|_| OnceLock::new()).collect();
    for (place, fact) in facts.iter().enumerate() {
        for base in &fact.base {
            match registry.resource_type(base) {
                Some(t) => registry.parameters_of.get_mut(t.index()).into_iter().for_each(|list| list.push(place)),
                None => inherit(registry, base, place),
            }
        }
    }
    for list in &mut registry.parameters_of {
        list.sort_by_key(|place| facts.get(*place).map(|fact| fact.code));
    }
    registry.parameters = facts;
}

/// A parameter of `Resource` or `DomainResource` belongs to every type made from it.
fn inherit(registry: &mut Standard, base: &str, place: usize) {
    for t in registry.resource_types() {
        if registry.is_a(registry.resource(t).name, base) {
            registry.parameters_of.get_mut(t.index()).into_iter().for_each(|list| list.push(place));
        }
    }
}

fn compartments(facts: Vec<CompartmentFact>, registry: &mut Standard) {
    for fact in facts {
        let mut types = vec![Vec::new(); registry.resources.len()];
        for (name, mut codes) in fact.resources {
            codes.retain(|code| *code != "{def}");
            if let Some(place) = registry.resource_type(name).and_then(|t| types.get_mut(t.index())) {
                *place = codes;
            }
        }
        registry.compartments.insert(fact.code, types);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_whole_and_fast() {
        let start = std::time::Instant::now();
        let registry = read().unwrap();
        println!("registry read in {:?}", start.elapsed());
        assert_eq!(registry.resources.len(), 146);
        let parameters: Vec<ParameterFact> = parse(SEARCH_PARAMETERS).unwrap();
        assert!(parameters.iter().flat_map(|fact| &fact.base).all(|base| registry.type_def(base).is_some()));
        assert!(
            parameters
                .iter()
                .flat_map(|fact| &fact.target)
                .all(|t| *t == "Resource" || registry.resource_type(t).is_some())
        );
        assert!(
            parameters
                .iter()
                .flat_map(|fact| &fact.component)
                .all(|c| registry.parameter_by_url.contains_key(c.definition))
        );
    }

    #[test]
    fn a_broken_fact_is_an_error() {
        let (by_name, value_sets) = (HashMap::from([("string", TypeId(0))]), HashMap::new());
        let reader = ElementReader { by_name: &by_name, numbers: HashMap::new(), value_sets: &value_sets };
        assert!(reader.element("name 0..1 string summary").is_ok());
        for fact in [
            "name",
            "name 0..1",
            "name 0-1 string",
            "name 0..x string",
            "name 0..1 strin",
            "name 0..1 string sum",
            "name 0..1 string required=x",
            "name 0..1 string(Pat)",
        ] {
            assert!(reader.element(fact).is_err(), "{fact}");
        }
    }
}
