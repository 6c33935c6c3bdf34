//! `historia health`: exit 0 when the server is ready. The probe of containers and of the init job.
//!
//! One plain HTTP/1.1 request of our own, so that the binary needs no HTTP client; HTTPS listeners have a plain neighbour on
//! loopback for exactly this.

use super::ready::Ready;
use super::{Exit, Failure, configuration, say};
use crate::config::{Config, Environment};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

/// Longer than this is not ready: orchestrators give a probe few seconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether the server is ready
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  historia health\n  historia health --url http://127.0.0.1:8080")]
pub struct Arguments {
    /// Address of the server (plain http); else the running instance of data_dir, else http.listen
    #[arg(long)]
    pub url: Option<String>,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => own_address(&configuration(file, environment)?)?,
    };
    match status(&url)? {
        200 => {
            say(&format!("{url} is ready\n"));
            Ok(Exit::Done)
        }
        status => Err(Failure::new(Exit::Failed, format!("{url} is not ready: HTTP {status}"))),
    }
}

/// A plain address of the running instance; without a `ready.json`, that of the configured listener.
fn own_address(config: &Config) -> Result<String, Failure> {
    if let Some(ready) = Ready::of_running(&config.data_dir)?
        && let Some(url) = ready.ops.or(ready.http)
    {
        return Ok(url);
    }
    let listener = config.http.listen.or(config.ops).filter(|address| address.port() != 0);
    let address = listener
        .ok_or_else(|| Failure::new(Exit::Failed, format!("no historia runs in {}", config.data_dir.display())))?;
    Ok(format!("http://{}", reachable(address)))
}

/// A listener on every interface is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Host with port, and path, of a plain http URL; `/readyz` when it has no path.
fn parts(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.is_empty() || authority.contains('@') || url.contains(|c: char| c.is_control() || c == ' ') {
        return None;
    }
    let ends_in_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if ends_in_port { authority.to_owned() } else { format!("{authority}:80") };
    let path = if path.is_empty() || path == "/" { "/readyz" } else { path };
    Some((host, path.to_owned()))
}

/// Status of `GET`.
fn status(url: &str) -> Result<u16, Failure> {
    let (host, path) = parts(url)
        .ok_or_else(|| Failure::new(Exit::Usage, "--url must be an address such as http://127.0.0.1:8080"))?;
    let unreachable = |e: std::io::Error| Failure::new(Exit::Failed, format!("{url} is not ready: {e}"));
    let address = host.to_socket_addrs().map_err(unreachable)?.next();
    let address = address.ok_or_else(|| Failure::new(Exit::Failed, format!("{host} has no address")))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(unreachable)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(unreachable)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(unreachable)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    // The status line is all that is asked for: "HTTP/1.1 200 ".
    let mut line = [0_u8; 13];
    stream.read_exact(&mut line).map_err(unreachable)?;
    let text = String::from_utf8_lossy(&line);
    let code = text.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)).and_then(|code| code.parse().ok());
    code.ok_or_else(|| Failure::new(Exit::Failed, format!("{url} does not speak HTTP")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn addresses_are_taken_apart() {
        let check = |url: &str, expected: Option<(&str, &str)>| {
            assert_eq!(parts(url), expected.map(|(host, path)| (host.to_owned(), path.to_owned())), "{url}");
        };
        check("http://127.0.0.1:8080", Some(("127.0.0.1:8080", "/readyz")));
        check("http://h/", Some(("h:80", "/readyz")));
        check("http://[::1]:9/livez", Some(("[::1]:9", "/livez")));
        check("http://[::1]", Some(("[::1]:80", "/readyz")));
        check("https://h", None);
        check("http://", None);
        check("http://h/\r\nX: y", None);
        assert_eq!(reachable("0.0.0.0:80".parse().unwrap()).to_string(), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
    }

    #[test]
    fn answers_become_exit_codes() {
        let check = |answer: &'static str, expected: Result<u16, Exit>| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let server = std::thread::spawn(move || {
                let (mut peer, _) = listener.accept().unwrap();
                let _ = peer.read(&mut [0; 1_000]);
                peer.write_all(answer.as_bytes()).unwrap();
            });
            assert_eq!(status(&url).map_err(|failure| failure.exit), expected, "{answer}");
            server.join().unwrap();
        };
        check("HTTP/1.1 200 OK\r\n\r\n", Ok(200));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", Ok(503));
        check("SSH-2.0-OpenSSH_9.2p1\r\n", Err(Exit::Failed));
        check("", Err(Exit::Failed));
        assert_eq!(status("http://127.0.0.1:1").map_err(|failure| failure.exit), Err(Exit::Failed));
        assert_eq!(status("https://127.0.0.1:1").map_err(|failure| failure.exit), Err(Exit::Usage));
    }
}
