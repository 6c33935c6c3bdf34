//! FHIRPath as search parameters use it (<https://hl7.org/fhir/R4/searchparameter.html>,
//! <http://hl7.org/fhirpath/N1/>): compiled once, then plain look-ups in the JSON.
//!
//! Knows paths, `where`, `as`, `is`, `ofType`, `extension`, `exists`, `empty`, `not`, `first`, `[n]`, `|`, `=`, `!=`,
//! `and`, `or`, `resolve() is X`; refuses the rest when compiled. Differences from FHIRPath, each on purpose:
//! `as` filters instead of failing on several items; `|` keeps duplicates (whoever indexes removes equal keys);
//! `resolve()` looks nothing up but a contained resource and judges the reference's own text or its `type`; a primitive
//! that has an extension and no value gives nothing.

mod compile;
mod evaluate;
pub(in crate::fhir) mod parse;

use crate::error::Result;
use crate::fhir::definitions::Standard;
use parse::Literal;
use serde_json::Value;

/// One item of a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Node<'a> {
    pub value: &'a Value,
    /// `CodeableConcept`, `Reference`, `dateTime`, a backbone element by its path, the own type of a nested resource.
    pub fhir_type: &'static str,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Expression {
    path: Path,
    context: &'static str,
    results: Vec<&'static str>,
}

type Path = Vec<Step>;

#[derive(Clone, Debug)]
enum Step {
    /// The members of a node; several for a choice, or from several types.
    Access(Vec<Access>),
    /// `%resource`, of this type.
    Root(&'static str),
    Only(Vec<&'static str>),
    Where(Test),
    /// One item of what a path gives.
    Nth(Path, usize),
    Union(Vec<Path>),
    /// The value of a condition as a node.
    Truth(Test),
}

#[derive(Clone, Debug)]
struct Access {
    /// The type of node that has this member; none when there is only one.
    from: Option<&'static str>,
    key: &'static str,
    fhir_type: &'static str,
    /// A nested resource: its type is what it says itself.
    is_resource: bool,
}

/// A condition; it can be true, false or empty, as in FHIRPath.
#[derive(Clone, Debug)]
enum Test {
    Exists(Path),
    Equal(Path, Literal),
    /// `resolve() is X` of the references that the path gives.
    Resolves(Path, &'static str),
    /// `is`: all items, those of the type; empty without an item.
    Is(Path, Path),
    Not(Box<Test>),
    And(Box<(Test, Test)>),
    Or(Box<(Test, Test)>),
}

impl Expression {
    /// Compiles `text` for nodes of the types `contexts` inside a resource of type `resource`; for a search parameter
    /// both are the resource type, for a part of a composite one `contexts` are the results of the whole.
    ///
    /// Fails, naming what it is, on a construct, element or type that is not known. An expression for other types only
    /// is none of these: it gives nothing.
    pub fn compile(
        definitions: &Standard,
        text: &str,
        resource: &'static str,
        contexts: &[&'static str],
    ) -> Result<Self> {
        let compiler = compile::Compiler { definitions, resource };
        let typed = compiler.path(&parse::parse(text)?, contexts)?;
        let path = if typed.types.is_empty() { vec![Step::Union(Vec::new())] } else { typed.path };
        Ok(Expression { path, context: contexts.first().copied().unwrap_or(resource), results: typed.types })
    }

    /// The types its nodes can have (`Resource`: any resource); none when it gives nothing for the context's type.
    pub fn result_types(&self) -> &[&'static str] {
        &self.results
    }

    /// Appends the nodes of a resource of the type that the expression was compiled for.
    pub fn evaluate<'a>(&self, resource: &'a Value, out: &mut Vec<Node<'a>>) {
        self.evaluate_on(Node { value: resource, fhir_type: self.context }, resource, out);
    }

    /// Appends the nodes seen from `node` inside `resource`: the parts of a composite search parameter.
    pub fn evaluate_on<'a>(&self, node: Node<'a>, resource: &'a Value, out: &mut Vec<Node<'a>>) {
        evaluate::Run { resource }.walk(&self.path, node, &mut |found| out.push(found));
    }
}

#[cfg(test)]
mod tests;
