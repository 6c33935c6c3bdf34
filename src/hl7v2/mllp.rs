//! MLLP release 1: `0x0B` message `0x1C 0x0D` on a stream, one acknowledgement for each message, in order.
//!
//! HL7 v2 Implementation Guide, appendix C.4; <https://www.hl7.org/documentcenter/public/wg/inm/mllp_transport_specification.PDF>.
//! The only IO of `hl7v2`. Commit bytes of release 2 are not spoken.

use crate::telemetry::metric;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Decoder, Encoder};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const START: u8 = 0x0B;
const END: u8 = 0x1C;
const CARRIAGE_RETURN: u8 = 0x0D;

/// What is kept of a message that is too large: enough for its header.
const HEAD: usize = 16 * 1024;

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message.
    pub frame: usize,
    /// Connections at once; one more is closed before it is read.
    pub connections: usize,
    /// Silence inside a message.
    pub between_bytes: Duration,
    /// Silence between messages.
    pub between_messages: Duration,
    /// From the first to the last byte of a message.
    pub message: Duration,
    /// Until a sender has taken its acknowledgement.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            frame: 10 * 1024 * 1024,
            connections: 1_000,
            between_bytes: Duration::from_secs(30),
            between_messages: Duration::from_secs(300),
            message: Duration::from_secs(300),
            write: Duration::from_secs(30),
        }
    }
}

/// What came out of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Whole(Bytes),
    /// The beginning of a message over the limit. The connection ends after its answer.
    Oversize(Bytes),
}

/// Frames out of bytes. Memory stays within the limit of a frame and one read.
#[derive(Debug)]
pub struct Codec {
    limit: usize,
    /// Between START and END.
    inside: bool,
    /// Bytes of the frame that hold no mark.
    scanned: usize,
    /// After an oversize or broken frame nothing more can be told apart.
    spent: bool,
    /// Bytes outside frames.
    pub discarded: u64,
    /// Frames given up because another one began or the stream ended.
    pub truncated: u64,
}

impl Codec {
    pub fn new(limit: usize) -> Self {
        Codec { limit, inside: false, scanned: 0, spent: false, discarded: 0, truncated: 0 }
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    fn oversize(&mut self, source: &mut BytesMut) -> Frame {
        let head = source.split_to(source.len().min(HEAD)).freeze();
        source.clear();
        (self.inside, self.scanned, self.spent) = (false, 0, true);
        Frame::Oversize(head)
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        if self.spent {
            return Err(io::Error::other("the stream is past a frame that had no end"));
        }
        loop {
            if !self.inside {
                let start = source.iter().position(|byte| *byte == START);
                let garbage = start.unwrap_or(source.len());
                self.discarded += garbage as u64;
                source.advance(garbage);
                if start.is_none() {
                    return Ok(None);
                }
                source.advance(1);
                (self.inside, self.scanned) = (true, 0);
            }
            let unread = source.get(self.scanned..).unwrap_or_default();
            let mark = unread.iter().position(|byte| matches!(*byte, START | END)).map(|n| self.scanned + n);
            if mark.unwrap_or(source.len()) > self.limit {
                return Ok(Some(self.oversize(source)));
            }
            let Some(mark) = mark else {
                self.scanned = source.len();
                return Ok(None);
            };
            match (source.get(mark), source.get(mark + 1)) {
                (Some(&START), _) => {
                    self.truncated += 1;
                    source.advance(mark);
                    self.inside = false;
                }
                (_, None) => {
                    self.scanned = mark;
                    return Ok(None);
                }
                (_, Some(&CARRIAGE_RETURN)) => {
                    let frame = source.split_to(mark).freeze();
                    source.advance(2);
                    (self.inside, self.scanned) = (false, 0);
                    return Ok(Some(Frame::Whole(frame)));
                }
                (_, Some(_)) => {
                    self.spent = true;
                    return Err(io::Error::other("end block without carriage return"));
                }
            }
        }
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> io::Result<Option<Frame>> {
        let frame = self.decode(source)?;
        if frame.is_none() && self.inside {
            self.truncated += 1;
            self.inside = false;
            source.clear();
        }
        Ok(frame)
    }
}

impl Encoder<&[u8]> for Codec {
    type Error = io::Error;

    fn encode(&mut self, message: &[u8], target: &mut BytesMut) -> io::Result<()> {
        if message.iter().any(|byte| matches!(*byte, START | END)) {
            return Err(io::Error::other("a message holds a byte that frames are made of"));
        }
        target.reserve(message.len() + 3);
        target.put_u8(START);
        target.put_slice(message);
        target.put_slice(&[END, CARRIAGE_RETURN]);
        Ok(())
    }
}

/// Serves a listener until `stop`: then no new connection, no new message; what is in hand is finished and answered.
/// The handler gives the acknowledgement (without frame), or nothing when there is none to give.
pub async fn serve<H, F>(listener: TcpListener, handler: H, stop: CancellationToken, limits: Limits)
where
    H: Fn(Frame, SocketAddr) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Option<Bytes>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, most likely: the ones in use come back.
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            metrics::counter!("historia_mllp_connections_refused_total").increment(1);
            continue;
        };
        let (handler, stop) = (handler.clone(), stop.clone());
        tasks.spawn(async move {
            stream.set_nodelay(true).ok();
            metrics::gauge!(metric::MLLP_CONNECTIONS).increment(1.0);
            connection(stream, peer, &handler, &stop, &limits).await;
            metrics::gauge!(metric::MLLP_CONNECTIONS).decrement(1.0);
            drop(place);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// One connection, plain or within TLS, message after message.
pub async fn connection<S, H, F>(
    mut stream: S,
    peer: SocketAddr,
    handler: &H,
    stop: &CancellationToken,
    limits: &Limits,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Frame, SocketAddr) -> F,
    F: Future<Output = Option<Bytes>>,
{
    let mut codec = Codec::new(limits.frame);
    let ended = exchange(&mut stream, &mut codec, peer, handler, stop, limits).await;
    metrics::counter!("historia_mllp_discarded_bytes_total").increment(codec.discarded);
    metrics::counter!("historia_mllp_truncated_frames_total").increment(codec.truncated + u64::from(codec.is_inside()));
    if ended.is_err() {
        metrics::counter!("historia_mllp_connections_broken_total").increment(1);
    }
    stream.shutdown().await.ok();
}

async fn exchange<S, H, F>(
    stream: &mut S,
    codec: &mut Codec,
    peer: SocketAddr,
    handler: &H,
    stop: &CancellationToken,
    limits: &Limits,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Frame, SocketAddr) -> F,
    F: Future<Output = Option<Bytes>>,
{
    let mut buffer = BytesMut::new();
    let mut begun: Option<Instant> = None;
    loop {
        while let Some(frame) = codec.decode(&mut buffer)? {
            if stop.is_cancelled() {
                return Ok(());
            }
            let last = matches!(frame, Frame::Oversize(_));
            if let Some(answer) = handler(frame, peer).await {
                let mut framed = BytesMut::new();
                codec.encode(&answer, &mut framed)?;
                timeout(limits.write, stream.write_all(&framed)).await??;
                timeout(limits.write, stream.flush()).await??;
            }
            if last {
                return Ok(());
            }
            begun = None;
        }
        let wait = if codec.is_inside() {
            let since = begun.get_or_insert_with(Instant::now);
            limits.between_bytes.min(limits.message.saturating_sub(since.elapsed()))
        } else {
            limits.between_messages
        };
        let read = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            read = timeout(wait, stream.read_buf(&mut buffer)) => read,
        };
        match read {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) if codec.is_inside() => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
