//! Bodies, counted while they come: the framework's own limit does not hold for streams.

use crate::error::{Error, Kind, Result};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::{HttpRequest, web};
use bytes::BytesMut;
use futures_util::StreamExt;

/// The whole body, at most `limit` bytes. A body that says it is larger is refused before it is read; a compressed one
/// is refused by name.
pub async fn read(request: &HttpRequest, mut payload: web::Payload, limit: usize, key: &str) -> Result<BytesMut> {
    let too_long = || Error::new(Kind::TooLong, format!("the body is larger than {limit} bytes ({key})"));
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    if header(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64)
    {
        return Err(too_long());
    }
    if header(CONTENT_ENCODING).is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity")) {
        return Err(Error::new(Kind::UnsupportedMediaType, "compressed bodies are not supported"));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::new(Kind::Invalid, "the body ended too early"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
