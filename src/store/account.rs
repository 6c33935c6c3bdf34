//! Accounts and OAuth clients. `usuario` holds no secret; the password hash is in `credencial`.

use crate::access::Role;
use crate::error::{Error, Kind, Result};
use crate::store::pool::Conn;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

pub const STATEMENTS: &[&str] = &[
    CREDENTIAL,
    PLACE,
    HOLD_CREDENTIAL,
    USUARIO,
    HOLD_USUARIO,
    LIST,
    INSERT_USUARIO,
    INSERT_CREDENTIAL,
    SET_STATE,
    DISABLE_OF_PATIENT,
    SET_PASSWORD,
    CLIENT,
    HOLD_CLIENT,
    CLIENTS,
    INSERT_CLIENT,
    SET_CLIENT_STATE,
    SET_CLIENT_SECRET,
];

/// A person who may sign in.
#[derive(Clone, Debug)]
pub struct Usuario {
    pub documento_id: String,
    pub id: Uuid,
    pub usuario: String,
    pub nombre: String,
    pub rol: Role,
    pub active: bool,
    pub paciente_id: Option<String>,
}

/// What proves who one is: the Argon2id hash, and where the account lies.
pub struct Credential {
    pub documento_id: String,
    pub usuario_id: Uuid,
    pub clave: String,
    /// Of a password that somebody else made: until when it is good. It must be changed first.
    pub vence: Option<Timestamp>,
}

const CREDENTIAL: &str = "select documento_id, usuario_id, clave, vence from credencial where usuario = $1";
const PLACE: &str = "select documento_id, vence from credencial where usuario_id = $1";
const HOLD_CREDENTIAL: &str = "select clave from credencial where usuario = $1 for share";
const USUARIO: &str = "select documento_id, id, usuario, nombre, rol, estado, paciente_id from usuario where documento_id = $1 and id = $2";
const HOLD_USUARIO: &str = "\
select documento_id, id, usuario, nombre, rol, estado, paciente_id from usuario where documento_id = $1 and id = $2 for share";
const LIST: &str =
    "select documento_id, id, usuario, nombre, rol, estado, paciente_id from usuario order by usuario limit 10000";
const INSERT_USUARIO: &str = "\
insert into usuario (documento_id, id, usuario, nombre, rol, estado, paciente_id, creado, actualizado) values ($1, $2, $3, $4, $5, 'activo', $6, $7, $7)";
const INSERT_CREDENTIAL: &str = "insert into credencial (usuario, documento_id, usuario_id, clave, actualizado, vence) values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
const SET_STATE: &str = "update usuario set estado = $3, actualizado = $4 where documento_id = $1 and id = $2";
const SET_PASSWORD: &str = "update credencial set clave = $2, actualizado = $3, vence = $4 where usuario = $1";

fn usuario(row: &Row) -> Result<Usuario> {
    let rol: &str = row.get(4);
    Ok(Usuario {
        documento_id: row.get(0),
        id: row.get(1),
        usuario: row.get(2),
        nombre: row.get(3),
        // F004: a role that this version does not know denies.
        rol: Role::parse(rol)
            .ok_or_else(|| Error::internal("an account has a role that this version does not know"))?,
        active: row.get::<_, &str>(5) == "activo",
        paciente_id: row.get(6),
    })
}

pub async fn credential(conn: &Conn, name: &str) -> Result<Option<Credential>> {
    let row = conn.query_opt(CREDENTIAL, &[&name]).await?;
    Ok(row.map(|row| Credential {
        documento_id: row.get(0),
        usuario_id: row.get(1),
        clave: row.get(2),
        vence: row.get(3),
    }))
}

pub async fn find(conn: &Conn, documento_id: &str, id: Uuid) -> Result<Option<Usuario>> {
    conn.reach(documento_id)?;
    conn.query_opt(USUARIO, &[&documento_id, &id]).await?.as_ref().map(usuario).transpose()
}

/// The account of an id whose place is not known.
pub async fn find_by_id(conn: &Conn, id: Uuid) -> Result<Option<Usuario>> {
    Ok(find_with_expiry(conn, id).await?.map(|(usuario, _)| usuario))
}

/// The same, and until when its password is good when somebody else made it.
pub async fn find_with_expiry(conn: &Conn, id: Uuid) -> Result<Option<(Usuario, Option<Timestamp>)>> {
    let Some(row) = conn.query_opt(PLACE, &[&id]).await? else { return Ok(None) };
    let vence: Option<Timestamp> = row.get(1);
    Ok(find(conn, row.get(0), id).await?.map(|usuario| (usuario, vence)))
}

/// The account as it is now, held until the transaction ends: nobody disables it or changes its password between the
/// judgement and the session that rests on it. None when the password is no longer the one that was proven.
pub async fn hold(conn: &Conn, name: &str, proven: &Credential) -> Result<Option<Usuario>> {
    let same =
        conn.query_opt(HOLD_CREDENTIAL, &[&name]).await?.is_some_and(|row| row.get::<_, &str>(0) == proven.clave);
    if !same {
        return Ok(None);
    }
    hold_usuario(conn, &proven.documento_id, proven.usuario_id).await
}

pub async fn hold_usuario(conn: &Conn, documento_id: &str, id: Uuid) -> Result<Option<Usuario>> {
    conn.reach(documento_id)?;
    conn.query_opt(HOLD_USUARIO, &[&documento_id, &id]).await?.as_ref().map(usuario).transpose()
}

pub async fn list(conn: &Conn) -> Result<Vec<Usuario>> {
    conn.reach_all()?;
    conn.query(LIST, &[]).await?.iter().map(usuario).collect()
}

/// Adds an account inside an open transaction.
pub async fn add(conn: &Conn, account: &Usuario, clave: &str, vence: Option<Timestamp>, at: Timestamp) -> Result<()> {
    conn.reach(&account.documento_id)?;
    let taken = conn
        .execute(INSERT_CREDENTIAL, &[&account.usuario, &account.documento_id, &account.id, &clave, &at, &vence])
        .await?
        == 0;
    if taken {
        return Err(Error::at(Kind::Conflict, "usuario", "the user name is taken"));
    }
    let (a, rol) = (account, account.rol.code());
    conn.execute(INSERT_USUARIO, &[&a.documento_id, &a.id, &a.usuario, &a.nombre, &rol, &a.paciente_id, &at])
        .await
        .map(drop)
}

pub async fn set_active(conn: &Conn, documento_id: &str, id: Uuid, active: bool, at: Timestamp) -> Result<()> {
    conn.reach(documento_id)?;
    let estado = if active { "activo" } else { "inactivo" };
    conn.execute(SET_STATE, &[&documento_id, &id, &estado, &at]).await.map(drop)
}

// Fans out: accounts lie under the document of their person, which need not be that of the record.
const DISABLE_OF_PATIENT: &str = "update usuario set estado = 'inactivo', actualizado = $2 where paciente_id = $1 and estado = 'activo' returning id";

/// Disables the accounts that are bound to a Patient, inside an open transaction. Returns their ids.
pub async fn disable_of_patient(conn: &Conn, patient: &str, at: Timestamp) -> Result<Vec<Uuid>> {
    conn.reach_all()?;
    Ok(conn.query(DISABLE_OF_PATIENT, &[&patient, &at]).await?.iter().map(|row| row.get(0)).collect())
}

pub async fn set_password(
    conn: &Conn,
    name: &str,
    clave: &str,
    vence: Option<Timestamp>,
    at: Timestamp,
) -> Result<bool> {
    Ok(conn.execute(SET_PASSWORD, &[&name, &clave, &at, &vence]).await? == 1)
}

/// An application that asks for tokens.
#[derive(Clone, Debug)]
pub struct OauthClient {
    pub id: String,
    /// `public`, `confidential` or `asymmetric`.
    pub tipo: String,
    /// SHA-256 of the secret: the secret is 160 random bits, so a slow hash adds nothing.
    pub secret: Option<Vec<u8>>,
    pub redirect: Vec<String>,
    pub scope: String,
    pub rol: Option<Role>,
    pub jwks: Option<String>,
    pub active: bool,
}

const CLIENT: &str = "select id, tipo, secret, redirect, scope, rol, jwks, estado from oauth_client where id = $1";
const HOLD_CLIENT: &str =
    "select id, tipo, secret, redirect, scope, rol, jwks, estado from oauth_client where id = $1 for share";
const CLIENTS: &str =
    "select id, tipo, secret, redirect, scope, rol, jwks, estado from oauth_client order by id limit 10000";
const INSERT_CLIENT: &str = "\
insert into oauth_client (id, tipo, secret, redirect, scope, rol, jwks, created) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing";
const SET_CLIENT_STATE: &str = "update oauth_client set estado = $2 where id = $1";
const SET_CLIENT_SECRET: &str = "update oauth_client set secret = $2 where id = $1";

fn client(row: &Row) -> OauthClient {
    OauthClient {
        id: row.get(0),
        tipo: row.get(1),
        secret: row.get(2),
        redirect: row.get(3),
        scope: row.get(4),
        rol: row.get::<_, Option<&str>>(5).and_then(Role::parse),
        jwks: row.get(6),
        active: row.get::<_, &str>(7) == "activo",
    }
}

pub async fn find_client(conn: &Conn, id: &str) -> Result<Option<OauthClient>> {
    Ok(conn.query_opt(CLIENT, &[&id]).await?.as_ref().map(client))
}

/// The client as it is now, held until the transaction ends.
pub async fn hold_client(conn: &Conn, id: &str) -> Result<Option<OauthClient>> {
    Ok(conn.query_opt(HOLD_CLIENT, &[&id]).await?.as_ref().map(client))
}

pub async fn list_clients(conn: &Conn) -> Result<Vec<OauthClient>> {
    Ok(conn.query(CLIENTS, &[]).await?.iter().map(client).collect())
}

pub async fn add_client(conn: &Conn, client: &OauthClient, at: Timestamp) -> Result<()> {
    let c = client;
    let rol = c.rol.map(Role::code);
    let added =
        conn.execute(INSERT_CLIENT, &[&c.id, &c.tipo, &c.secret, &c.redirect, &c.scope, &rol, &c.jwks, &at]).await?;
    if added == 0 {
        return Err(Error::at(Kind::Conflict, "id", "the client id is taken"));
    }
    Ok(())
}

pub async fn set_client_active(conn: &Conn, id: &str, active: bool) -> Result<bool> {
    Ok(conn.execute(SET_CLIENT_STATE, &[&id, &if active { "activo" } else { "inactivo" }]).await? == 1)
}

pub async fn set_client_secret(conn: &Conn, id: &str, secret: &[u8]) -> Result<bool> {
    Ok(conn.execute(SET_CLIENT_SECRET, &[&id, &secret]).await? == 1)
}
