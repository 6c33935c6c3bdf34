//! The keys of forms: the CSRF token of a session, and one-time keys that are good for one account only.
//!
//! Both are keyed hashes (HMAC-SHA-256, RFC 2104) with a key of the installation, so nothing is stored before a form is
//! sent, and every instance knows them.

use crate::clock;
use crate::error::Result;
use crate::store::{Conn, installation};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// Bytes of a tag that are kept: 128 bits.
const TAG: usize = 16;
const LONGEST: usize = 80;

pub struct FormKeys(hmac::Key);

impl FormKeys {
    pub async fn read(conn: &Conn) -> Result<FormKeys> {
        let key = installation::key(conn, "forms", || Ok(clock::random::<32>()?.to_vec())).await?;
        Ok(FormKeys::of(&key))
    }

    pub fn of(key: &[u8]) -> FormKeys {
        FormKeys(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    fn tag(&self, text: &str) -> String {
        let tag = hmac::sign(&self.0, text.as_bytes());
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..TAG).unwrap_or_default())
    }

    /// The CSRF token of a session.
    pub fn csrf(&self, jti: Uuid) -> String {
        self.tag(&format!("csrf {jti}"))
    }

    pub fn is_csrf(&self, jti: Uuid, sent: &str) -> bool {
        verify_slices_are_equal(self.csrf(jti).as_bytes(), sent.as_bytes()).is_ok()
    }

    /// A new key for the forms of one page, which only this account can use.
    pub fn form_key(&self, usuario: Uuid) -> Result<String> {
        let once = URL_SAFE_NO_PAD.encode(clock::random::<16>()?);
        Ok(format!("{once}.{}", self.tag(&format!("form {usuario} {once}"))))
    }

    /// Whether a key was made for this account.
    pub fn is_form_key(&self, usuario: Uuid, sent: &str) -> bool {
        let Some((once, tag)) = sent.split_once('.').filter(|_| sent.len() <= LONGEST) else { return false };
        verify_slices_are_equal(self.tag(&format!("form {usuario} {once}")).as_bytes(), tag.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_of_one_session_and_one_account() {
        let keys = FormKeys::of(b"0123456789abcdef0123456789abcdef");
        let (ana, luis) = (clock::uuid(), clock::uuid());
        assert!(keys.is_csrf(ana, &keys.csrf(ana)) && !keys.is_csrf(luis, &keys.csrf(ana)));
        assert!(!keys.is_csrf(ana, "") && !FormKeys::of(b"other").is_csrf(ana, &keys.csrf(ana)));
        let key = keys.form_key(ana).unwrap();
        assert!(keys.is_form_key(ana, &key) && !keys.is_form_key(luis, &key));
        assert_ne!(keys.form_key(ana).unwrap(), key);
        for bad in
            ["", ".", "a.b", key.trim_end_matches(char::is_alphanumeric), &key.replace('.', ""), &format!("x{key}")]
        {
            assert!(!keys.is_form_key(ana, bad), "{bad}");
        }
        // The tag of the one is none of the other.
        assert!(!keys.is_form_key(ana, &format!("{ana}.{}", keys.csrf(ana))));
    }
}
