//! Accounts and clients as the operator keeps them: each change one transaction with its audit record.
//!
//! What ends an account's right also ends its sessions, on every instance, with the commit.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::documento::DocumentoId;
use crate::fhir::reference::Id;
use crate::oauth::grant::{self, LONGEST_ID};
use crate::oauth::token::{OWN_CLIENT, actor_of_client, actor_of_usuario};
use crate::oauth::{password, scope};
use crate::store::account::{self as accounts, Credential, OauthClient, Usuario};
pub use crate::store::session::Open as OpenSession;
use crate::store::session::{self, Holder};
use crate::store::{self, Conn};
use jiff::{Timestamp, ToSpan};
use uuid::Uuid;

const LONGEST_NAME: usize = 200;
const LONGEST_SCOPE: usize = 2_000;
const LONGEST_JWKS: usize = 64 * 1024;
const REDIRECTS: usize = 10;

/// A new account. `paciente_id`: the one Patient of a paciente, and of nobody else.
pub struct NewUsuario {
    pub rol: Role,
    pub usuario: String,
    pub documento_id: DocumentoId,
    pub nombre: String,
    pub paciente_id: Option<String>,
    pub clave: String,
    /// Whether the password is of somebody else's making: it is good for a day, and must be changed first.
    pub temporary: bool,
}

/// How long a password is good that somebody else made.
fn expiry(temporary: bool) -> Option<Timestamp> {
    temporary.then(|| clock::now() + 24.hours())
}

/// The one form of a user name: 3 to 64 lower-case letters of ASCII, digits and `. _ - @`. None: nobody has such a name.
pub fn user_name(typed: &str) -> Option<String> {
    let typed = typed.trim();
    let fits = (3..=64).contains(&typed.len());
    let clean = typed.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
    (fits && clean).then(|| typed.to_ascii_lowercase())
}

/// Makes an account.
pub async fn add_user(app: &App, new: NewUsuario, by: &Caller) -> Result<Usuario> {
    let account = checked(&new)?;
    password::check(&new.clave, &account.usuario)?;
    let clave = password::hash(&new.clave).await?;
    let event = Event::new(by, "user-add").instance(&actor_of_usuario(account.id), None);
    changed(app, event, async |conn| accounts::add(conn, &account, &clave, expiry(new.temporary), clock::now()).await)
        .await?;
    Ok(account)
}

/// Everything that is wrong with a new account, by field. Without a role what depends on it is not judged.
pub fn wrong(
    usuario: &str,
    nombre: &str,
    rol: Option<Role>,
    paciente: Option<&str>,
) -> Vec<(&'static str, &'static str)> {
    let mut wrong = Vec::new();
    if user_name(usuario).is_none() {
        wrong.push(("usuario", "a user name is 3 to 64 letters a-z, digits and . _ - @"));
    }
    if nombre.trim().is_empty() || nombre.trim().len() > LONGEST_NAME {
        wrong.push(("nombre", "a name has 1 to 200 bytes"));
    }
    match (rol, paciente) {
        (None, _) => {}
        (Some(Role::Integracion), _) => wrong.push(("rol", "integracion is the role of clients, not of people")),
        (Some(Role::Paciente), None) => wrong.push(("paciente", "a paciente account is bound to one Patient.id")),
        (Some(Role::Paciente), Some(id)) if Id::parse(id).is_none() => wrong.push(("paciente", "is not a Patient.id")),
        (Some(Role::Paciente), Some(_)) | (Some(_), None) => {}
        (Some(_), Some(_)) => wrong.push(("paciente", "only a paciente account is bound to a Patient.id")),
    }
    wrong
}

fn checked(new: &NewUsuario) -> Result<Usuario> {
    let wrong = wrong(&new.usuario, &new.nombre, Some(new.rol), new.paciente_id.as_deref());
    if let Some((name, text)) = wrong.first() {
        return Err(Error::at(Kind::BusinessRule, *name, *text));
    }
    Ok(Usuario {
        documento_id: new.documento_id.as_str().to_owned(),
        id: clock::uuid(),
        usuario: new.usuario.trim().to_ascii_lowercase(),
        nombre: new.nombre.trim().to_owned(),
        rol: new.rol,
        active: true,
        paciente_id: new.paciente_id.clone(),
    })
}

/// Disables an account and ends all its sessions.
pub async fn disable_user(app: &App, usuario: &str, by: &Caller) -> Result<()> {
    let (_, account) = known(app, usuario).await?;
    let event = Event::new(by, "user-disable").instance(&actor_of_usuario(account.usuario_id), None);
    changed(app, event, async |conn| {
        let now = clock::now();
        // The row first: a sign-in that holds it is waited for, and its session is then among those that end.
        accounts::set_active(conn, &account.documento_id, account.usuario_id, false, now).await?;
        session::end_all(conn, &Holder::Usuario(account.usuario_id), now).await.map(drop)
    })
    .await?;
    heard().await;
    Ok(())
}

/// Gives an account a new password, enables it, and ends all its sessions. `temporary`: see [`NewUsuario`].
pub async fn reset_password(app: &App, usuario: &str, clave: &str, temporary: bool, by: &Caller) -> Result<()> {
    let (usuario, account) = known(app, usuario).await?;
    password::check(clave, &usuario)?;
    let hash = password::hash(clave).await?;
    let event = Event::new(by, "user-reset").instance(&actor_of_usuario(account.usuario_id), None);
    changed(app, event, async |conn| {
        let now = clock::now();
        accounts::set_password(conn, &usuario, &hash, expiry(temporary), now).await?;
        accounts::set_active(conn, &account.documento_id, account.usuario_id, true, now).await?;
        session::end_all(conn, &Holder::Usuario(account.usuario_id), now).await.map(drop)
    })
    .await?;
    heard().await;
    Ok(())
}

/// A password for somebody else: 80 random bits, in groups that can be read out.
pub fn made_password() -> Result<String> {
    Ok(clock::base32(&clock::random::<10>()?, 16))
}

/// Changes one's own password, by the present one, and ends one's other sessions. False: the present one is wrong.
pub async fn change_password(app: &App, id: Uuid, jti: Uuid, present: &str, clave: &str, by: &Caller) -> Result<bool> {
    let conn = app.pool.lane().await?;
    let gone = || Error::new(Kind::NotFound, "there is no such account");
    let account = accounts::find_by_id(&conn, id).await?.ok_or_else(gone)?;
    let credential = accounts::credential(&conn, &account.usuario).await?.ok_or_else(gone)?;
    if !password::verify(present, Some(&credential.clave)).await? {
        let event = Event::new(by, "password").ended(Outcome::Minor, "invalid_grant");
        app.audit.record(vec![event]).await?;
        return Ok(false);
    }
    password::check(clave, &account.usuario)?;
    let hash = password::hash(clave).await?;
    let event = Event::new(by, "password").instance(&actor_of_usuario(id), None);
    changed(app, event, async |conn| {
        let now = clock::now();
        // Nobody has changed it meanwhile: the present one was looked at before.
        let raced = || Error::new(Kind::Conflict, "the password was changed at the same time");
        accounts::hold(conn, &account.usuario, &credential).await?.ok_or_else(raced)?;
        accounts::set_password(conn, &account.usuario, &hash, None, now).await?;
        session::end_others(conn, id, jti, now).await
    })
    .await?;
    Ok(true)
}

/// The open sessions of an account.
pub async fn sessions_of(app: &App, id: Uuid) -> Result<Vec<session::Open>> {
    session::of_usuario(&*app.pool.lane().await?, id, clock::now()).await
}

/// Ends one of one's own sessions.
pub async fn end_session(app: &App, id: Uuid, jti: Uuid, by: &Caller) -> Result<()> {
    let event = Event::new(by, "logout").instance(&actor_of_usuario(id), None);
    changed(app, event, async |conn| session::end_one_of(conn, jti, id, clock::now()).await).await
}

/// All accounts, without secrets.
pub async fn list_users(app: &App) -> Result<Vec<Usuario>> {
    accounts::list(&*app.pool.lane().await?).await
}

async fn known(app: &App, usuario: &str) -> Result<(String, Credential)> {
    let absent = || Error::at(Kind::NotFound, "usuario", "there is no such account");
    let usuario = user_name(usuario).ok_or_else(absent)?;
    let found = accounts::credential(&*app.pool.lane().await?, &usuario).await?;
    found.map(|credential| (usuario, credential)).ok_or_else(absent)
}

/// A new client. In this version only confidential ones of the role integracion can get a token; the others are kept for
/// SMART App Launch and Backend Services.
pub struct NewClient {
    pub id: String,
    /// `public`, `confidential` or `asymmetric`.
    pub tipo: String,
    pub redirect: Vec<String>,
    pub scope: Option<String>,
    pub rol: Option<Role>,
    pub jwks: Option<String>,
}

/// Makes a client and returns the secret of a confidential one, which is not kept.
pub async fn add_client(app: &App, new: NewClient, by: &Caller) -> Result<Option<String>> {
    let secret = if new.tipo == "confidential" { Some(clock::secret()?) } else { None };
    add_client_with(app, new, secret.as_deref(), by).await?;
    Ok(secret)
}

pub(crate) async fn add_client_with(app: &App, new: NewClient, secret: Option<&str>, by: &Caller) -> Result<()> {
    let client = OauthClient { secret: secret.map(grant::digest), ..checked_client(new)? };
    let event = Event::new(by, "client-add").instance(&actor_of_client(&client.id), None);
    changed(app, event, async |conn| accounts::add_client(conn, &client, clock::now()).await).await
}

fn checked_client(new: NewClient) -> Result<OauthClient> {
    let wrong = |name: &str, text: &str| Err(Error::at(Kind::BusinessRule, name, text));
    let clean = new.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if new.id.is_empty() || new.id.len() > LONGEST_ID || !clean {
        return wrong("id", "a client id is 1 to 64 letters, digits and . _ -");
    }
    if new.id.eq_ignore_ascii_case(OWN_CLIENT) {
        return wrong("id", "this id is the server's own");
    }
    if new.rol.is_some_and(|rol| rol != Role::Integracion || new.tipo == "public") {
        return wrong("rol", "the role of a client is integracion, and a public client has none: it acts for a person");
    }
    if !new.redirect.iter().all(|uri| is_redirect(uri)) || new.redirect.len() > REDIRECTS {
        return wrong("redirect", "a redirect is an https address, or http on loopback, without fragment; at most 10");
    }
    match new.tipo.as_str() {
        "public" if new.redirect.is_empty() => return wrong("redirect", "a public client needs one"),
        "confidential" if new.rol.is_none() && new.redirect.is_empty() => {
            return wrong("rol", "a confidential client needs the role integracion, or a redirect");
        }
        "asymmetric" if !new.jwks.as_deref().is_some_and(is_jwks) => {
            return wrong("jwks", "an asymmetric client needs its public keys: a JWK set, or the https address of one");
        }
        "public" | "confidential" if new.jwks.is_some() => return wrong("jwks", "only an asymmetric client has keys"),
        "public" | "confidential" | "asymmetric" => {}
        _ => return wrong("tipo", "is public, confidential or asymmetric"),
    }
    Ok(OauthClient {
        scope: checked_scope(new.scope, new.rol)?,
        id: new.id,
        tipo: new.tipo,
        secret: None,
        redirect: new.redirect,
        rol: new.rol,
        jwks: new.jwks,
        active: true,
    })
}

/// A narrower scope of a role would not be enforced yet, so it is refused: nobody shall believe that it holds.
fn checked_scope(asked: Option<String>, rol: Option<Role>) -> Result<String> {
    let asked = asked.unwrap_or_default();
    let wrong = |text: &str| Err(Error::at(Kind::BusinessRule, "scope", text));
    if asked.len() > LONGEST_SCOPE || !asked.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
        return wrong("a scope is words of ASCII, at most 2,000 bytes");
    }
    match rol {
        Some(rol) if asked.is_empty() => Ok(scope::of_role(rol).to_owned()),
        Some(rol) if !scope::is_whole(&asked, rol) => {
            wrong("this version gives a client the whole scope of its role only")
        }
        _ => Ok(asked),
    }
}

/// RFC 9700, 2.1: exact addresses; plain http only to one's own machine.
fn is_redirect(uri: &str) -> bool {
    let host = |rest: &str| rest.split(['/', '?', ':']).next().unwrap_or("").to_owned();
    let clean = uri.len() <= LONGEST_SCOPE && uri.bytes().all(|b| b.is_ascii_graphic() && !b"#*\\@\"<>".contains(&b));
    let https = uri.strip_prefix("https://").is_some_and(|rest| !host(rest).is_empty());
    let loopback =
        uri.strip_prefix("http://").is_some_and(|rest| matches!(host(rest).as_str(), "127.0.0.1" | "localhost"));
    clean && (https || loopback)
}

/// Public keys, or where they are. A private or a symmetric key has no business here.
fn is_jwks(text: &str) -> bool {
    if text.len() > LONGEST_JWKS {
        return false;
    }
    if text.starts_with("https://") {
        return is_redirect(text);
    }
    let set = serde_json::from_str::<serde_json::Value>(text).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")?.as_array());
    keys.is_some_and(|keys| {
        let public =
            |key: &serde_json::Value| key.get("kty").is_some() && key.get("d").is_none() && key.get("k").is_none();
        !keys.is_empty() && keys.iter().all(public)
    })
}

/// Disables a client and ends all its tokens.
pub async fn disable_client(app: &App, id: &str, by: &Caller) -> Result<()> {
    let event = Event::new(by, "client-disable").instance(&actor_of_client(id), None);
    changed(app, event, async |conn| {
        if !accounts::set_client_active(conn, id, false).await? {
            return Err(Error::at(Kind::NotFound, "id", "there is no such client"));
        }
        session::end_all(conn, &Holder::Client(id.to_owned()), clock::now()).await.map(drop)
    })
    .await?;
    heard().await;
    Ok(())
}

/// All clients. Their secrets are hashes; do not show them all the same.
pub async fn list_clients(app: &App) -> Result<Vec<OauthClient>> {
    accounts::list_clients(&*app.pool.lane().await?).await
}

/// Lets the notice of ended sessions reach the instances before the change is said to be done: then they are dead.
async fn heard() {
    tokio::time::sleep(crate::app::GRACE).await;
}

/// One transaction: the change and its record.
pub(super) async fn changed(app: &App, event: Event, change: impl AsyncFnOnce(&Conn) -> Result<()>) -> Result<()> {
    app.pool
        .within(async {
            let tx = app.pool.begin().await?;
            change(tx.conn()).await?;
            store::audit::insert(tx.conn(), &[event]).await?;
            tx.commit().await
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(rol: Role) -> NewUsuario {
        NewUsuario {
            rol,
            usuario: "Ana.Ruiz".into(),
            documento_id: DocumentoId::parse("cc-1.020.304").unwrap(),
            nombre: "Ana Ruiz".into(),
            paciente_id: (rol == Role::Paciente).then(|| "0123456789".into()),
            clave: "una clave larga".into(),
            temporary: false,
        }
    }

    #[test]
    fn accounts_are_checked_before_they_are_made() {
        let account = checked(&new(Role::Medico)).unwrap();
        assert_eq!((account.usuario.as_str(), account.documento_id.as_str()), ("ana.ruiz", "CC-1020304"));
        let check = |new: NewUsuario, at: &str| {
            assert_eq!(checked(&new).unwrap_err().issues[0].expression.as_deref(), Some(at));
        };
        check(NewUsuario { usuario: "a b".into(), ..new(Role::Medico) }, "usuario");
        check(NewUsuario { usuario: "ab".into(), ..new(Role::Medico) }, "usuario");
        check(NewUsuario { nombre: " ".into(), ..new(Role::Medico) }, "nombre");
        check(new(Role::Integracion), "rol");
        check(NewUsuario { paciente_id: None, ..new(Role::Paciente) }, "paciente");
        check(NewUsuario { paciente_id: Some("a/b".into()), ..new(Role::Paciente) }, "paciente");
        check(NewUsuario { paciente_id: Some("p1".into()), ..new(Role::Medico) }, "paciente");
        assert_eq!(checked(&new(Role::Paciente)).unwrap().paciente_id.as_deref(), Some("0123456789"));
    }

    fn new_client(id: &str, tipo: &str, rol: Option<Role>) -> NewClient {
        NewClient { id: id.into(), tipo: tipo.into(), redirect: vec![], scope: None, rol, jwks: None }
    }

    #[test]
    fn clients_are_checked_before_they_are_made() {
        let integracion = Some(Role::Integracion);
        let good = |new: NewClient, scope: &str| assert_eq!(checked_client(new).unwrap().scope, scope);
        let check = |new: NewClient, at: &str| {
            assert_eq!(checked_client(new).unwrap_err().issues[0].expression.as_deref(), Some(at));
        };
        let lab = || new_client("lab-1", "confidential", integracion);
        good(lab(), "system/*.*");
        good(NewClient { scope: Some("system/*.cruds".into()), ..lab() }, "system/*.cruds");
        check(NewClient { scope: Some("system/Patient.read".into()), ..lab() }, "scope");
        check(NewClient { jwks: Some("{}".into()), ..lab() }, "jwks");
        for id in ["historia", "a b", "", "client/x", &"x".repeat(65)] {
            check(new_client(id, "confidential", integracion), "id");
        }
        check(new_client("lab", "confidential", Some(Role::Admin)), "rol");
        check(new_client("lab", "confidential", None), "rol");
        check(new_client("lab", "public", integracion), "rol");
        check(new_client("lab", "public", None), "redirect");
        check(new_client("lab", "secret", integracion), "tipo");
        let app = |uri: &str| NewClient {
            redirect: vec![uri.into()],
            scope: Some("openid patient/*.rs".into()),
            ..new_client("app", "public", None)
        };
        good(app("https://app.example/back?x=1"), "openid patient/*.rs");
        good(app("http://127.0.0.1:4000/back"), "openid patient/*.rs");
        for uri in [
            "http://app.example/",
            "https://",
            "https://a/#x",
            "https://*.example/",
            "http://localhost.evil/",
            "http://localhost@evil/",
            "x:y",
        ] {
            check(app(uri), "redirect");
        }
        let keys =
            |jwks: &str| NewClient { jwks: Some(jwks.into()), ..new_client("backend", "asymmetric", integracion) };
        good(keys(r#"{"keys":[{"kty":"EC","x":"1"}]}"#), "system/*.*");
        good(keys("https://app.example/jwks.json"), "system/*.*");
        for jwks in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"EC","d":"1"}]}"#,
            r#"{"keys":[{"kty":"oct","k":"1"}]}"#,
            "http://a/jwks",
        ] {
            check(keys(jwks), "jwks");
        }
    }
}
