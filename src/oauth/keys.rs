//! The signing key of the installation: ES256 (RFC 7518, 3.4), named by its thumbprint (RFC 7638), shown as a JWK set.
//!
//! One key for all instances, in the table `installation`. Changing it with an overlap comes later.

use crate::error::{Error, Result};
use crate::oauth::token::Claims;
use crate::store::{Conn, installation};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

/// A longer token is refused before anything of it is read.
const LONGEST_TOKEN: usize = 8 * 1024;
/// The kind of token in the header (RFC 9068, 2.1): nothing else that this key may sign one day is an access token.
const TYP: &str = "at+jwt";
/// How far the clocks of two instances may differ, in seconds.
const SKEW: i64 = 30;

pub struct Keys {
    kid: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    jwks: Value,
    issuer: String,
    audience: String,
}

impl Keys {
    /// Reads the key of the installation; the first instance makes it.
    pub async fn read(conn: &Conn, issuer: &str, audience: &str) -> Result<Keys> {
        let pkcs8 = installation::key(conn, "es256", generate).await?;
        Keys::of(&pkcs8, issuer, audience)
    }

    /// `pkcs8`: a P-256 private key as PKCS#8 DER.
    pub fn of(pkcs8: &[u8], issuer: &str, audience: &str) -> Result<Keys> {
        let fault = |e: jsonwebtoken::errors::Error| Error::internal(format!("the signing key is not usable: {e}"));
        let signing = EncodingKey::from_ec_der(pkcs8);
        let jwk = Jwk::from_encoding_key(&signing, Algorithm::ES256).map_err(fault)?;
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(fault)?;
        let AlgorithmParameters::EllipticCurve(point) = &jwk.algorithm else {
            return Err(Error::internal("the signing key is not of an elliptic curve"));
        };
        let jwks = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "x": point.x, "y": point.y, "use": "sig", "alg": "ES256", "kid": kid,
        }]});
        let verifying = DecodingKey::from_jwk(&jwk).map_err(fault)?;
        Ok(Keys { kid, signing, verifying, jwks, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// The JWK set (RFC 7517, 5): public parts only.
    pub fn jwks(&self) -> &Value {
        &self.jwks
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub fn audience(&self) -> &str {
        &self.audience
    }

    pub fn sign(&self, claims: &Claims) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYP.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|e| Error::internal(format!("cannot sign: {e}")))
    }

    /// The claims of a token that this installation has signed and that is valid at `now` (seconds), and whether issuer
    /// and audience are this instance's own addresses; None for everything else, without saying why. An instance that
    /// is reached under another address signs with the same key: its tokens are good when their session is.
    pub fn verify(&self, token: &str, now: i64) -> Option<(Claims, bool)> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        let ours = header.alg == Algorithm::ES256
            && header.typ.as_deref().is_some_and(|typ| typ.eq_ignore_ascii_case(TYP))
            && header.kid.as_deref() == Some(self.kid.as_str());
        // Nothing in a header may lead to another key, and nothing critical is known.
        let plain = header.jku.is_none()
            && header.jwk.is_none()
            && header.x5u.is_none()
            && header.x5c.is_none()
            && header.crit.is_none()
            && header.enc.is_none()
            && header.zip.is_none();
        if !(ours && plain) {
            return None;
        }
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
        // Issuer and audience are judged below, against the session when they are another instance's.
        rules.validate_aud = false;
        // The times are judged below, by the clock that is handed in, as typed numbers.
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &rules).ok()?.claims;
        let in_time = now < claims.exp && claims.nbf <= now + SKEW && claims.iat <= now + SKEW;
        let own = claims.iss == self.issuer && claims.aud == self.audience;
        in_time.then_some((claims, own))
    }
}

/// A new key as PKCS#8.
fn generate() -> Result<Vec<u8>> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    key.map(|key| key.as_ref().to_vec()).map_err(|_| Error::internal("no signing key could be made"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    pub(crate) const NOW: i64 = 1_800_000_000;

    pub(crate) fn keys() -> Keys {
        Keys::of(&generate().unwrap(), "https://h.example", "https://h.example/fhir").unwrap()
    }

    pub(crate) fn claims() -> Claims {
        Claims {
            iss: "https://h.example".into(),
            sub: "usuario/018f3c5e-0000-7000-8000-000000000000".into(),
            aud: "https://h.example/fhir".into(),
            jti: "018f3c5e-0000-7000-8000-000000000001".into(),
            iat: NOW,
            nbf: NOW,
            exp: NOW + 3600,
            client_id: "historia".into(),
            scope: "user/*.*".into(),
            rol: "medico".into(),
            documento_id: "CC-1020304050".into(),
            patient: None,
        }
    }

    fn part(value: &Value) -> String {
        URL_SAFE_NO_PAD.encode(value.to_string())
    }

    /// Signs any header and claims with the key of `keys`.
    fn forge(keys: &Keys, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &keys.signing, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_of_ours_is_valid_in_its_time_only() {
        let keys = keys();
        let token = keys.sign(&claims()).unwrap();
        let check = |now: i64, ok: bool| assert_eq!(keys.verify(&token, now).is_some(), ok, "{}", now - NOW);
        check(NOW, true);
        check(NOW - SKEW, true);
        check(NOW - SKEW - 1, false);
        check(NOW + 3599, true);
        check(NOW + 3600, false);
        assert_eq!(keys.verify(&token, NOW).unwrap().0.documento_id, "CC-1020304050");
        assert!(super::tests::keys().verify(&token, NOW).is_none(), "another installation's key");
    }

    #[test]
    fn a001_to_a008_forged_headers_and_claims_are_refused() {
        let keys = keys();
        let good_header = json!({"alg": "ES256", "typ": "at+jwt", "kid": keys.kid});
        let good_claims = serde_json::to_value(claims()).unwrap();
        assert!(keys.verify(&forge(&keys, &good_header, &good_claims), NOW).is_some(), "the forge works");
        let headers = [
            ("typ", json!("JWT")),
            ("typ", Value::Null),
            ("alg", json!("none")),
            ("alg", json!("HS256")),
            ("alg", json!("ES384")),
            ("kid", json!("../../etc/passwd")),
            ("kid", json!("' OR 1=1")),
            ("kid", Value::Null),
            ("kid", json!("k".repeat(10_000))),
            ("jku", json!("https://evil.example/jwks")),
            ("crit", json!(["exp"])),
            ("x5u", json!("https://evil.example")),
        ];
        for (name, value) in headers {
            let mut header = good_header.clone();
            header[name] = value.clone();
            assert!(keys.verify(&forge(&keys, &header, &good_claims), NOW).is_none(), "{name} {value}");
        }
        let wrong = [
            ("iss", json!("https://h.example/")),
            ("iss", Value::Null),
            ("iss", json!(["https://h.example", "https://x.example"])),
            ("aud", json!("https://h.example")),
            ("aud", Value::Null),
            ("aud", json!([])),
            ("exp", json!("1900000000")),
            ("exp", Value::Null),
            ("exp", json!(-1)),
            ("exp", json!(1e300)),
            ("nbf", json!(NOW + 3000)),
            ("nbf", json!("0")),
            ("nbf", Value::Null),
            ("iat", json!(NOW + 3000)),
            ("sub", Value::Null),
            ("jti", Value::Null),
            ("rol", Value::Null),
        ];
        for (name, value) in wrong {
            let mut forged = good_claims.clone();
            forged[name] = value.clone();
            let taken_as_own = keys.verify(&forge(&keys, &good_header, &forged), NOW).is_some_and(|(_, own)| own);
            assert!(!taken_as_own, "{name} {value}");
        }
    }

    #[test]
    fn a009_a_token_with_one_changed_byte_is_refused() {
        let keys = keys();
        let token = keys.sign(&claims()).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            // The last character carries unused bits; a decoder that takes them must still see the same signature.
            assert!(keys.verify(&forged, NOW).is_none(), "byte {at}");
        }
        for text in ["", ".", "..", "a.b.c", "....", &"x".repeat(9000), &format!("{token}.x")] {
            assert!(keys.verify(text, NOW).is_none());
        }
    }

    #[test]
    fn the_key_set_shows_the_public_half_alone() {
        let keys = keys();
        let key = &keys.jwks()["keys"][0];
        assert_eq!(key["kid"].as_str(), Some(keys.kid.as_str()));
        assert!(key.get("d").is_none());
        // RFC 7638, 3.2: the required members in the order of their names.
        let members = format!(r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#, key["x"], key["y"]);
        let digest = <sha2::Sha256 as sha2::Digest>::digest(members.as_bytes());
        assert_eq!(keys.kid, URL_SAFE_NO_PAD.encode(digest));
    }
}
