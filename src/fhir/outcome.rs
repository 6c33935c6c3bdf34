//! Errors as OperationOutcomes with their HTTP status (<https://hl7.org/fhir/R4/operationoutcome.html>).
//!
//! It only translates: the texts were written where the problem was found, and hold no values of a record.

use crate::error::{Error, Issue, Kind};
use crate::fhir::resource::format_instant;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Issues beyond this many are counted, not listed, so that an outcome stays small.
const MAX_ISSUES: usize = 100;

/// The HTTP status of a kind, by the status table of the contract.
///
/// [`Kind::NotSupported`] is 400 here: an address that does not exist is a [`Kind::NotFound`] of the router.
pub fn status(kind: Kind) -> u16 {
    match kind {
        Kind::Structure | Kind::Required | Kind::Value | Kind::Invalid => 400,
        Kind::TooCostly | Kind::NotSupported => 400,
        Kind::Login => 401,
        Kind::Forbidden => 403,
        Kind::NotFound => 404,
        Kind::MethodNotAllowed => 405,
        Kind::NotAcceptable => 406,
        Kind::Conflict => 409,
        Kind::Deleted => 410,
        Kind::StaleVersion | Kind::MultipleMatches => 412,
        Kind::TooLong => 413,
        Kind::HeadersTooLong => 431,
        Kind::UnsupportedMediaType => 415,
        Kind::CodeInvalid | Kind::BusinessRule | Kind::Invariant => 422,
        Kind::Throttled => 429,
        Kind::Exception => 500,
        Kind::Timeout | Kind::Transient => 503,
    }
}

/// The code of a kind in the issue-type value set (<https://hl7.org/fhir/R4/valueset-issue-type.html>).
pub fn issue_code(kind: Kind) -> &'static str {
    match kind {
        Kind::Structure => "structure",
        Kind::Required => "required",
        Kind::Value => "value",
        Kind::Invalid => "invalid",
        Kind::TooCostly => "too-costly",
        Kind::CodeInvalid => "code-invalid",
        Kind::BusinessRule => "business-rule",
        Kind::Invariant => "invariant",
        Kind::Login => "login",
        Kind::Forbidden => "forbidden",
        Kind::NotFound => "not-found",
        Kind::NotSupported => "not-supported",
        // The value set has no codes of HTTP's own: what was asked for is not supported.
        Kind::MethodNotAllowed | Kind::NotAcceptable | Kind::UnsupportedMediaType => "not-supported",
        Kind::Deleted => "deleted",
        Kind::Conflict | Kind::StaleVersion => "conflict",
        Kind::MultipleMatches => "multiple-matches",
        Kind::TooLong | Kind::HeadersTooLong => "too-long",
        Kind::Throttled => "throttled",
        Kind::Timeout => "timeout",
        Kind::Transient => "transient",
        Kind::Exception => "exception",
    }
}

fn severity(kind: Kind) -> &'static str {
    match kind {
        Kind::Exception => "fatal",
        _ => "error",
    }
}

/// The OperationOutcome of an error: one issue for each problem, each with its own code and FHIRPath.
pub fn operation_outcome(error: &Error) -> Value {
    let mut issues: Vec<Value> = error.issues.iter().take(MAX_ISSUES).map(issue).collect();
    let left_out = error.issues.len().saturating_sub(MAX_ISSUES);
    if left_out > 0 {
        issues.push(entry("information", "informational", &format!("{left_out} more issues are not listed"), None));
    }
    if issues.is_empty() {
        // At least one issue is required; an error without any is a fault of ours.
        issues.push(entry(severity(error.kind), issue_code(error.kind), "no details", None));
    }
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

/// [`operation_outcome`] as JSON text.
pub fn to_bytes(error: &Error) -> Vec<u8> {
    operation_outcome(error).to_string().into_bytes()
}

/// An outcome that tells of success (`Prefer: return=OperationOutcome`).
pub fn information(text: &str) -> Value {
    json!({"resourceType": "OperationOutcome", "issue": [entry("information", "informational", text, None)]})
}

/// What was found when a resource was judged; `well` is said when nothing is wrong.
pub fn judged(errors: &[Issue], warnings: &[Issue], well: &str) -> Value {
    let warning = |issue: &Issue| entry("warning", issue_code(issue.kind), &issue.text, issue.expression.as_deref());
    let mut issues: Vec<Value> = errors.iter().map(issue).chain(warnings.iter().map(warning)).collect();
    if errors.is_empty() {
        issues.push(entry("information", "informational", well, None));
    }
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

/// The outcome of a write.
pub fn stored(at: Option<Timestamp>) -> Value {
    information(&at.map_or_else(|| "done".to_owned(), |at| format!("stored at {}", format_instant(at))))
}

/// An outcome beside an answer: what of the request was left out (`Prefer: handling=lenient`), and what else is to be known.
pub fn told(ignored: &[Issue], notes: &[Issue]) -> Value {
    let note = |issue: &Issue| entry("information", issue_code(issue.kind), &issue.text, issue.expression.as_deref());
    let told = |issue: &Issue| {
        let text = format!("ignored: {}", issue.text);
        entry("warning", issue_code(issue.kind), &text, issue.expression.as_deref())
    };
    let issues: Vec<Value> = ignored.iter().map(told).chain(notes.iter().map(note)).collect();
    json!({"resourceType": "OperationOutcome", "issue": issues})
}

fn issue(issue: &Issue) -> Value {
    entry(severity(issue.kind), issue_code(issue.kind), &issue.text, issue.expression.as_deref())
}

fn entry(severity: &str, code: &str, text: &str, expression: Option<&str>) -> Value {
    let mut members = Map::with_capacity(4);
    members.insert("severity".into(), severity.into());
    members.insert("code".into(), code.into());
    members.insert("diagnostics".into(), text.into());
    if let Some(expression) = expression {
        members.insert("expression".into(), json!([expression]));
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_lists_each_issue_with_its_code_and_place() {
        let error = Error::all(vec![
            Issue::at(Kind::Required, "Patient.link[0].other", "is required"),
            Issue::new(Kind::CodeInvalid, "not in the value set"),
        ]);
        let expected = r#"{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"required","diagnostics":"is required","expression":["Patient.link[0].other"]},{"severity":"error","code":"code-invalid","diagnostics":"not in the value set"}]}"#;
        assert_eq!(String::from_utf8(to_bytes(&error)).unwrap(), expected);
        assert_eq!(status(error.kind), 400);
    }

    #[test]
    fn a_long_list_is_cut_and_an_empty_one_is_filled() {
        let many = Error::all(vec![Issue::new(Kind::Value, "x"); 250]);
        let issues = operation_outcome(&many)["issue"].as_array().unwrap().len();
        assert_eq!(issues, 101);
        let none = Error::all(vec![]);
        assert_eq!(operation_outcome(&none)["issue"][0]["code"], "exception");
    }

    #[test]
    fn an_internal_error_shows_nothing_of_its_cause() {
        let error = Error::internal("relation \"resource\" does not exist");
        let text = String::from_utf8(to_bytes(&error)).unwrap();
        assert!(!text.contains("relation") && text.contains(r#""severity":"fatal""#), "{text}");
        assert_eq!(status(error.kind), 500);
    }
}
