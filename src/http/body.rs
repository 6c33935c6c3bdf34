//! Bodies, counted while they come: the framework's own limit does not hold for streams.

use crate::error::{Error, Kind, Result};
use actix_web::web;
use bytes::BytesMut;
use futures_util::StreamExt;

/// The whole body, at most `limit` bytes.
pub async fn read(mut payload: web::Payload, limit: usize, key: &str) -> Result<BytesMut> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::new(Kind::Invalid, "the body ended too early"))?;
        if body.len() + chunk.len() > limit {
            return Err(Error::new(Kind::TooLong, format!("the body is larger than {limit} bytes ({key})")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
