//! `_filter` (<https://hl7.org/fhir/R4/search_filter.html>), compiled to clauses of the same query.
//!
//! `and` and `or` have no precedence: they are done from left to right; parentheses say otherwise. A test is that of the
//! parameter: what `given eq x` finds is a given name that is x, where the parameter alone finds what begins with it.
//! Not here, and refused by name: chains (`subject.name`), filters inside a path (`related[type eq x].target`), and `ne` of
//! values of which a resource may have several codes, for which there is `not (... eq ...)`.

use super::Parser;
use super::criterion::missing;
use super::known::{finished, shown, unknown};
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::{SearchKind, SearchParameter};
use crate::search::hash::Form;
use crate::search::param::string;
use crate::search::query::{Clause, Place, Prefix};

/// Parentheses inside each other.
const DEEPEST: usize = 16;
const TESTS: usize = 100;

enum Expression<'t> {
    Test(Test<'t>),
    Not(Box<Expression<'t>>),
    And(Box<Expression<'t>>, Box<Expression<'t>>),
    Or(Box<Expression<'t>>, Box<Expression<'t>>),
}

struct Test<'t> {
    /// Place in the text, in characters from 1.
    at: usize,
    name: &'t str,
    operator: &'t str,
    value: String,
}

fn wrong(at: usize, what: &str) -> Error {
    Error::at(Kind::Value, "_filter", format!("at character {at}: {what}"))
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    tests: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn place(&self) -> usize {
        self.text.get(..self.at).unwrap_or_default().chars().count() + 1
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// What stands before the next blank or one of `ends`.
    fn word(&self, ends: &[char]) -> &'t str {
        let rest = self.rest();
        rest.split(|c: char| c.is_whitespace() || ends.contains(&c)).next().unwrap_or_default()
    }

    fn take(&mut self, word: &str) {
        self.at += word.len();
        self.blank();
    }

    fn expression(&mut self) -> Result<Expression<'t>> {
        let mut left = self.operand()?;
        loop {
            let word = self.word(&['(', ')']);
            match word {
                "and" | "or" => self.take(word),
                _ => return Ok(left),
            }
            let right = Box::new(self.operand()?);
            left = match word {
                "and" => Expression::And(Box::new(left), right),
                _ => Expression::Or(Box::new(left), right),
            };
        }
    }

    fn operand(&mut self) -> Result<Expression<'t>> {
        if self.rest().starts_with('(') {
            return self.parenthesis();
        }
        if self.word(&['(', ')', '"']) == "not" {
            self.take("not");
            return match self.rest().starts_with('(') {
                true => self.parenthesis().map(|inner| Expression::Not(Box::new(inner))),
                false => Err(wrong(self.place(), "expected ( after not")),
            };
        }
        self.test().map(Expression::Test)
    }

    fn parenthesis(&mut self) -> Result<Expression<'t>> {
        self.depth += 1;
        if self.depth > DEEPEST {
            let text = format!("more than {DEEPEST} parentheses inside each other");
            return Err(Error::at(Kind::TooCostly, "_filter", text));
        }
        self.take("(");
        let inner = self.expression()?;
        if !self.rest().starts_with(')') {
            return Err(wrong(self.place(), "expected and, or, or )"));
        }
        self.take(")");
        self.depth -= 1;
        Ok(inner)
    }

    fn test(&mut self) -> Result<Test<'t>> {
        self.tests += 1;
        if self.tests > TESTS {
            return Err(Error::at(Kind::TooCostly, "_filter", format!("more than {TESTS} tests")));
        }
        let at = self.place();
        let name = self.word(&['(', ')', '"']);
        if name.is_empty() {
            return Err(wrong(at, "expected a test (parameter, operator, value), not, or ("));
        }
        if name.contains('[') {
            let text = format!("at character {at}: filters inside a path are not supported");
            return Err(Error::at(Kind::NotSupported, "_filter", text));
        }
        self.take(name);
        let operator = self.word(&['(', ')', '"']);
        self.take(operator);
        let value = self.value()?;
        Ok(Test { at, name, operator, value })
    }

    fn value(&mut self) -> Result<String> {
        let (at, rest) = (self.place(), self.rest());
        if !rest.starts_with('"') {
            let word = self.word(&[')', ']']);
            if word.is_empty() {
                return Err(wrong(at, "expected a value"));
            }
            self.take(word);
            return Ok(word.to_owned());
        }
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        });
        let quoted = end.and_then(|(end, _)| rest.get(..=end));
        let value = quoted.and_then(|quoted| serde_json::from_str::<String>(quoted).ok().map(|value| (quoted, value)));
        let (quoted, value) = value.ok_or_else(|| wrong(at, "the value is no JSON string"))?;
        if value.is_empty() || value.contains('\0') {
            return Err(wrong(at, "the value is empty, or holds NUL"));
        }
        self.take(quoted);
        Ok(value)
    }
}

impl Parser<'_> {
    pub(super) fn filter(&mut self, text: &str) -> Result<()> {
        let mut reader = Reader { text, at: 0, depth: 0, tests: 0 };
        reader.blank();
        let expression = reader.expression()?;
        if !reader.rest().is_empty() {
            return Err(wrong(reader.place(), "expected and, or, or the end"));
        }
        match self.compiled(&expression, true)? {
            Clause::All(all) => self.query.clauses.extend(all),
            one => self.query.clauses.push(one),
        }
        Ok(())
    }

    /// `always`: what it says holds for every match, so it may say where the rows lie.
    fn compiled(&mut self, expression: &Expression<'_>, always: bool) -> Result<Clause> {
        let flat = |clause, all: bool| match (clause, all) {
            (Clause::All(inner), true) | (Clause::Either(inner), false) => inner,
            (one, _) => vec![one],
        };
        Ok(match expression {
            Expression::Test(test) => {
                let before = (self.query.patient.clone(), self.query.selective);
                let clause = self.test(test)?;
                if !always {
                    (self.query.patient, self.query.selective) = before;
                }
                clause
            }
            Expression::Not(inner) => Clause::Without(Box::new(self.compiled(inner, false)?)),
            Expression::And(left, right) => {
                let mut all = flat(self.compiled(left, always)?, true);
                all.extend(flat(self.compiled(right, always)?, true));
                Clause::All(all)
            }
            Expression::Or(left, right) => {
                let mut any = flat(self.compiled(left, false)?, false);
                any.extend(flat(self.compiled(right, false)?, false));
                Clause::Either(any)
            }
        })
    }

    fn test(&mut self, test: &Test<'_>) -> Result<Clause> {
        let told = |mut error: Error| {
            for issue in &mut error.issues {
                issue.text = format!("at character {}: {}: {}", test.at, shown(test.name), issue.text);
                issue.expression = Some("_filter".to_owned());
            }
            error
        };
        if test.name.contains('.') {
            return Err(told(Error::at(Kind::NotSupported, "_filter", "chains are not supported")));
        }
        let definitions = self.context.definitions;
        finished(definitions, self.t, test.name, test.name).map_err(told)?;
        let parameter = definitions.search_parameter(self.t, test.name).filter(|one| one.expression.is_some());
        let parameter = parameter
            .ok_or_else(|| told(unknown(self.t, test.name, test.name, definitions.search_parameters(self.t))))?;
        let clause = self.operation(parameter, test.operator, &test.value).map_err(told)?;
        clause.ok_or_else(|| {
            let text =
                format!("the operator is not supported here; supported: {}", self.operators(parameter).join(" "));
            told(Error::at(Kind::NotSupported, "_filter", text))
        })
    }

    /// None when the parameter does not take the operator.
    fn operation(
        &mut self,
        parameter: &'static SearchParameter,
        operator: &str,
        value: &str,
    ) -> Result<Option<Clause>> {
        if !self.operators(parameter).contains(&operator) {
            return Ok(None);
        }
        let slot = self.context.hasher.slot(self.t.name(), parameter.code);
        let text =
            |place| Clause::Text { keys: vec![slot.key(Form::Strings, &[])], place, any: vec![string::prefix(value)] };
        Ok(Some(match (parameter.kind, operator) {
            (_, "pr") => missing(
                parameter.code,
                &[if value == "true" {
                    "false"
                } else if value == "false" {
                    "true"
                } else {
                    value
                }],
            )?,
            (SearchKind::Date, "po") => overlapping(self.clause(parameter, None, &[&format!("eq{value}")])?),
            (SearchKind::Date | SearchKind::Number | SearchKind::Quantity, _) => {
                self.clause(parameter, None, &[&format!("{operator}{value}")])?
            }
            (SearchKind::String, "eq") => text(Place::Whole),
            (SearchKind::String, "ne") => text(Place::Differs),
            (SearchKind::String, "sw") => text(Place::Start),
            (SearchKind::String, "ew") => text(Place::End),
            (SearchKind::String, "co") => self.clause(parameter, Some("contains"), &[value])?,
            (SearchKind::Token, "ne") => {
                let Clause::Any(keys) = self.clause(parameter, None, &[value])? else { return Ok(None) };
                Clause::All(vec![Clause::Missing { code: parameter.code, missing: false }, Clause::Not(keys)])
            }
            (_, "in") => self.clause(parameter, Some("in"), &[value])?,
            (_, "ni") => self.clause(parameter, Some("not-in"), &[value])?,
            // "the value subsumes a concept in the set": the concept stands below it.
            (_, "ss") => self.clause(parameter, Some("below"), &[value])?,
            (_, "sb") => self.clause(parameter, Some("above"), &[value])?,
            _ => self.clause(parameter, None, &[value])?,
        }))
    }

    fn operators(&self, parameter: &'static SearchParameter) -> Vec<&'static str> {
        const ORDERED: [&str; 10] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "pr"];
        let mut all: Vec<&str> = match parameter.kind {
            SearchKind::Date => ORDERED.iter().copied().chain(["po"]).collect(),
            SearchKind::Number | SearchKind::Quantity => ORDERED.to_vec(),
            SearchKind::String => vec!["eq", "ne", "co", "sw", "ew", "pr"],
            SearchKind::Token if self.has_one_code(parameter) => vec!["eq", "ne", "in", "ni", "ss", "sb", "pr"],
            SearchKind::Token if parameter.code == "_id" => vec!["eq", "pr"],
            SearchKind::Token => vec!["eq", "in", "ni", "ss", "sb", "pr"],
            SearchKind::Reference => vec!["re", "eq", "pr"],
            SearchKind::Uri | SearchKind::Composite => vec!["eq", "pr"],
            SearchKind::Special => vec!["pr"],
        };
        if parameter.code == "_lastUpdated" {
            all.retain(|operator| *operator != "po");
        }
        all
    }

    /// Whether a resource has one code or flag of this parameter at most: then it is another one when it is not this one.
    fn has_one_code(&self, parameter: &SearchParameter) -> bool {
        let element = self.context.definitions.resource(self.t).element_named(parameter.code);
        element.is_some_and(|element| {
            !element.max.is_list() && element.types.iter().all(|one| matches!(one.code, "code" | "boolean"))
        })
    }
}

/// The periods have something in common.
fn overlapping(mut clause: Clause) -> Clause {
    match &mut clause {
        Clause::Date(any) => any.iter_mut().for_each(|one| one.prefix = Prefix::Ap),
        Clause::Range(any) => any.iter_mut().for_each(|term| term.interval.prefix = Prefix::Ap),
        _ => {}
    }
    clause
}
