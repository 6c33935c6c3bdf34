//! Who asks: from `Authorization` or the session cookie of a request to a caller, and the guard against cross-site writes.
//!
//! Used by every handler that needs a caller (`fhir`, `web`, `hl7v2`): `session::caller(&state, &req).await?`.

use super::{State, request_id};
use crate::access::Caller;
use crate::error::{Error, Kind, Result};
use crate::oauth::token::{Identity, Proof};
use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, ORIGIN};
use std::sync::Arc;

/// `__Host-`: only from this very host, only over TLS (or loopback), only for the whole of it (RFC 6265bis, 4.1.3.2).
pub const COOKIE_NAME: &str = "__Host-historia";

const CROSS_SITE: &str = "a request with the session cookie may change something only when it comes from a page of this server";

/// Where the page that sent a request is from, as far as the browser says (Fetch Metadata, RFC 6454).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Same,
    Other,
    /// No browser, or a very old one.
    Unknown,
}

/// The caller of a request; a cookie alone does not carry writes from elsewhere.
pub async fn caller(state: &State, req: &HttpRequest) -> Result<Caller> {
    let identity = identify(state, req).await?;
    if identity.proof == Proof::Cookie && !req.method().is_safe() && site(state, req) != Site::Same {
        return Err(Error::new(Kind::Forbidden, CROSS_SITE));
    }
    Ok(identity.caller(&request_id(req)))
}

/// Whom a request is of; the handler itself must look at [`site`] before it changes something.
pub async fn identify(state: &State, req: &HttpRequest) -> Result<Arc<Identity>> {
    state.authority.identify(authorization(req), cookie(req)).await
}

/// The `Authorization` of a request; two of them, or one that is not text, are a bad one.
pub fn authorization(req: &HttpRequest) -> Option<&str> {
    let mut all = req.headers().get_all(AUTHORIZATION);
    let first = all.next()?;
    Some(if all.next().is_some() { "" } else { first.to_str().unwrap_or("") })
}

/// The value of the session cookie.
pub fn cookie(req: &HttpRequest) -> Option<&str> {
    session_cookie(req.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok()))
}

/// Two cookies of the name are none of ours: a browser never has two with `__Host-`.
fn session_cookie<'h>(headers: impl Iterator<Item = &'h str>) -> Option<&'h str> {
    let pairs = headers.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value);
    let value = values.next()?;
    let ours = value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (ours && values.next().is_none()).then_some(value)
}

/// Whether the request comes from a page of this server.
pub fn site(state: &State, req: &HttpRequest) -> Site {
    let header = |name: HeaderName| req.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
    judge(
        header(HeaderName::from_static("sec-fetch-site")),
        header(ORIGIN),
        header(HOST),
        origin_of(state.app.public_url()),
    )
}

fn judge(fetch_site: Option<&str>, origin: Option<&str>, host: Option<&str>, own: &str) -> Site {
    match (fetch_site, origin) {
        (Some("same-origin"), _) => Site::Same,
        (Some(_), _) => Site::Other,
        (None, None) => Site::Unknown,
        (None, Some(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            let same = origin.eq_ignore_ascii_case(own) || (authority.is_some() && authority == host);
            if same { Site::Same } else { Site::Other }
        }
    }
}

/// Scheme, host and port of an address.
fn origin_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| start + at);
    url.get(..end).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a087_writes_by_cookie_come_from_our_pages() {
        let check = |fetch_site, origin, expected| {
            let found = judge(fetch_site, origin, Some("localhost:8080"), "https://h.example");
            assert_eq!(found, expected, "{fetch_site:?} {origin:?}");
        };
        check(Some("same-origin"), None, Site::Same);
        check(Some("same-site"), Some("https://h.example"), Site::Other);
        check(Some("cross-site"), Some("https://h.example"), Site::Other);
        check(Some("none"), None, Site::Other);
        check(None, Some("https://h.example"), Site::Same);
        check(None, Some("http://localhost:8080"), Site::Same);
        check(None, Some("https://h.example.evil"), Site::Other);
        check(None, Some("http://localhost"), Site::Other);
        check(None, Some("null"), Site::Other);
        check(None, Some(""), Site::Other);
        check(None, None, Site::Unknown);
        assert_eq!(judge(None, Some("null"), None, "https://h.example"), Site::Other);
        assert_eq!(origin_of("https://h.example:8443/a/b"), "https://h.example:8443");
        assert_eq!(origin_of("https://h.example"), "https://h.example");
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let value = "a".repeat(43);
        let ours = format!("{COOKIE_NAME}={value}");
        let check = |headers: &[&str], found: bool| assert_eq!(session_cookie(headers.iter().copied()).is_some(), found, "{headers:?}");
        check(&[&ours], true);
        check(&[&format!("x=1; {ours};y=2")], true);
        check(&["x=1", &ours], true);
        check(&[&ours, &ours], false);
        check(&[&format!("{ours}b")], false);
        check(&[&format!("historia={value}")], false);
        check(&[&format!("{COOKIE_NAME}=")], false);
        check(&[], false);
    }
}
