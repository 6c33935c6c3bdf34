//! From [`Ast`] to steps: names become JSON keys with their types, arms of other types disappear.

use super::parse::{Ast, Literal, refused};
use super::{Access, Path, Step, Test};
use crate::error::Result;
use crate::fhir::definitions::{Standard, TypeKind};

/// A path and the types of the nodes that it can give; no types: it can give nothing.
#[derive(Default)]
pub(super) struct Typed {
    pub path: Path,
    pub types: Vec<&'static str>,
}

pub(super) struct Compiler<'d> {
    pub definitions: &'d Standard,
    /// The type of `%resource`.
    pub resource: &'static str,
}

impl Compiler<'_> {
    /// Compiles `ast` as seen from a node of one of `context`.
    pub fn path(&self, ast: &Ast<'_>, context: &[&'static str]) -> Result<Typed> {
        match ast {
            Ast::This => Ok(Typed { path: Path::new(), types: context.to_vec() }),
            Ast::Resource => Ok(Typed { path: vec![Step::Root(self.resource)], types: vec![self.resource] }),
            Ast::Name(name) => self.name(name, context),
            Ast::Member(source, name) => self.member(self.path(source, context)?, name),
            Ast::Index(source, index) => Ok(nth(self.path(source, context)?, *index)),
            Ast::Union(arms) => self.union(arms, context),
            Ast::As(source, type_name) => self.only(self.path(source, context)?, type_name),
            Ast::Call(source, function, arguments) => self.call(source, function, arguments, context, ast),
            Ast::Is(..) | Ast::Equal(..) | Ast::And(..) | Ast::Or(..) => self.truth(ast, context),
            Ast::Literal(_) => Err(refused("a literal is supported in a comparison only")),
        }
    }

    /// A type's name keeps the nodes of that type, any other is an element of the context.
    fn name(&self, name: &str, context: &[&'static str]) -> Result<Typed> {
        let here = Typed { path: Path::new(), types: context.to_vec() };
        let is_type = name.starts_with(|c: char| c.is_ascii_uppercase()) && self.definitions.type_def(name).is_some();
        if is_type { self.only(here, name) } else { self.member(here, name) }
    }

    fn member(&self, source: Typed, name: &str) -> Result<Typed> {
        if source.types.is_empty() {
            return Ok(source);
        }
        let (mut accesses, mut types) = (Vec::new(), Vec::new());
        for from in &source.types {
            let Some(element) = self.definitions.type_def(from).and_then(|def| def.element_named(name)) else {
                continue;
            };
            for element_type in element.types {
                let def = self.definitions.type_at(element_type.def);
                accesses.push(Access {
                    from: (source.types.len() > 1).then_some(*from),
                    key: element_type.json_name,
                    fhir_type: element_type.code,
                    is_resource: def.kind == TypeKind::Resource,
                });
                if !types.contains(&element_type.code) {
                    types.push(element_type.code);
                }
            }
        }
        if accesses.is_empty() {
            return Err(refused(format_args!("{} has no element {name}", source.types.join(", "))));
        }
        let mut path = source.path;
        path.push(Step::Access(accesses));
        Ok(Typed { path, types })
    }

    /// Keeps what is of a type: as far as possible now, so that `value as Quantity` becomes the key `valueQuantity`.
    fn only(&self, source: Typed, type_name: &str) -> Result<Typed> {
        let wanted = self.type_name(type_name)?;
        let is_concrete = self.definitions.type_def(wanted).is_some_and(|def| !def.is_abstract);
        let mut types: Vec<&'static str> = Vec::new();
        for known in &source.types {
            let narrowed = if self.definitions.is_a(known, wanted) {
                Some(*known)
            } else if self.definitions.is_a(wanted, known) {
                // From a supertype (a nested Resource) the node says its own type when it is met.
                if !is_concrete {
                    return Err(refused(format_args!("{wanted} from {known} is not supported")));
                }
                Some(wanted)
            } else {
                None
            };
            types.extend(narrowed.filter(|name| !types.contains(name)));
        }
        if types.is_empty() {
            return Ok(Typed::default());
        }
        let mut path = source.path;
        if types != source.types {
            match path.last_mut() {
                Some(Step::Access(accesses)) if types.iter().all(|name| source.types.contains(name)) => {
                    accesses.retain(|access| types.contains(&access.fhir_type));
                }
                _ => path.push(Step::Only(types.clone())),
            }
        }
        Ok(Typed { path, types })
    }

    fn type_name(&self, name: &str) -> Result<&'static str> {
        // Observation-code-value-date writes `DateTime`.
        let mut lower = name.to_owned();
        if let Some(first) = lower.get_mut(..1) {
            first.make_ascii_lowercase();
        }
        let def = self.definitions.type_def(name).or_else(|| self.definitions.type_def(&lower));
        def.map(|def| def.name).ok_or_else(|| refused(format_args!("{name} is not a type")))
    }

    fn union(&self, arms: &[Ast<'_>], context: &[&'static str]) -> Result<Typed> {
        let (mut paths, mut types) = (Vec::new(), Vec::new());
        for arm in arms {
            let arm = self.path(arm, context)?;
            if arm.types.is_empty() {
                continue;
            }
            for name in arm.types {
                if !types.contains(&name) {
                    types.push(name);
                }
            }
            paths.push(arm.path);
        }
        match paths.pop() {
            Some(only) if paths.is_empty() => Ok(Typed { path: only, types }),
            last => {
                paths.extend(last);
                Ok(Typed { path: vec![Step::Union(paths)], types })
            }
        }
    }

    fn call(
        &self,
        source: &Ast<'_>,
        function: &str,
        arguments: &[Ast<'_>],
        context: &[&'static str],
        whole: &Ast<'_>,
    ) -> Result<Typed> {
        match (function, arguments) {
            ("where", [criterion]) => {
                let source = self.path(source, context)?;
                self.filter(source, |types| self.test(criterion, types))
            }
            ("as" | "ofType", [Ast::Name(type_name)]) => self.only(self.path(source, context)?, type_name),
            ("extension", [Ast::Literal(Literal::Text(url))]) => {
                let extensions = self.member(self.path(source, context)?, "extension")?;
                self.filter(extensions, |types| {
                    let address = self.path(&Ast::Name("url"), types)?;
                    Ok(Test::Equal(address.path, Literal::Text(url.clone())))
                })
            }
            ("first", []) => Ok(nth(self.path(source, context)?, 0)),
            ("is" | "exists" | "empty" | "not", _) => self.truth(whole, context),
            ("resolve", []) => Err(refused("resolve() is supported before `is` only")),
            _ => Err(refused(format_args!("{function}() with {} arguments is not supported", arguments.len()))),
        }
    }

    fn filter(&self, source: Typed, test: impl FnOnce(&[&'static str]) -> Result<Test>) -> Result<Typed> {
        if source.types.is_empty() {
            return Ok(source);
        }
        let test = test(&source.types)?;
        let mut path = source.path;
        path.push(Step::Where(test));
        Ok(Typed { path, types: source.types })
    }

    /// A boolean expression as a path: it gives one boolean, or nothing when it is neither true nor false.
    fn truth(&self, ast: &Ast<'_>, context: &[&'static str]) -> Result<Typed> {
        Ok(Typed { path: vec![Step::Truth(self.test(ast, context)?)], types: vec!["boolean"] })
    }

    fn test(&self, ast: &Ast<'_>, context: &[&'static str]) -> Result<Test> {
        match ast {
            Ast::And(left, right) => Ok(Test::And(Box::new((self.test(left, context)?, self.test(right, context)?)))),
            Ast::Or(left, right) => Ok(Test::Or(Box::new((self.test(left, context)?, self.test(right, context)?)))),
            Ast::Equal(left, right, unequal) => {
                let Ast::Literal(literal) = right.as_ref() else {
                    return Err(refused("a comparison with anything but a literal is not supported"));
                };
                let equal = Test::Equal(closed(self.path(left, context)?), literal.clone());
                Ok(if *unequal { Test::Not(Box::new(equal)) } else { equal })
            }
            Ast::Is(source, type_name) => self.is(source, type_name, context),
            Ast::Call(source, function, arguments) => match (*function, arguments.as_slice()) {
                ("is", [Ast::Name(type_name)]) => self.is(source, type_name, context),
                ("exists", []) => Ok(Test::Exists(closed(self.path(source, context)?))),
                ("exists", [criterion]) => {
                    let source = self.path(source, context)?;
                    Ok(Test::Exists(closed(self.filter(source, |types| self.test(criterion, types))?)))
                }
                ("empty", []) => Ok(Test::Not(Box::new(Test::Exists(closed(self.path(source, context)?))))),
                ("not", []) => Ok(Test::Not(Box::new(self.test(source, context)?))),
                ("is" | "exists" | "empty" | "not", _) => {
                    Err(refused(format_args!("{function}() with these arguments is not supported")))
                }
                _ => self.boolean(ast, context),
            },
            _ => self.boolean(ast, context),
        }
    }

    /// A path as a condition: one boolean that is true.
    fn boolean(&self, ast: &Ast<'_>, context: &[&'static str]) -> Result<Test> {
        let typed = self.path(ast, context)?;
        if typed.types.iter().any(|name| *name != "boolean") {
            return Err(refused("a condition is expected"));
        }
        Ok(Test::Equal(closed(typed), Literal::Boolean(true)))
    }

    fn is(&self, source: &Ast<'_>, type_name: &str, context: &[&'static str]) -> Result<Test> {
        let wanted = self.type_name(type_name)?;
        if let Ast::Call(reference, "resolve", arguments) = source
            && arguments.is_empty()
        {
            return Ok(Test::Resolves(closed(self.path(reference, context)?), wanted));
        }
        let source = self.path(source, context)?;
        let all = closed(Typed { path: source.path.clone(), types: source.types.clone() });
        Ok(Test::Is(all, closed(self.only(source, wanted)?)))
    }
}

fn nth(source: Typed, index: usize) -> Typed {
    if source.types.is_empty() {
        source
    } else {
        Typed { path: vec![Step::Nth(source.path, index)], types: source.types }
    }
}

/// A path that can give nothing has no steps, and must not be taken for one that stays where it is.
fn closed(typed: Typed) -> Path {
    if typed.types.is_empty() { vec![Step::Union(Vec::new())] } else { typed.path }
}
