//! The grammar of FHIRPath that search parameters and patches use: text -> [`Ast`] (<http://hl7.org/fhirpath/N1/#grammar>).
//!
//! Names, `.`, `[n]`, calls, `is`, `as`, `|`, `=`, `!=`, `and`, `or`, parentheses, string, integer and boolean literals,
//! `$this`, `%resource`. Everything else is refused by name.

use crate::error::{Error, Kind, Result};

const MAX_TEXT: usize = 16 * 1024;
/// Parentheses and arguments inside each other.
const MAX_DEPTH: usize = 32;
/// The tree is compiled and dropped by recursion, so its size bounds the stack. The largest of R4 has 127.
const MAX_STEPS: usize = 512;

#[derive(Debug, PartialEq)]
pub(in crate::fhir) enum Ast<'t> {
    This,
    Resource,
    /// A name at the start of a path: a type or an element.
    Name(&'t str),
    Literal(Literal),
    Member(Box<Ast<'t>>, &'t str),
    /// Source, function, arguments.
    Call(Box<Ast<'t>>, &'t str, Vec<Ast<'t>>),
    Index(Box<Ast<'t>>, usize),
    Union(Vec<Ast<'t>>),
    As(Box<Ast<'t>>, &'t str),
    Is(Box<Ast<'t>>, &'t str),
    /// Left, right, whether it is `!=`.
    Equal(Box<Ast<'t>>, Box<Ast<'t>>, bool),
    And(Box<Ast<'t>>, Box<Ast<'t>>),
    Or(Box<Ast<'t>>, Box<Ast<'t>>),
}

#[derive(Clone, Debug, PartialEq)]
pub(in crate::fhir) enum Literal {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

pub(in crate::fhir) fn refused(text: impl std::fmt::Display) -> Error {
    Error::new(Kind::NotSupported, format!("FHIRPath: {text}"))
}

pub(in crate::fhir) fn parse(text: &str) -> Result<Ast<'_>> {
    if text.len() > MAX_TEXT {
        return Err(refused("the expression is longer than 16 kB"));
    }
    let mut parser = Parser { rest: text, depth: 0, steps: 0 };
    let ast = parser.or()?;
    match parser.rest.trim_start().chars().next() {
        None => Ok(ast),
        Some(c) => Err(refused(format_args!("'{c}' is not expected"))),
    }
}

struct Parser<'t> {
    rest: &'t str,
    depth: usize,
    steps: usize,
}

impl<'t> Parser<'t> {
    // Precedence, lowest first: or, and, equality, union, is/as, path.

    fn or(&mut self) -> Result<Ast<'t>> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refused("nested too deeply"));
        }
        let mut left = self.and()?;
        while self.word("or") {
            left = Ast::Or(Box::new(left), Box::new(self.and()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn and(&mut self) -> Result<Ast<'t>> {
        let mut left = self.equality()?;
        while self.word("and") {
            left = Ast::And(Box::new(left), Box::new(self.equality()?));
        }
        Ok(left)
    }

    fn equality(&mut self) -> Result<Ast<'t>> {
        let left = self.union()?;
        let unequal = self.symbol("!=");
        if unequal || self.symbol("=") {
            return Ok(Ast::Equal(Box::new(left), Box::new(self.union()?), unequal));
        }
        Ok(left)
    }

    fn union(&mut self) -> Result<Ast<'t>> {
        let first = self.typed()?;
        let mut arms = vec![first];
        while self.symbol("|") {
            arms.push(self.typed()?);
        }
        match arms.pop() {
            Some(only) if arms.is_empty() => Ok(only),
            last => {
                arms.extend(last);
                Ok(Ast::Union(arms))
            }
        }
    }

    fn typed(&mut self) -> Result<Ast<'t>> {
        let left = self.path()?;
        if self.word("as") {
            return Ok(Ast::As(Box::new(left), self.type_name()?));
        }
        if self.word("is") {
            return Ok(Ast::Is(Box::new(left), self.type_name()?));
        }
        Ok(left)
    }

    fn path(&mut self) -> Result<Ast<'t>> {
        let mut ast = self.term()?;
        loop {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(refused("the expression has too many steps"));
            }
            if self.symbol(".") {
                let name = self.identifier()?;
                ast = if self.symbol("(") { self.call(ast, name)? } else { Ast::Member(Box::new(ast), name) };
            } else if self.symbol("[") {
                let index = self.digits()?.parse().map_err(|_| refused("the index is too large"))?;
                self.expect("]")?;
                ast = Ast::Index(Box::new(ast), index);
            } else {
                return Ok(ast);
            }
        }
    }

    fn term(&mut self) -> Result<Ast<'t>> {
        if self.symbol("(") {
            let inner = self.or()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.symbol("$this") {
            return Ok(Ast::This);
        }
        if self.symbol("%resource") {
            return Ok(Ast::Resource);
        }
        let start = self.rest.trim_start();
        match start.chars().next() {
            Some('\'') => self.string(),
            Some('0'..='9') => {
                let digits = self.digits()?;
                Ok(Ast::Literal(Literal::Integer(digits.parse().map_err(|_| refused("the number is too large"))?)))
            }
            _ => match self.identifier()? {
                "true" => Ok(Ast::Literal(Literal::Boolean(true))),
                "false" => Ok(Ast::Literal(Literal::Boolean(false))),
                name if self.symbol("(") => self.call(Ast::This, name),
                name => Ok(Ast::Name(name)),
            },
        }
    }

    /// The arguments and the closing parenthesis.
    fn call(&mut self, source: Ast<'t>, name: &'t str) -> Result<Ast<'t>> {
        let mut arguments = Vec::new();
        if !self.symbol(")") {
            arguments.push(self.or()?);
            self.expect(")")?;
        }
        Ok(Ast::Call(Box::new(source), name, arguments))
    }

    /// `dateTime`, `FHIR.Patient`.
    fn type_name(&mut self) -> Result<&'t str> {
        let name = self.identifier()?;
        if name == "FHIR" && self.symbol(".") { self.identifier() } else { Ok(name) }
    }

    fn identifier(&mut self) -> Result<&'t str> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
        let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(refused("a name is expected"));
        }
        self.rest = rest;
        Ok(name)
    }

    fn digits(&mut self) -> Result<&'t str> {
        let text = self.rest.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        if digits.is_empty() {
            return Err(refused("a number is expected"));
        }
        self.rest = rest;
        Ok(digits)
    }

    fn string(&mut self) -> Result<Ast<'t>> {
        let text = self.rest.trim_start().strip_prefix('\'').unwrap_or("");
        let mut value = String::new();
        let mut characters = text.chars();
        loop {
            match characters.next() {
                Some('\'') => break,
                Some('\\') => match characters.next() {
                    Some(c @ ('\'' | '\\' | '"' | '`' | '/')) => value.push(c),
                    _ => return Err(refused("this escape is not supported")),
                },
                Some(c) => value.push(c),
                None => return Err(refused("a string does not end")),
            }
        }
        self.rest = characters.as_str();
        Ok(Ast::Literal(Literal::Text(value)))
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        match self.rest.trim_start().strip_prefix(symbol) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A keyword, not the beginning of a longer name.
    fn word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.trim_start().strip_prefix(word) else { return false };
        if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return false;
        }
        self.rest = rest;
        true
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        if self.symbol(symbol) { Ok(()) } else { Err(refused(format_args!("'{symbol}' is expected"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precedence_is_that_of_the_grammar() {
        let name = |text| Box::new(Ast::Name(text));
        assert_eq!(parse("a as b | c").unwrap(), Ast::Union(vec![Ast::As(name("a"), "b"), Ast::Name("c")]));
        assert_eq!(
            parse("a=1 and b or asx != 'it\\'s'").unwrap(),
            Ast::Or(
                Box::new(Ast::And(
                    Box::new(Ast::Equal(name("a"), Box::new(Ast::Literal(Literal::Integer(1))), false)),
                    name("b")
                )),
                Box::new(Ast::Equal(name("asx"), Box::new(Ast::Literal(Literal::Text("it's".to_owned()))), true)),
            )
        );
        assert_eq!(parse("a . b [ 3 ]").unwrap(), Ast::Index(Box::new(Ast::Member(name("a"), "b")), 3));
    }

    #[test]
    fn what_is_not_in_the_grammar_is_refused() {
        for text in [
            "",
            " ",
            ".",
            "a.",
            "a b",
            "a | ",
            "a[",
            "a[-1]",
            "a[99999999999999999999]",
            "'a",
            "'\\u0041'",
            "a)",
            "(a",
            "a > 1",
            "a + b",
            "%context",
            "a.f(",
            "a.f(b c)",
            "a as",
            "ñ",
            "a.ñ",
            "1a",
            "a == b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"a.".repeat(5_000)).is_err());
        assert!(parse(&"a(".repeat(5_000)).is_err());
        assert!(parse(&"a|".repeat(50_000)).is_err());
    }
}
