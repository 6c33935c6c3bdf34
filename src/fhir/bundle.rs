//! Bundles on their way out (<https://hl7.org/fhir/R4/bundle.html>): stored JSON text is spliced in unparsed.

use crate::fhir::definitions::ResourceType;
use crate::fhir::resource::format_instant;
use jiff::Timestamp;
use serde_json::Value;

/// `Bundle.entry.response`.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// `201 Created`
    pub status: String,
    /// Absolute or relative address of the version.
    pub location: Option<String>,
    pub version: Option<i64>,
    pub updated: Option<Timestamp>,
    /// JSON text of an OperationOutcome.
    pub outcome: Option<Vec<u8>>,
}

/// `Bundle.entry`.
#[derive(Clone, Debug, Default)]
pub struct Entry<'a> {
    pub full_url: Option<String>,
    /// JSON text.
    pub resource: Option<&'a [u8]>,
    /// `Bundle.entry.search.mode`
    pub mode: Option<&'static str>,
    pub request: Option<(&'a str, String)>,
    pub response: Option<Response>,
}

impl<'a> Entry<'a> {
    /// A match of a search.
    pub fn found(base: &str, resource_type: ResourceType, id: &str, body: &'a [u8]) -> Entry<'a> {
        Entry {
            full_url: Some(format!("{base}/{resource_type}/{id}")),
            resource: Some(body),
            mode: Some("match"),
            ..Entry::default()
        }
    }

    /// A version in a history; `address` is that of the resource.
    #[allow(clippy::too_many_arguments, reason = "the members of one version")]
    pub fn history(
        address: &str,
        resource_type: ResourceType,
        id: &str,
        version: i64,
        method: &'a str,
        updated: Timestamp,
        body: &'a [u8],
        deleted: bool,
    ) -> Entry<'a> {
        let url = if method == "POST" { resource_type.to_string() } else { format!("{resource_type}/{id}") };
        let status = if deleted {
            "204 No Content"
        } else if version == 1 {
            "201 Created"
        } else {
            "200 OK"
        };
        Entry {
            full_url: Some(address.to_owned()),
            resource: (!deleted).then_some(body),
            mode: None,
            request: Some((method, url)),
            response: Some(Response {
                status: status.to_owned(),
                version: Some(version),
                updated: Some(updated),
                ..Response::default()
            }),
        }
    }
}

/// Writes a Bundle as JSON text.
pub struct Writer {
    head: String,
    links: String,
    entries: Vec<u8>,
}

/// JSON text of a string.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

impl Writer {
    pub fn new(bundle_type: &str) -> Writer {
        Writer {
            head: format!(r#"{{"resourceType":"Bundle","type":{}"#, quoted(bundle_type)),
            links: String::new(),
            entries: Vec::new(),
        }
    }

    pub fn total(&mut self, total: i64) {
        self.head.push_str(&format!(r#","total":{total}"#));
    }

    /// `Bundle.meta.lastUpdated`: up to when all is told.
    pub fn last_updated(&mut self, until: Timestamp) {
        self.head.push_str(&format!(r#","meta":{{"lastUpdated":"{}"}}"#, format_instant(until)));
    }

    pub fn link(&mut self, relation: &str, url: &str) {
        if !self.links.is_empty() {
            self.links.push(',');
        }
        self.links.push_str(&format!(r#"{{"relation":{},"url":{}}}"#, quoted(relation), quoted(url)));
    }

    pub fn entry(&mut self, entry: &Entry<'_>) {
        let out = &mut self.entries;
        out.push(if out.is_empty() { b'[' } else { b',' });
        out.push(b'{');
        let mut first = true;
        let mut member = |out: &mut Vec<u8>, name: &str| {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(format!("\"{name}\":").as_bytes());
        };
        if let Some(url) = &entry.full_url {
            member(out, "fullUrl");
            out.extend_from_slice(quoted(url).as_bytes());
        }
        if let Some(resource) = entry.resource {
            member(out, "resource");
            out.extend_from_slice(resource);
        }
        if let Some(mode) = entry.mode {
            member(out, "search");
            out.extend_from_slice(format!(r#"{{"mode":"{mode}"}}"#).as_bytes());
        }
        if let Some((method, url)) = &entry.request {
            member(out, "request");
            out.extend_from_slice(format!(r#"{{"method":{},"url":{}}}"#, quoted(method), quoted(url)).as_bytes());
        }
        if let Some(response) = &entry.response {
            member(out, "response");
            response.write(out);
        }
        out.push(b'}');
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = self.head.into_bytes();
        if !self.links.is_empty() {
            out.extend_from_slice(b",\"link\":[");
            out.extend_from_slice(self.links.as_bytes());
            out.push(b']');
        }
        // An empty array is not allowed in FHIR JSON.
        if !self.entries.is_empty() {
            out.extend_from_slice(b",\"entry\":");
            out.extend_from_slice(&self.entries);
            out.push(b']');
        }
        out.push(b'}');
        out
    }
}

impl Response {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!(r#"{{"status":{}"#, quoted(&self.status)).as_bytes());
        if let Some(location) = &self.location {
            out.extend_from_slice(format!(r#","location":{}"#, quoted(location)).as_bytes());
        }
        if let Some(version) = self.version {
            out.extend_from_slice(format!(r#","etag":"W/\"{version}\"""#).as_bytes());
        }
        if let Some(updated) = self.updated {
            out.extend_from_slice(format!(r#","lastModified":"{}""#, format_instant(updated)).as_bytes());
        }
        if let Some(outcome) = &self.outcome {
            out.extend_from_slice(b",\"outcome\":");
            out.extend_from_slice(outcome);
        }
        out.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_valid_json() {
        let mut bundle = Writer::new("searchset");
        bundle.total(2);
        bundle.link("self", "http://h/fhir/Patient?name=a\"b");
        bundle.entry(&Entry::found(
            "http://h/fhir",
            ResourceType::parse("Patient").unwrap(),
            "a",
            br#"{"resourceType":"Patient"}"#,
        ));
        let response = Response {
            status: "201 Created".into(),
            version: Some(1),
            updated: Some(Timestamp::UNIX_EPOCH),
            ..Response::default()
        };
        bundle.entry(&Entry { response: Some(response), ..Entry::default() });
        let value: Value = serde_json::from_slice(&bundle.finish()).unwrap();
        assert_eq!(value["entry"][0]["fullUrl"], "http://h/fhir/Patient/a");
        assert_eq!(value["entry"][1]["response"]["etag"], "W/\"1\"");
        assert_eq!(value["link"][0]["url"], "http://h/fhir/Patient?name=a\"b");
        let empty: Value = serde_json::from_slice(&Writer::new("searchset").finish()).unwrap();
        assert!(empty.get("entry").is_none());
    }
}
