//! Where the page that sent a request is from: the guard against cross-site requests with somebody's cookie.
//!
//! By Fetch Metadata (<https://www.w3.org/TR/fetch-metadata/>), else by `Origin` (RFC 6454, 7).

use super::State;
use actix_web::HttpRequest;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    Same,
    Other,
    /// No browser, or a very old one.
    Unknown,
}

/// Whether the request comes from a page of this server, as far as the browser says.
pub fn site(request: &HttpRequest, state: &State) -> Site {
    let header = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
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
}
