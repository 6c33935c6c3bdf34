//! Page tokens (`_page`): where the next page starts, signed and bound to the query.
//!
//! Keyset, no offset: the sort value and id of the last row. A token of another query or installation is refused.
//! Not here yet: encryption, binding to the account, expiry. Rights are checked anew on each page, by the guard.

use crate::search::hash::Hasher;
use crate::search::query::{Cursor, Query};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

const SIGNATURE: usize = 16;
/// Longer ones are not of our making.
const LONGEST: usize = 256;

/// The token of the page that follows `last`.
pub fn token(hasher: &Hasher, query: &Query, last: &Cursor) -> String {
    token_of(hasher, query.resource_type, &query.self_parameters, last)
}

/// As [`token`], for what is not the search of one type: `place` stands for it in the signature.
pub fn token_of(hasher: &Hasher, place: &str, self_parameters: &[(String, String)], last: &Cursor) -> String {
    let mut bytes = vec![u8::from(last.at.is_some())];
    bytes.extend_from_slice(&last.at.map_or(0, Timestamp::as_microsecond).to_be_bytes());
    bytes.extend_from_slice(last.id.as_bytes());
    let signature = sign(hasher, place, self_parameters, &bytes);
    bytes.extend_from_slice(&signature);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token; none when it is not one of this query (`self_parameters` without `_page`).
pub fn read(hasher: &Hasher, resource_type: &str, self_parameters: &[(String, String)], token: &str) -> Option<Cursor> {
    if token.len() > LONGEST {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (payload, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE)?)?;
    if !equal(&sign(hasher, resource_type, self_parameters, payload), signature) {
        return None;
    }
    let (flag, rest) = payload.split_first()?;
    let (micros, id) = rest.split_first_chunk::<8>()?;
    let at = match flag {
        0 => None,
        _ => Some(Timestamp::from_microsecond(i64::from_be_bytes(*micros)).ok()?),
    };
    Some(Cursor { at, id: String::from_utf8(id.to_vec()).ok()? })
}

fn sign(hasher: &Hasher, resource_type: &str, self_parameters: &[(String, String)], payload: &[u8]) -> [u8; SIGNATURE] {
    let mut parts: Vec<&[u8]> = vec![b"page", resource_type.as_bytes(), payload];
    for (name, value) in self_parameters.iter().filter(|(name, _)| name != "_page") {
        parts.push(name.as_bytes());
        parts.push(value.as_bytes());
    }
    hasher.signature(&parts)
}

/// Compares without an early end, so that time tells nothing of the right signature.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}
