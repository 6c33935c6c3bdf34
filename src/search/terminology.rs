//! Codes by terminology (<https://hl7.org/fhir/R4/search.html#token>: `:in`, `:not-in`, `:above`, `:below`): value sets are
//! enumerated from the compiled ones and from the ValueSets and CodeSystems that are held as resources.
//!
//! Pure: what is needed of the store is told ([`Expander::wanted`]) and handed in ([`Held`]). What cannot be enumerated to
//! the last code is an error that names it, never a part of it.

use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::Definitions;
use crate::search::query::Concepts;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Codes of one value set or code system.
const MOST: usize = 20_000;
/// Value sets that name value sets.
const DEEPEST: usize = 8;

/// A resource by its canonical address, perhaps `|version`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wanted {
    ValueSet(String),
    CodeSystem(String),
}

/// What was looked for; `None`: it is not held.
pub type Held = HashMap<Wanted, Option<Value>>;

/// (system, code)
pub type Codes = BTreeSet<(String, String)>;

pub struct Expander<'h> {
    definitions: &'static Definitions,
    held: &'h Held,
    /// What must be handed in before the answer counts.
    pub wanted: BTreeSet<Wanted>,
    depth: usize,
}

impl<'h> Expander<'h> {
    pub fn new(definitions: &'static Definitions, held: &'h Held) -> Self {
        Expander { definitions, held, wanted: BTreeSet::new(), depth: 0 }
    }

    /// The codes that are asked for; complete when nothing is wanted.
    pub fn codes(&mut self, asked: &Concepts) -> Result<Codes> {
        match asked {
            Concepts::In(url) => self.value_set(url, "the value set is not held here"),
            Concepts::Below { system, code } => self.related(system, code, System::below),
            Concepts::Above { system, code } => self.related(system, code, System::above),
        }
    }

    fn related(&mut self, system: &str, code: &str, of: fn(&System, &str) -> BTreeSet<String>) -> Result<Codes> {
        let Some(found) = self.system(system, "the code system is not held here")? else { return Ok(Codes::new()) };
        found.subsumes()?;
        if !found.codes.contains(code) {
            return Err(refused("the code system that is held here does not have the code".to_owned()));
        }
        Ok(of(&found, code).into_iter().map(|code| (system.to_owned(), code)).collect())
    }

    fn held(&mut self, wanted: Wanted, absent: &str) -> Result<Option<&'h Value>> {
        match self.held.get(&wanted) {
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => Err(refused(absent.to_owned())),
            None => {
                self.wanted.insert(wanted);
                Ok(None)
            }
        }
    }

    fn value_set(&mut self, url: &str, absent: &str) -> Result<Codes> {
        if let Some(known) = self.definitions.value_set(url).filter(|known| !known.is_open()) {
            let own = |(code, system): &(&str, &str)| ((*system).to_owned(), (*code).to_owned());
            return Ok(known.codes().iter().map(own).collect());
        }
        let Some(value_set) = self.held(Wanted::ValueSet(url.to_owned()), absent)? else { return Ok(Codes::new()) };
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Error::new(Kind::TooCostly, format!("more than {DEEPEST} value sets inside each other")));
        }
        let codes = match value_set.get("compose") {
            Some(compose) => self.composed(compose)?,
            None => expanded(value_set.get("expansion"))?,
        };
        self.depth -= 1;
        Ok(codes)
    }

    fn composed(&mut self, compose: &Value) -> Result<Codes> {
        if compose.get("inactive") == Some(&Value::Bool(false)) {
            return Err(refused("the value set leaves out inactive codes, which are not known here".to_owned()));
        }
        let mut codes = Codes::new();
        for part in items(compose, "include") {
            codes.extend(self.part(part)?);
            if codes.len() > MOST {
                return Err(Error::new(Kind::TooCostly, format!("the value set has more than {MOST} codes")));
            }
        }
        for part in items(compose, "exclude") {
            for code in self.part(part)? {
                codes.remove(&code);
            }
        }
        Ok(codes)
    }

    /// What `include` or `exclude` says: the codes that are in the system and in each of the value sets.
    fn part(&mut self, part: &Value) -> Result<Codes> {
        let mut both: Option<Codes> = match text(part, "system") {
            Some(system) => Some(self.of_system(system, part)?),
            None => None,
        };
        for url in items(part, "valueSet").filter_map(Value::as_str) {
            let codes = self.value_set(url, &format!("the value set {} is not held here", short(url)))?;
            both = Some(match both {
                Some(known) => known.intersection(&codes).cloned().collect(),
                None => codes,
            });
        }
        Ok(both.unwrap_or_default())
    }

    fn of_system(&mut self, system: &str, part: &Value) -> Result<Codes> {
        let whole = |code: String| (system.to_owned(), code);
        let mut listed = items(part, "concept").filter_map(|concept| text(concept, "code")).peekable();
        if listed.peek().is_some() {
            return Ok(listed.map(str::to_owned).map(whole).collect());
        }
        let canonical = match text(part, "version") {
            Some(version) => format!("{system}|{version}"),
            None => system.to_owned(),
        };
        let absent = format!("the code system {} is not held here", short(system));
        let Some(found) = self.system(&canonical, &absent)? else { return Ok(Codes::new()) };
        let mut codes = found.codes.clone();
        for filter in items(part, "filter") {
            let of = |name| text(filter, name).unwrap_or_default();
            let below = found.below(of("value"));
            match (of("property"), of("op")) {
                ("concept", "is-a") => codes.retain(|code| below.contains(code)),
                ("concept", "descendent-of") => codes.retain(|code| below.contains(code) && code != of("value")),
                ("concept", "is-not-a") => codes.retain(|code| !below.contains(code)),
                (property, op) => {
                    let text = format!("the filter {} {} of a value set is not supported", short(property), short(op));
                    return Err(refused(text));
                }
            }
            found.subsumes()?;
        }
        Ok(codes.into_iter().map(whole).collect())
    }

    fn system(&mut self, canonical: &str, absent: &str) -> Result<Option<System>> {
        let found = self.held(Wanted::CodeSystem(canonical.to_owned()), absent)?;
        found.map(System::read).transpose()
    }
}

/// The codes of a whole code system, and which stands under which.
struct System {
    codes: BTreeSet<String>,
    /// (parent, child) both ways round.
    children: BTreeMap<String, BTreeSet<String>>,
    parents: BTreeMap<String, BTreeSet<String>>,
    meaning: Option<String>,
}

impl System {
    fn read(resource: &Value) -> Result<System> {
        if text(resource, "content") != Some("complete") {
            let url = short(text(resource, "url").unwrap_or_default());
            return Err(refused(format!("the code system {url} is not held whole (content is not complete)")));
        }
        let mut system = System {
            codes: BTreeSet::new(),
            children: BTreeMap::new(),
            parents: BTreeMap::new(),
            meaning: text(resource, "hierarchyMeaning").map(str::to_owned),
        };
        let mut open: Vec<(Option<&str>, &Value)> = items(resource, "concept").map(|one| (None, one)).collect();
        while let Some((parent, concept)) = open.pop() {
            let Some(code) = text(concept, "code") else { continue };
            system.codes.insert(code.to_owned());
            if system.codes.len() > MOST {
                return Err(Error::new(Kind::TooCostly, format!("the code system has more than {MOST} codes")));
            }
            if let Some(parent) = parent {
                system.edge(parent, code);
            }
            for property in items(concept, "property") {
                match (text(property, "code"), text(property, "valueCode")) {
                    (Some("parent"), Some(parent)) => system.edge(parent, code),
                    (Some("child"), Some(child)) => system.edge(code, child),
                    _ => {}
                }
            }
            open.extend(items(concept, "concept").map(|child| (Some(code), child)));
        }
        Ok(system)
    }

    fn edge(&mut self, parent: &str, child: &str) {
        self.children.entry(parent.to_owned()).or_default().insert(child.to_owned());
        self.parents.entry(child.to_owned()).or_default().insert(parent.to_owned());
    }

    /// Whether to stand under a code means to be of its kind.
    fn subsumes(&self) -> Result<()> {
        match self.meaning.as_deref() {
            None | Some("is-a") => Ok(()),
            Some(_) => Err(refused(
                "the hierarchy of the code system does not mean that one code is a kind of another".to_owned(),
            )),
        }
    }

    fn below(&self, code: &str) -> BTreeSet<String> {
        reached(&self.children, code)
    }

    fn above(&self, code: &str) -> BTreeSet<String> {
        reached(&self.parents, code)
    }
}

/// A code and all that it leads to; a circle ends.
fn reached(edges: &BTreeMap<String, BTreeSet<String>>, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from([code.to_owned()]);
    let mut open = vec![code];
    while let Some(next) = open.pop() {
        for one in edges.get(next).into_iter().flatten() {
            if found.insert(one.clone()) {
                open.push(one);
            }
        }
    }
    found
}

/// The codes of an expansion that says that it is whole.
fn expanded(expansion: Option<&Value>) -> Result<Codes> {
    let Some(expansion) = expansion else {
        return Err(refused("the value set says neither what it is composed of nor its codes".to_owned()));
    };
    let mut codes = Codes::new();
    let mut entries = 0_u64;
    let mut open: Vec<&Value> = items(expansion, "contains").collect();
    while let Some(one) = open.pop() {
        entries += 1;
        if codes.len() > MOST {
            return Err(Error::new(Kind::TooCostly, format!("the value set has more than {MOST} codes")));
        }
        let selectable = one.get("abstract") != Some(&Value::Bool(true));
        if let (true, Some(system), Some(code)) = (selectable, text(one, "system"), text(one, "code")) {
            codes.insert((system.to_owned(), code.to_owned()));
        }
        open.extend(items(one, "contains"));
    }
    let total = expansion.get("total").and_then(Value::as_u64);
    match total.is_none_or(|total| total <= entries) && expansion.get("offset").is_none() {
        true => Ok(codes),
        false => Err(refused("the expansion of the value set is a part of it".to_owned())),
    }
}

fn refused(text: String) -> Error {
    Error::new(Kind::NotSupported, text)
}

/// An address of a definition as an error may show it.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
