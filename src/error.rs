//! The one error of the house.
//!
//! `kind` is a FHIR issue-type code (<https://hl7.org/fhir/R4/valueset-issue-type.html>). Exhaustive matches turn an
//! [`Error`] into an OperationOutcome with its HTTP status (`fhir::outcome`), into an HL7 acknowledgement
//! (`hl7v2::ack`) or into a page. Texts hold names of elements, parameters and limits, never values of a record.
//! The private `source` is for the log at the edge and reaches no client.

use std::fmt;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, by the codes of the issue-type value set that this server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not JSON, unknown element, wrong type, cardinality, primitive format. 400.
    Structure,
    /// A required element is missing. 400.
    Required,
    /// A value is not valid (search value, header, id). 400.
    Value,
    /// The request itself makes no sense. 400.
    Invalid,
    /// A limit on the size of something inside a request. 400.
    TooCostly,
    /// A code outside a required binding. 422.
    CodeInvalid,
    /// A rule of the content: reference to what is not there, business rule. 422.
    BusinessRule,
    /// An invariant of the standard (`dom-3`). 422.
    Invariant,
    /// No or bad credentials. 401.
    Login,
    /// Type or interaction denied to the role. 403.
    Forbidden,
    /// Not there, or not visible. 404.
    NotFound,
    /// An interaction, parameter or operation that this server does not have. 404 for addresses, 400 elsewhere.
    NotSupported,
    /// HTTP method that the address does not have. 405.
    MethodNotAllowed,
    /// Accept cannot be served. 406.
    NotAcceptable,
    /// Content-Type cannot be read. 415.
    UnsupportedMediaType,
    /// Was there, is deleted. 410.
    Deleted,
    /// Referenced elsewhere on delete. 409.
    Conflict,
    /// Stale If-Match. 412.
    StaleVersion,
    /// Several conditional matches. 412.
    MultipleMatches,
    /// The body is over its limit. 413.
    TooLong,
    /// The headers are over their limit. 431.
    HeadersTooLong,
    /// Too many requests. 429.
    Throttled,
    /// A deadline has passed. 503.
    Timeout,
    /// Database unreachable, pool exhausted, draining. 503.
    Transient,
    /// A fault of this server. 500.
    Exception,
}

/// One problem of a request or of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    pub kind: Kind,
    /// English diagnostics: names the rule and the element, never the value.
    pub text: String,
    /// FHIRPath of the element, or the name of the parameter or header, when there is one.
    pub expression: Option<String>,
    /// What `text` says, as a sentence of the catalogue, so that it can be said in another language.
    pub sentence: Option<Sentence>,
}

/// A sentence of the catalogue by its key, with what fills its places: names of types, limits and addresses of the standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    pub key: &'static str,
    pub places: Vec<(&'static str, String)>,
}

impl Issue {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Issue { kind, text: text.into(), expression: None, sentence: None }
    }

    pub fn at(kind: Kind, expression: impl Into<String>, text: impl Into<String>) -> Self {
        Issue { kind, text: text.into(), expression: Some(expression.into()), sentence: None }
    }
}

/// The error: at least one issue, perhaps a private source, perhaps a time after which to try again.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    pub issues: Vec<Issue>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    pub retry_after: Option<Duration>,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self::from_issues(vec![Issue::new(kind, text)], kind)
    }

    /// An error about one element, parameter or header.
    pub fn at(kind: Kind, expression: impl Into<String>, text: impl Into<String>) -> Self {
        Self::from_issues(vec![Issue::at(kind, expression, text)], kind)
    }

    /// An error made of all the problems that were found at once; its kind is that of the first.
    pub fn all(issues: Vec<Issue>) -> Self {
        let kind = issues.first().map_or(Kind::Exception, |issue| issue.kind);
        Self::from_issues(issues, kind)
    }

    fn from_issues(issues: Vec<Issue>, kind: Kind) -> Self {
        let retry_after = matches!(kind, Kind::Transient | Kind::Timeout).then_some(Duration::from_secs(2));
        Error { kind, issues, source: None, retry_after }
    }

    /// A fault of ours; the text is fixed so that nothing of the cause reaches a client.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(Kind::Exception, "internal error").caused_by(source)
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same cause, said in words that name what to change.
    #[must_use]
    pub fn told(self, kind: Kind, place: &str, text: &str) -> Self {
        Error { source: self.source, ..Self::at(kind, place, text) }
    }

    /// Puts the place of a Bundle entry (`Bundle.entry[3]`) before the place of every issue, so that the whole is FHIRPath:
    /// elements of its resource and of its request; names of headers and parameters are those of its request.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for issue in &mut self.issues {
            issue.expression = Some(match issue.expression.take() {
                None => prefix.to_owned(),
                Some(inner) if inner.starts_with(prefix) => inner,
                Some(inner) if inner.starts_with("request.") || inner == "fullUrl" => format!("{prefix}.{inner}"),
                Some(inner) if inner == "resourceType" => format!("{prefix}.resource"),
                Some(inner) if inner.starts_with("Bundle.entry.") => inner.replacen("Bundle.entry", prefix, 1),
                Some(inner) => match inner.split_once('.') {
                    Some((root, rest)) if root.starts_with(|c: char| c.is_ascii_uppercase()) => {
                        format!("{prefix}.resource.{rest}")
                    }
                    _ => format!("{prefix}.request"),
                },
            });
        }
        self
    }

    /// Whether a repetition of the same request may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::Timeout | Kind::Throttled)
    }

    /// The text of the first issue.
    pub fn text(&self) -> &str {
        self.issues.first().map_or("", |issue| issue.text.as_str())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, issue) in self.issues.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            match &issue.expression {
                Some(expression) => write!(f, "{expression}: {}", issue.text)?,
                None => f.write_str(&issue.text)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_inside_a_bundle_are_fhirpath() {
        let check = |inner: Option<&str>, expected: &str| {
            let mut issue = Issue::new(Kind::Value, "");
            issue.expression = inner.map(str::to_owned);
            assert_eq!(
                Error::all(vec![issue]).within("Bundle.entry[3]").issues[0].expression.as_deref(),
                Some(expected)
            );
        };
        check(None, "Bundle.entry[3]");
        check(Some("Patient.name[0].family"), "Bundle.entry[3].resource.name[0].family");
        check(Some("request.url"), "Bundle.entry[3].request.url");
        check(Some("resourceType"), "Bundle.entry[3].resource");
        check(Some("If-Match"), "Bundle.entry[3].request");
        check(Some("Bundle.entry.link[0].url"), "Bundle.entry[3].link[0].url");
        check(Some("Bundle.entry[3].resource.subject"), "Bundle.entry[3].resource.subject");
    }
}
