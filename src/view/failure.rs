//! The page of an error: a sentence, a way back, and the number of the request in groups that can be dictated.

use crate::error::{Error, Kind};
use crate::fhir::outcome;
use crate::view::format::Reader;
use crate::view::html;
use crate::view::page::{Link, Page};
use serde::Serialize;

#[derive(Serialize)]
struct Model<'m> {
    page: Page,
    status: String,
    title: &'m str,
    text: &'m str,
    again: Option<Link>,
    back: Link,
    code: String,
    at: String,
}

/// Title and sentence of a kind. Not there and not visible are one page.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::NotFound | Kind::Deleted | Kind::NotSupported => ("error.not_found", "error.not_found_help"),
        Kind::Forbidden => ("error.forbidden", "error.forbidden_help"),
        Kind::Login => ("error.login", "error.login_help"),
        Kind::Transient | Kind::Timeout => ("error.transient", "error.transient_help"),
        Kind::Throttled => ("error.throttled", "error.throttled_help"),
        Kind::Conflict | Kind::StaleVersion | Kind::MultipleMatches => ("error.conflict", "error.conflict_help"),
        Kind::TooLong | Kind::HeadersTooLong | Kind::TooCostly => ("error.too_long", "error.too_long_help"),
        Kind::MethodNotAllowed | Kind::NotAcceptable | Kind::UnsupportedMediaType => {
            ("error.method", "error.method_help")
        }
        Kind::Structure
        | Kind::Required
        | Kind::Value
        | Kind::Invalid
        | Kind::CodeInvalid
        | Kind::BusinessRule
        | Kind::Invariant => ("error.invalid", "error.invalid_help"),
        Kind::Exception => ("error.internal", "error.internal_help"),
    }
}

/// `7f3k92qdm4xa` -> `7F3K-92QD-M4XA`; what somebody else named stays.
pub fn grouped(request_id: &str) -> String {
    let ours = request_id.len() == 12 && request_id.bytes().all(|b| b.is_ascii_alphanumeric());
    if !ours {
        return request_id.to_owned();
    }
    let groups: Vec<&str> = [0, 4, 8].iter().filter_map(|at| request_id.get(*at..at + 4)).collect();
    groups.join("-").to_ascii_uppercase()
}

/// The page; when even that fails, none. `again`: the address, when asking once more may help.
pub fn page(reader: &Reader, page: Page, error: &Error, request_id: &str, again: Option<&str>) -> Option<String> {
    let (title, text) = words(error.kind);
    let again = again.filter(|_| error.is_transient()).map(|address| Link::new(address, reader.text("error.again")));
    let model = Model {
        page,
        status: outcome::status(error.kind).to_string(),
        title: reader.text(title),
        text: reader.text(text),
        again,
        back: Link::new("/", reader.text("error.back")),
        code: grouped(request_id),
        at: reader.moment(reader.now),
    };
    html::render(reader.language, "error", &model).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_numbers_can_be_dictated() {
        assert_eq!(grouped("7f3k92qdm4xa"), "7F3K-92QD-M4XA");
        assert_eq!(grouped("my-own-id"), "my-own-id");
        assert_eq!(grouped(""), "");
    }
}
