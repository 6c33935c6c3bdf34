//! Passwords: Argon2id (RFC 9106) as PHC strings, and the rule for new ones (NIST SP 800-63B, 3.1.1).
//!
//! A hash takes 19 MiB and some 30 ms on purpose, so only few are made at once: sign-ins wait for each other, FHIR
//! requests do not wait for sign-ins.

use crate::clock;
use crate::error::{Error, Kind, Result};
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use unicode_normalization::UnicodeNormalization;

/// Characters of a password after normalisation.
const SHORTEST: usize = 8;
const LONGEST: usize = 128;
/// Bytes that are looked at: 128 characters of four bytes, twice, because normalisation may shorten.
const BYTES: usize = 1024;

/// The least that OWASP recommends for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes in work: two, so that they take 38 MiB and leave the cores of a small server to the requests.
static SLOTS: Semaphore = Semaphore::const_new(2);
/// How long a sign-in waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// A hash of nobody's password, with the parameters of the others: it is verified for an unknown user, so that the
/// answer takes as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$aGlzdG9yaWEtbm9ib2R5$2h4ldX6zWqQ1kq1hA8cZyqvR2mJ8ZJ0Hc9mM3QG7Z1E";

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| Error::internal(format!("argon2: {e}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// The same password typed on another keyboard is the same password.
fn normalised(clave: &str) -> Option<String> {
    (clave.len() <= BYTES).then(|| clave.nfkc().collect())
}

/// The rule for a new password: 8 to 128 characters, not the user name. No composition rules.
pub fn check(clave: &str, usuario: &str) -> Result<()> {
    let refused = |text: &str| Err(Error::at(Kind::BusinessRule, "clave", text));
    let Some(clave) = normalised(clave) else {
        return refused("the password is longer than 128 characters");
    };
    match clave.chars().count() {
        n if n < SHORTEST => refused("the password is shorter than 8 characters"),
        n if n > LONGEST => refused("the password is longer than 128 characters"),
        _ if clave.to_lowercase() == usuario.to_lowercase() => refused("the password is the user name"),
        _ => Ok(()),
    }
}

/// The PHC string of a new password.
pub async fn hash(clave: &str) -> Result<String> {
    let clave = normalised(clave).ok_or_else(|| Error::at(Kind::BusinessRule, "clave", "the password is too long"))?;
    let salt = clock::random::<16>()?;
    let slot = slot().await?;
    blocking(slot, move || {
        let hash = argon2()?.hash_password_with_salt(clave.as_bytes(), &salt);
        hash.map(|hash| hash.to_string()).map_err(|e| Error::internal(format!("argon2: {e}")))
    })
    .await
}

/// Whether `clave` is the password behind `hash`. Without a hash (unknown user) it takes as long and is false.
pub async fn verify(clave: &str, hash: Option<&str>) -> Result<bool> {
    let typed = normalised(clave);
    let known = hash.is_some() && typed.is_some();
    let (typed, hash) = (typed.unwrap_or_default(), hash.unwrap_or(NOBODY).to_owned());
    let slot = slot().await?;
    blocking(slot, move || Ok(argon2()?.verify_password(typed.as_bytes(), hash.as_str()).is_ok() && known)).await
}

async fn slot() -> Result<SemaphorePermit<'static>> {
    match tokio::time::timeout(PATIENCE, SLOTS.acquire()).await {
        Ok(Ok(slot)) => Ok(slot),
        _ => Err(Error::new(Kind::Transient, "too many people sign in at the same time")),
    }
}

/// The slot is kept until the work has ended, also when nobody waits for it any more.
async fn blocking<T: Send + 'static>(
    slot: SemaphorePermit<'static>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let work = move || {
        let result = work();
        drop(slot);
        result
    };
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn a032_a_password_is_the_same_however_it_was_typed() {
        let composed = hash("contrase\u{f1}a larga").await.unwrap();
        assert!(composed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{composed}");
        assert!(verify("contrasen\u{303}a larga", Some(&composed)).await.unwrap());
        assert!(!verify("contrasena larga", Some(&composed)).await.unwrap());
        assert!(!verify("Contrase\u{f1}a larga", Some(&composed)).await.unwrap());
        assert_ne!(hash("contrase\u{f1}a larga").await.unwrap(), composed, "the salt is new each time");
    }

    #[tokio::test]
    async fn a031_long_passwords_are_not_cut() {
        let long: String = "ñ".repeat(127);
        let hash = hash(&format!("{long}a")).await.unwrap();
        assert!(verify(&format!("{long}a"), Some(&hash)).await.unwrap());
        assert!(!verify(&format!("{long}b"), Some(&hash)).await.unwrap());
    }

    #[tokio::test]
    async fn an_unknown_user_costs_as_much_and_is_refused() {
        assert!(argon2().unwrap().verify_password(b"x", NOBODY).is_err());
        let known = hash("una clave cualquiera").await.unwrap();
        let time = async |hash: Option<&str>| {
            let start = Instant::now();
            assert!(!verify("otra clave", hash).await.unwrap());
            start.elapsed()
        };
        let (with, without) = (time(Some(&known)).await, time(None).await);
        assert!(without > with / 3, "{with:?} against {without:?}");
        assert!(!verify(&"x".repeat(5000), None).await.unwrap());
        assert!(!verify("", Some("not a hash")).await.unwrap());
    }

    #[test]
    fn new_passwords_obey_the_rule() {
        let check = |clave: &str, ok: bool| assert_eq!(super::check(clave, "Ana.Ruiz").is_ok(), ok, "{clave}");
        check("1234567", false);
        check("12345678", true);
        check("ñandúes8", true);
        check("ana.ruiz", false);
        check(&"á".repeat(128), true);
        check(&"á".repeat(129), false);
        check(&"a".repeat(2000), false);
    }
}
