//! The growing delay after wrong passwords and codes (NIST SP 800-63B, 3.2.2), per account and source address: who guesses
//! waits, the owner at another place does not. Unknown accounts are counted like known ones.

use crate::app::App;
use crate::clock;
use crate::error::Result;
use crate::store::attempt;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::time::Duration;

/// Wrong ones before the first wait.
const FREE: i32 = 5;
const LONGEST_WAIT: u64 = 30;

/// The wait after this many wrong ones in a row: none, then 1 s, doubling to 30 s.
pub fn wait(failures: i32) -> Duration {
    match u32::try_from(failures - FREE) {
        Ok(over) if failures > FREE => Duration::from_secs(2_u64.saturating_pow(over - 1).min(LONGEST_WAIT)),
        _ => Duration::ZERO,
    }
}

/// Where an attempt comes from: of IPv6 the network, because one machine has many addresses.
pub fn source(peer: Option<IpAddr>) -> String {
    match peer.map(|peer| peer.to_canonical()) {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        None => "-".to_owned(),
    }
}

/// Attempts of one kind at one account from one source.
pub struct Attempts<'a> {
    app: &'a App,
    account: Vec<u8>,
    source: &'a str,
    /// The sign-ins that `historia dev` shows have no limits.
    free: bool,
}

impl<'a> Attempts<'a> {
    /// `account`: what was typed, in its one form.
    pub fn new(app: &'a App, kind: &str, account: &str, source: &'a str) -> Attempts<'a> {
        let digest = Sha256::new_with_prefix(kind).chain_update(":").chain_update(account).finalize().to_vec();
        let free = app.dev_logins.get().is_some_and(|names| names.iter().any(|name| name == account));
        Attempts { app, account: digest, source, free }
    }

    /// How much longer there is to wait; zero: go on.
    pub async fn left(&self) -> Result<Duration> {
        if self.free {
            return Ok(Duration::ZERO);
        }
        let now = clock::now();
        let found = attempt::found(&*self.app.pool.lane().await?, &self.account, self.source, now).await?;
        Ok(found.map_or(Duration::ZERO, |(failures, last)| {
            let since = Duration::try_from(now.duration_since(last)).unwrap_or_default();
            wait(failures).saturating_sub(since)
        }))
    }

    /// Counts a wrong one. Returns how long to wait now.
    pub async fn failed(&self) -> Result<Duration> {
        if self.free {
            return Ok(Duration::ZERO);
        }
        let failures = attempt::failed(&*self.app.pool.lane().await?, &self.account, self.source, clock::now()).await?;
        if failures == FREE + 1 {
            tracing::warn!(source = self.source, "somebody keeps trying wrong passwords or codes");
        }
        Ok(wait(failures))
    }

    pub async fn succeeded(&self) -> Result<()> {
        attempt::forget(&*self.app.pool.lane().await?, &self.account, self.source).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a052_the_wait_grows_and_ends() {
        let check = |failures: i32, seconds: u64| assert_eq!(wait(failures).as_secs(), seconds, "{failures}");
        check(0, 0);
        check(5, 0);
        check(6, 1);
        check(7, 2);
        check(10, 16);
        check(11, 30);
        check(i32::MAX, 30);
        check(-1, 0);
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let check = |peer: &str, expected: &str| assert_eq!(source(peer.parse().ok()), expected);
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64");
        check("?", "-");
    }
}
