//! The forms that configuration values have in text: addresses to listen on, times, sizes, networks, secrets.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A value that is never shown: `Debug` masks it, [`Secret::expose`] says in the source where it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// `IP:PORT`, `localhost:PORT` or `off`.
pub fn listener(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" || text.is_empty() {
        return Ok(None);
    }
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map(Some).map_err(|_| {
        "must be an address and a port, as in \"127.0.0.1:8080\" or \"[::1]:8080\" (0.0.0.0 for every interface), or \"off\"".to_owned()
    })
}

/// A number and one of `ms s min h d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number and a unit, as in \"500 ms\", \"30 s\", \"15 min\", \"8 h\" or \"1 d\"".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "min" | "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    // Ten years: beyond it sums of times could overflow, and nobody means it.
    let total = number
        .checked_mul(milliseconds)
        .filter(|ms| *ms <= 315_360_000_000)
        .ok_or_else(|| "is longer than ten years".to_owned())?;
    if total == 0 {
        return Err("must be longer than nothing".to_owned());
    }
    Ok(Duration::from_millis(total))
}

/// A number and one of `B kB KiB MB MiB GB GiB`, in bytes.
pub fn size(text: &str) -> Result<usize, String> {
    let wrong = || "must be a number and a unit, as in \"16 kB\" or \"64 MiB\"".to_owned();
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let bytes: u64 = match unit {
        "B" => 1,
        "kB" => 1_000,
        "KiB" => 1_024,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    // 16 GiB: more than any request that is held in memory may be.
    let total = number
        .checked_mul(bytes)
        .filter(|total| *total <= 16 << 30)
        .ok_or_else(|| "is larger than 16 GiB".to_owned())?;
    if total == 0 {
        return Err("must be larger than nothing".to_owned());
    }
    usize::try_from(total).map_err(|_| "is too large for this machine".to_owned())
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    Some((number.parse().ok()?, unit.trim()))
}

/// An address or a network in CIDR notation (RFC 4632, RFC 4291).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "must be an address or a network, as in \"192.0.2.10\" or \"192.0.2.0/24\"".to_owned();
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?,
            None => longest,
        };
        Ok(Network { address, prefix })
    }

    /// Whether `peer` lies in the network; an IPv4 peer of a dual-stack listener counts as IPv4.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(peer)) => {
                same_prefix(u128::from(own.to_bits()), u128::from(peer.to_bits()), 32, self.prefix)
            }
            (IpAddr::V6(own), IpAddr::V6(peer)) => same_prefix(own.to_bits(), peer.to_bits(), 128, self.prefix),
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, width: u32, prefix: u8) -> bool {
    let ignored = width.saturating_sub(u32::from(prefix));
    ignored >= 128 || (a ^ b) >> ignored == 0
}

/// The password of a database address replaced by `***`: URL form, `password=` of a query, and key-value form.
pub fn mask_password(url: &str) -> String {
    let mut masked = url.to_owned();
    if let Some((scheme, rest)) = url.split_once("://") {
        // Up to the last @ before the path: a password may hold one unescaped.
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(authority_end);
        if let Some((credentials, host)) = authority.rsplit_once('@')
            && let Some((user, _)) = credentials.split_once(':')
        {
            masked = format!("{scheme}://{user}:***@{host}{tail}");
        }
    }
    mask_after(&masked, "password=")
}

fn mask_after(text: &str, marker: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(marker) {
        let (before, after) = rest.split_at(at + marker.len());
        out.push_str(before);
        out.push_str("***");
        let end = match after.strip_prefix('\'') {
            Some(quoted) => quoted.find('\'').map_or(after.len(), |end| end + 2),
            None => after.find(['&', ' ']).unwrap_or(after.len()),
        };
        rest = after.get(end..).unwrap_or("");
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners() {
        assert_eq!(listener("off"), Ok(None));
        assert_eq!(listener("localhost:0").unwrap().unwrap().to_string(), "127.0.0.1:0");
        assert_eq!(listener("[::1]:80").unwrap().unwrap().to_string(), "[::1]:80");
        for bad in ["8080", "127.0.0.1", "127.0.0.1:65536", "example.org:80", "*:80", "OFF"] {
            assert!(listener(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("15min"), Ok(Duration::from_secs(900)));
        assert_eq!(size("64 MiB"), Ok(64 << 20));
        assert_eq!(size("16kB"), Ok(16_000));
        for bad in ["", "30", "s", "-1 s", "0 s", "1.5 h", "99999999999999999999 s", "18446744073709551615 d", "4000 d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for bad in ["64", "64 mb", "0 B", "17 GiB", "18446744073709551615 GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks() {
        let check = |network: &str, peer: &str| Network::parse(network).unwrap().contains(peer.parse().unwrap());
        assert!(check("192.0.2.0/24", "192.0.2.200"));
        assert!(!check("192.0.2.0/24", "192.0.3.1"));
        assert!(check("192.0.2.10", "192.0.2.10"));
        assert!(check("192.0.2.10", "::ffff:192.0.2.10"));
        assert!(!check("192.0.2.10", "192.0.2.11"));
        assert!(check("0.0.0.0/0", "203.0.113.9"));
        assert!(!check("0.0.0.0/0", "::1"));
        assert!(check("2001:db8::/32", "2001:db8:1::1"));
        assert!(check("::/0", "2001:db8::1"));
        assert!(Network::parse("192.0.2.0/33").is_err());
    }

    #[test]
    fn passwords_are_masked() {
        let check = |url: &str, masked: &str| assert_eq!(mask_password(url), masked);
        check("postgres://ana:se:c@ret@db:5432/h", "postgres://ana:***@db:5432/h");
        check("postgres://ana@db/h?sslmode=require", "postgres://ana@db/h?sslmode=require");
        check("postgres:///h?host=/run&password=secret&user=a", "postgres:///h?host=/run&password=***&user=a");
        check("host=db password='a b' user=x", "host=db password=*** user=x");
        check("host=db user=x password=secret", "host=db user=x password=***");
        assert_eq!(format!("{:?}", Secret::new("secret")), "Secret(***)");
    }
}
