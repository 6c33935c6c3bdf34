//! Entries of transactions and batches (<https://hl7.org/fhir/R4/bundle.html#entry>): what each asks for, and its response.

use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Response, Writer};
use crate::fhir::definitions;
use crate::fhir::format::{self, parse_json};
use crate::fhir::patch::Patch;
use crate::fhir::{outcome, validate};
use crate::interaction::request::{self, Conditions, Method};
use crate::interaction::{Answer, Interaction, Return, patch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// `Bundle.entry` of a transaction or batch, as it came.
pub(super) struct BundleEntry<'b> {
    value: &'b Value,
}

/// The entries, within their limit.
pub(super) fn entries<'b>(app: &App, bundle: &'b Value) -> Result<Vec<BundleEntry<'b>>> {
    let issues = validate::envelope(definitions::r4(), bundle, app.config.limits.string);
    if !issues.is_empty() {
        return Err(Error::all(issues));
    }
    let entries = match bundle.get("entry") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(Error::at(Kind::Structure, "Bundle.entry", "must be an array")),
    };
    let limit = app.config.limits.bundle_entries;
    if entries.len() > limit {
        return Err(Error::at(
            Kind::TooCostly,
            "Bundle.entry",
            format!("more than {limit} entries (limits.bundle_entries)"),
        ));
    }
    Ok(entries.iter().map(|value| BundleEntry { value }).collect())
}

impl BundleEntry<'_> {
    fn request(&self, name: &str) -> Option<&str> {
        self.value.get("request").and_then(|request| request.get(name)).and_then(Value::as_str)
    }

    pub fn method(&self) -> Option<&str> {
        self.request("method")
    }

    pub fn full_url(&self) -> Option<&str> {
        self.value.get("fullUrl").and_then(Value::as_str)
    }

    /// The interaction that the entry asks for, by the same rules as a request over HTTP.
    pub fn interaction(&self, app: &App) -> Result<Interaction> {
        let issues = validate::entry(definitions::r4(), self.value, app.config.limits.string);
        if !issues.is_empty() {
            return Err(Error::all(issues));
        }
        let base = app.base.as_str();
        let method =
            self.method().ok_or_else(|| Error::at(Kind::Required, "request.method", "request.method is missing"))?;
        let url =
            self.request("url").ok_or_else(|| Error::at(Kind::Required, "request.url", "request.url is missing"))?;
        let method = Method::parse(method)
            .ok_or_else(|| Error::at(Kind::NotSupported, "request.method", "the method is not supported"))?;
        let own = url.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        let relative = own.map_or(url, |rest| rest.trim_start_matches('/'));
        let (path, query) = relative.split_once('?').unwrap_or((relative, ""));
        if path.contains("://") || path.split('/').any(|part| part == ".." || part == ".") {
            return Err(Error::at(
                Kind::Value,
                "request.url",
                "the address must be one of this server, relative to its base",
            ));
        }
        let conditions = Conditions {
            if_match: self.request("ifMatch").map(str::to_owned),
            if_none_exist: self.request("ifNoneExist").map(str::to_owned),
            if_none_match: self.request("ifNoneMatch").map(str::to_owned),
            if_modified_since: self.request("ifModifiedSince").map(str::to_owned),
            lenient: false,
            returns: None,
        };
        let path = path.trim_start_matches('/');
        match method {
            Method::Patch => request::patch(path, query, &conditions, self.patch(app)?),
            _ => request::parse(method, path, query, &conditions, self.value.get("resource").cloned()),
        }
    }

    /// The patch of a PATCH entry: a Parameters resource, or a Binary that holds the document
    /// (<https://hl7.org/fhir/R4/http.html#patch>).
    fn patch(&self, app: &App) -> Result<Patch> {
        let limits = patch::limits(&app.config.limits);
        let resource = self.value.get("resource");
        let text = |name: &str| resource.and_then(|resource| resource.get(name)).and_then(Value::as_str);
        let media = text("contentType").unwrap_or_default();
        let data = || {
            let data = STANDARD.decode(text("data").unwrap_or_default());
            data.map_err(|_| Error::at(Kind::Value, "Binary.data", "is not base64"))
        };
        match (text("resourceType"), media.split(';').next().unwrap_or_default().trim()) {
            (Some("Parameters"), _) => Patch::fhirpath(resource.unwrap_or(&Value::Null), &limits),
            (Some("Binary"), "application/json-patch+json" | "application/merge-patch+json") => {
                let depth = app.config.limits.depth;
                let document = parse_json(&data()?, &format::Limits { depth, ..format::Limits::default() })?;
                if media.starts_with("application/merge") {
                    Patch::merge(document)
                } else {
                    Patch::json(document, &limits)
                }
            }
            (Some("Binary"), "application/xml-patch+xml") => Patch::xml(&data()?, &limits),
            _ => Err(Error::at(
                Kind::Invalid,
                "Binary.contentType",
                "the resource of a PATCH is a Parameters, or a Binary with contentType application/json-patch+json or application/xml-patch+xml",
            )),
        }
    }
}

/// Writes the response of an entry: what was read, and of what was written as much as is wanted.
pub(super) fn respond(out: &mut Writer, answer: &Answer, returns: Option<Return>) {
    let told = match (answer.is_write, returns) {
        (true, Some(Return::OperationOutcome)) => Some(outcome::stored(answer.updated).to_string().into_bytes()),
        _ => None,
    };
    let shown = !answer.is_write || returns == Some(Return::Representation);
    out.entry(&Entry {
        resource: answer.body.as_deref().filter(|_| shown),
        response: Some(Response {
            status: status_line(answer.status),
            location: answer.location.clone(),
            version: answer.version,
            updated: answer.updated,
            outcome: told,
        }),
        ..Entry::default()
    });
}

/// Writes the response of an entry that failed.
pub(super) fn refuse(out: &mut Writer, error: &Error) {
    let status = status_line(outcome::status(error.kind));
    let response = Response { status, outcome: Some(outcome::to_bytes(error)), ..Response::default() };
    out.entry(&Entry { response: Some(response), ..Entry::default() });
}

/// `201 Created`
fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        503 => "Service Unavailable",
        _ => "",
    };
    format!("{status} {reason}").trim_end().to_owned()
}
