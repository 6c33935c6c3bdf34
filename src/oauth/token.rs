//! Access tokens (RFC 9068), cookie sessions, and who a request is of.
//!
//! Both are rows of `session`, so both can be ended. A request asks no database: what was verified once is remembered
//! by its SHA-256 until it expires, and each use looks whether the session has ended (`App::sessions`).

use crate::access::{Caller, Role};
use crate::app::App;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::i18n::Language;
use crate::oauth::form_key::FormKeys;
use crate::oauth::keys::Keys;
use crate::oauth::scope;
use crate::store::Conn;
use crate::store::account::{self, OauthClient, Usuario};
use crate::store::session::{self, Holder, Session};
use jiff::{SignedDuration, Timestamp};
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Verified tokens and cookies kept in memory (about 500 bytes each).
const VERIFIED: u64 = 20_000;
/// How far behind the row of a session may be with its last use, in milliseconds.
const SEEN_EVERY: i64 = 60_000;
/// How often what has expired is forgotten.
const SWEEP: Duration = Duration::from_secs(3600);
/// The client of the server's own sign-in (RFC 9068 wants one in each token). No registered client may have this id.
pub const OWN_CLIENT: &str = "historia";

/// `__Host-`: only from this very host, only over TLS (or loopback), only for the whole of it (RFC 6265bis, 4.1.3.2).
pub const COOKIE_NAME: &str = "__Host-historia";

/// Answer to a request that brings nothing to identify itself.
const ABSENT: &str = "sign in first: this address needs an access token";
/// Answer to everything else, whatever is wrong with it.
const INVALID: &str = "the access token is not valid, has expired or was ended";

/// Answer to the first request after the idle time of a cookie session.
const IDLE: &str = "the session has ended because it was not used";

/// Whether a request shows that somebody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    Person,
    /// A page that looks for news by itself: it keeps no session alive.
    Script,
}

/// The claims of an access token. Times are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// The actor: `usuario/<uuid>` or `client/<id>`, so that a client can never be taken for a person.
    pub sub: String,
    pub aud: String,
    pub jti: String,
    pub iat: i64,
    pub nbf: i64,
    pub exp: i64,
    pub client_id: String,
    pub scope: String,
    pub rol: String,
    pub documento_id: String,
    /// The Patient.id of a paciente.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<String>,
}

/// A token on its way out.
#[derive(Clone, Debug)]
pub struct Issued {
    pub access_token: String,
    /// Seconds.
    pub expires_in: u64,
    pub scope: String,
    pub rol: Role,
    pub documento_id: String,
}

/// How a request identified itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    Bearer,
    Cookie,
}

/// When a cookie was last used, in milliseconds: as this instance knows, and as the row does.
#[derive(Debug, Default)]
pub struct Seen {
    last: AtomicI64,
    kept: AtomicI64,
}

/// Whom a token or cookie is of, once it was verified.
#[derive(Debug)]
pub struct Identity {
    pub jti: Uuid,
    pub proof: Proof,
    pub expires: Timestamp,
    pub role: Role,
    pub actor: String,
    pub documento_id: String,
    pub patient: Option<String>,
    /// Of a cookie: the account and the person's name.
    pub usuario: Option<(Uuid, String)>,
    /// The password was made by somebody else: it is to be changed before anything else.
    pub must_change: bool,
    pub seen: Seen,
}

impl Identity {
    pub fn caller(&self, request_id: &str) -> Caller {
        Caller {
            role: self.role,
            actor: self.actor.clone(),
            documento_id: self.documento_id.clone(),
            patient: self.patient.clone(),
            language: Language::En,
            request_id: request_id.to_owned(),
        }
    }

    fn of_claims(claims: Claims) -> Option<Identity> {
        Some(Identity {
            jti: Uuid::try_parse(&claims.jti).ok()?,
            proof: Proof::Bearer,
            expires: Timestamp::from_second(claims.exp).ok()?,
            // A role that this version does not know denies.
            role: Role::parse(&claims.rol)?,
            actor: claims.sub,
            documento_id: claims.documento_id,
            patient: claims.patient,
            usuario: None,
            must_change: false,
            seen: Seen::default(),
        })
    }
}

pub fn actor_of_usuario(id: Uuid) -> String {
    format!("usuario/{id}")
}

pub fn actor_of_client(id: &str) -> String {
    format!("client/{id}")
}

/// The one maker and judge of tokens.
pub struct Authority {
    pub app: Arc<App>,
    keys: Keys,
    forms: FormKeys,
    verified: Cache<[u8; 32], Arc<Identity>>,
}

impl Authority {
    /// Reads the keys and starts to forget what has expired.
    pub async fn open(app: Arc<App>) -> Result<Arc<Authority>> {
        let conn = app.pool.lane().await?;
        let keys = Keys::read(&conn, app.public_url(), &app.base).await?;
        let forms = FormKeys::read(&conn).await?;
        let verified = Cache::builder().max_capacity(VERIFIED).time_to_live(app.config.sessions.absolute).build();
        tokio::spawn(forget_expired(app.clone()));
        Ok(Arc::new(Authority { app, keys, forms, verified }))
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn forms(&self) -> &FormKeys {
        &self.forms
    }

    /// Who asks, by the headers `Authorization` and `Cookie` of a request. One with an `Authorization` is judged by that
    /// alone. Whether a cookie may write is judged in `http`, which sees where the request comes from.
    pub async fn caller(&self, authorization: Option<&str>, cookie: Option<&str>, request_id: &str) -> Result<Caller> {
        let identity = self.identify(authorization, cookie, Attention::Person).await?;
        if identity.must_change {
            return Err(Error::new(Kind::Forbidden, "change the password first, at /cuenta"));
        }
        Ok(identity.caller(request_id))
    }

    pub async fn identify(
        &self,
        authorization: Option<&str>,
        cookie: Option<&str>,
        attention: Attention,
    ) -> Result<Arc<Identity>> {
        let identity = match (authorization, cookie.and_then(session_cookie)) {
            (Some(header), _) => self.bearer(header).await?,
            (None, Some(value)) => self.cookie(value).await?,
            (None, None) => return Err(Error::new(Kind::Login, ABSENT)),
        };
        let now = clock::now();
        if now >= identity.expires || !self.lives(identity.jti, now).await? {
            return Err(invalid());
        }
        if identity.proof == Proof::Cookie {
            self.idle(&identity, now, attention).await?;
        }
        Ok(identity)
    }

    /// Ends a cookie session that was not used for too long, and keeps when it was used. The row is asked only when this
    /// instance believes that the time is over: the person may have been at another one.
    async fn idle(&self, identity: &Identity, now: Timestamp, attention: Attention) -> Result<()> {
        let limit = i64::try_from(self.app.config.sessions.idle.as_millis()).unwrap_or(i64::MAX);
        let (seen, at) = (&identity.seen, now.as_millisecond());
        if at - seen.last.load(Ordering::Relaxed) > limit {
            let conn = self.app.pool.lane().await?;
            let last = session::seen(&conn, identity.jti).await?.map_or(0, Timestamp::as_millisecond);
            if at - last > limit {
                session::end(&conn, identity.jti, now).await?;
                self.app.sessions.end_here(identity.jti);
                return Err(Error::new(Kind::Login, IDLE));
            }
            seen.last.fetch_max(last, Ordering::Relaxed);
        }
        if attention == Attention::Person {
            seen.last.fetch_max(at, Ordering::Relaxed);
            let kept = seen.kept.load(Ordering::Relaxed);
            // Of several requests at once one keeps it.
            if at - kept > SEEN_EVERY
                && seen.kept.compare_exchange(kept, at, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            {
                session::touch(&*self.app.pool.lane().await?, identity.jti, now).await?;
            }
        }
        Ok(())
    }

    /// Seconds until a cookie session ends if nothing happens.
    pub fn seconds_left(&self, identity: &Identity, now: Timestamp) -> u64 {
        let absolute = identity.expires.as_second() - now.as_second();
        u64::try_from(absolute).unwrap_or(0).min(self.app.config.sessions.idle.as_secs())
    }

    /// Whether a session has not ended: from memory while notices arrive, else from its row.
    async fn lives(&self, jti: Uuid, now: Timestamp) -> Result<bool> {
        let sessions = &self.app.sessions;
        if sessions.is_ended(jti) {
            return Ok(false);
        }
        if sessions.hears() {
            return Ok(true);
        }
        session::is_live(&*self.app.pool.lane().await?, jti, now).await
    }

    async fn bearer(&self, header: &str) -> Result<Arc<Identity>> {
        let token = bearer_token(header).ok_or_else(invalid)?;
        let key = digest("bearer", token);
        if let Some(identity) = self.verified.get(&key) {
            return Ok(identity);
        }
        let (claims, own) = self.keys.verify(token, clock::now().as_second()).ok_or_else(invalid)?;
        let identity = Arc::new(Identity::of_claims(claims).ok_or_else(invalid)?);
        // Signed by another instance of this installation: the session that it opened is the proof.
        if !own && !session::is_live(&*self.app.pool.lane().await?, identity.jti, clock::now()).await? {
            return Err(invalid());
        }
        self.verified.insert(key, identity.clone());
        Ok(identity)
    }

    async fn cookie(&self, value: &str) -> Result<Arc<Identity>> {
        let key = digest("cookie", value);
        if let Some(identity) = self.verified.get(&key) {
            return Ok(identity);
        }
        let conn = self.app.pool.lane().await?;
        let found = session::by_secret(&conn, &cookie_digest(value), clock::now()).await?.ok_or_else(invalid)?;
        let Holder::Usuario(id) = found.holder else { return Err(invalid()) };
        let (usuario, vence) = account::find_with_expiry(&conn, id).await?.ok_or_else(invalid)?;
        if !usuario.active || vence.is_some_and(|vence| vence < clock::now()) {
            return Err(invalid());
        }
        let seen = found.seen.as_millisecond();
        let identity = Arc::new(Identity {
            jti: found.jti,
            proof: Proof::Cookie,
            expires: found.expires,
            role: usuario.rol,
            actor: actor_of_usuario(id),
            documento_id: usuario.documento_id,
            patient: usuario.paciente_id,
            usuario: Some((id, usuario.nombre)),
            must_change: vence.is_some(),
            seen: Seen { last: AtomicI64::new(seen), kept: AtomicI64::new(seen) },
        });
        // Not remembered while the password must be changed: the change is to be seen at once.
        if !identity.must_change {
            self.verified.insert(key, identity.clone());
        }
        Ok(identity)
    }

    /// Opens a session inside the transaction of `conn` and signs its token, which is worth nothing before the commit.
    pub async fn issue_for_usuario(&self, conn: &Conn, usuario: &Usuario) -> Result<Issued> {
        let scope = scope::of_role(usuario.rol).to_owned();
        let mut claims = self.claims(actor_of_usuario(usuario.id), OWN_CLIENT, usuario.rol, scope);
        claims.documento_id = usuario.documento_id.clone();
        claims.patient = usuario.paciente_id.clone();
        self.issue(conn, Holder::Usuario(usuario.id), claims, usuario.rol, self.app.config.tokens.login).await
    }

    /// The same for a client that acts for nobody.
    pub async fn issue_for_client(
        &self,
        conn: &Conn,
        client: &OauthClient,
        rol: Role,
        scope: String,
    ) -> Result<Issued> {
        let claims = self.claims(actor_of_client(&client.id), &client.id, rol, scope);
        self.issue(conn, Holder::Client(client.id.clone()), claims, rol, self.app.config.tokens.client).await
    }

    fn claims(&self, sub: String, client_id: &str, rol: Role, scope: String) -> Claims {
        Claims {
            iss: self.keys.issuer().to_owned(),
            sub,
            aud: self.keys.audience().to_owned(),
            jti: String::new(),
            iat: 0,
            nbf: 0,
            exp: 0,
            client_id: client_id.to_owned(),
            scope,
            rol: rol.code().to_owned(),
            documento_id: "-".to_owned(),
            patient: None,
        }
    }

    async fn issue(&self, conn: &Conn, holder: Holder, claims: Claims, rol: Role, life: Duration) -> Result<Issued> {
        let opened = open_session(conn, holder, None, life).await?;
        let (iat, exp) = (opened.created.as_second(), opened.expires.as_second());
        let claims = Claims { jti: opened.jti.to_string(), iat, nbf: iat, exp, ..claims };
        let access_token = self.keys.sign(&claims)?;
        Ok(Issued {
            access_token,
            expires_in: life.as_secs(),
            scope: claims.scope,
            rol,
            documento_id: claims.documento_id,
        })
    }
}

/// Writes the row of a session, inside the transaction of `conn`. `secret`: SHA-256 of a cookie's value.
pub async fn open_session(conn: &Conn, holder: Holder, secret: Option<Vec<u8>>, life: Duration) -> Result<Session> {
    let created = clock::now();
    let life = SignedDuration::try_from(life).map_err(Error::internal)?;
    let expires = created.checked_add(life).map_err(Error::internal)?;
    let opened = Session { jti: clock::uuid(), holder, secret, created, expires, seen: created };
    session::open(conn, &opened).await?;
    Ok(opened)
}

/// The value of `WWW-Authenticate` that goes with an error of kind Login (RFC 6750, 3).
pub fn challenge(error: &Error) -> &'static str {
    if matches!(error.text(), INVALID | IDLE) { "Bearer error=\"invalid_token\"" } else { "Bearer" }
}

/// Whether an error says that a session has ended for want of use, and whether that there was one at all.
pub fn is_idle(error: &Error) -> bool {
    error.text() == IDLE
}

fn invalid() -> Error {
    Error::new(Kind::Login, INVALID)
}

/// The token of `Authorization: Bearer <token>` (RFC 6750, 2.1).
fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim_start();
    let clean = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b));
    (scheme.eq_ignore_ascii_case("bearer") && clean).then_some(token)
}

/// The session cookie of a `Cookie` header. Two of the name are none of ours: a browser never has two with `__Host-`.
pub fn session_cookie(header: &str) -> Option<&str> {
    let pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value);
    let value = values.next()?;
    let ours = value.len() == 43 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (ours && values.next().is_none()).then_some(value)
}

/// The key of what was verified; the two kinds cannot be taken for each other.
fn digest(kind: &str, value: &str) -> [u8; 32] {
    Sha256::new_with_prefix(kind).chain_update(value).finalize().into()
}

/// What is kept of a cookie: its value is 256 random bits, so a fast hash is enough.
pub fn cookie_digest(value: &str) -> Vec<u8> {
    Sha256::digest(value).to_vec()
}

/// Forgets ended sessions that have expired, for ever; their rows are removed by `job::upkeep`.
async fn forget_expired(app: Arc<App>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let longest = app.config.sessions.absolute.max(app.config.tokens.login).max(app.config.tokens.client) + SWEEP;
        if let Ok(longest) = SignedDuration::try_from(longest)
            && let Ok(then) = clock::now().checked_sub(longest)
        {
            app.sessions.forget(then);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_headers_are_read() {
        let check = |header: &str, token: Option<&str>| assert_eq!(bearer_token(header), token, "{header}");
        check("Bearer abc.def-_", Some("abc.def-_"));
        check("bearer  abc", Some("abc"));
        check("BEARER abc", Some("abc"));
        check("Bearer", None);
        check("Bearer ", None);
        check("Basic abc", None);
        check("Bearer a b", None);
        check("Bearer a\u{e9}", None);
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let value = "a".repeat(43);
        let ours = format!("{COOKIE_NAME}={value}");
        let check = |header: &str, found: bool| assert_eq!(session_cookie(header).is_some(), found, "{header}");
        check(&ours, true);
        check(&format!("x=1; {ours};y=2"), true);
        check(&format!("{ours}; {ours}"), false);
        check(&format!("{ours}b"), false);
        check(&format!("historia={value}"), false);
        check(&format!("{COOKIE_NAME}="), false);
        check("", false);
    }

    #[test]
    fn an_identity_is_what_the_claims_say() {
        let claims = crate::oauth::keys::tests::claims();
        let identity = Identity::of_claims(claims.clone()).unwrap();
        let caller = identity.caller("r1");
        assert_eq!((caller.role, caller.documento_id.as_str()), (Role::Medico, "CC-1020304050"));
        assert_eq!((caller.actor.as_str(), caller.request_id.as_str()), (claims.sub.as_str(), "r1"));
        assert!(Identity::of_claims(Claims { rol: "root".into(), ..claims.clone() }).is_none());
        assert!(Identity::of_claims(Claims { jti: "1".into(), ..claims }).is_none());
        assert_ne!(digest("bearer", "x"), digest("cookie", "x"));
    }

    #[test]
    fn a_challenge_names_a_bad_token_only() {
        assert_eq!(challenge(&invalid()), "Bearer error=\"invalid_token\"");
        assert_eq!(challenge(&Error::new(Kind::Login, ABSENT)), "Bearer");
    }
}
