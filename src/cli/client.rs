//! `historia client`: OAuth clients.

use super::{Exit, Failure, app, runtime, say};
use crate::access::{Caller, Role};
use crate::clock;
use crate::config::Environment;
use crate::oauth::account::{self, NewClient};
use serde_json::{Value, json};
use std::path::Path;

/// OAuth clients: add, list, disable
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  historia client add --id laboratorio --tipo confidential --rol integracion\n  historia client list --json"
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
}

/// Make a client; its secret is printed once
#[derive(Debug, clap::Args)]
pub struct Add {
    #[arg(long)]
    pub id: String,
    #[arg(long, value_parser = ["public", "confidential", "asymmetric"])]
    pub tipo: String,
    /// May be given several times
    #[arg(long, value_name = "URI")]
    pub redirect: Vec<String>,
    /// Space-separated
    #[arg(long)]
    pub scope: Option<String>,
    #[arg(long, value_parser = ["integracion"])]
    pub rol: Option<String>,
    /// Keys of an asymmetric client
    #[arg(long, value_name = "FILE|URL")]
    pub jwks: Option<String>,
    #[arg(long)]
    pub json: bool,
}

/// List the clients, without secrets
#[derive(Debug, clap::Args)]
pub struct List {
    #[arg(long)]
    pub json: bool,
}

/// Disable a client; its tokens are dead at once
#[derive(Debug, clap::Args)]
pub struct Disable {
    #[arg(long)]
    pub id: String,
}

pub fn run(arguments: &Arguments, file: Option<&Path>, environment: &Environment) -> Result<Exit, Failure> {
    runtime()?.block_on(async {
        let app = app(file, environment).await?;
        let by = Caller::system("cli", clock::uuid().to_string());
        match &arguments.action {
            Action::Add(add) => {
                let new = NewClient {
                    id: add.id.clone(),
                    tipo: add.tipo.clone(),
                    redirect: add.redirect.clone(),
                    scope: add.scope.clone(),
                    rol: add.rol.as_deref().and_then(Role::parse),
                    jwks: add.jwks.clone(),
                };
                let secret = account::add_client(&app, new, &by).await?;
                match (add.json, secret) {
                    (true, secret) => say(&format!("{}\n", json!({"id": add.id, "secret": secret}))),
                    (false, Some(secret)) => say(&format!("{}: the secret is {secret} (shown once)\n", add.id)),
                    (false, None) => say(&format!("{}: done\n", add.id)),
                }
            }
            Action::List(list) => {
                let clients = account::list_clients(&app).await?;
                let state = |active: bool| if active { "activo" } else { "inactivo" };
                if list.json {
                    let row = |c: &crate::store::account::OauthClient| {
                        json!({"id": c.id, "tipo": c.tipo, "rol": c.rol.map(Role::code), "scope": c.scope, "estado": state(c.active)})
                    };
                    say(&format!("{}\n", Value::Array(clients.iter().map(row).collect())));
                } else {
                    for c in clients {
                        let rol = c.rol.map_or("-", Role::code);
                        say(&format!("{:<24} {:<14} {:<14} {:<10} {}\n", c.id, c.tipo, rol, state(c.active), c.scope));
                    }
                }
            }
            Action::Disable(disable) => account::disable_client(&app, &disable.id, &by).await?,
        }
        Ok(Exit::Done)
    })
}
