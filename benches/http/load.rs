//! The load: HTTP/1.1 over kept-alive connections to 127.0.0.1, each sending its next request when it has its answer.
//!
//! It reads what our own two servers send: a status line, `content-length`, a body. A connection that ends, a chunked
//! body or an unexpected status is a failure of the run, never a measurement.

use crate::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer that takes longer is a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one connection sends.
pub trait Script: Send {
    /// Writes the next request.
    fn next(&mut self, request: &mut Vec<u8>);

    /// Judges its answer.
    fn answered(&mut self, answer: &Answer<'_>) -> Result<()>;
}

pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

/// A run of requests: wall time, and the time of each request in microseconds, ascending.
pub struct Run {
    pub wall: Duration,
    pub micros: Vec<u32>,
}

impl Run {
    pub fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.wall.as_secs_f64().max(1e-9)
    }

    /// Milliseconds below which `share` of the requests stay.
    pub fn percentile(&self, share: f64) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        self.micros.get((last as f64 * share).round() as usize).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// Sends `count` requests over as many connections as there are scripts, and gives the scripts back.
pub async fn run(to: SocketAddr, scripts: Vec<Box<dyn Script>>, count: usize) -> Result<(Run, Vec<Box<dyn Script>>)> {
    let left = Arc::new(AtomicUsize::new(count));
    let mut connections = Vec::with_capacity(scripts.len());
    for script in scripts {
        connections.push((Connection::open(to).await?, script));
    }
    let started = Instant::now();
    let running: Vec<_> = connections
        .into_iter()
        .map(|(connection, script)| tokio::spawn(connection.work(script, left.clone())))
        .collect();
    let mut micros = Vec::with_capacity(count);
    let mut back = Vec::with_capacity(running.len());
    for one in running {
        let (script, times) = one.await??;
        back.push(script);
        micros.extend(times);
    }
    let wall = started.elapsed();
    micros.sort_unstable();
    Ok((Run { wall, micros }, back))
}

/// One request on a connection of its own: the steps of the preparation.
pub async fn once(to: SocketAddr, request: &[u8]) -> Result<(u16, Vec<u8>)> {
    let mut connection = Connection::open(to).await?;
    let answer = connection.exchange(request).await?;
    Ok((answer.status, answer.body.to_vec()))
}

/// A request as bytes. `headers`: whole lines, each with its end.
pub fn request(method: &str, path: &str, headers: &str, body: &str, out: &mut Vec<u8>) {
    use std::io::Write;
    let length = body.len();
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{headers}");
    if method != "GET" {
        let _ = write!(out, "content-length: {length}\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
}

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Result<Connection> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(64 * 1024) })
    }

    async fn work(
        mut self,
        mut script: Box<dyn Script>,
        left: Arc<AtomicUsize>,
    ) -> Result<(Box<dyn Script>, Vec<u32>)> {
        let mut request = Vec::with_capacity(4096);
        let mut times = Vec::new();
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
            request.clear();
            script.next(&mut request);
            let sent = Instant::now();
            let answer = self.exchange(&request).await?;
            times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
            script.answered(&answer)?;
        }
        Ok((script, times))
    }

    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        let exchanged = tokio::time::timeout(PATIENCE, async {
            self.stream.write_all(request).await?;
            self.receive().await
        });
        let (status, head, length) = exchanged.await.map_err(|_| "no answer in time")??;
        let body = self.received.get(head..head + length).unwrap_or_default();
        Ok(Answer { status, body })
    }

    /// Reads one answer into `received`: its status, the length of its head and of its body.
    async fn receive(&mut self) -> Result<(u16, usize, usize)> {
        self.received.clear();
        let mut head: Option<(u16, usize, usize)> = None;
        loop {
            if head.is_none() {
                head = self.head()?;
            }
            if let Some((_, head, length)) = head
                && self.received.len() >= head + length
            {
                break;
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
        head.ok_or_else(|| "no head".into())
    }

    fn head(&self) -> Result<Option<(u16, usize, usize)>> {
        let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(self.received.get(..end).unwrap_or_default())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok());
        match (status, length) {
            (Some(status), Some(length)) => Ok(Some((status, end + 4, length))),
            _ => Err("an answer without status or content-length".into()),
        }
    }
}
