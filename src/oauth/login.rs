//! A person's sign-in and sign-out: `usuario` and `clave` for an access token or for a cookie session.
//!
//! Unknown, disabled and wrong are one answer in one time. The session, the judgement of the account it rests on and
//! the audit record are one transaction, so an account that is disabled meanwhile gets none.

use crate::access::Caller;
use crate::app::App;
use crate::audit::Event;
use crate::clock;
use crate::error::Result;
use crate::fhir::documento::DocumentoId;
use crate::i18n::Language;
use crate::oauth::attempt::Attempts;
use crate::oauth::token::{self, Authority, Identity, Issued};
use crate::oauth::{account, password, refused};
use crate::store::account::{Credential, Usuario};
use crate::store::session::{self, Holder};
use crate::store::{self, Conn};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

/// The value of a new cookie: 256 random bits, of which the database keeps the SHA-256.
pub struct NewCookie {
    pub value: String,
    /// Seconds.
    pub expires_in: u64,
    /// The account.
    pub usuario: Uuid,
}

/// What was typed, and from where (`attempt::source`).
#[derive(Clone, Copy)]
pub struct Typed<'t> {
    pub usuario: &'t str,
    pub clave: &'t str,
    pub source: &'t str,
}

/// How a sign-in ended. `wait`: seconds until the next try is looked at; zero for the first few.
pub enum SignIn<T> {
    Done(T),
    Wrong { wait: u64 },
}

/// A token for whom `usuario` and `clave` are right. A password that must be changed first gives none.
pub async fn bearer(authority: &Authority, typed: Typed<'_>, request_id: &str) -> Result<SignIn<Issued>> {
    let proven = match prove(&authority.app, typed, request_id).await? {
        SignIn::Done(proven) if proven.credential.vence.is_none() => proven,
        SignIn::Done(_) => return Ok(SignIn::Wrong { wait: 0 }),
        SignIn::Wrong { wait } => return Ok(SignIn::Wrong { wait }),
    };
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

/// A cookie session for whom `usuario` and `clave` are right.
pub async fn cookie(authority: &Authority, typed: Typed<'_>, request_id: &str) -> Result<SignIn<NewCookie>> {
    let proven = match prove(&authority.app, typed, request_id).await? {
        SignIn::Done(proven) => proven,
        SignIn::Wrong { wait } => return Ok(SignIn::Wrong { wait }),
    };
    let life = authority.app.config.sessions.absolute;
    let value = URL_SAFE_NO_PAD.encode(clock::random::<32>()?);
    let secret = token::cookie_digest(&value);
    let opened = authority.app.pool.within(async {
        let tx = authority.app.pool.begin().await?;
        let Some(usuario) = hold(tx.conn(), &proven).await? else { return tx.rollback().await.map(|()| None) };
        token::open_session(tx.conn(), Holder::Usuario(usuario.id), Some(secret), life).await?;
        record(tx.conn(), &usuario, "cookie", request_id).await?;
        tx.commit().await?;
        Ok(Some(NewCookie { value, expires_in: life.as_secs(), usuario: usuario.id }))
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
    app.sessions.let_all_hear(&[identity.jti]).await;
    Ok(())
}

/// A user name with the credential whose password was right.
struct Proven {
    usuario: String,
    credential: Credential,
}

/// The name of an account as people type it: a user name, or a document (`CC 1.099.999.208`) in its one form.
pub fn login_name(typed: &str) -> Option<String> {
    let typed = typed.trim();
    let document = typed.split_once([' ', '-']).and_then(|(kind, number)| DocumentoId::from_parts(kind, number));
    match document {
        Some(document)
            if document.parts().is_some_and(|(_, number)| number.starts_with(|c: char| c.is_ascii_digit())) =>
        {
            Some(document.as_str().to_ascii_lowercase())
        }
        _ => account::user_name(typed),
    }
}

/// Judges name and password. While there is a wait nothing is looked at, and the answer is that of a wrong password.
async fn prove(app: &App, typed: Typed<'_>, request_id: &str) -> Result<SignIn<Proven>> {
    let name = login_name(typed.usuario);
    let attempts = Attempts::new(app, "login", name.as_deref().unwrap_or(""), typed.source);
    let left = attempts.left().await?;
    if !left.is_zero() {
        app.audit.record(vec![refused("login", "throttled", request_id)]).await?;
        return Ok(SignIn::Wrong { wait: left.as_secs() + 1 });
    }
    let found = match &name {
        Some(name) => store::account::credential(&*app.pool.lane().await?, name).await?,
        None => None,
    };
    let right = password::verify(typed.clave, found.as_ref().map(|credential| credential.clave.as_str())).await?;
    let proven = match (right, name, found) {
        (true, Some(usuario), Some(credential)) if credential.vence.is_none_or(|vence| vence > clock::now()) => {
            Some(Proven { usuario, credential })
        }
        _ => None,
    };
    match or_refused(app, proven, request_id).await? {
        SignIn::Done(proven) => {
            attempts.succeeded().await?;
            Ok(SignIn::Done(proven))
        }
        SignIn::Wrong { .. } => Ok(SignIn::Wrong { wait: attempts.failed().await?.as_secs() }),
    }
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
        language: Language::En,
        request_id: request_id.to_owned(),
    };
    let event = Event { detail: Some(kind.to_owned()), ..Event::new(&caller, "login") };
    store::audit::insert(conn, &[event]).await
}

/// Leaves the record of a refusal.
async fn or_refused<T>(app: &App, proven: Option<T>, request_id: &str) -> Result<SignIn<T>> {
    let Some(proven) = proven else {
        app.audit.record(vec![refused("login", "invalid_grant", request_id)]).await?;
        return Ok(SignIn::Wrong { wait: 0 });
    };
    Ok(SignIn::Done(proven))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_sign_in_by_name_or_by_document() {
        let check = |typed: &str, expected: Option<&str>| assert_eq!(login_name(typed).as_deref(), expected, "{typed}");
        check(" Ana.Ruiz ", Some("ana.ruiz"));
        check("CC-1099999208", Some("cc-1099999208"));
        check("cc 1.099.999.208", Some("cc-1099999208"));
        check("TI-1.099.999.412", Some("ti-1099999412"));
        check("pe-lopez", Some("pe-lopez"));
        check("ms-j.ruiz", Some("ms-j.ruiz"));
        check("ana ruiz", None);
        check("", None);
    }
}
