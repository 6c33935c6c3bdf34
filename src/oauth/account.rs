//! Accounts and clients as the operator keeps them: each change one transaction with its audit record.
//!
//! What ends an account's right also ends its sessions, on every instance, with the commit.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::documento::DocumentoId;
use crate::fhir::reference::Id;
use crate::oauth::grant::{self, LONGEST_ID};
use crate::oauth::token::{OWN_CLIENT, actor_of_client, actor_of_usuario};
use crate::oauth::{password, scope};
use crate::store::account::{self as accounts, Credential, OauthClient, Usuario};
use crate::store::session::{self, Holder};
use crate::store::{self, Conn};

const LONGEST_NAME: usize = 200;

/// A new account. `paciente_id`: the one Patient of a paciente, and of nobody else.
pub struct NewUsuario {
    pub rol: Role,
    pub usuario: String,
    pub documento_id: DocumentoId,
    pub nombre: String,
    pub paciente_id: Option<String>,
    pub clave: String,
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
    changed(app, event, async |conn| accounts::add(conn, &account, &clave, clock::now()).await).await?;
    Ok(account)
}

fn checked(new: &NewUsuario) -> Result<Usuario> {
    let wrong = |name: &str, text: &str| Error::at(Kind::BusinessRule, name, text);
    let usuario = user_name(&new.usuario)
        .ok_or_else(|| wrong("usuario", "a user name is 3 to 64 letters a-z, digits and . _ - @"))?;
    let nombre = new.nombre.trim();
    if nombre.is_empty() || nombre.len() > LONGEST_NAME {
        return Err(wrong("nombre", "a name has 1 to 200 bytes"));
    }
    match (new.rol, &new.paciente_id) {
        (Role::Integracion, _) => return Err(wrong("rol", "integracion is the role of clients, not of people")),
        (Role::Paciente, None) => return Err(wrong("paciente", "a paciente account is bound to one Patient.id")),
        (Role::Paciente, Some(id)) if Id::parse(id).is_none() => return Err(wrong("paciente", "is not a Patient.id")),
        (Role::Paciente, Some(_)) => {}
        (_, Some(_)) => return Err(wrong("paciente", "only a paciente account is bound to a Patient.id")),
        (_, None) => {}
    }
    Ok(Usuario {
        documento_id: new.documento_id.as_str().to_owned(),
        id: clock::uuid(),
        usuario,
        nombre: nombre.to_owned(),
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
        session::end_all(conn, &Holder::Usuario(account.usuario_id), now).await
    })
    .await
}

/// Gives an account a new password, enables it, and ends all its sessions.
pub async fn reset_password(app: &App, usuario: &str, clave: &str, by: &Caller) -> Result<()> {
    let (usuario, account) = known(app, usuario).await?;
    password::check(clave, &usuario)?;
    let hash = password::hash(clave).await?;
    let event = Event::new(by, "user-reset").instance(&actor_of_usuario(account.usuario_id), None);
    changed(app, event, async |conn| {
        let now = clock::now();
        accounts::set_password(conn, &usuario, &hash, now).await?;
        accounts::set_active(conn, &account.documento_id, account.usuario_id, true, now).await?;
        session::end_all(conn, &Holder::Usuario(account.usuario_id), now).await
    })
    .await
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

/// A new client. Only confidential ones of the role integracion can do something in this version.
pub struct NewClient {
    pub id: String,
    /// `public`, `confidential` or `asymmetric`.
    pub tipo: String,
    pub redirect: Vec<String>,
    pub scope: Option<String>,
    pub rol: Option<Role>,
    pub jwks: Option<String>,
}

/// Makes a client and returns its secret, which is not kept.
pub async fn add_client(app: &App, new: NewClient, by: &Caller) -> Result<String> {
    let secret = clock::secret()?;
    add_client_with(app, new, &secret, by).await?;
    Ok(secret)
}

pub(crate) async fn add_client_with(app: &App, new: NewClient, secret: &str, by: &Caller) -> Result<()> {
    let client = OauthClient { secret: Some(grant::digest(secret)), ..checked_client(new)? };
    let event = Event::new(by, "client-add").instance(&actor_of_client(&client.id), None);
    changed(app, event, async |conn| accounts::add_client(conn, &client, clock::now()).await).await
}

/// What cannot be kept yet is refused by name, so that nobody believes it holds.
fn checked_client(new: NewClient) -> Result<OauthClient> {
    let wrong = |name: &str, text: &str| Err(Error::at(Kind::BusinessRule, name, text));
    let clean = new.id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if new.id.is_empty() || new.id.len() > LONGEST_ID || !clean {
        return wrong("id", "a client id is 1 to 64 letters, digits and . _ -");
    }
    if new.id.eq_ignore_ascii_case(OWN_CLIENT) {
        return wrong("id", "this id is the server's own");
    }
    if new.tipo != "confidential" || !new.redirect.is_empty() || new.jwks.is_some() {
        return wrong("tipo", "this version has confidential clients only, without redirect and jwks");
    }
    let Some(rol) = new.rol.filter(|rol| *rol == Role::Integracion) else {
        return wrong("rol", "a confidential client has the role integracion");
    };
    let whole = scope::of_role(rol);
    let asked = new.scope.unwrap_or_default();
    if !asked.is_empty() && !scope::is_whole(&asked, rol) {
        return wrong("scope", "this version gives a client the whole scope of its role only");
    }
    Ok(OauthClient {
        id: new.id,
        tipo: new.tipo,
        secret: None,
        redirect: new.redirect,
        scope: if asked.is_empty() { whole.to_owned() } else { asked },
        rol: Some(rol),
        jwks: None,
        active: true,
    })
}

/// Disables a client and ends all its tokens.
pub async fn disable_client(app: &App, id: &str, by: &Caller) -> Result<()> {
    let event = Event::new(by, "client-disable").instance(&actor_of_client(id), None);
    changed(app, event, async |conn| {
        if !accounts::set_client_active(conn, id, false).await? {
            return Err(Error::at(Kind::NotFound, "id", "there is no such client"));
        }
        session::end_all(conn, &Holder::Client(id.to_owned()), clock::now()).await
    })
    .await
}

/// All clients. Their secrets are hashes; do not show them all the same.
pub async fn list_clients(app: &App) -> Result<Vec<OauthClient>> {
    accounts::list_clients(&*app.pool.lane().await?).await
}

/// One transaction: the change and its record.
async fn changed(app: &App, event: Event, change: impl AsyncFnOnce(&Conn) -> Result<()>) -> Result<()> {
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

    #[test]
    fn clients_are_checked_before_they_are_made() {
        let new = |id: &str, tipo: &str, scope: Option<&str>, rol| NewClient {
            id: id.into(),
            tipo: tipo.into(),
            redirect: vec![],
            scope: scope.map(Into::into),
            rol,
            jwks: None,
        };
        let check = |new: NewClient, at: &str| {
            assert_eq!(checked_client(new).unwrap_err().issues[0].expression.as_deref(), Some(at));
        };
        let integracion = Some(Role::Integracion);
        assert_eq!(checked_client(new("lab-1", "confidential", None, integracion)).unwrap().scope, "system/*.*");
        let v2 = checked_client(new("lab-1", "confidential", Some("system/*.cruds"), integracion)).unwrap();
        assert_eq!(v2.scope, "system/*.cruds");
        check(new("historia", "confidential", None, integracion), "id");
        check(new("a b", "confidential", None, integracion), "id");
        check(new("", "confidential", None, integracion), "id");
        check(new("lab", "public", None, integracion), "tipo");
        check(new("lab", "confidential", None, Some(Role::Admin)), "rol");
        check(new("lab", "confidential", None, None), "rol");
        check(new("lab", "confidential", Some("system/Patient.read"), integracion), "scope");
    }
}
