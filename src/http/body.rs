//! Bodies, counted while they come: the framework's own limit does not hold for streams, nor for what they inflate to.

use crate::error::{Error, Kind, Result};
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use actix_web::{HttpRequest, web};
use bytes::BytesMut;
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use std::io::{self, Write};

/// The whole body, at most `limit` bytes of it, also when it comes compressed by gzip. A body that says it is larger is
/// refused before it is read.
pub async fn read(request: &HttpRequest, mut payload: web::Payload, limit: usize, key: &str) -> Result<BytesMut> {
    let too_long = || Error::new(Kind::TooLong, format!("the body is larger than {limit} bytes ({key})"));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if length.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limit as u64) {
        return Err(too_long());
    }
    let mut sink = Sink::new(request, limit)?;
    let mut sent = 0_usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Error::new(Kind::Invalid, "the body ended too early"))?;
        sent += chunk.len();
        if sent > limit {
            return Err(too_long());
        }
        sink.take(&chunk).map_err(|error| error.unwrap_or_else(too_long))?;
    }
    sink.end().map_err(|error| error.unwrap_or_else(too_long))
}

/// Where a body goes, inflated or as it is.
enum Sink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

/// What is wrong with a body; none when it is too long.
type Told = Option<Error>;

fn broken() -> Told {
    Some(Error::at(Kind::Invalid, "Content-Encoding", "the body is not gzip"))
}

impl Sink {
    fn new(request: &HttpRequest, limit: usize) -> Result<Sink> {
        let bounded = Bounded { bytes: BytesMut::new(), limit, full: false };
        let mut codings = request.headers().get_all(CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").trim());
        let coding = match (codings.next(), codings.next()) {
            (Some(coding), None) => coding.to_ascii_lowercase(),
            (None, _) => String::new(),
            (Some(_), Some(_)) => "?".to_owned(),
        };
        match coding.as_str() {
            "" | "identity" => Ok(Sink::Plain(bounded)),
            "gzip" | "x-gzip" => Ok(Sink::Gzip(Box::new(MultiGzDecoder::new(bounded)))),
            _ => Err(Error::at(
                Kind::UnsupportedMediaType,
                "Content-Encoding",
                "a body may be compressed by gzip only, and once",
            )),
        }
    }

    fn take(&mut self, chunk: &[u8]) -> std::result::Result<(), Told> {
        match self {
            Sink::Plain(bounded) => bounded.write_all(chunk).map_err(|_| None),
            Sink::Gzip(decoder) => {
                let taken = decoder.write_all(chunk);
                taken.map_err(|_| if decoder.get_ref().full { None } else { broken() })
            }
        }
    }

    fn end(self) -> std::result::Result<BytesMut, Told> {
        match self {
            Sink::Plain(bounded) => Ok(bounded.bytes),
            Sink::Gzip(mut decoder) => {
                let ended = decoder.try_finish();
                let full = decoder.get_ref().full;
                ended.map_err(|_| if full { None } else { broken() })?;
                decoder.finish().map(|bounded| bounded.bytes).map_err(|_| broken())
            }
        }
    }
}

/// Bytes up to a limit: nothing of what is beyond it is kept.
struct Bounded {
    bytes: BytesMut,
    limit: usize,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + chunk.len() > self.limit {
            self.full = true;
            return Err(io::Error::other("over the limit"));
        }
        self.bytes.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
