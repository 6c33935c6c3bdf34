//! `historia certs`: HTTPS on the local network without anybody's help: an authority of this installation, and a
//! certificate for the names and addresses of this machine.

use super::{Exit, Failure, configuration, say};
use crate::clock;
use crate::config::{Config, Environment};
use crate::lan::authority::{self, Ensured};
use crate::lan::{self, Name};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// Where HTTPS is when nothing says otherwise.
const PORT: u16 = 8443;

/// A certificate authority of this installation, and a certificate for this machine
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  historia certs\n  historia certs --name historia.hospital.local --address 192.168.1.20\n  historia certs --renew\n\n\
                  The files lie in data_dir/tls. What is asked for by --name or --address is kept there, in `names`, for the next time."
)]
pub struct Arguments {
    /// A host name beside those of this machine
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub name: Vec<String>,
    /// An address beside the private ones of this machine
    #[arg(long, value_name = "IP", value_parser = address)]
    pub address: Vec<IpAddr>,
    /// A new certificate even if the one that is there still holds
    #[arg(long)]
    pub renew: bool,
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

fn host(text: &str) -> Result<String, String> {
    Name::dns(text)
        .map(|name| name.to_string())
        .ok_or_else(|| "is no host name (an address goes with --address)".into())
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().map_err(|e| e.to_string())?;
    if address.is_unspecified() || address.is_multicast() {
        return Err("is no address of one machine".into());
    }
    Ok(address)
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    let config = configuration(file, environment)?;
    let names = arguments.name.iter().cloned().map(Name::Dns);
    let asked: Vec<Name> = names.chain(arguments.address.iter().copied().map(Name::Address)).collect();
    let ensured = ensure(&config, &asked, arguments.renew)?;
    say(&if arguments.json { json(&config, &ensured) } else { text(&config, &ensured) });
    Ok(Exit::Done)
}

/// Makes what is missing; the host of `http.public_url` belongs to what is asked for.
pub fn ensure(config: &Config, asked: &[Name], renew: bool) -> Result<Ensured, Failure> {
    let public = config.http.public_url.as_deref().and_then(Name::of_url);
    let asked: Vec<Name> = public.into_iter().chain(asked.iter().cloned()).collect();
    Ok(authority::ensure(&config.data_dir, &asked, renew, clock::now())?)
}

/// The addresses under which others reach this machine.
fn urls(config: &Config, ensured: &Ensured) -> Vec<String> {
    let port = config.http.tls_listen.map_or(PORT, |listener| listener.port());
    let reached = ensured.names.iter().filter_map(|name| match name {
        Name::Address(ip) if ip.is_loopback() => None,
        Name::Address(ip) => Some(SocketAddr::new(*ip, port).to_string()),
        Name::Dns(name) if name == "localhost" => None,
        Name::Dns(name) => Some(format!("{name}:{port}")),
    });
    // Addresses work everywhere; names only where something tells the phones.
    let (named, numbered): (Vec<_>, Vec<_>) = reached.partition(|url| url.starts_with(char::is_alphabetic));
    numbered.into_iter().chain(named).map(|authority| format!("https://{authority}")).collect()
}

fn text(config: &Config, ensured: &Ensured) -> String {
    let made = |made: bool| if made { "made" } else { "kept" };
    let (folder, certificate) = (authority::folder(&config.data_dir), authority::certificate(&config.data_dir).0);
    let until = |at: jiff::Timestamp| at.to_string().chars().take(10).collect::<String>();
    let own = &ensured.authority;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "authority    {} {}: \"{}\", until {}",
        folder.join("ca.crt").display(),
        made(ensured.made_authority),
        own.name,
        until(own.until)
    );
    let _ = writeln!(text, "SHA-256      {}", own.fingerprint);
    let _ = writeln!(
        text,
        "certificate  {} {}, until {}",
        certificate.display(),
        made(ensured.made_certificate),
        until(ensured.until)
    );
    let names: Vec<String> = ensured.names.iter().map(ToString::to_string).collect();
    let _ = writeln!(text, "names        {}", names.join(", "));
    let urls = urls(config, ensured);
    for (n, url) in urls.iter().enumerate() {
        let _ = writeln!(text, "{}{url}", if n == 0 { "reached at   " } else { "             " });
    }
    if ensured.made_certificate {
        text.push_str("\nA server that runs already takes it at its next start.\n");
    }
    if config.http.public_url.is_none()
        && let Some(url) = urls.first()
    {
        let _ = writeln!(text, "\nFor `historia serve`: http.public_url = \"{url}\". Phones begin at {url}/conectar.");
    }
    text
}

fn json(config: &Config, ensured: &Ensured) -> String {
    let (own, (certificate, key)) = (&ensured.authority, authority::certificate(&config.data_dir));
    let names: Vec<String> = ensured.names.iter().map(ToString::to_string).collect();
    let value = serde_json::json!({
        "authority": {
            "file": authority::folder(&config.data_dir).join("ca.crt"), "name": own.name, "made": ensured.made_authority,
            "until": own.until.to_string(), "sha256": own.fingerprint,
        },
        "certificate": {
            "file": certificate, "key": key, "made": ensured.made_certificate, "until": ensured.until.to_string(),
        },
        "names": names,
        "addresses": urls(config, ensured),
    });
    format!("{value:#}\n")
}

/// Before HTTPS is served: `dev` makes what is missing, and both say when the certificate ends soon.
pub fn prepare(config: &mut Config, dev: bool) -> Result<(), Failure> {
    let unnamed = config.http.tls_cert.is_none() && config.http.tls_key.is_none();
    if dev && config.http.tls_listen.is_some() && (unnamed || config.has_its_own_certificate()) {
        ensure(config, &[], false)?;
        let (certificate, key) = authority::certificate(&config.data_dir);
        (config.http.tls_cert, config.http.tls_key) = (Some(certificate), Some(key));
    }
    Ok(())
}

/// What `/conectar` shows of the authority; none when the certificate is somebody else's.
pub fn served(config: &Config) -> Option<authority::Authority> {
    if !config.has_its_own_certificate() {
        return None;
    }
    let now = clock::now();
    let served = authority::served(&config.data_dir, now);
    match &served {
        None => tracing::warn!("the certificate in data_dir/tls does not hold: run `historia certs`, then start again"),
        Some((_, until)) if authority::ends_soon(*until, now) => {
            tracing::warn!(%until, "the certificate in data_dir/tls ends soon: run `historia certs`, then start again");
        }
        Some(_) => {}
    }
    served.map(|(authority, _)| authority)
}

/// `https://address` of a listener, as others reach it.
pub fn https(listener: Option<&std::net::TcpListener>) -> Option<String> {
    Some(format!("https://{}", lan::reached(listener?.local_addr().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_checked() {
        assert_eq!(host("Sala-1.Local").unwrap(), "sala-1.local");
        assert!(host("192.168.1.1").unwrap_err().contains("--address"));
        assert!(host("https://x").is_err() && address("0.0.0.0").is_err() && address("x").is_err());
        assert!(address("fd00::1").is_ok());
    }
}
