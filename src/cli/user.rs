//! `historia user`: accounts.

use super::ROLES;

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
