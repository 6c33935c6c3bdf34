//! Page tokens (`_page`): where the next page starts, for one caller, one query and one day.
//!
//! Keyset, no offset: the sort values and id of the last row, which may be of a record and stand in addresses: so encrypted
//! (AES-128-GCM-SIV, under a key made from that of the installation) and bound to the caller and the query as additional
//! data. Rights are checked anew on each page, by the guard.

use crate::search::hash::Hasher;
use crate::search::query::{Cursor, Query};
use aws_lc_rs::aead::{AES_128_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};

/// How long a token is good.
const LIFE: SignedDuration = SignedDuration::from_hours(24);
/// Longer ones are not of our making.
const LONGEST: usize = 8 * 1024;

/// What a token is bound to.
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    pub hasher: &'a Hasher,
    /// Account or client.
    pub actor: &'a str,
    /// Type or address that is searched.
    pub place: &'a str,
    /// The query; `_page` in it does not count.
    pub parameters: &'a [(String, String)],
    pub now: Timestamp,
}

impl<'a> Binding<'a> {
    /// Of a query at an address.
    pub fn of(hasher: &'a Hasher, actor: &'a str, place: &'a str, query: &'a Query, now: Timestamp) -> Binding<'a> {
        Binding { hasher, actor, place, parameters: &query.self_parameters, now }
    }

    fn key(&self) -> Option<LessSafeKey> {
        let key = self.hasher.signature(&[b"page key"]);
        UnboundKey::new(&AES_128_GCM_SIV, &key).ok().map(LessSafeKey::new)
    }

    fn data(&self) -> [u8; 16] {
        let mut parts: Vec<&[u8]> = vec![b"page", self.actor.as_bytes(), self.place.as_bytes()];
        for (name, value) in self.parameters.iter().filter(|(name, _)| name != "_page") {
            parts.push(name.as_bytes());
            parts.push(value.as_bytes());
        }
        self.hasher.signature(&parts)
    }

    /// The token of the page that follows `last`; none only when the cipher fails.
    pub fn token(&self, last: &Cursor) -> Option<String> {
        let until = self.now.checked_add(LIFE).ok()?.as_second();
        let mut sealed = until.to_be_bytes().to_vec();
        for text in last.values.iter().chain([&last.id]) {
            sealed.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
            sealed.extend_from_slice(text.as_bytes());
        }
        let data = self.data();
        // The cipher forgives a nonce that comes again; this one does so with the same content only.
        let nonce = *self.hasher.signature(&[b"page nonce", &data, &sealed]).first_chunk::<NONCE_LEN>()?;
        let place = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(place, Aad::from(data), &mut sealed).ok()?;
        let mut token = nonce.to_vec();
        token.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Reads a token; none when it is not one of this caller and query, or too old.
    pub fn read(&self, token: &str) -> Option<Cursor> {
        if token.len() > LONGEST {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key()?.open_in_place(nonce, Aad::from(self.data()), sealed).ok()?;
        let (until, mut rest) = opened.split_first_chunk::<8>()?;
        if self.now.as_second() > i64::from_be_bytes(*until) {
            return None;
        }
        let mut values = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (text, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            values.push(String::from_utf8(text.to_vec()).ok()?);
            rest = after;
        }
        let id = values.pop()?;
        Some(Cursor { values, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_one_caller_one_query_and_one_day() {
        let hasher = Hasher::new([1; 16]);
        let other = Hasher::new([2; 16]);
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let parameters = vec![("name".to_owned(), "ana".to_owned())];
        let changed = vec![("name".to_owned(), "anb".to_owned())];
        let paged = vec![parameters[0].clone(), ("_page".to_owned(), "x".to_owned())];
        let of = Binding { hasher: &hasher, actor: "usuario/1", place: "Patient", parameters: &parameters, now };
        let last = Cursor { values: vec!["garcia ñ".into(), String::new()], id: "x.y-1".into() };
        let token = of.token(&last).unwrap();
        assert!(!String::from_utf8_lossy(&URL_SAFE_NO_PAD.decode(&token).unwrap()).contains("garcia"));
        assert_eq!(of.read(&token), Some(last.clone()));
        assert_eq!(Binding { parameters: &paged, ..of }.read(&token), Some(last.clone()));
        let later = |hours| now + SignedDuration::from_hours(hours);
        assert_eq!(Binding { now: later(23), ..of }.read(&token), Some(last));
        for binding in [
            Binding { now: later(25), ..of },
            Binding { actor: "usuario/2", ..of },
            Binding { place: "Person", ..of },
            Binding { parameters: &changed, ..of },
            Binding { parameters: &[], ..of },
            Binding { hasher: &other, ..of },
        ] {
            assert_eq!(binding.read(&token), None);
        }
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(of.read(&String::from_utf8(forged).unwrap()), None, "{at}");
        }
        for bad in ["", "A", "AAAA", &"A".repeat(9000), "ñ"] {
            assert_eq!(of.read(bad), None);
        }
    }
}
