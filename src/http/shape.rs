//! The outside of an answer: XML or JSON, with line breaks or without, compressed or not. What is inside was decided before.

use crate::error::{Error, Kind, Result};
use crate::fhir::format::{Format, media, pretty_json, to_xml};
use crate::http::respond::{self, FHIR_JSON};
use actix_http::encoding::Encoder;
use actix_web::body::MessageBody;
use actix_web::http::header::{
    ACCEPT, ACCEPT_ENCODING, AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, ContentEncoding, Encoding, HeaderValue,
    VARY,
};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;

/// Answers above this are written anew away from the thread that serves others.
const LARGE: usize = 64 * 1024;
/// Below this, compression costs more than it saves: an answer fits into one packet.
const SMALL: usize = 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub format: Format,
    /// `_pretty=true`
    pub pretty: bool,
}

impl Shape {
    /// What the client wants: `_format` wins over Accept; who does not care gets what it sent, or JSON.
    pub fn wanted(request: &HttpRequest, parameters: &[(String, String)]) -> Result<Shape> {
        let parameter =
            |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let pretty = parameter("_pretty") == Some("true");
        if let Some(format) = parameter("_format") {
            return Ok(Shape { format: media::named(format)?, pretty });
        }
        let accept = accept(request)?;
        let sent = || {
            let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok())?;
            media::sent(media).ok()
        };
        let format = media::accepted(&accept)?.or_else(sent).unwrap_or_default();
        Ok(Shape { format, pretty })
    }

    /// Gives an answer of FHIR its outside.
    pub async fn give(self, request: &HttpRequest, response: HttpResponse) -> HttpResponse {
        let is_json = response.headers().get(CONTENT_TYPE).is_some_and(|media| media == FHIR_JSON);
        let mut response = match self {
            Shape { format: Format::Json, pretty: false } => response,
            _ if is_json => self.rewritten(request, response).await,
            _ => response,
        };
        response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
        compressed(request, response)
    }

    async fn rewritten(self, request: &HttpRequest, response: HttpResponse) -> HttpResponse {
        let (mut head, body) = response.into_parts();
        // All answers of FHIR are made before they are sent.
        let body = match body.try_into_bytes() {
            Ok(body) => body,
            Err(body) => return head.set_body(body),
        };
        let written = match body.len() {
            ..LARGE => self.write(&body),
            _ => web::block(move || self.write(&body))
                .await
                .unwrap_or_else(|_| Err(Error::new(Kind::Transient, "the server is stopping"))),
        };
        match written {
            Ok(text) => {
                head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.format.media_type()));
                head.set_body(Bytes::from(text)).map_into_boxed_body()
            }
            Err(error) => respond::error(request, &error),
        }
    }

    fn write(self, json: &[u8]) -> Result<Vec<u8>> {
        match self.format {
            Format::Xml => to_xml(json, self.pretty),
            Format::Json => Ok(pretty_json(json)),
        }
    }
}

/// What the client accepts; several lines are one list.
pub fn accept(request: &HttpRequest) -> Result<String> {
    let mut accept = String::new();
    for value in request.headers().get_all(ACCEPT) {
        let value = value.to_str().map_err(|_| Error::at(Kind::NotAcceptable, "Accept", "the header is not ASCII"))?;
        accept.push_str(if accept.is_empty() { "" } else { "," });
        accept.push_str(value);
    }
    Ok(accept)
}

/// Compresses an answer that is worth it, as the client likes; one that nobody can have otherwise goes out as it is.
fn compressed(request: &HttpRequest, mut response: HttpResponse) -> HttpResponse {
    if response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let small = matches!(response.body().size(), actix_web::body::BodySize::Sized(length) if length < SMALL as u64);
    let supported = [Encoding::identity(), Encoding::brotli(), Encoding::zstd(), Encoding::gzip()];
    let chosen = request
        .headers()
        .contains_key(ACCEPT_ENCODING)
        .then(|| request.get_header::<AcceptEncoding>())
        .flatten()
        .and_then(|accepted| accepted.negotiate(supported.iter()));
    match chosen {
        Some(Encoding::Known(encoding)) if encoding != ContentEncoding::Identity && !small => {
            // It says `Vary: accept-encoding` itself.
            response.map_body(|head, body| Encoder::response(encoding, head, body)).map_into_boxed_body()
        }
        _ => {
            response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
            response
        }
    }
}
