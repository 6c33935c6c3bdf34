//! The media types of the two formats (<https://hl7.org/fhir/R4/http.html#mime-type>), as headers and `_format` name them.

use crate::error::{Error, Kind, Result};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Xml,
}

impl Format {
    /// The media type of an answer.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/fhir+json; charset=utf-8",
            Format::Xml => "application/fhir+xml; charset=utf-8",
        }
    }
}

/// Ranges of one Accept header that are heeded.
const MAX_RANGES: usize = 64;

/// A media type with what of its parameters counts.
struct Media<'a> {
    /// `application/fhir+json`
    name: &'a str,
    /// Thousandths.
    quality: u16,
    /// Its version of FHIR is R4, or it does not say.
    version: bool,
    /// Its characters are UTF-8, or it does not say.
    utf8: bool,
}

impl<'a> Media<'a> {
    fn parse(text: &'a str) -> Media<'a> {
        let mut parts = text.split(';').map(str::trim);
        let mut media = Media { name: parts.next().unwrap_or_default(), quality: 1000, version: true, utf8: true };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => media.quality = quality(value),
                "fhirversion" => media.version = matches!(value, "4.0" | "4.0.1"),
                "charset" => media.utf8 = value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("us-ascii"),
                _ => {}
            }
        }
        media
    }

    /// The format of its name, whatever its parameters.
    fn format(&self) -> Option<Format> {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(self.name));
        if is(&["application/fhir+json", "application/json", "text/json", "application/json+fhir"]) {
            return Some(Format::Json);
        }
        is(&["application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"]).then_some(Format::Xml)
    }
}

/// `0.8` in thousandths; what is no quality counts as none given.
fn quality(text: &str) -> u16 {
    let value: f32 = text.parse().unwrap_or(1.0);
    if value.is_nan() { 1000 } else { (value.clamp(0.0, 1.0) * 1000.0) as u16 }
}

/// The format that `_format` names.
pub fn named(format: &str) -> Result<Format> {
    // A plus sign that was not escaped has become a space.
    let format = format.replace(' ', "+");
    let media = Media::parse(&format);
    let known = match media.name {
        "json" => Some(Format::Json),
        "xml" => Some(Format::Xml),
        _ => media.format(),
    };
    known.filter(|_| media.version).ok_or_else(|| {
        Error::at(
            Kind::NotAcceptable,
            "_format",
            "only json and xml of FHIR 4.0 can be served (application/fhir+json, application/fhir+xml)",
        )
    })
}

/// The format that an Accept header likes best, by its qualities; none when it does not care.
pub fn accepted(accept: &str) -> Result<Option<Format>> {
    let (mut json, mut xml) = (Liked::default(), Liked::default());
    for (place, text) in accept.split(',').take(MAX_RANGES).enumerate() {
        let media = Media::parse(text);
        if !media.version || !media.utf8 {
            continue;
        }
        match (media.format(), media.name) {
            (Some(Format::Json), _) => json.by_name(media.quality, place),
            (Some(Format::Xml), _) => xml.by_name(media.quality, place),
            (None, name) if name.eq_ignore_ascii_case("application/*") => {
                json.by_range(2, media.quality);
                xml.by_range(2, media.quality);
            }
            (None, "*/*" | "*") => {
                json.by_range(1, media.quality);
                xml.by_range(1, media.quality);
            }
            (None, "") if accept.trim().is_empty() => return Ok(None),
            (None, _) => {}
        }
    }
    match (json.quality(), xml.quality()) {
        (0, 0) => Err(Error::at(
            Kind::NotAcceptable,
            "Accept",
            "only application/fhir+json and application/fhir+xml of FHIR 4.0 can be served",
        )),
        (json, xml) if json > xml => Ok(Some(Format::Json)),
        (json, xml) if json < xml => Ok(Some(Format::Xml)),
        // Of equals the first that is named.
        _ => Ok(match (json.name, xml.name) {
            (Some((_, json)), Some((_, xml))) => Some(if json < xml { Format::Json } else { Format::Xml }),
            (Some(_), None) => Some(Format::Json),
            (None, Some(_)) => Some(Format::Xml),
            (None, None) => None,
        }),
    }
}

/// Whether an Accept header names another media type, or its kind (`image/*`), and likes it better than FHIR.
pub fn likes_better(accept: &str, other: &str) -> bool {
    let name = Media::parse(other).name;
    let kind = name.split_once('/').map_or("", |(kind, _)| kind);
    let (mut liked, mut fhir) = (0, 0);
    for media in accept.split(',').take(MAX_RANGES).map(Media::parse) {
        let of_kind =
            media.name.strip_suffix("/*").is_some_and(|it| it != "application" && it.eq_ignore_ascii_case(kind));
        if media.format().is_some() {
            fhir = fhir.max(media.quality);
        } else if of_kind || media.name.eq_ignore_ascii_case(name) {
            liked = liked.max(media.quality);
        }
    }
    !name.is_empty() && liked > fhir
}

/// How much a format is liked; its own name counts more than a range, a narrow range more than a wide one.
#[derive(Default)]
struct Liked {
    /// The best quality and where it stands.
    name: Option<(u16, usize)>,
    /// Narrowness and quality.
    range: Option<(u8, u16)>,
}

impl Liked {
    fn by_name(&mut self, quality: u16, place: usize) {
        if self.name.is_none_or(|(best, _)| quality > best) {
            self.name = Some((quality, place));
        }
    }

    fn by_range(&mut self, narrow: u8, quality: u16) {
        self.range = self.range.max(Some((narrow, quality)));
    }

    fn quality(&self) -> u16 {
        self.name.map(|(quality, _)| quality).or(self.range.map(|(_, quality)| quality)).unwrap_or_default()
    }
}

/// The format of a body, by its Content-Type.
pub fn sent(content_type: &str) -> Result<Format> {
    let refused = |text: &str| Error::at(Kind::UnsupportedMediaType, "Content-Type", text);
    let media = Media::parse(content_type);
    let Some(format) = media.format() else {
        return Err(refused("the body must be application/fhir+json or application/fhir+xml"));
    };
    if !media.version {
        return Err(refused("the body must be of FHIR 4.0 (fhirVersion)"));
    }
    if !media.utf8 {
        return Err(refused("the body must be in UTF-8 (charset)"));
    }
    Ok(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_headers() {
        let check = |accept: &str, expected: Option<Option<Format>>| {
            assert_eq!(accepted(accept).ok(), expected, "{accept}");
        };
        let (json, xml) = (Some(Some(Format::Json)), Some(Some(Format::Xml)));
        check("", Some(None));
        check("*/*", Some(None));
        check("application/*", Some(None));
        check("application/fhir+json", json);
        check("application/fhir+xml", xml);
        check("Application/FHIR+XML; charset=UTF-8", xml);
        check("text/xml", xml);
        check("application/json, */*;q=0.1", json);
        check("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", json);
        check("application/fhir+xml;q=0.9, application/fhir+json; q=0.5", xml);
        check("application/fhir+xml, application/fhir+json", xml);
        check("application/fhir+json, application/fhir+xml", json);
        check("application/xml;q=0.2, */*", json);
        check("application/json;q=0, */*", xml);
        check("application/json;q=0", None);
        check("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", xml);
        check("text/html", None);
        check("text/html, */*;q=0.5", Some(None));
        check("application/fhir+json; fhirVersion=4.0", json);
        check("application/fhir+json; fhirVersion=5.0", None);
        check("application/fhir+json; fhirVersion=5.0, application/fhir+xml;fhirVersion=4.0", xml);
        check(";;;,,,=;q=", None);
        check("application/json;q=NaN", json);
    }

    #[test]
    fn other_media_types_that_are_liked_better() {
        let check = |accept: &str, other: &str, expected: bool| {
            assert_eq!(likes_better(accept, other), expected, "{accept} {other}");
        };
        check("application/pdf", "application/pdf", true);
        check("image/*, */*;q=0.1", "Image/PNG; a=b", true);
        check("application/pdf;q=0.5, application/fhir+json", "application/pdf", false);
        check("application/fhir+json;q=0.5, application/pdf", "application/pdf", true);
        check("application/pdf;q=0", "application/pdf", false);
        check("*/*", "application/pdf", false);
        check("application/*", "application/pdf", false);
        check("text/plain", "application/pdf", false);
        check("application/json", "application/json", false);
        check("", "", false);
    }

    #[test]
    fn format_parameters() {
        for json in ["json", "application/json", "application/fhir+json", "application/fhir json", "text/json"] {
            assert_eq!(named(json).ok(), Some(Format::Json), "{json}");
        }
        for xml in ["xml", "text/xml", "application/xml", "application/fhir+xml;charset=utf-8"] {
            assert_eq!(named(xml).ok(), Some(Format::Xml), "{xml}");
        }
        for bad in ["", "html", "text/html", "ttl", "application/fhir+json;fhirVersion=3.0"] {
            assert_eq!(named(bad).unwrap_err().kind, Kind::NotAcceptable, "{bad}");
        }
    }

    #[test]
    fn content_types() {
        assert_eq!(sent("application/fhir+json; charset=utf-8").ok(), Some(Format::Json));
        assert_eq!(sent("application/xml;charset=\"UTF-8\"").ok(), Some(Format::Xml));
        for bad in [
            "",
            "text/plain",
            "json",
            "application/fhir+xml; charset=iso-8859-1",
            "application/fhir+xml; fhirVersion=3.0",
        ] {
            assert_eq!(sent(bad).unwrap_err().kind, Kind::UnsupportedMediaType, "{bad}");
        }
    }
}
