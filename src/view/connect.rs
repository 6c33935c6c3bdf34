//! `/conectar`: the address of this server as a QR, and how a phone comes to trust it.

use crate::error::{Error, Result};
use crate::lan::authority::Authority;
use crate::view::format::Reader;
use crate::view::html;
use crate::view::page::{Message, Page, Tone};
use jiff::tz::Offset;
use qrcode::{Color, QrCode};
use serde::Serialize;
use std::fmt::Write;

/// Blank modules around a code (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;

/// How this server is reached.
#[derive(Clone, Copy)]
pub struct Way<'w> {
    pub url: &'w str,
    /// Ours, when the certificate is.
    pub authority: Option<&'w Authority>,
}

#[derive(Serialize)]
struct Model<'m> {
    page: Page,
    said: Option<Message>,
    url: &'m str,
    qr: Option<Qr>,
    authority: Option<Shown<'m>>,
}

#[derive(Serialize)]
struct Shown<'m> {
    name: &'m str,
    fingerprint: &'m str,
    until: String,
}

/// A QR as one path of an SVG: white and black stay so in dark colours, because scanners want them.
#[derive(Serialize)]
struct Qr {
    side: usize,
    path: String,
}

/// The page.
pub fn page(reader: &Reader, theme: Option<&'static str>, site: &str, way: Way<'_>) -> Result<String> {
    let page = Page::open(reader, theme, site, reader.text("connect.title"), "/conectar").class("narrow");
    let secure = way.url.starts_with("https://");
    let said = match (secure, way.authority) {
        (true, Some(_)) => None,
        (true, None) => {
            Some(Message::new(Tone::Ok, reader.text("connect.trusted"), reader.text("connect.trusted_help")))
        }
        (false, _) => Some(Message::new(Tone::Warn, reader.text("connect.plain"), reader.text("connect.plain_help"))),
    };
    let date = |authority: &Authority| reader.date(Offset::UTC.to_datetime(authority.until).date());
    let authority = way.authority.filter(|_| secure).map(|authority| Shown {
        name: &authority.name,
        fingerprint: &authority.fingerprint,
        until: date(authority),
    });
    let qr = secure.then(|| qr(way.url)).transpose()?;
    let page = Page { bare: true, ..page };
    html::render(reader.language, "connect", &Model { page, said, url: way.url, qr, authority })
}

fn qr(text: &str) -> Result<Qr> {
    let code = QrCode::new(text).map_err(|e| Error::internal(e.to_string()))?;
    let width = code.width();
    let mut path = String::new();
    for (row, colours) in code.to_colors().chunks(width.max(1)).enumerate() {
        let mut column = 0;
        for run in colours.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let _ = write!(path, "M{} {}h{}v1h-{}z", column + QUIET, row + QUIET, run.len(), run.len());
            }
            column += run.len();
        }
    }
    Ok(Qr { side: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::i18n::Language;
    use jiff::Timestamp;

    fn shown(way: Way<'_>) -> String {
        let reader = Reader { language: Language::Es, offset: Offset::UTC, now: Timestamp::UNIX_EPOCH };
        page(&reader, None, "Hospital", way).unwrap()
    }

    #[test]
    fn the_page_says_what_is_to_be_done() {
        let authority = Authority {
            name: "historia srv k3f9".to_owned(),
            fingerprint: "AB:CD".to_owned(),
            until: Timestamp::UNIX_EPOCH,
            der: Vec::new(),
        };
        let url = "https://192.168.1.20:8443";
        let own = shown(Way { url, authority: Some(&authority) });
        for part in [url, "<svg", "AB:CD", "historia srv k3f9", "/conectar/ca.crt", "iPhone", "Android"] {
            assert!(own.contains(part), "{part}: {own}");
        }
        let other = shown(Way { url, authority: None });
        assert!(other.contains("<svg") && !other.contains("ca.crt"), "{other}");
        let plain = shown(Way { url: "http://127.0.0.1:8080", authority: None });
        assert!(!plain.contains("ca.crt") && !plain.contains("<path fill=\"#000\"") && plain.contains("msg warn"));
    }

    #[test]
    fn a_code_has_its_finder_patterns_inside_a_quiet_zone() {
        let qr = qr("https://192.168.1.20:8443").unwrap();
        assert_eq!(qr.side, 25 + 2 * QUIET);
        assert!(qr.path.starts_with("M4 4h7v1h-7z") && qr.path.contains("M22 4h7v1h-7z"), "{}", qr.path);
    }
}
