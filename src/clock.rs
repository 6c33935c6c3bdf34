//! Time and randomness: the only door to both, so that tests can hold them still.

use crate::error::{Error, Result};
use jiff::{Timestamp, Unit};
use uuid::Uuid;

/// Now, in whole milliseconds: the precision of `meta.lastUpdated`, so that what is stored is what is shown.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// A time-ordered UUID (version 7, RFC 9562).
pub fn uuid() -> Uuid {
    Uuid::now_v7()
}

/// Fills an array from the operating system's random source.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).map_err(|e| Error::internal(format!("no random bytes: {e}")))?;
    Ok(bytes)
}

/// Crockford-like base32, lower case, without letters that read alike: `0-9 a-z` less `i l o u`.
const BASE32: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The first `length` base32 characters (5 bits each) of `bytes`.
pub fn base32(bytes: &[u8], length: usize) -> String {
    let mut text = String::with_capacity(length);
    let (mut window, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        window = (window << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 && text.len() < length {
            bits -= 5;
            let digit = (window >> bits) & 31;
            text.push(BASE32.get(digit as usize).copied().unwrap_or(b'0') as char);
        }
    }
    if bits > 0 && text.len() < length {
        let digit = (window << (5 - bits)) & 31;
        text.push(BASE32.get(digit as usize).copied().unwrap_or(b'0') as char);
    }
    text
}

/// A random record id: 10 base32 characters, 50 bits.
pub fn record_id() -> Result<String> {
    Ok(base32(&random::<7>()?, 10))
}

/// The time-ordered tail of a server-made id inside a record: 26 base32 characters of a UUID v7.
pub fn tail() -> String {
    base32(uuid().as_bytes(), 26)
}

/// A secret for people to copy: 160 random bits as base32.
pub fn secret() -> Result<String> {
    Ok(base32(&random::<20>()?, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_ordered_like_its_bytes() {
        assert_eq!(base32(&[0, 0, 0, 0, 0, 0, 0], 10), "0000000000");
        assert_eq!(base32(&[255; 7], 10), "zzzzzzzzzz");
        assert!(base32(&[1; 16], 26) < base32(&[2; 16], 26));
        assert_eq!(base32(&[7; 16], 26).len(), 26);
    }
}
