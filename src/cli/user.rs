//! `historia user`: accounts.

use super::{Exit, Failure, ROLES, app, runtime, say};
use crate::access::{Caller, Role};
use crate::app::App;
use crate::clock;
use crate::config::Environment;
use crate::error::Error;
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::DocumentoId;
use crate::interaction::{self, Interaction};
use crate::oauth::account::{self, NewUsuario};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Accounts: add, list, disable, reset
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  historia user add --rol medico --usuario ana --documento CC-1020304050 --nombre 'Ana Ruiz'\n  historia user list --json\n  historia user disable --usuario ana"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, clap::Subcommand)]
pub enum Action {
    Add(Add),
    List(List),
    Disable(Disable),
    Reset(Reset),
}

/// Make an account; its password is printed once, or read from stdin
#[derive(Debug, clap::Args)]
pub struct Add {
    #[arg(long, value_parser = ROLES)]
    pub rol: String,
    #[arg(long)]
    pub usuario: String,
    /// TYPE-NUMBER, as in CC-1020304050
    #[arg(long)]
    pub documento: String,
    #[arg(long)]
    pub nombre: String,
    /// Patient.id of a paciente account; else the one Patient that has --documento
    #[arg(long, value_name = "ID")]
    pub paciente: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    pub clave_stdin: bool,
    #[arg(long)]
    pub json: bool,
}

/// List the accounts, without secrets
#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(long)]
    pub json: bool,
}

/// Disable an account; its tokens are dead at once
#[derive(Debug, clap::Args)]
pub struct Disable {
    #[arg(long)]
    pub usuario: String,
}

/// Give an account a new password and enable it
#[derive(Debug, clap::Args)]
pub struct Reset {
    #[arg(long)]
    pub usuario: String,
    /// Read the password from stdin
    #[arg(long)]
    pub clave_stdin: bool,
    #[arg(long)]
    pub json: bool,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let app = app(file, environment).await?;
        let by = Caller::system("cli", clock::uuid().to_string());
        match &arguments.action {
            Action::Add(add) => added(&app, add, &by).await,
            Action::List(list) => listed(&app, list).await,
            Action::Disable(disable) => {
                Ok(account::disable_user(&app, &disable.usuario, &by).await.map(|()| Exit::Done)?)
            }
            Action::Reset(reset) => reset_password(&app, reset, &by).await,
        }
    })
}

async fn added(app: &Arc<App>, add: &Add, by: &Caller) -> Result<Exit, Failure> {
    let documento_id = DocumentoId::parse(&add.documento)
        .ok_or_else(|| Failure::new(Exit::Usage, "--documento: TYPE-NUMBER is expected, as in CC-1020304050"))?;
    let rol = Role::parse(&add.rol).ok_or_else(|| Failure::new(Exit::Usage, "--rol: there is no such role"))?;
    let paciente_id = match (rol, &add.paciente) {
        (Role::Paciente, None) => Some(patient_of(app, &documento_id, by).await?),
        (_, given) => given.clone(),
    };
    let (clave, made) = password(add.clave_stdin)?;
    let new = NewUsuario {
        rol,
        usuario: add.usuario.clone(),
        documento_id,
        nombre: add.nombre.clone(),
        paciente_id,
        clave: clave.clone(),
        temporary: false,
    };
    let account = account::add_user(app, new, by).await?;
    tell(&account.usuario, made.then_some(clave.as_str()), add.json);
    Ok(Exit::Done)
}

/// The one Patient that has the document.
async fn patient_of(app: &Arc<App>, documento_id: &DocumentoId, by: &Caller) -> Result<String, Failure> {
    let resource_type = ResourceType::parse("Patient").ok_or_else(|| Error::internal("a type is missing"))?;
    let number = documento_id.parts().map_or("", |(_, number)| number);
    let search =
        Interaction::SearchType { resource_type, query: format!("identifier={number}&_count=1000"), lenient: false };
    let answer = interaction::execute(app, by, &search).await?;
    let bundle: Value = serde_json::from_slice(answer.body.as_deref().unwrap_or_default()).map_err(Error::internal)?;
    let patients =
        bundle.get("entry").and_then(Value::as_array).into_iter().flatten().filter_map(|entry| entry.get("resource"));
    let mut fitting = patients.filter(|p| DocumentoId::of_patient(p, &app.systems).as_ref() == Some(documento_id));
    let id = fitting.next().and_then(|p| p.get("id")?.as_str().map(str::to_owned));
    match (id, fitting.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(Failure::new(Exit::Failed, "no Patient has this document: name one with --paciente")),
        (Some(_), Some(_)) => {
            Err(Failure::new(Exit::Failed, "several Patients have this document: name one with --paciente"))
        }
    }
}

/// The password of stdin, else a new one, and whether it was made here.
fn password(from_stdin: bool) -> Result<(String, bool), Failure> {
    if !from_stdin {
        return Ok((clock::base32(&clock::random::<10>()?, 16), true));
    }
    let mut text = String::new();
    let read = std::io::stdin().take(1024).read_to_string(&mut text);
    read.map_err(|e| Failure::new(Exit::Failed, format!("cannot read the password from stdin: {e}")))?;
    Ok((text.trim_end_matches(['\r', '\n']).to_owned(), false))
}

fn tell(usuario: &str, clave: Option<&str>, as_json: bool) {
    match (as_json, clave) {
        (true, Some(clave)) => say(&format!("{}\n", json!({"usuario": usuario, "clave": clave}))),
        (true, None) => say(&format!("{}\n", json!({"usuario": usuario}))),
        (false, Some(clave)) => say(&format!("{usuario}: the password is {clave} (shown once)\n")),
        (false, None) => say(&format!("{usuario}: done\n")),
    }
}

async fn listed(app: &Arc<App>, list: &List) -> Result<Exit, Failure> {
    let users = account::list_users(app).await?;
    if list.json {
        let rows: Vec<Value> = users
            .iter()
            .map(|u| {
                json!({"usuario": u.usuario, "rol": u.rol.code(), "documento_id": u.documento_id, "nombre": u.nombre,
                       "estado": if u.active { "activo" } else { "inactivo" }, "paciente": u.paciente_id})
            })
            .collect();
        say(&format!("{}\n", Value::Array(rows)));
        return Ok(Exit::Done);
    }
    for u in users {
        let estado = if u.active { "activo" } else { "inactivo" };
        say(&format!("{:<24} {:<14} {:<10} {:<20} {}\n", u.usuario, u.rol.code(), estado, u.documento_id, u.nombre));
    }
    Ok(Exit::Done)
}

async fn reset_password(app: &Arc<App>, reset: &Reset, by: &Caller) -> Result<Exit, Failure> {
    let (clave, made) = password(reset.clave_stdin)?;
    account::reset_password(app, &reset.usuario, &clave, false, by).await?;
    tell(&reset.usuario, made.then_some(clave.as_str()), reset.json);
    Ok(Exit::Done)
}
