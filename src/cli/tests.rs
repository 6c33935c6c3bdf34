//! Tests of the command line: arguments of the contract, exit codes.

use super::*;
use clap::{Args, CommandFactory};

/// The arguments of one command, parsed as clap would after its name.
fn parse<A: Args>(line: &str) -> Result<A, clap::error::ErrorKind> {
    let words: Vec<String> = std::iter::once("x").chain(line.split_whitespace()).map(str::to_owned).collect();
    let matches = A::augment_args(clap::Command::new("x")).try_get_matches_from(words).map_err(|e| e.kind())?;
    A::from_arg_matches(&matches).map_err(|e| e.kind())
}

#[test]
fn arguments_are_those_of_the_contract() {
    Cli::command().debug_assert();
    let add: user::Arguments =
        parse("add --rol paciente --usuario a --documento CC-1 --nombre b --paciente p1 --clave-stdin").unwrap();
    assert!(matches!(add.action, user::Action::Add(add) if add.clave_stdin && add.paciente.as_deref() == Some("p1")));
    assert!(parse::<user::Arguments>("add --rol jefe --usuario a --documento CC-1 --nombre b").is_err());
    assert!(parse::<user::Arguments>("add --rol medico").is_err());
    for line in ["list --json", "disable --usuario a", "reset --usuario a --clave-stdin"] {
        assert!(parse::<user::Arguments>(line).is_ok(), "{line}");
    }
    let line = "add --id a --tipo asymmetric --redirect https://a --redirect https://b --rol integracion --jwks k.json";
    let add: client::Arguments = parse(line).unwrap();
    assert!(matches!(add.action, client::Action::Add(add) if add.redirect.len() == 2));
    assert!(parse::<import::Arguments>("").is_err());
    assert_eq!(parse::<import::Arguments>("a b - --json").unwrap().paths.len(), 3);
    assert!(parse::<dev::Arguments>("").is_ok() && parse::<serve::Arguments>("").is_ok());
    assert!(parse::<migrate::Arguments>("--json").is_ok());
}

#[test]
fn every_command_shows_an_example() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.starts_with("Example"), "{}", command.get_name());
    }
}

#[test]
fn errors_become_exit_codes() {
    assert_eq!(Failure::from(ConfigError::new("http.listen", "is wrong")).exit, Exit::Configuration);
    assert_eq!(Failure::from(Error::new(Kind::Transient, "x")).exit, Exit::DatabaseUnreachable);
    assert_eq!(Failure::from(Error::new(Kind::Structure, "x")).exit, Exit::Failed);
    assert_eq!(Exit::PartlyDone as u8, 5);
}

#[test]
fn the_database_is_the_configured_or_the_running_one() {
    let folder = std::env::temp_dir().join(format!("historia-none-{}", crate::clock::uuid()));
    let place = folder.display().to_string();
    let empty = std::env::temp_dir().join(format!("historia-empty-{}.toml", crate::clock::uuid()));
    std::fs::write(&empty, "").unwrap();
    let load = |environment: &[(&str, &str)]| {
        Config::load(For::Other, Some(&empty), &Environment::of(environment.iter().copied())).unwrap()
    };
    let none = database_url(&load(&[("HISTORIA_DATA_DIR", &place)])).expect_err("nothing runs there");
    assert_eq!(none.exit, Exit::DatabaseUnreachable);
    let url = database_url(&load(&[("DATABASE_URL", "postgres://db/h")])).unwrap();
    assert_eq!(url.expose(), "postgres://db/h");
    std::fs::remove_file(&empty).unwrap();
}

#[test]
fn a_folder_is_loaded_before_the_next() {
    let root = std::env::temp_dir().join(format!("historia-gather-{}", std::process::id()));
    let make = |path: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "{}").unwrap();
        path
    };
    let files = ["B/x.json", "a.json", "z.json", "c/y.ndjson", "c/no.txt", "one.json", "two.json"].map(make);
    let check = |paths: &[&str], expected: &[&[usize]]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| root.join(path)).collect();
        let expected: Vec<Vec<PathBuf>> =
            expected.iter().map(|group| group.iter().map(|n| files[*n].clone()).collect()).collect();
        assert_eq!(import::named_together(&paths).unwrap(), expected);
    };
    check(&["c", "B"], &[&[3], &[0]]);
    check(&["one.json", "two.json", "B", "a.json"], &[&[5, 6], &[0], &[1]]);
    check(&[""], &[&[1, 5, 6, 2], &[0], &[3]]);
    assert!(import::named_together(&[root.join("nowhere")]).is_err());
    std::fs::remove_dir_all(&root).unwrap();
}
