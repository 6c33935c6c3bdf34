//! The sign-ins of `historia dev`: made at random on the first start, kept in `<data_dir>/logins.json` (0600), the same on
//! the next. Nobody's account is touched: a name that is taken gets a suffix.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::clock;
use crate::error::{Error, Result};
use crate::fhir::documento::DocumentoId;
use crate::oauth::account::{self, NewClient, NewUsuario};
use crate::store::account as accounts;
use serde::{Deserialize, Serialize};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevLogin {
    pub rol: String,
    pub usuario: String,
    pub clave: String,
    pub documento_id: String,
    /// The Patient of paciente's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paciente: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevClient {
    pub id: String,
    pub secret: String,
}

/// One sign-in per role except integracion, which is the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevAccess {
    pub logins: Vec<DevLogin>,
    pub client: Option<DevClient>,
}

/// Roles of the staff, with documents that no real person has.
const STAFF: [(Role, &str); 4] = [
    (Role::Admisionista, "SI-DEV001"),
    (Role::Medico, "SI-DEV002"),
    (Role::Resultados, "SI-DEV003"),
    (Role::Admin, "SI-DEV004"),
];

/// What the people of the sample are called: its histories name the same doctor and clerks.
fn name_of(role: Role) -> &'static str {
    match role {
        Role::Paciente => "Gloria Inés Muñoz Peñaranda",
        Role::Admisionista => "Yaneth Güiza Toro",
        Role::Medico => "Julián Ñáñez Ospina",
        Role::Resultados => "Adriana Peláez Cuéllar",
        Role::Admin => "Marta Quiroga Peña",
        Role::Integracion => "HIS",
    }
}

/// Makes what is missing. `paciente`: Patient.id and documento_id of a sample patient; without one there is no paciente
/// yet, and a later start makes it.
pub async fn ensure_dev_logins(app: &App, paciente: Option<(String, String)>) -> Result<DevAccess> {
    let by = &Caller::system("dev", clock::uuid().to_string());
    let file = app.config.data_dir.join("logins.json");
    let known = read(&file)?;
    let access = completed(app, known.clone(), paciente).await?;
    // The file first: an account whose password nobody knows would be of no use.
    if access != known {
        write(&file, &access)?;
    }
    for login in &access.logins {
        ensure_login(app, login, by).await?;
    }
    if let Some(client) = &access.client {
        ensure_client(app, client, by).await?;
    }
    Ok(access)
}

async fn completed(app: &App, mut access: DevAccess, paciente: Option<(String, String)>) -> Result<DevAccess> {
    let staff = STAFF.iter().map(|(rol, documento)| (*rol, (*documento).to_owned(), None));
    let paciente = paciente.into_iter().map(|(id, documento)| (Role::Paciente, documento, Some(id)));
    for (rol, documento_id, paciente) in paciente.chain(staff) {
        if !access.logins.iter().any(|login| login.rol == rol.code()) {
            let usuario = free_name(app, rol.code()).await?;
            let clave = clock::base32(&clock::random::<10>()?, 16);
            access.logins.push(DevLogin { rol: rol.code().to_owned(), usuario, clave, documento_id, paciente });
        }
    }
    if access.client.is_none() {
        let id = free_client(app, Role::Integracion.code()).await?;
        access.client = Some(DevClient { id, secret: clock::secret()? });
    }
    Ok(access)
}

async fn free_name(app: &App, name: &str) -> Result<String> {
    let taken = accounts::credential(&*app.pool.lane().await?, name).await?.is_some();
    if taken { suffixed(name) } else { Ok(name.to_owned()) }
}

async fn free_client(app: &App, id: &str) -> Result<String> {
    let taken = accounts::find_client(&*app.pool.lane().await?, id).await?.is_some();
    if taken { suffixed(id) } else { Ok(id.to_owned()) }
}

fn suffixed(name: &str) -> Result<String> {
    Ok(format!("{name}-{}", clock::base32(&clock::random::<4>()?, 6)))
}

/// Makes the account when the database does not have it; one that is there stays as it is.
async fn ensure_login(app: &App, login: &DevLogin, by: &Caller) -> Result<()> {
    if accounts::credential(&*app.pool.lane().await?, &login.usuario).await?.is_some() {
        return Ok(());
    }
    let rol = Role::parse(&login.rol).ok_or_else(|| Error::internal("logins.json names a role that is none"))?;
    let new = NewUsuario {
        rol,
        usuario: login.usuario.clone(),
        documento_id: DocumentoId::stored(login.documento_id.clone()),
        nombre: name_of(rol).to_owned(),
        paciente_id: login.paciente.clone(),
        clave: login.clave.clone(),
        temporary: false,
    };
    account::add_user(app, new, by).await.map(drop)
}

async fn ensure_client(app: &App, client: &DevClient, by: &Caller) -> Result<()> {
    if accounts::find_client(&*app.pool.lane().await?, &client.id).await?.is_some() {
        return Ok(());
    }
    let new = NewClient {
        id: client.id.clone(),
        tipo: "confidential".to_owned(),
        redirect: Vec::new(),
        scope: None,
        rol: Some(Role::Integracion),
        jwks: None,
    };
    account::add_client_with(app, new, Some(&client.secret), by).await
}

fn read(file: &Path) -> Result<DevAccess> {
    match std::fs::read(file) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| Error::internal(format!("{}: {e}", file.display()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(DevAccess::default()),
        Err(e) => Err(Error::internal(format!("{}: {e}", file.display()))),
    }
}

/// Puts the file in place whole.
fn write(file: &Path, access: &DevAccess) -> Result<()> {
    let new: PathBuf = file.with_extension(format!("json.{}", clock::uuid()));
    let written = || -> std::io::Result<()> {
        let mut open = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        open.write_all(&serde_json::to_vec_pretty(access)?)?;
        open.sync_all()?;
        std::fs::rename(&new, file)
    };
    written().map_err(|e| {
        let _ = std::fs::remove_file(&new);
        Error::internal(format!("{}: {e}", file.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn logins_are_kept_closed_and_read_back() {
        let folder = std::env::temp_dir().join(format!("historia-logins-{}", clock::uuid()));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("logins.json");
        assert_eq!(read(&file).unwrap(), DevAccess::default());
        let login = DevLogin {
            rol: "medico".into(),
            usuario: "medico".into(),
            clave: "x".into(),
            documento_id: "SI-DEV002".into(),
            paciente: None,
        };
        let access = DevAccess { logins: vec![login], client: Some(DevClient { id: "a".into(), secret: "b".into() }) };
        write(&file, &access).unwrap();
        write(&file, &access).unwrap();
        assert_eq!(read(&file).unwrap(), access);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::write(&file, "{").unwrap();
        assert!(read(&file).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn documents_of_the_staff_are_documents() {
        for (_, documento) in STAFF {
            assert!(DocumentoId::parse(documento).is_some());
        }
    }
}
