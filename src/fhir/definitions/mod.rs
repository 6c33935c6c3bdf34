//! The compiled facts of FHIR R4 (<https://hl7.org/fhir/R4/>): types, elements, search parameters, compartments, codes.
//!
//! The facts stand as text under `fhir-profiles/r4`, made from the official package by `src/bin/definitions.rs` and
//! embedded here; [`r4`] reads them once. Everything handed out is `'static`, so nothing has to be cloned.
//! Not here: prose, invariants, profiles, operations, preferred and extensible bindings.

mod currency;
mod custom;
mod facts;
mod resource_type;

pub use custom::{Custom, Unfinished};
pub use resource_type::ResourceType;

use crate::fhir::path::Expression;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{LazyLock, OnceLock};

/// The definitions of R4.
pub fn r4() -> &'static Definitions {
    // The text is part of the program and a test reads it, so the empty registry below is never met.
    static STANDARD: LazyLock<Standard> = LazyLock::new(|| facts::read().unwrap_or_default());
    static R4: LazyLock<Definitions> = LazyLock::new(|| Definitions::of(&STANDARD));
    &R4
}

/// The registry: the standard, and the search parameters that an installation has besides.
pub struct Definitions {
    standard: &'static Standard,
    /// The whole list of each type that has custom parameters, sorted by code.
    lists: HashMap<ResourceType, Vec<&'static SearchParameter>>,
    /// What cannot be asked yet.
    unfinished: Vec<Unfinished>,
}

impl Deref for Definitions {
    type Target = Standard;

    fn deref(&self) -> &Standard {
        self.standard
    }
}

/// The standard's own part of the registry.
#[derive(Default)]
pub struct Standard {
    types: Vec<TypeDef>,
    by_name: HashMap<&'static str, TypeId>,
    /// Concrete resource types in the order of their names; [`ResourceType`] is a place in it.
    resources: Vec<TypeId>,
    value_sets: HashMap<&'static str, &'static ValueSet>,
    parameters: Vec<facts::ParameterFact>,
    parameter_by_url: HashMap<&'static str, usize>,
    /// Places in `parameters` per resource type, sorted by code; their expressions are compiled when first asked for.
    parameters_of: Vec<Vec<usize>>,
    compiled: Vec<OnceLock<Vec<&'static SearchParameter>>>,
    /// Compartment -> per resource type the codes of its parameters.
    compartments: HashMap<&'static str, Vec<Vec<&'static str>>>,
}

/// A place in the registry of types: what [`ElementType::def`] and [`Definitions::type_at`] use instead of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TypeKind {
    Resource,
    Complex,
    /// An element with elements of its own, named by its path: `Patient.contact`, `Timing.repeat`.
    Backbone,
    Primitive,
}

/// One type: a resource, a complex type, a backbone element or a primitive.
#[derive(Debug)]
pub struct TypeDef {
    pub name: &'static str,
    pub kind: TypeKind,
    pub base: Option<&'static str>,
    /// `Resource`, `DomainResource`, `Element`, `BackboneElement`.
    pub is_abstract: bool,
    /// In the order of the specification, inherited ones first. A primitive has `id` and `extension` (of its `_name` sibling).
    pub elements: Vec<ElementDef>,
    /// Sorted by JSON name: place in `elements`, place in its `types`.
    by_json_name: Vec<(&'static str, u16, u16)>,
}

/// One element of a type.
#[derive(Clone, Copy, Debug)]
pub struct ElementDef {
    /// Without `[x]`: `value` for `value[x]`.
    pub name: &'static str,
    pub min: u16,
    pub max: Max,
    pub types: &'static [ElementType],
    /// Whether its JSON name says its type (`value[x]`), be it of a single one.
    pub choice: bool,
    /// The value set of a *required* binding.
    pub binding: Option<&'static ValueSet>,
    pub summary: bool,
    pub modifier: bool,
}

/// One of the types that an element may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementType {
    /// `string`, `HumanName`, `Patient.contact` (also by contentReference), `Resource`.
    pub code: &'static str,
    /// `valueQuantity`; the element's name when it is no choice.
    pub json_name: &'static str,
    /// The types a `Reference` or `canonical` may point at; empty = any.
    pub targets: &'static [ResourceType],
    pub def: TypeId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Max {
    /// Nothing: an inherited element that a type forbids (`xhtml.extension`).
    Zero,
    One,
    /// R4 itself has none; profiles will.
    AtMost(u16),
    Unbounded,
}

impl Max {
    /// Whether the element is an array in JSON.
    pub fn is_list(self) -> bool {
        matches!(self, Max::AtMost(_) | Max::Unbounded)
    }
}

impl TypeDef {
    /// The element of a JSON member name, and the concrete type that the name says.
    pub fn element(&self, json_name: &str) -> Option<(&ElementDef, &'static str)> {
        self.member(json_name).map(|(element, element_type)| (element, element_type.code))
    }

    /// As [`Self::element`], with all that is known of the type.
    pub fn member(&self, json_name: &str) -> Option<(&ElementDef, &'static ElementType)> {
        self.place(json_name).map(|(_, element, element_type)| (element, element_type))
    }

    /// As [`Self::member`], with the element's place in [`Self::elements`]: what XML is ordered by.
    pub fn place(&self, json_name: &str) -> Option<(usize, &ElementDef, &'static ElementType)> {
        let place = self.by_json_name.binary_search_by(|(name, _, _)| (*name).cmp(json_name)).ok()?;
        let (_, place, element_type) = self.by_json_name.get(place)?;
        let element = self.elements.get(usize::from(*place))?;
        Some((usize::from(*place), element, element.types.get(usize::from(*element_type))?))
    }

    /// Whether XML says the element by an attribute: the id of what is no resource, the url of an extension.
    pub fn is_attribute(&self, element: &ElementDef) -> bool {
        match element.name {
            "id" => self.kind != TypeKind::Resource,
            "url" => self.name == "Extension",
            _ => false,
        }
    }

    /// The element of a FHIRPath name: `value` for `value[x]`.
    pub fn element_named(&self, name: &str) -> Option<&ElementDef> {
        self.elements.iter().find(|element| element.name == name)
    }

    fn empty() -> Self {
        TypeDef {
            name: "",
            kind: TypeKind::Primitive,
            base: None,
            is_abstract: true,
            elements: Vec::new(),
            by_json_name: Vec::new(),
        }
    }
}

/// The codes of a required binding.
#[derive(Debug)]
pub struct ValueSet {
    pub url: &'static str,
    /// Sorted (code, system); none when the package cannot say (media types, UCUM, one of LOINC's).
    codes: Option<Vec<(&'static str, &'static str)>>,
    systems: Vec<&'static str>,
}

impl ValueSet {
    /// Whether its codes are not known here, so that nothing can be said about a code.
    pub fn is_open(&self) -> bool {
        self.codes.is_none()
    }

    /// Whether a bare `code` is in it; always in an open one.
    pub fn contains_code(&self, code: &str) -> bool {
        let Some(codes) = &self.codes else { return true };
        codes.binary_search_by(|(known, _)| (*known).cmp(code)).is_ok()
    }

    /// Whether a coding is in it; always in an open one.
    pub fn contains(&self, system: &str, code: &str) -> bool {
        let Some(codes) = &self.codes else { return true };
        codes.binary_search(&(code, system)).is_ok()
    }

    /// (code, system), sorted; empty when open.
    pub fn codes(&self) -> &[(&'static str, &'static str)] {
        self.codes.as_deref().unwrap_or(&[])
    }

    /// The code systems that its codes come from; empty when open.
    pub fn systems(&self) -> &[&'static str] {
        &self.systems
    }
}

/// The type of a search parameter (<https://hl7.org/fhir/R4/search.html#ptypes>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchKind {
    Number,
    Date,
    String,
    Token,
    Reference,
    Composite,
    Quantity,
    Uri,
    Special,
}

/// A search parameter of one resource type, its expression compiled for that type.
#[derive(Debug)]
pub struct SearchParameter {
    pub code: &'static str,
    pub kind: SearchKind,
    /// Its canonical address, as CapabilityStatement shows it.
    pub url: &'static str,
    /// None for `_text`, `_content`, `_query`, `_filter`, which R4 defines without one.
    pub expression: Option<Expression>,
    /// Of a reference parameter; empty = any type.
    pub targets: Vec<ResourceType>,
    /// Of a composite parameter.
    pub components: Vec<Component>,
}

/// One part of a composite search parameter, evaluated on each node that the composite's own expression gives.
#[derive(Debug)]
pub struct Component {
    /// The canonical address of the parameter that the part behaves like.
    pub definition: &'static str,
    pub code: &'static str,
    pub kind: SearchKind,
    pub expression: Expression,
}

impl Standard {
    /// A resource type, a complex type, a primitive, or a backbone element by its path (`Patient.contact`).
    pub fn type_def(&self, name: &str) -> Option<&TypeDef> {
        self.by_name.get(name).and_then(|id| self.types.get(usize::from(id.0)))
    }

    /// The definition of an element's type, without hashing its name.
    pub fn type_at(&self, id: TypeId) -> &TypeDef {
        static NONE: LazyLock<TypeDef> = LazyLock::new(TypeDef::empty);
        // An id is only made by this registry, so it is always there.
        self.types.get(usize::from(id.0)).unwrap_or(&NONE)
    }

    pub fn resource(&self, t: ResourceType) -> &TypeDef {
        self.type_at(self.resources.get(t.index()).copied().unwrap_or(TypeId(u16::MAX)))
    }

    pub fn resource_type(&self, name: &str) -> Option<ResourceType> {
        let place = self.resources.binary_search_by(|id| self.type_at(*id).name.cmp(name)).ok()?;
        u16::try_from(place).ok().map(ResourceType)
    }

    pub fn resource_types(&self) -> impl Iterator<Item = ResourceType> + use<> {
        (0..u16::try_from(self.resources.len()).unwrap_or(u16::MAX)).map(ResourceType)
    }

    /// Whether `name` is `base` or made from it (`Age` is a `Quantity`, `Patient` a `Resource`).
    pub fn is_a(&self, name: &str, base: &str) -> bool {
        let mut name = Some(name);
        // The deepest chain of R4 has four steps; the bound keeps broken facts from a circle.
        for _ in 0..16 {
            match name {
                Some(known) if known == base => return true,
                Some(known) => name = self.type_def(known).and_then(|def| def.base),
                None => return false,
            }
        }
        false
    }

    /// The parameters that R4 defines for a type, `_id`, `_lastUpdated`, `_tag`, `_profile`, `_security`, `_source` among
    /// them, sorted by code.
    pub fn standard_parameters(&self, t: ResourceType) -> &[&'static SearchParameter] {
        // Leaked once: the registry lives as long as the process.
        let compile = || Vec::leak(self.compile_parameters(t)).iter().collect();
        self.compiled.get(t.index()).map_or(&[], |compiled| compiled.get_or_init(compile))
    }

    /// Whether R4 itself defines a parameter under this canonical address.
    pub fn has_parameter(&self, url: &str) -> bool {
        self.parameter_by_url.contains_key(url)
    }

    /// The codes of the reference parameters by which a `t` belongs to a compartment; empty when it never does.
    ///
    /// The resource that the compartment is named after is in it too (`{def}` in some definitions, unsaid in others:
    /// <https://hl7.org/fhir/R4/compartmentdefinition.html>): that is `compartment == t.name()`, the caller's to add.
    pub fn compartment(&self, compartment: &str, t: ResourceType) -> &[&'static str] {
        self.compartments.get(compartment).and_then(|types| types.get(t.index())).map_or(&[], Vec::as_slice)
    }

    /// The value set of a required binding, by its address without version.
    pub fn value_set(&self, url: &str) -> Option<&'static ValueSet> {
        self.value_sets.get(url).copied()
    }

    /// The code systems of all required bindings whose codes are known, sorted.
    pub fn code_systems(&self) -> Vec<&'static str> {
        let mut systems: Vec<&'static str> = self
            .value_sets
            .values()
            .flat_map(|set| set.systems())
            .copied()
            .filter(|system| !system.is_empty())
            .collect();
        systems.sort_unstable();
        systems.dedup();
        systems
    }

    fn compile_parameters(&self, t: ResourceType) -> Vec<SearchParameter> {
        let places = self.parameters_of.get(t.index()).map_or(&[][..], Vec::as_slice);
        let facts = places.iter().filter_map(|place| self.parameters.get(*place));
        facts.map(|fact| self.compile_parameter(fact, t)).collect()
    }

    fn compile_parameter(&self, fact: &facts::ParameterFact, t: ResourceType) -> SearchParameter {
        let type_name = self.resource(t).name;
        // A test compiles every expression of the facts, so none is dropped here.
        let expression = fact.expression.and_then(|text| Expression::compile(self, text, type_name, &[type_name]).ok());
        let contexts = expression.as_ref().map_or(&[][..], Expression::result_types);
        let components = fact.component.iter().filter_map(|part| {
            let definition =
                self.parameter_by_url.get(part.definition).and_then(|place| self.parameters.get(*place))?;
            let expression = Expression::compile(self, part.expression, type_name, contexts).ok()?;
            Some(Component { definition: part.definition, code: definition.code, kind: definition.kind, expression })
        });
        SearchParameter {
            code: fact.code,
            kind: fact.kind,
            url: fact.url,
            components: components.collect(),
            targets: fact.target.iter().filter_map(|name| self.resource_type(name)).collect(),
            expression,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(name: &str) -> ResourceType {
        ResourceType::parse(name).unwrap()
    }

    #[test]
    fn all_resource_types_are_known() {
        assert_eq!(ResourceType::all().count(), 146);
        for t in ResourceType::all() {
            assert_eq!(ResourceType::parse(t.name()), Some(t));
            assert!(r4().is_a(t.name(), "Resource"));
            assert_eq!(r4().resource(t).elements.first().map(|e| e.types[0].code), Some("id"), "{t}");
        }
        for name in ["Resource", "DomainResource", "patient", "HumanName", "Patient.contact", ""] {
            assert_eq!(ResourceType::parse(name), None, "{name}");
        }
        assert_eq!(serde_json::to_string(&t("Patient")).unwrap(), "\"Patient\"");
        assert_eq!(format!("{} {0:?}", t("Observation")), "Observation Observation");
    }

    #[test]
    fn json_names_lead_to_elements_and_types() {
        let check = |type_name: &str, json_name: &str, expected: Option<(&str, &str, u16, Max)>| {
            let found = r4().type_def(type_name).unwrap().element(json_name);
            assert_eq!(found.map(|(e, code)| (e.name, code, e.min, e.max)), expected, "{type_name}.{json_name}");
        };
        check("Patient", "birthDate", Some(("birthDate", "date", 0, Max::One)));
        check("Patient", "id", Some(("id", "id", 0, Max::One)));
        check("Patient", "contained", Some(("contained", "Resource", 0, Max::Unbounded)));
        check("Patient", "contact", Some(("contact", "Patient.contact", 0, Max::Unbounded)));
        check("Patient.contact", "modifierExtension", Some(("modifierExtension", "Extension", 0, Max::Unbounded)));
        check("Patient.contact", "id", Some(("id", "string", 0, Max::One)));
        check("Observation", "valueQuantity", Some(("value", "Quantity", 0, Max::One)));
        check("Observation", "valueDateTime", Some(("value", "dateTime", 0, Max::One)));
        check("Observation", "value", None);
        check("Observation", "value[x]", None);
        check("Observation", "valueAddress", None);
        check("Observation", "status", Some(("status", "code", 1, Max::One)));
        check("Observation", "resourceType", None);
        check("Extension", "url", Some(("url", "uri", 1, Max::One)));
        check("Extension", "valueMeta", Some(("value", "Meta", 0, Max::One)));
        check("Age", "value", Some(("value", "decimal", 0, Max::One)));
        check("Narrative", "div", Some(("div", "xhtml", 1, Max::One)));
        check("xhtml", "extension", Some(("extension", "Extension", 0, Max::Zero)));
        check("boolean", "extension", Some(("extension", "Extension", 0, Max::Unbounded)));
        check("Bundle.entry", "link", Some(("link", "Bundle.link", 0, Max::Unbounded)));
        check(
            "ClaimResponse.addItem",
            "adjudication",
            Some(("adjudication", "ClaimResponse.item.adjudication", 1, Max::Unbounded)),
        );
        check("Binary", "extension", None);
    }

    #[test]
    fn every_element_type_has_its_definition() {
        let mut elements = 0;
        for def in &r4().types {
            for element in &def.elements {
                elements += 1;
                assert!(!element.types.is_empty());
                assert!(element.types.len() == 1 || element.choice, "{}.{}", def.name, element.name);
                for element_type in element.types {
                    assert_eq!(r4().type_at(element_type.def).name, element_type.code);
                    assert_eq!(
                        def.element(element_type.json_name).map(|(e, code)| (e.name, code)),
                        Some((element.name, element_type.code))
                    );
                }
            }
        }
        assert!(elements > 7_000, "{elements}");
    }

    #[test]
    fn references_know_their_targets() {
        let (_, general) = r4().type_def("Patient").unwrap().member("generalPractitioner").unwrap();
        assert_eq!(general.targets, [t("Organization"), t("Practitioner"), t("PractitionerRole")]);
        let (_, any) = r4().type_def("Provenance").unwrap().member("target").unwrap();
        assert!(any.targets.is_empty());
    }

    #[test]
    fn required_bindings_are_closed_where_the_package_knows_the_codes() {
        let (gender, _) = r4().type_def("Patient").unwrap().element("gender").unwrap();
        let gender = gender.binding.unwrap();
        assert!(gender.contains_code("female") && !gender.contains_code("F") && !gender.contains_code(""));
        assert!(gender.contains("http://hl7.org/fhir/administrative-gender", "male") && !gender.contains("x", "male"));
        assert_eq!(gender.systems(), ["http://hl7.org/fhir/administrative-gender"]);
        let types = r4().value_set("http://hl7.org/fhir/ValueSet/resource-types").unwrap();
        assert!(ResourceType::all().all(|t| types.contains_code(t.name())));
        let media = r4().value_set("http://hl7.org/fhir/ValueSet/mimetypes").unwrap();
        assert!(media.is_open() && media.contains_code("text/plain"));
        let open = r4().value_sets.values().filter(|set| set.is_open()).count();
        assert_eq!((r4().value_sets.len(), open), (224, 3));
    }

    #[test]
    fn compartments_name_parameters_that_exist() {
        let mut members = 0;
        for compartment in ["Patient", "Practitioner", "Encounter", "RelatedPerson", "Device"] {
            for t in ResourceType::all() {
                for code in r4().compartment(compartment, t) {
                    members += 1;
                    let parameter = r4().search_parameter(t, code).unwrap();
                    assert_eq!(parameter.kind, SearchKind::Reference, "{t}.{code}");
                }
            }
        }
        assert!(members > 250, "{members}");
        assert_eq!(r4().compartment("Patient", t("AllergyIntolerance")), ["patient", "recorder", "asserter"]);
        assert!(r4().compartment("Patient", t("Organization")).is_empty());
        assert!(r4().compartment("Practitioner", t("Practitioner")).is_empty());
    }

    #[test]
    fn parameters_are_sorted_by_code_with_the_common_ones() {
        for t in ResourceType::all() {
            let codes: Vec<&str> = r4().search_parameters(t).iter().map(|p| p.code).collect();
            assert!(codes.is_sorted(), "{t}");
            for code in ["_id", "_lastUpdated", "_tag", "_profile", "_security", "_source"] {
                assert!(r4().search_parameter(t, code).is_some(), "{t} {code}");
            }
        }
        assert!(r4().search_parameter(t("Patient"), "birthdate").is_some_and(|p| p.kind == SearchKind::Date));
        assert!(r4().search_parameter(t("Patient"), "nonsense").is_none());
        let subject = r4().search_parameter(t("Observation"), "subject").unwrap();
        assert!(subject.targets.contains(&t("Patient")) && !subject.targets.contains(&t("Organization")));
    }
}
