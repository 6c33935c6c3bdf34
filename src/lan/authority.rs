//! `<data_dir>/tls`: a certificate authority of this installation, and the certificate that it signs for this machine.
//!
//! The authority is made once and may sign for the local network only (RFC 5280, 4.2.1.10), so that who trusts it need not
//! fear for the rest of the internet. Whether a certificate is still good is asked as a client would ask: by verifying it.

use super::Name;
use crate::error::{Error, Kind, Result};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const AUTHORITY: &str = "ca.crt";
const AUTHORITY_KEY: &str = "ca.key";
/// What was asked for by name: certificates made later have it too.
const NAMES: &str = "names";

const AUTHORITY_DAYS: i64 = 3_650;
/// With the day before, 397: phones refuse what is longer than 398.
const DAYS: i64 = 396;
/// A certificate that ends sooner is made again.
const AHEAD_DAYS: i64 = 30;

/// For which addresses an authority may sign, beside what was asked for when it was made.
const NETWORKS: [(&str, u8); 8] = [
    ("127.0.0.0", 8),
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("169.254.0.0", 16),
    ("100.64.0.0", 10),
    ("::1", 128),
    ("fc00::", 7),
];

/// The folder of the certificates.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// The certificate of `historia certs`, and its key.
pub fn certificate(data_dir: &Path) -> (PathBuf, PathBuf) {
    let folder = folder(data_dir);
    (folder.join("server.crt"), folder.join("server.key"))
}

/// An authority, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    pub name: String,
    /// SHA-256 of the certificate: `AB:CD:...`.
    pub fingerprint: String,
    pub until: Timestamp,
    pub der: Vec<u8>,
}

/// What [`ensure`] found or made.
#[derive(Debug)]
pub struct Ensured {
    pub authority: Authority,
    pub made_authority: bool,
    pub made_certificate: bool,
    pub until: Timestamp,
    pub names: Vec<Name>,
}

/// An authority and a certificate that is good for this machine and for `asked`; made where they are not there.
pub fn ensure(data_dir: &Path, asked: &[Name], renew: bool, now: Timestamp) -> Result<Ensured> {
    let folder = folder(data_dir);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|e| cannot("make", &folder, &e))?;
    let (asked, known) = (asked_ever(&folder, asked)?, read(&folder.join(AUTHORITY))?);
    let made_authority = known.is_none();
    let der = match known {
        Some(pem) => first_certificate(&pem).ok_or_else(|| unusable(&folder.join(AUTHORITY)))?,
        None => make_authority(&folder, &asked, now)?,
    };
    let authority = Authority::of(&der).ok_or_else(|| unusable(&folder.join(AUTHORITY)))?;
    if ends_soon(authority.until, now) {
        return Err(new_authority(&folder, "ends within a month"));
    }
    let verifier = verifier(&der)?;
    let mut names: Vec<Name> = super::names().into_iter().filter(|name| !asked.contains(name)).collect();
    let own = names.len();
    names.extend(asked.iter().cloned());
    let good = |names: &[Name]| if renew { Ok(None) } else { good(&verifier, data_dir, names, days(now, AHEAD_DAYS)) };
    let mut until = good(&names)?;
    if until.is_none() {
        let issuer = issuer(&folder, &authority)?;
        let allowed = |name: &Name| may(&issuer, &verifier, name, now);
        if let Some(outside) = asked.iter().find(|name| !allowed(name)) {
            return Err(new_authority(&folder, &format!("may not sign for {outside}")));
        }
        // The machine may have been given another name since the authority was made.
        let mut n = 0;
        names.retain(|name| {
            n += 1;
            n > own || allowed(name)
        });
        until = good(&names)?;
        if until.is_none() {
            let until = make_certificate(data_dir, &issuer, &names, days(now, DAYS).min(authority.until), now)?;
            remember(&folder, &asked)?;
            return Ok(Ensured { authority, made_authority, made_certificate: true, until, names });
        }
    }
    remember(&folder, &asked)?;
    Ok(Ensured { authority, made_authority, made_certificate: false, until: until.unwrap_or(now), names })
}

fn make_certificate(
    data_dir: &Path,
    issuer: &Issuer<'_, KeyPair>,
    names: &[Name],
    until: Timestamp,
    now: Timestamp,
) -> Result<Timestamp> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?;
    let made = leaf(names, until, now)?.signed_by(&key, issuer).map_err(Error::internal)?;
    let (certificate, private) = certificate(data_dir);
    write(&private, &key.serialize_pem(), 0o600)?;
    write(&certificate, &made.pem(), 0o644)?;
    Ok(facts(made.der()).map_or(until, |facts| facts.until))
}

/// The authority of the certificate that is served, when it is that of `historia certs`, and until when that holds.
pub fn served(data_dir: &Path, now: Timestamp) -> Option<(Authority, Timestamp)> {
    let der = first_certificate(&read(&folder(data_dir).join(AUTHORITY)).ok()??)?;
    let verifier = verifier(&der).ok()?;
    let until = good(&verifier, data_dir, &[Name::dns("localhost")?], now).ok()??;
    Some((Authority::of(&der)?, until))
}

/// Whether a certificate should be made again.
pub fn ends_soon(until: Timestamp, now: Timestamp) -> bool {
    until < days(now, AHEAD_DAYS)
}

impl Authority {
    fn of(der: &CertificateDer<'_>) -> Option<Authority> {
        let facts = facts(der)?;
        let mut fingerprint = String::new();
        for (n, byte) in Sha256::digest(der).iter().enumerate() {
            let _ = write!(fingerprint, "{}{byte:02X}", if n > 0 { ":" } else { "" });
        }
        Some(Authority { name: facts.subject, fingerprint, until: facts.until, der: der.to_vec() })
    }
}

fn days(from: Timestamp, days: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(from)
}

/// What was asked for before, and `asked`.
fn asked_ever(folder: &Path, asked: &[Name]) -> Result<Vec<Name>> {
    let before = read(&folder.join(NAMES))?.unwrap_or_default();
    let mut names: Vec<Name> = Vec::new();
    for name in before.lines().filter_map(|line| Name::parse(line.trim())).chain(asked.iter().cloned()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn remember(folder: &Path, asked: &[Name]) -> Result<()> {
    let (file, text) = (folder.join(NAMES), asked.iter().map(|name| format!("{name}\n")).collect::<String>());
    if read(&file)?.unwrap_or_default() == text { Ok(()) } else { write(&file, &text, 0o600) }
}

fn make_authority(folder: &Path, asked: &[Name], now: Timestamp) -> Result<CertificateDer<'static>> {
    let key = match read(&folder.join(AUTHORITY_KEY))? {
        Some(_) => return Err(unusable_pair(folder)),
        None => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Error::internal)?,
    };
    let host = super::host();
    let short = host.as_deref().and_then(|host| host.split('.').next()).unwrap_or("LAN");
    // Told apart from an earlier one in the settings of a phone.
    let mark = crate::clock::base32(&crate::clock::random::<4>()?, 4);
    let mut permitted: Vec<GeneralSubtree> =
        ["localhost", "local"].map(|name| GeneralSubtree::DnsName(name.to_owned())).into();
    let own = host.as_deref().and_then(Name::dns);
    for name in own.iter().chain(asked) {
        permitted.push(match name {
            Name::Dns(name) => GeneralSubtree::DnsName(name.clone()),
            Name::Address(ip) => {
                GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, if ip.is_ipv4() { 32 } else { 128 }))
            }
        });
    }
    let networks =
        NETWORKS.iter().filter_map(|(ip, prefix)| Some(CidrSubnet::from_addr_prefix(ip.parse().ok()?, *prefix)));
    permitted.extend(networks.map(GeneralSubtree::IpAddress));
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(format!("historia {short} {mark}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: Vec::new() });
    holds_until(&mut params, days(now, AUTHORITY_DAYS), now);
    let made = params.self_signed(&key).map_err(Error::internal)?;
    write(&folder.join(AUTHORITY_KEY), &key.serialize_pem(), 0o600)?;
    write(&folder.join(AUTHORITY), &made.pem(), 0o644)?;
    Ok(made.der().clone())
}

fn issuer(folder: &Path, authority: &Authority) -> Result<Issuer<'static, KeyPair>> {
    let pem = read(&folder.join(AUTHORITY_KEY))?.ok_or_else(|| unusable_pair(folder))?;
    let key = KeyPair::from_pem(&pem).map_err(|_| unusable(&folder.join(AUTHORITY_KEY)))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(authority.name.clone());
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(Issuer::new(params, key))
}

/// Whether the authority may sign for a name: such a certificate is made, and verified.
fn may(issuer: &Issuer<'_, KeyPair>, verifier: &WebPkiServerVerifier, name: &Name, now: Timestamp) -> bool {
    let sample = || {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).ok()?;
        leaf(std::slice::from_ref(name), days(now, 1), now).ok()?.signed_by(&key, issuer).ok()
    };
    sample().is_some_and(|made| holds(verifier, made.der(), std::slice::from_ref(name), now))
}

fn leaf(names: &[Name], until: Timestamp, now: Timestamp) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("historia".to_owned());
    for name in names {
        params.subject_alt_names.push(match name {
            Name::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(Error::internal)?),
            Name::Address(ip) => SanType::IpAddress(*ip),
        });
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    holds_until(&mut params, until, now);
    Ok(params)
}

fn common_name(text: String) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// From yesterday, because clocks of phones differ.
fn holds_until(params: &mut CertificateParams, until: Timestamp, now: Timestamp) {
    let date = |at: Timestamp| {
        let date = Offset::UTC.to_datetime(at).date();
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    (params.not_before, params.not_after) = (date(days(now, -1)), date(until));
}

/// Until when the certificate that lies there holds, if it holds for all the names at `at`.
fn good(verifier: &WebPkiServerVerifier, data_dir: &Path, names: &[Name], at: Timestamp) -> Result<Option<Timestamp>> {
    let (certificate, private) = certificate(data_dir);
    let (Some(pem), Some(key)) = (read(&certificate)?, read(&private)?) else { return Ok(None) };
    let found = || {
        let der = first_certificate(&pem)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let key = provider().key_provider.load_private_key(key).ok()?;
        CertifiedKey::new(vec![der.clone()], key).keys_match().ok()?;
        holds(verifier, &der, names, at).then(|| facts(&der).map(|facts| facts.until))?
    };
    Ok(found())
}

fn holds(verifier: &WebPkiServerVerifier, der: &CertificateDer<'_>, names: &[Name], at: Timestamp) -> bool {
    let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)));
    names.iter().all(|name| {
        name.server_name().is_some_and(|name| verifier.verify_server_cert(der, &[], &name, &[], at).is_ok())
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn verifier(authority: &CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(Error::internal)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(Error::internal)
}

fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn read(file: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot("read", file, &e)),
    }
}

/// Puts a file in place whole.
fn write(file: &Path, text: &str, mode: u32) -> Result<()> {
    let new = file.with_extension(format!("{}.new", crate::clock::uuid()));
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(mode).open(&new);
    let written = opened.and_then(|mut new| new.write_all(text.as_bytes()).and_then(|()| new.sync_all()));
    let placed = written.and_then(|()| std::fs::rename(&new, file));
    placed.map_err(|e| {
        let _ = std::fs::remove_file(&new);
        cannot("write", file, &e)
    })
}

fn cannot(verb: &str, file: &Path, error: &std::io::Error) -> Error {
    Error::at(Kind::Invalid, "data_dir", format!("data_dir: cannot {verb} {}: {error}", file.display()))
}

fn unusable(file: &Path) -> Error {
    let text =
        format!("{} is not what `historia certs` writes: move it away, or put the right one back", file.display());
    Error::at(Kind::Invalid, "data_dir", text)
}

fn new_authority(folder: &Path, why: &str) -> Error {
    let text = format!(
        "the authority in {} {why}: move {AUTHORITY} and {AUTHORITY_KEY} away, so that a new one is made, which every phone must trust anew",
        folder.display()
    );
    Error::at(Kind::Invalid, "data_dir", text)
}

fn unusable_pair(folder: &Path) -> Error {
    let text = format!(
        "{AUTHORITY} and {AUTHORITY_KEY} in {} belong together, and one is missing: put it back, or move the other away",
        folder.display()
    );
    Error::at(Kind::Invalid, "data_dir", text)
}

/// What is read of a certificate of ours.
struct Facts {
    /// The common name of whom it is of: the only part that our names have.
    subject: String,
    until: Timestamp,
}

/// Validity and subject of a certificate in DER (RFC 5280, 4.1).
fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // Version, serial number, algorithm, issuer.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (_, validity, rest) = element(rest)?;
    let (_, _, end) = element(validity)?;
    let (kind, end, _) = element(end)?;
    let (_, mut subject, _) = element(rest)?;
    // Of a set of a sequence of a kind and a text.
    for _ in 0..2 {
        subject = element(subject)?.1;
    }
    let (_, name, _) = element(element(subject)?.2)?;
    let (end, century) = (std::str::from_utf8(end).ok()?, if kind == 0x17 { "20" } else { "" });
    let date = format!("{century}{end}");
    let part = |from: usize, to: usize| date.get(from..to);
    let until = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    Some(Facts { subject: std::str::from_utf8(name).ok()?.to_owned(), until: until.parse().ok()? })
}

/// The first element: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, length) = (*der.first()?, *der.get(1)?);
    let (length, from) = match length {
        short @ 0..=0x7F => (usize::from(short), 2),
        0x81 => (usize::from(*der.get(2)?), 3),
        0x82 => (usize::from(*der.get(2)?) << 8 | usize::from(*der.get(3)?), 4),
        _ => return None,
    };
    let rest = der.get(from..)?;
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Place(PathBuf);

    impl Place {
        fn new() -> Place {
            Place(std::env::temp_dir().join(format!("historia-tls-{}", crate::clock::uuid())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| Name::parse(text).unwrap()).collect()
    }

    #[test]
    fn it_is_made_once_and_again_when_it_must() {
        let (place, now) = (Place::new(), crate::clock::now());
        let first = ensure(&place.0, &[], false, now).unwrap();
        assert!(first.made_authority && first.made_certificate);
        let again = ensure(&place.0, &[], false, now).unwrap();
        assert!(!again.made_authority && !again.made_certificate && again.authority == first.authority);
        let named = ensure(&place.0, &names(&["sala.local", "192.168.77.1"]), false, now).unwrap();
        assert!(
            !named.made_authority && named.made_certificate && named.names.contains(&Name::Dns("sala.local".into()))
        );
        // What was asked for once stays.
        let later = ensure(&place.0, &[], true, now).unwrap();
        assert!(later.made_certificate && later.names.contains(&Name::parse("192.168.77.1").unwrap()));
        assert!(!ensure(&place.0, &[], false, days(later.until, -31)).unwrap().made_certificate);
        let renewed = ensure(&place.0, &[], false, days(later.until, -29)).unwrap();
        assert!(renewed.made_certificate && renewed.authority == first.authority && renewed.until > later.until);
        assert!(ensure(&place.0, &[], false, days(now, 3_640)).is_err(), "the authority has ended");
        for (file, mode) in [("ca.key", 0o600), ("server.key", 0o600), ("ca.crt", 0o644), ("", 0o700)] {
            let found = std::fs::metadata(folder(&place.0).join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found & !0o022, mode & !0o022, "{file}");
        }
        assert_eq!(std::fs::read_dir(folder(&place.0)).unwrap().count(), 5, "no file is left over");
    }

    #[test]
    fn the_authority_signs_for_the_local_network_only() {
        let (place, now) = (Place::new(), crate::clock::now());
        ensure(&place.0, &names(&["historia.hospital.org.co"]), false, now).unwrap();
        for outside in ["google.com", "8.8.8.8", "hospital.org.co", "2001:db8::1"] {
            let error = ensure(&place.0, &names(&[outside]), false, now).unwrap_err();
            assert!(error.to_string().contains(outside), "{error}");
        }
        assert!(!ensure(&place.0, &[], false, now).unwrap().made_certificate, "what was refused is not remembered");
        let inside = names(&["x.historia.hospital.org.co", "otra.local", "10.9.8.7", "fd00::9"]);
        assert!(ensure(&place.0, &inside, false, now).unwrap().made_certificate);
        assert!(served(&place.0, now).is_some());
        // Somebody else's key, and half of a pair.
        std::fs::copy(folder(&place.0).join("ca.key"), folder(&place.0).join("server.key")).unwrap();
        assert!(served(&place.0, now).is_none());
        std::fs::remove_file(folder(&place.0).join("ca.key")).unwrap();
        assert!(ensure(&place.0, &[], false, now).unwrap_err().to_string().contains("ca.key"));
    }
}
