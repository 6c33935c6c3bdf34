//! A client of MLLP: a bare socket, so that packets can be cut anywhere.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const START: u8 = 0x0b;
pub const END: [u8; 2] = [0x1c, 0x0d];

pub struct Mllp {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A message in its frame.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&[START], message, &END[..]].concat()
}

impl Mllp {
    pub async fn connect(address: &str) -> Mllp {
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_nodelay(true).expect("nodelay");
        Mllp { stream, buffer: Vec::new() }
    }

    /// Bytes as they are: one packet, as far as a client can say.
    pub async fn packet(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the server reads");
        self.stream.flush().await.expect("the server reads");
    }

    /// The next acknowledgement, without its frame; none when the server closes the connection.
    pub async fn answer(&mut self) -> Option<Vec<u8>> {
        tokio::time::timeout(Duration::from_secs(60), self.frame()).await.expect("an answer within a minute")
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|w| w == END) {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                assert_eq!(frame.first(), Some(&START), "a frame starts with VT");
                return Some(frame[1..end].to_vec());
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
            }
        }
    }

    pub async fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        self.packet(&framed(message)).await;
        self.answer().await.expect("an acknowledgement")
    }
}
