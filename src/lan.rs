//! This machine on its local network: the names and addresses by which phones reach it, and the certificates for them.

pub mod authority;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use rustls::pki_types::{DnsName, ServerName};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Of interfaces; machines with many containers have hundreds.
const MOST: usize = 32;

/// What a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    Dns(String),
    Address(IpAddr),
}

impl Name {
    /// A host name as certificates have it: lower case, ASCII.
    pub fn dns(text: &str) -> Option<Name> {
        let text = text.trim_end_matches('.').to_ascii_lowercase();
        let good = DnsName::try_from(text.as_str()).is_ok() && text.parse::<IpAddr>().is_err();
        good.then_some(Name::Dns(text))
    }

    /// An address if it is one, else a host name.
    pub fn parse(text: &str) -> Option<Name> {
        text.parse().map(Name::Address).ok().or_else(|| Name::dns(text))
    }

    /// The host of `https://host:port/...`.
    pub fn of_url(url: &str) -> Option<Name> {
        let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next()?,
            None => authority.split(':').next()?,
        };
        Name::parse(host)
    }

    fn server_name(&self) -> Option<ServerName<'static>> {
        match self {
            Name::Dns(name) => ServerName::try_from(name.clone()).ok(),
            Name::Address(ip) => Some(ServerName::from(*ip)),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Dns(name) => f.write_str(name),
            Name::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// The name of this machine.
pub fn host() -> Option<String> {
    match Name::dns(nix::unistd::gethostname().ok()?.to_str()?)? {
        Name::Dns(name) => Some(name),
        Name::Address(_) => None,
    }
}

/// The private addresses of this machine, that of the way out first. Public ones are not guessed: they are everybody's.
pub fn addresses() -> Vec<IpAddr> {
    let way_out = std::fs::read_to_string("/proc/net/route").ok().and_then(|table| way_out(&table));
    let Ok(all) = getifaddrs() else { return Vec::new() };
    let up: Vec<InterfaceAddress> = all.filter(|one| one.flags.contains(InterfaceFlags::IFF_UP)).collect();
    let (first, rest): (Vec<_>, Vec<_>) =
        up.iter().partition(|one| way_out.as_ref().is_some_and(|name| *name == one.interface_name));
    let mut found: Vec<IpAddr> = Vec::new();
    // IPv4 first: it is what people can type.
    for v4 in [true, false] {
        for ip in first.iter().chain(&rest).copied().filter_map(ip_of) {
            if ip.is_ipv4() == v4 && is_private(ip) && !found.contains(&ip) {
                found.push(ip);
            }
        }
    }
    found.truncate(MOST);
    found
}

fn ip_of(interface: &InterfaceAddress) -> Option<IpAddr> {
    let address = interface.address.as_ref()?;
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// The interface of the default route, of the kernel's table.
fn way_out(table: &str) -> Option<String> {
    let mut rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find_map(|row| match row.as_slice() {
        [interface, "00000000", ..] => Some((*interface).to_owned()),
        _ => None,
    })
}

/// An address of a local network (RFC 1918, 6598, 4193).
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.to_bits() >> 22 == u32::from_be_bytes([100, 64, 0, 0]) >> 22,
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// The names that a certificate of this machine has without being asked.
pub fn names() -> Vec<Name> {
    let loopback = [Name::Address(Ipv4Addr::LOCALHOST.into()), Name::Address(Ipv6Addr::LOCALHOST.into())];
    let mut names: Vec<Name> = Name::dns("localhost").into_iter().chain(loopback).collect();
    if let Some(host) = host() {
        let short = host.split('.').next().unwrap_or(&host);
        names.extend(Name::dns(&format!("{short}.local")).filter(|_| short != "localhost"));
        names.extend(Name::dns(&host));
    }
    names.extend(addresses().into_iter().map(Name::Address));
    let mut seen: Vec<Name> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// How others reach a listener: one on every interface by the first address of the local network, else by `localhost`.
pub fn reached(listener: SocketAddr) -> String {
    if !listener.ip().is_unspecified() {
        return listener.to_string();
    }
    match addresses().first() {
        Some(ip) => SocketAddr::new(*ip, listener.port()).to_string(),
        None => format!("localhost:{}", listener.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_certificates_have_them() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(Name::parse(text).map(|name| name.to_string()).as_deref(), expected, "{text}");
        };
        check("Historia.Hospital.Local", Some("historia.hospital.local"));
        check("srv-1.", Some("srv-1"));
        check("192.168.1.20", Some("192.168.1.20"));
        check("fd00::1", Some("fd00::1"));
        check("a b", None);
        check("", None);
        check("niño.local", None);
        check("https://x", None);
        assert_eq!(Name::dns("192.168.1.20"), None);
        let host = |url: &str| Name::of_url(url).map(|name| name.to_string());
        assert_eq!(host("https://historia.example.org:8443/a").as_deref(), Some("historia.example.org"));
        assert_eq!(host("https://[fd00::1]:8443").as_deref(), Some("fd00::1"));
        assert_eq!(host("historia"), None);
    }

    #[test]
    fn the_way_out_is_the_default_route() {
        let table = "Iface\tDestination\tGateway\nbr0\t0000A8C0\t00000000\nwlan0\t00000000\t0101A8C0\n";
        assert_eq!(way_out(table).as_deref(), Some("wlan0"));
        assert_eq!(way_out("Iface\n"), None);
        for (ip, private) in [("10.1.1.1", true), ("100.64.0.1", true), ("100.128.0.1", false), ("8.8.8.8", false)] {
            assert_eq!(is_private(ip.parse().unwrap()), private, "{ip}");
        }
        assert!(is_private("fd12::1".parse().unwrap()) && !is_private("fe80::1".parse().unwrap()));
    }

    #[test]
    fn this_machine_has_names() {
        let names = names();
        for name in ["localhost", "127.0.0.1", "::1"] {
            assert!(names.contains(&Name::parse(name).unwrap()), "{name}");
        }
        assert_eq!(reached("127.0.0.1:8443".parse().unwrap()), "127.0.0.1:8443");
        assert!(!reached("0.0.0.0:8443".parse().unwrap()).starts_with("0.0.0.0"));
    }
}
