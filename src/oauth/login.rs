//! A person's sign-in and sign-out: `usuario` and `clave` for an access token or for a cookie session.
//!
//! Unknown, disabled and wrong are one answer in one time. The session, the judgement of the account it rests on and
//! the audit record are one transaction, so an account that is disabled meanwhile gets none.

use crate::access::Caller;
use crate::app::App;
use crate::audit::Event;
use crate::clock;
use crate::error::Result;
use crate::oauth::token::{self, Authority, COOKIE_LIFE, Identity, Issued};
use crate::oauth::{account, password, refused};
use crate::store::account::{Credential, Usuario};
use crate::store::session::{self, Holder};
use crate::store::{self, Conn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

/// How long a sign-out waits for its own notice, and then for the other instances to have had it too.
const PATIENCE: Duration = Duration::from_millis(500);
pub(super) const GRACE: Duration = Duration::from_millis(20);

/// The value of a new cookie: 256 random bits, of which the database keeps the SHA-256.
pub struct NewCookie {
    pub value: String,
    /// Seconds.
    pub expires_in: u64,
}

/// A token for whom `usuario` and `clave` are right; None otherwise.
pub async fn bearer(authority: &Authority, usuario: &str, clave: &str, request_id: &str) -> Result<Option<Issued>> {
    let Some(proven) = prove(&authority.app, usuario, clave, request_id).await? else { return Ok(None) };
    let issued = authority.app.pool.within(async {
        let tx = authority.app.pool.begin().await?;
        let Some(usuario) = hold(tx.conn(), &proven).await? else { return tx.rollback().await.map(|()| None) };
        let issued = authority.issue_for_usuario(tx.conn(), &usuario).await?;
        record(tx.conn(), &usuario, "token", request_id).await?;
        tx.commit().await?;
        Ok(Some(issued))
    });
    or_refused(&authority.app, issued.await?, request_id).await
}

/// A cookie session for whom `usuario` and `clave` are right; None otherwise.
pub async fn cookie(authority: &Authority, usuario: &str, clave: &str, request_id: &str) -> Result<Option<NewCookie>> {
    let Some(proven) = prove(&authority.app, usuario, clave, request_id).await? else { return Ok(None) };
    let value = URL_SAFE_NO_PAD.encode(clock::random::<32>()?);
    let secret = token::cookie_digest(&value);
    let opened = authority.app.pool.within(async {
        let tx = authority.app.pool.begin().await?;
        let Some(usuario) = hold(tx.conn(), &proven).await? else { return tx.rollback().await.map(|()| None) };
        token::open_session(tx.conn(), Holder::Usuario(usuario.id), Some(secret), COOKIE_LIFE).await?;
        record(tx.conn(), &usuario, "cookie", request_id).await?;
        tx.commit().await?;
        Ok(Some(NewCookie { value, expires_in: COOKIE_LIFE.as_secs() }))
    });
    or_refused(&authority.app, opened.await?, request_id).await
}

/// Ends the session of a request, here at once and on the other instances before this returns.
pub async fn logout(app: &App, identity: &Identity, request_id: &str) -> Result<()> {
    let event = Event::new(&identity.caller(request_id), "logout");
    let ended = app.pool.within(async {
        let tx = app.pool.begin().await?;
        session::end(tx.conn(), identity.jti, event.recorded).await?;
        store::audit::insert(tx.conn(), &[event]).await?;
        tx.commit().await
    });
    ended.await?;
    app.sessions.end_here(identity.jti);
    if app.sessions.hears() && !app.sessions.heard(identity.jti, PATIENCE).await {
        tracing::warn!("the notice of an ended session has not come back in time");
    }
    tokio::time::sleep(GRACE).await;
    Ok(())
}

/// A user name with the credential whose password was right.
struct Proven {
    usuario: String,
    credential: Credential,
}

async fn prove(app: &App, usuario: &str, clave: &str, request_id: &str) -> Result<Option<Proven>> {
    let name = account::user_name(usuario);
    let found = match &name {
        Some(name) => store::account::credential(&*app.pool.lane().await?, name).await?,
        None => None,
    };
    let right = password::verify(clave, found.as_ref().map(|credential| credential.clave.as_str())).await?;
    let proven = match (right, name, found) {
        (true, Some(usuario), Some(credential)) => Some(Proven { usuario, credential }),
        _ => None,
    };
    or_refused(app, proven, request_id).await
}

async fn hold(conn: &Conn, proven: &Proven) -> Result<Option<Usuario>> {
    let usuario = store::account::hold(conn, &proven.usuario, &proven.credential).await?;
    Ok(usuario.filter(|usuario| usuario.active))
}

async fn record(conn: &Conn, usuario: &Usuario, kind: &str, request_id: &str) -> Result<()> {
    let caller = Caller {
        role: usuario.rol,
        actor: token::actor_of_usuario(usuario.id),
        documento_id: usuario.documento_id.clone(),
        patient: usuario.paciente_id.clone(),
        request_id: request_id.to_owned(),
    };
    let event = Event { detail: Some(kind.to_owned()), ..Event::new(&caller, "login") };
    store::audit::insert(conn, &[event]).await
}

/// Leaves the record of a refusal.
async fn or_refused<T>(app: &App, proven: Option<T>, request_id: &str) -> Result<Option<T>> {
    if proven.is_none() {
        app.audit.record(vec![refused("login", "invalid_grant", request_id)]).await?;
    }
    Ok(proven)
}
