//! Compiles the official FHIR R4 package into the compact facts that the server embeds (`make definitions`).
//!
//! Input: `hl7.fhir.r4.core` (<https://hl7.org/fhir/R4/downloads.html>) as a folder, a folder with `package/` in it or a
//! `.tgz`. Output: `types.json`, `search-parameters.json`, `compartments.json`, `value-sets.json`: one fact a line, sorted,
//! the same bytes for the same package. No prose of the definitions is kept. Nothing is listed by hand: what is a
//! resource type, an element or a code comes from the package alone.
//!
//! An element is one string, read back by `fhir::definitions::facts`:
//! `name[[x]] min..max type[(target,...)]|... [summary] [modifier] [required=value-set]`.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

type Outcome<T> = Result<T, String>;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";
const FHIRPATH: &str = "http://hl7.org/fhirpath/System.";
const FHIR_TYPE: &str = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type";
const REGEX: &str = "http://hl7.org/fhir/StructureDefinition/regex";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [package, out] = arguments.as_slice() else {
        eprintln!("usage: definitions PACKAGE_DIR_OR_TGZ OUT_DIR");
        return ExitCode::from(2);
    };
    match run(Path::new(package), Path::new(out)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("definitions: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(package: &Path, out: &Path) -> Outcome<()> {
    if package.is_dir() {
        return compile(package, out);
    }
    let unpacked = std::env::temp_dir().join(format!("historia-definitions-{}", std::process::id()));
    std::fs::create_dir_all(&unpacked).map_err(|e| format!("{}: {e}", unpacked.display()))?;
    let status = Command::new("tar").arg("-xf").arg(package).arg("-C").arg(&unpacked).status();
    let outcome = match status {
        Ok(status) if status.success() => compile(&unpacked, out),
        Ok(status) => Err(format!("tar could not unpack {}: {status}", package.display())),
        Err(e) => Err(format!("tar: {e}")),
    };
    let _ = std::fs::remove_dir_all(&unpacked);
    outcome
}

fn compile(folder: &Path, out: &Path) -> Outcome<()> {
    let inner = folder.join("package");
    let package = Package { folder: if inner.is_dir() { inner } else { folder.to_owned() } };
    let structures = package.read("StructureDefinition")?;
    let (types, bound) = types(&structures)?;
    let concrete: BTreeSet<&str> = types
        .iter()
        .filter(|(_, fact)| text(fact, "kind") == "resource" && fact.get("abstract").is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    let parameters = search_parameters(&package.read("SearchParameter")?, &concrete);
    let compartments = compartments(&package.read("CompartmentDefinition")?);
    let value_sets = value_sets(&bound, &package)?;
    std::fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    write(out, "types.json", &types)?;
    write(out, "search-parameters.json", &parameters)?;
    write(out, "compartments.json", &compartments)?;
    write(out, "value-sets.json", &value_sets)
}

/// One fact a line, in the order of its key; a valid JSON array all the same.
fn write(out: &Path, name: &str, facts: &BTreeMap<String, Value>) -> Outcome<()> {
    let lines: Vec<String> = facts.values().map(Value::to_string).collect();
    let path = out.join(name);
    std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{}: {} facts", path.display(), facts.len());
    Ok(())
}

struct Package {
    folder: PathBuf,
}

impl Package {
    /// All resources of a type, in the order of their file names (packages name files `Type-id.json`).
    fn read(&self, resource_type: &str) -> Outcome<Vec<Value>> {
        let prefix = format!("{resource_type}-");
        let entries = std::fs::read_dir(&self.folder).map_err(|e| format!("{}: {e}", self.folder.display()))?;
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)))
            .collect();
        paths.sort();
        if paths.is_empty() {
            return Err(format!("no {resource_type} in {}", self.folder.display()));
        }
        let read = |path: &PathBuf| -> Outcome<Value> {
            let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
        };
        paths.iter().map(read).collect()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or("")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The strings of a list, sorted.
fn texts<'a>(value: &'a Value, name: &str) -> BTreeSet<&'a str> {
    list(value, name).iter().filter_map(Value::as_str).collect()
}

/// `http://hl7.org/fhir/ValueSet/x|4.0.1` -> `http://hl7.org/fhir/ValueSet/x`.
fn unversioned(canonical: &str) -> &str {
    canonical.split('|').next().unwrap_or(canonical)
}

// ---- types

/// A type on its way to a fact: its elements by name, in the order of the snapshot.
struct Type<'a> {
    kind: &'a str,
    base: &'a str,
    is_abstract: bool,
    regex: Option<&'a str>,
    elements: Vec<(&'a str, String)>,
}

/// Every type and, on the way, the value sets of their required bindings.
fn types(structures: &[Value]) -> Outcome<(BTreeMap<String, Value>, BTreeSet<String>)> {
    let (mut types, mut bound) = (BTreeMap::new(), BTreeSet::new());
    for structure in structures {
        let is_type = matches!(text(structure, "kind"), "resource" | "complex-type" | "primitive-type");
        if is_type && text(structure, "derivation") != "constraint" {
            read_structure(structure, &mut types, &mut bound)?;
        }
    }
    let mut facts = BTreeMap::new();
    for (name, a_type) in &types {
        // Only what the base does not already say, so that `extension` is not written 700 times.
        let inherited: &[(&str, String)] = types.get(a_type.base).map_or(&[], |base| base.elements.as_slice());
        let own: Vec<&str> = a_type
            .elements
            .iter()
            .filter(|element| !inherited.contains(element))
            .map(|(_, fact)| fact.as_str())
            .collect();
        let mut fact = Map::new();
        fact.insert("name".to_owned(), json!(name));
        fact.insert("kind".to_owned(), json!(a_type.kind));
        if !a_type.base.is_empty() {
            fact.insert("base".to_owned(), json!(a_type.base));
        }
        if a_type.is_abstract {
            fact.insert("abstract".to_owned(), json!(true));
        }
        if let Some(regex) = a_type.regex {
            fact.insert("regex".to_owned(), json!(regex));
        }
        fact.insert("elements".to_owned(), json!(own));
        facts.insert(name.clone(), Value::Object(fact));
    }
    Ok((facts, bound))
}

fn read_structure<'a>(
    structure: &'a Value,
    types: &mut BTreeMap<String, Type<'a>>,
    bound: &mut BTreeSet<String>,
) -> Outcome<()> {
    let name = text(structure, "type");
    let kind = match text(structure, "kind") {
        "resource" => "resource",
        "complex-type" => "complex",
        _ => "primitive",
    };
    let root = Type {
        kind,
        base: text(structure, "baseDefinition").trim_start_matches(CORE),
        is_abstract: structure.get("abstract").and_then(Value::as_bool).unwrap_or(false),
        regex: None,
        elements: Vec::new(),
    };
    types.insert(name.to_owned(), root);
    let elements = structure.get("snapshot").map_or(&[][..], |snapshot| list(snapshot, "element"));
    let parents: BTreeSet<&str> =
        elements.iter().filter_map(|e| text(e, "path").rsplit_once('.')).map(|(parent, _)| parent).collect();
    for element in elements {
        let path = text(element, "path");
        let Some((parent, member)) = path.rsplit_once('.') else { continue };
        if kind == "primitive" && member == "value" {
            if let Some(owner) = types.get_mut(parent) {
                owner.regex = list(element, "type").iter().find_map(|t| extension(t, REGEX));
            }
            continue;
        }
        if parents.contains(path) {
            let base = list(element, "type").first().map_or("", |t| text(t, "code"));
            let backbone = Type { kind: "backbone", base, is_abstract: false, regex: None, elements: Vec::new() };
            types.insert(path.to_owned(), backbone);
        }
        let fact = element_fact(element, member, kind == "resource" && parent == name, parents.contains(path), bound)?;
        let owner = types.get_mut(parent).ok_or_else(|| format!("{path}: element without its parent"))?;
        owner.elements.push((member, fact));
    }
    Ok(())
}

fn element_fact(
    element: &Value,
    member: &str,
    of_resource: bool,
    has_children: bool,
    bound: &mut BTreeSet<String>,
) -> Outcome<String> {
    let path = text(element, "path");
    let types = if let Some(content) = element.get("contentReference").and_then(Value::as_str) {
        content.rsplit('#').next().unwrap_or(content).to_owned()
    } else if has_children {
        path.to_owned()
    } else {
        let codes: Vec<String> =
            list(element, "type").iter().map(|t| type_code(t, of_resource && member == "id")).collect();
        codes.join("|")
    };
    if types.is_empty() {
        return Err(format!("{path}: no type"));
    }
    let min = element.get("min").and_then(Value::as_u64).unwrap_or(0);
    let mut fact = format!("{member} {min}..{} {types}", text(element, "max"));
    for (flag, word) in [("isSummary", " summary"), ("isModifier", " modifier")] {
        if element.get(flag).and_then(Value::as_bool) == Some(true) {
            fact.push_str(word);
        }
    }
    if let Some(binding) = element.get("binding").filter(|binding| text(binding, "strength") == "required") {
        let url = unversioned(text(binding, "valueSet"));
        fact.push_str(" required=");
        fact.push_str(url);
        bound.insert(url.to_owned());
    }
    Ok(fact)
}

/// The code of a type with the resource types it may point at; without any when it may point at all.
///
/// The types of FHIRPath itself become the primitives they stand for; a resource's own id, which the package calls a
/// string, is an `id` (<https://hl7.org/fhir/R4/resource.html#id>).
fn type_code(a_type: &Value, is_resource_id: bool) -> String {
    let code = text(a_type, "code");
    if is_resource_id {
        return "id".to_owned();
    }
    if code.starts_with(FHIRPATH) {
        return extension(a_type, FHIR_TYPE).unwrap_or("string").to_owned();
    }
    let targets: BTreeSet<&str> =
        texts(a_type, "targetProfile").into_iter().map(|profile| profile.trim_start_matches(CORE)).collect();
    if targets.is_empty() || targets.contains("Resource") {
        return code.to_owned();
    }
    let targets: Vec<&str> = targets.into_iter().collect();
    format!("{code}({})", targets.join(","))
}

fn extension<'a>(value: &'a Value, url: &str) -> Option<&'a str> {
    let found = list(value, "extension").iter().find(|extension| text(extension, "url") == url)?;
    ["valueUrl", "valueString"].iter().find_map(|name| found.get(*name).and_then(Value::as_str))
}

// ---- search parameters

/// The search parameters of the base specification.
///
/// Left out are the package's examples and extras: experimental and not named `Type-code` (24 of 1,400). A target list
/// of every type (the package leaves out Parameters, which has no address) becomes `Resource`.
fn search_parameters(parameters: &[Value], every_type: &BTreeSet<&str>) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for parameter in parameters {
        let (url, code) = (text(parameter, "url"), text(parameter, "code"));
        let bases = texts(parameter, "base");
        let regular = bases.iter().any(|base| text(parameter, "id") == format!("{base}-{code}"));
        let experimental = parameter.get("experimental").and_then(Value::as_bool).unwrap_or(false);
        if bases.is_empty() || (experimental && !regular) {
            println!("left out: {url}");
            continue;
        }
        let mut fact = Map::new();
        fact.insert("url".to_owned(), json!(url));
        fact.insert("code".to_owned(), json!(code));
        fact.insert("type".to_owned(), json!(text(parameter, "type")));
        fact.insert("base".to_owned(), json!(bases));
        match parameter.get("expression").and_then(Value::as_str) {
            Some(expression) => {
                fact.insert(
                    "expression".to_owned(),
                    json!(expression.split_whitespace().collect::<Vec<_>>().join(" ")),
                );
            }
            None => println!("no expression: {url}"),
        }
        let mut targets = texts(parameter, "target");
        if every_type.difference(&targets).all(|name| *name == "Parameters") {
            targets = BTreeSet::from(["Resource"]);
        }
        if !targets.is_empty() {
            fact.insert("target".to_owned(), json!(targets));
        }
        let components: Vec<Value> = list(parameter, "component")
            .iter()
            .map(|c| json!({"definition": text(c, "definition"), "expression": text(c, "expression")}))
            .collect();
        if !components.is_empty() {
            fact.insert("component".to_owned(), json!(components));
        }
        facts.insert(url.to_owned(), Value::Object(fact));
    }
    facts
}

// ---- compartments

/// The parameters by which a resource belongs to a compartment, `{def}` included.
fn compartments(definitions: &[Value]) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for definition in definitions {
        let code = text(definition, "code");
        // The package also holds an example that calls itself a Device compartment.
        if !text(definition, "id").eq_ignore_ascii_case(code) {
            continue;
        }
        let mut resources = BTreeMap::new();
        for resource in list(definition, "resource") {
            let parameters = list(resource, "param");
            if !parameters.is_empty() {
                resources.insert(text(resource, "code"), parameters);
            }
        }
        let fact = json!({"code": code, "url": text(definition, "url"), "resources": resources});
        facts.insert(code.to_owned(), fact);
    }
    facts
}

// ---- value sets

type Codes = BTreeMap<String, BTreeSet<String>>;

struct Terminology {
    value_sets: BTreeMap<String, Value>,
    code_systems: BTreeMap<String, Value>,
}

/// The codes of each bound value set, by system; a set that the package cannot expand is `open`.
fn value_sets(bound: &BTreeSet<String>, package: &Package) -> Outcome<BTreeMap<String, Value>> {
    let by_url = |resources: Vec<Value>| -> BTreeMap<String, Value> {
        resources.into_iter().map(|resource| (text(&resource, "url").to_owned(), resource)).collect()
    };
    let terminology = Terminology {
        value_sets: by_url(package.read("ValueSet")?),
        code_systems: by_url(package.read("CodeSystem")?),
    };
    let mut facts = BTreeMap::new();
    for url in bound {
        let fact = match terminology.expand(url, 0) {
            Some(codes) => json!({"url": url, "codes": codes}),
            None => {
                println!("open value set: {url}");
                json!({"url": url, "open": true})
            }
        };
        facts.insert(url.clone(), fact);
    }
    Ok(facts)
}

impl Terminology {
    fn expand(&self, url: &str, depth: u8) -> Option<Codes> {
        if depth > 8 {
            return None;
        }
        let compose = self.value_sets.get(unversioned(url))?.get("compose")?;
        let mut codes = Codes::new();
        for include in list(compose, "include") {
            for (system, more) in self.selected(include, depth)? {
                codes.entry(system).or_default().extend(more);
            }
        }
        for exclude in list(compose, "exclude") {
            for (system, less) in self.selected(exclude, depth)? {
                if let Some(known) = codes.get_mut(&system) {
                    known.retain(|code| !less.contains(code));
                }
            }
        }
        codes.retain(|_, codes| !codes.is_empty());
        (!codes.is_empty()).then_some(codes)
    }

    /// The codes one include or exclude stands for; none when that needs a filter, or a code system not in the package.
    fn selected(&self, include: &Value, depth: u8) -> Option<Codes> {
        if include.get("filter").is_some() {
            return None;
        }
        let imported = list(include, "valueSet");
        if !imported.is_empty() {
            // A system beside imported sets means their intersection: no required binding of R4 needs it.
            if include.get("system").is_some() || imported.len() > 1 {
                return None;
            }
            return self.expand(imported.first().and_then(Value::as_str)?, depth + 1);
        }
        let system = text(include, "system");
        let mut codes = BTreeSet::new();
        let concepts = list(include, "concept");
        if concepts.is_empty() {
            let code_system = self.code_systems.get(system).filter(|known| text(known, "content") == "complete")?;
            collect(list(code_system, "concept"), &mut codes, 0);
        } else {
            collect(concepts, &mut codes, 0);
        }
        (!codes.is_empty()).then(|| Codes::from([(system.to_owned(), codes)]))
    }
}

fn collect(concepts: &[Value], codes: &mut BTreeSet<String>, depth: u8) {
    for concept in concepts {
        codes.insert(text(concept, "code").to_owned());
        if depth < 32 {
            collect(list(concept, "concept"), codes, depth + 1);
        }
    }
}
