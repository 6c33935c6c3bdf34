//! docs/contract.md, read: what its tables promise for delivered rows must hold.

use crate::harness::server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends bytes as they are to the HTTP listener and reads to the end.
pub async fn raw_http(request: &str) -> String {
    let address = server().http().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}
