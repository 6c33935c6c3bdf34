//! Tests of `config`: layers, forms, what each command demands.

use super::*;

/// A configuration file of a test, removed at its end.
struct TestFile(PathBuf);

impl TestFile {
    fn new(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("historia-{}.toml", crate::clock::uuid()));
        std::fs::write(&path, text).unwrap();
        TestFile(path)
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn load(command: Command, file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = TestFile::new(file);
    Config::load(command, Some(&file.0), &Environment::of(environment.iter().copied()))
}

fn key_of_error(command: Command, file: &str, environment: &[(&str, &str)]) -> String {
    load(command, file, environment).expect_err("an error").key
}

#[test]
fn dev_has_the_defaults_of_the_contract() {
    let config = load(Command::Dev, "", &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("./.historia"));
    assert_eq!(config.http.listen.unwrap().to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.tls_listen, None);
    assert_eq!(config.mllp.listen.unwrap().to_string(), "127.0.0.1:2575");
    assert_eq!(config.ops.unwrap().to_string(), "127.0.0.1:9090");
    assert!(config.database.migrate && config.database.url.is_none());
    assert_eq!(config.database.statement_timeout, Duration::from_secs(30));
    let limits = config.limits;
    assert_eq!((limits.bundle_entries, limits.body, limits.depth, limits.string), (10_000, 64 << 20, 64, 1 << 20));
    assert_eq!((limits.count_default, limits.count_max, limits.or_terms, limits.parameters), (20, 1_000, 500, 100));
    assert_eq!((limits.chain_depth, limits.iterate_depth, limits.includes), (4, 3, 1_000));
    assert_eq!((limits.url, limits.mllp_frame), (16_000, 10 << 20));
}

#[test]
fn serve_demands_what_it_cannot_guess() {
    assert_eq!(key_of_error(Command::Serve, "", &[]), "http.tls_cert");
    assert_eq!(key_of_error(Command::Serve, "http.tls_cert = 'a.pem'", &[]), "http.tls_key");
    assert_eq!(key_of_error(Command::Serve, "http.tls_listen = 'off'", &[]), "http.public_url");
    let config =
        load(Command::Serve, "http = {tls_listen = 'off', public_url = 'https://h.example.org/'}", &[]).unwrap();
    assert_eq!(config.data_dir, Path::new("/var/lib/historia"));
    assert_eq!(config.http.public_url.as_deref(), Some("https://h.example.org"));
    assert_eq!(config.mllp.listen, None);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn later_layers_win_and_are_remembered() {
    let file = "http.listen = '127.0.0.1:1'\nops.listen = '127.0.0.1:2'\n[dev.http]\nlisten = '127.0.0.1:3'\n[serve.ops]\nlisten = 'off'";
    let config = load(
        Command::Dev,
        file,
        &[("HISTORIA_OPS__LISTEN", "127.0.0.1:4"), ("HISTORIA_SHARED", "x"), ("HISTORIA_TEST_URL", "x")],
    )
    .unwrap();
    assert_eq!(config.http.listen.unwrap().port(), 3);
    assert_eq!(config.ops.unwrap().port(), 4);
    assert!(matches!(config.origin("http.listen"), Some(Origin::File(_))));
    assert_eq!(config.origin("ops.listen"), Some(&Origin::Environment("HISTORIA_OPS__LISTEN".to_owned())));
    assert_eq!(config.origin("mllp.listen"), Some(&Origin::Default));
}

#[test]
fn database_url_has_two_names() {
    let url = |environment: &[(&str, &str)]| {
        load(Command::Dev, "", environment).unwrap().database.url.map(|url| url.expose().to_owned())
    };
    assert_eq!(url(&[("DATABASE_URL", "postgres://a/h")]).as_deref(), Some("postgres://a/h"));
    assert_eq!(
        url(&[("HISTORIA_DATABASE__URL", "postgres://b/h"), ("DATABASE_URL", "postgres://a/h")]).as_deref(),
        Some("postgres://b/h")
    );
    assert_eq!(url(&[("DATABASE_URL", "")]), None);
    assert_eq!(key_of_error(Command::Dev, "", &[("DATABASE_URL", "mysql://a/h")]), "database.url");
}

#[test]
fn unknown_keys_name_the_nearest() {
    let check = |file: &str, environment: &[(&str, &str)], key: &str, nearest: &str| {
        let error = load(Command::Dev, file, environment).expect_err("an error");
        assert_eq!(error.key, key);
        assert!(error.sentence.contains(nearest), "{error}");
    };
    check("http.lisen = 'off'", &[], "http.lisen", "http.listen");
    check("[serve.databse]\nurl = ''", &[], "databse.url", "database.url");
    check("", &[("HISTORIA_HTTP__LISTENER", "off")], "http.listener", "http.listen");
    check("", &[("HISTORIA_LIMITS__BODYS", "1 B")], "limits.bodys", "limits.body");
}

#[test]
fn wrong_values_name_their_key() {
    let check = |file: &str, key: &str| assert_eq!(key_of_error(Command::Dev, file, &[]), key, "{file}");
    check("http.listen = '127.0.0.1:99999'", "http.listen");
    check("http.listen = 8080", "http.listen");
    check("http.listen = 'off'", "http.listen");
    check("http.public_url = 'h.example.org'", "http.public_url");
    check("mllp.tls_listen = '127.0.0.1:0'", "http.tls_cert");
    check("mllp.sender = [{name = 'a', address = '192.0.2.0/99'}]", "mllp.sender[0]");
    check("mllp.sender = [{name = 'a', address = '192.0.2.1', mhs3 = 'x'}]", "mllp.sender[0]");
    check("documento.systems = [{system = 'urn:x', type = 'XX'}]", "documento.systems[0]");
    check("hl7v2.time_zone = '-5:00'", "hl7v2.time_zone");
    check("hl7v2.time_zone = 'ñ05:0'", "hl7v2.time_zone");
    check("fhir.references = 'on'", "fhir.references");
    check("limits.count_default = 2000", "limits.count_default");
    check("limits.count_max = 0", "limits.count_max");
    check("limits.body = '64'", "limits.body");
    assert_eq!(key_of_error(Command::Dev, "", &[("HISTORIA_DATABASE__MIGRATE", "yes")]), "database.migrate");
    assert_eq!(key_of_error(Command::Dev, "", &[("HISTORIA_HL7V2__PROCESSING_IDS", "P")]), "hl7v2.processing_ids");
    assert!(load(Command::Dev, "a = ", &[]).expect_err("an error").sentence.contains("line 1"));
}

#[test]
fn lists_come_from_files_and_environment() {
    let file = "[[mllp.sender]]\nname = 'lis'\naddress = '192.0.2.0/24'\nsending_application = 'LIS'";
    let environment = [
        ("HISTORIA_DOCUMENTO__SYSTEMS", "[{system = 'urn:oid:1', type = 'CC'}]"),
        ("HISTORIA_HL7V2__PROCESSING_IDS", "['P', 'T']"),
    ];
    let config =
        load(Command::Serve, &format!("http.tls_listen = 'off'\nhttp.public_url = 'https://h'\n{file}"), &environment)
            .unwrap();
    assert_eq!(config.mllp.senders.len(), 1);
    assert_eq!(config.mllp.senders[0].sending_application.as_deref(), Some("LIS"));
    assert_eq!(
        config.documento_systems,
        [DocumentoSystem { system: "urn:oid:1".to_owned(), type_code: "CC".to_owned() }]
    );
    assert_eq!(config.hl7v2.processing_ids, ["P", "T"]);
}

#[test]
fn effective_masks_secrets() {
    let config = load(Command::Dev, "", &[("DATABASE_URL", "postgres://ana:secret@db/h")]).unwrap();
    let shown: Vec<String> =
        config.effective().map(|(key, value, origin)| format!("{key} = {value} # {origin}")).collect();
    let all = shown.join("\n");
    assert!(all.contains("database.url = \"postgres://ana:***@db/h\" # environment DATABASE_URL"), "{all}");
    assert!(!all.contains("secret") && !format!("{config:?}").contains("secret"));
}

#[test]
fn a_missing_named_file_is_an_error() {
    let error = Config::load(Command::Dev, Some(Path::new("/nonexistent/h.toml")), &Environment::default())
        .expect_err("an error");
    assert_eq!(error.key, "/nonexistent/h.toml");
}

#[test]
fn the_contract_lists_every_key_with_its_defaults() {
    let contract = include_str!("../../docs/contract.md");
    let section = contract.split("\n## Configuration").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    let rows: Vec<Vec<String>> = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(cell).collect())
        .collect();
    for (column, command) in [(2, Command::Dev), (3, Command::Serve)] {
        let file = TestFile::new("");
        let config = Config::gather(command, Some(&file.0), &Environment::default()).unwrap();
        let actual: Vec<(String, String)> = config
            .effective()
            .map(|(key, value, _)| (key.to_owned(), value.to_string().trim_matches('"').to_owned()))
            .collect();
        let mut listed: Vec<(String, String)> = rows.iter().map(|row| (row[0].clone(), row[column].clone())).collect();
        listed.sort();
        assert_eq!(listed, actual, "{command:?}");
    }
}
