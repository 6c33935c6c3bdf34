//! The rules of the house that a reader of the files can check: who may know whom, what lives where, how files look.
//!
//! It reads source text, nothing else: comments and strings are blanked first, and the part of a file under
//! `#[cfg(test)] mod` (or a file named `tests.rs`) counts as test code. This is the place to add the next rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// `use crate::...` only from a line above one's own; names on one line do not know each other.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["clock"],
    &["lan"],
    &["config", "i18n", "telemetry"],
    &["fhir"],
    &["search"],
    &["access"],
    &["store"],
    &["app"],
    &["audit"],
    &["interaction"],
    &["oauth", "hl7v2"],
    &["view", "job"],
    &["http"],
    &["cli"],
];

/// A path in code, and the only places that may name it (prefixes of the file's path under `src/`).
struct Local {
    name: &'static str,
    places: &'static [&'static str],
    /// Whether test code is held to it as well.
    in_tests: bool,
}

const fn local(name: &'static str, places: &'static [&'static str]) -> Local {
    Local { name, places, in_tests: true }
}

const fn local_outside_tests(name: &'static str, places: &'static [&'static str]) -> Local {
    Local { name, places, in_tests: false }
}

/// Everything with IO may measure durations; the pure modules have no clock at all.
const WITH_IO: &[&str] = &[
    "clock.rs",
    "telemetry.rs",
    "store/",
    "app.rs",
    "app/",
    "audit.rs",
    "interaction/",
    "oauth/",
    "hl7v2/mllp",
    "job/",
    "http/",
    "cli/",
];

const LOCALS: &[Local] = &[
    local("actix_web", &["http/"]),
    local("actix_http", &["http/"]),
    local("actix_rt", &["http/"]),
    local("tokio_postgres", &["store/"]),
    local("bb8", &["store/"]),
    local("hl7_parser", &["hl7v2/message.rs", "hl7v2/message/"]),
    local("handlebars", &["view/html.rs"]),
    local("printpdf", &["view/pdf.rs", "view/pdf/"]),
    local("qrcode", &["view/connect.rs"]),
    local("rcgen", &["lan/authority.rs"]),
    local("jsonwebtoken", &["oauth/"]),
    local("argon2", &["oauth/"]),
    local("toml", &["config.rs", "config/"]),
    local("tracing_subscriber", &["telemetry.rs"]),
    local("metrics_exporter_prometheus", &["telemetry.rs"]),
    local_outside_tests("std::env", &["config.rs", "bin/"]),
    local_outside_tests("env::var", &["config.rs"]),
    local_outside_tests("SystemTime", &["clock.rs"]),
    local_outside_tests("Timestamp::now", &["clock.rs"]),
    local_outside_tests("Zoned::now", &["clock.rs"]),
    local_outside_tests("getrandom", &["clock.rs"]),
    local_outside_tests("Uuid::now_v7", &["clock.rs"]),
    local_outside_tests("Uuid::new_v4", &["clock.rs"]),
    local_outside_tests("Instant::now", WITH_IO),
    // stdout belongs to answers for people, stderr to the log.
    local_outside_tests("println!", &["cli/", "bin/"]),
    local_outside_tests("eprintln!", &["cli/", "bin/"]),
];

/// Names that say nothing about what is in them.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "handler", "handlers", "service", "services", "manager", "misc"];

const LONGEST: usize = 600;

/// Source text with comments and strings blanked, in two parts: the program, and its tests.
struct Code {
    program: String,
    tests: String,
}

impl Code {
    fn of(path: &str, text: &str) -> Code {
        let blank = blank(text);
        let file = path.rsplit('/').next().unwrap_or(path);
        if file == "tests.rs" || path.contains("/tests/") {
            return Code { program: String::new(), tests: blank };
        }
        // By convention the tests are the end of a file.
        let at = blank.match_indices("#[cfg(test)]").map(|(at, _)| at).find(|at| {
            let rest = blank[*at..].trim_start_matches("#[cfg(test)]").trim_start();
            rest.starts_with("mod ")
        });
        let (program, tests) = blank.split_at(at.unwrap_or(blank.len()));
        Code { program: program.to_owned(), tests: tests.to_owned() }
    }
}

/// `text` with everything inside comments, strings and characters replaced by blanks; line breaks stay.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = end_of_opaque(&characters, at);
        if end > at {
            out.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(characters[at]);
            at += 1;
        }
    }
    out
}

/// The end of the comment, string or character that starts at `at`; `at` itself when none does.
fn end_of_opaque(text: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| text.get(at + offset) == Some(&c);
    let find = |from: usize, end: &[char]| {
        (from..text.len()).find(|n| text[*n..].starts_with(end)).map_or(text.len(), |n| n + end.len())
    };
    if is(0, '/') && is(1, '/') {
        return (at..text.len()).find(|n| text[*n] == '\n').unwrap_or(text.len());
    }
    if is(0, '/') && is(1, '*') {
        return end_of_block_comment(text, at);
    }
    let begins_word = at == 0 || !(text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    if begins_word && (is(0, 'r') || (is(0, 'b') && is(1, 'r'))) {
        let hashes_from = at + if is(0, 'b') { 2 } else { 1 };
        let hashes = text[hashes_from..].iter().take_while(|c| **c == '#').count();
        if text.get(hashes_from + hashes) == Some(&'"') {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            return find(hashes_from + hashes + 1, &end);
        }
    }
    if is(0, '"') {
        return end_of_escaped(text, at + 1, '"');
    }
    // A character, not a lifetime: one (perhaps escaped) character and a closing quote.
    if is(0, '\'') && (is(1, '\\') || is(2, '\'')) {
        return end_of_escaped(text, at + 1, '\'');
    }
    at
}

fn end_of_escaped(text: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < text.len() {
        match text[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

fn end_of_block_comment(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < text.len() {
        if text[at..].starts_with(&['/', '*']) {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(&['*', '/']) {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Where `name` stands as a whole path segment or word.
fn occurrences<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).map(|(at, _)| at).filter(move |at| {
        let before = code[..*at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        // `x.bb8` is a field, `my_bb8` another word; after `!` anything may follow.
        !before.is_some_and(|c| word(c) || c == '.') && (name.ends_with('!') || !after.is_some_and(word))
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Top-level modules named after `crate::`, also in groups: `use crate::{a, b::{c, d}}`.
fn crate_modules(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for at in occurrences(code, "crate") {
        let Some(rest) = code[at + "crate".len()..].trim_start().strip_prefix("::") else { continue };
        let rest = rest.trim_start();
        let line = line_of(code, at);
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group).into_iter().map(|name| (name, line))),
            None => found.push((identifier(rest), line)),
        }
    }
    found
}

/// The first name of each member of a `{...}` group, whose opening brace is gone.
fn group_heads(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut fresh) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => fresh = true,
            c if fresh && (c.is_alphabetic() || c == '_') => {
                heads.push(identifier(&group[at..]));
                fresh = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|names| names.contains(&module))
}

/// The module that a file under `src/` belongs to; none for the crate's root, the entries and the tools.
fn module(path: &str) -> Option<&str> {
    if path == "lib.rs" || path == "main.rs" || path.starts_with("bin/") {
        return None;
    }
    Some(path.split('/').next().unwrap_or(path).trim_end_matches(".rs"))
}

/// Everything that is wrong with one file; `path` is under `src/`.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    // Tests say what they are by the file that they belong to.
    if !text.starts_with("//!") && !path.ends_with("/tests.rs") {
        wrong.push(format!("{path}: does not begin with //! and the sentence that says what it is"));
    }
    let lines = text.lines().count();
    if lines > LONGEST {
        wrong.push(format!("{path}: {lines} lines; a file holds one idea and at most {LONGEST}"));
    }
    for part in path.split('/') {
        let name = part.trim_end_matches(".rs");
        if EMPTY_NAMES.contains(&name) {
            wrong.push(format!("{path}: the name {name} says nothing"));
        }
    }
    if let Some(own) = module(path).filter(|own| layer(own).is_none()) {
        wrong.push(format!("{path}: the module {own} has no line in LAYERS of tests/tidy.rs"));
    }
    let code = Code::of(path, text);
    let tests_from = line_of(&code.program, code.program.len()) - 1;
    for (part, in_tests, offset) in [(&code.program, false, 0), (&code.tests, true, tests_from)] {
        wrong.extend(layers(path, part, offset));
        wrong.extend(locals(path, part, in_tests, offset));
    }
    wrong
}

fn layers(path: &str, code: &str, offset: usize) -> Vec<String> {
    let Some(own) = module(path) else { return Vec::new() };
    // A module without a line is reported once, by `check`.
    let Some(own_layer) = layer(own) else { return Vec::new() };
    let mut wrong = Vec::new();
    for (name, line) in crate_modules(code) {
        // Macros and items of the crate's root have no layer.
        let Some(other) = layer(&name) else { continue };
        if name != own && other >= own_layer {
            wrong.push(format!("{path}:{}: {own} may not know {name}", line + offset));
        }
    }
    wrong
}

fn locals(path: &str, code: &str, in_tests: bool, offset: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    for local in LOCALS.iter().filter(|local| local.in_tests || !in_tests) {
        if local.places.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        for at in occurrences(code, local.name) {
            let line = line_of(code, at) + offset;
            wrong.push(format!("{path}:{line}: {} only in {}", local.name, local.places.join(", ")));
        }
    }
    wrong
}

/// Dependencies without the line that says why they are there.
fn unreasoned(manifest: &str) -> Vec<String> {
    let (mut wrong, mut in_dependencies, mut reason) = (Vec::new(), false, false);
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if line.starts_with('#') {
            reason = true;
            continue;
        } else if in_dependencies && line.contains('=') {
            let name = line.split(['=', '.']).next().unwrap_or(line).trim();
            // Members of one family share the reason above the first.
            let family = name.split('-').next().unwrap_or(name);
            if !reason && !wrong_family(manifest, family, name) {
                wrong.push(format!("Cargo.toml: {name} has no line that says why"));
            }
        }
        reason = false;
    }
    wrong
}

/// Whether `name` follows directly on another crate of its family.
fn wrong_family(manifest: &str, family: &str, name: &str) -> bool {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    let at =
        lines.iter().position(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}=")));
    at.and_then(|at| at.checked_sub(1)).is_some_and(|before| lines[before].starts_with(family))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every file in a folder and the folders in it, as paths from `root`.
fn files_in(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, root, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// What is wrong with the technical document: `sums` is the text of docs/documento-tecnico.sum, `digest` gives a file's
/// SHA-256 or nothing when it is not there.
fn stale(sums: &str, expected: &BTreeSet<String>, digest: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let listed: Vec<(&str, &str)> = sums.lines().filter_map(|line| line.split_once("  ")).collect();
    let names: BTreeSet<&str> = listed.iter().map(|(_, name)| *name).collect();
    let unlisted = expected.iter().filter(|name| !names.contains(name.as_str())).map(|name| format!("{name}: new"));
    let changed = listed.iter().filter(|(sum, name)| digest(name).as_deref() != Some(*sum));
    unlisted.chain(changed.map(|(_, name)| format!("{name}: changed or gone"))).collect()
}

/// The document is set from its sources (`make docs`), and has a paragraph for each decision.
#[test]
fn the_technical_document_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut expected = BTreeSet::from([".ci/docs".to_owned(), "docs/documento-tecnico.pdf".to_owned()]);
    files_in(&root.join("docs/documento"), root, &mut expected);
    assert!(expected.len() > 20, "only {} files were found", expected.len());
    let sums = fs::read_to_string(root.join("docs/documento-tecnico.sum")).unwrap();
    let wrong = stale(&sums, &expected, |name| {
        let bytes = fs::read(root.join(name)).ok()?;
        Some(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
    });
    assert!(wrong.is_empty(), "docs/documento-tecnico.pdf is stale: run `make docs`\n{}\n", wrong.join("\n"));

    let decisions = fs::read_to_string(root.join("docs/documento/05-decisiones.typ")).unwrap();
    let mut records = BTreeSet::new();
    files_in(&root.join("docs/adr"), root, &mut records);
    let untold: Vec<&String> = records
        .iter()
        .filter(|path| !decisions.contains(&format!("#adr(\"{}\"", &path["docs/adr/".len()..][..4])))
        .collect();
    assert!(untold.is_empty(), "docs/documento/05-decisiones.typ has no paragraph for {untold:?}");
}

#[test]
fn a_stale_document_is_found() {
    let expected = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
    let digest = |name: &str| (name != "gone").then(|| "1".to_owned());
    assert_eq!(stale("1  a\n1  b\n", &expected, digest), Vec::<String>::new());
    assert_eq!(stale("1  a\n", &expected, digest), ["b: new"]);
    assert_eq!(stale("1  a\n2  b\n1  gone\n", &expected, digest), ["b: changed or gone", "gone: changed or gone"]);
}

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("src");
    let mut files = Vec::new();
    rust_files(&source, &mut files);
    assert!(files.len() > 10, "only {} files were found", files.len());
    let mut wrong = unreasoned(&fs::read_to_string(root.join("Cargo.toml")).unwrap());
    for file in &files {
        let path = file.strip_prefix(&source).unwrap().to_str().unwrap();
        wrong.extend(check(path, &fs::read_to_string(file).unwrap()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn planted_violations_are_found() {
    let found = |path: &str, text: &str| check(path, &format!("//! A file.\n{text}"));
    let caught = |path: &str, text: &str, words: &str| {
        let wrong = found(path, text);
        assert!(wrong.len() == 1 && wrong[0].contains(words), "{path}: {text}\n{wrong:?}");
    };
    let clean = |path: &str, text: &str| assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");

    caught("fhir/bundle.rs", "use crate::store::Pool;", "fhir/bundle.rs:2: fhir may not know store");
    caught("fhir/bundle.rs", "use crate::{error::{Error, Result}, search::Query};", "fhir may not know search");
    caught("oauth/token.rs", "fn f() { crate :: hl7v2::ack(); }", "oauth may not know hl7v2");
    caught("error.rs", "use crate::clock;", "error may not know clock");
    caught("i18n.rs", "use crate::config::Config;", "i18n may not know config");
    caught(
        "search/sql.rs",
        "#[cfg(test)]\nmod tests {\n    use crate::http;\n}",
        "search/sql.rs:4: search may not know http",
    );
    caught("kitchen/sink.rs", "fn f() {}", "has no line in LAYERS");
    clean("store/read.rs", "use crate::{access::Access, error::Result};\nuse crate::store::pool;");
    clean(
        "fhir/bundle.rs",
        "// use crate::store\nconst A: &str = \"crate::store\"; const B: &str = r#\"\"crate::store\"#;",
    );
    clean("cli/dev.rs", "use crate::http; use crate::app;");

    caught("interaction/read.rs", "use tokio_postgres::Row;", "tokio_postgres only in store/");
    caught("http/fhir.rs", "use jsonwebtoken::decode;", "jsonwebtoken only in oauth/");
    caught("app.rs", "fn f() { std::env::args(); }", "std::env only in config.rs");
    caught("app.rs", "use std::env; ", "std::env only in config.rs");
    caught("http/fhir.rs", "fn f() { jiff::Timestamp::now(); }", "Timestamp::now only in clock.rs");
    caught("store/write.rs", "fn f() { uuid::Uuid::now_v7(); }", "Uuid::now_v7 only in clock.rs");
    caught("search/sql.rs", "fn f() { Instant::now(); }", "Instant::now only in");
    caught("store/write.rs", "fn f() { println!(\"a\"); }", "println! only in cli/");
    clean("store/read.rs", "use tokio_postgres::Row; fn f<'a>(x: &'a str) { Instant::now(); }");
    clean(
        "fhir/a.rs",
        "fn f() {}\n#[cfg(test)]\nmod tests { fn f() { std::env::temp_dir(); println!(\"SKIP a: b\"); } }",
    );
    clean("app.rs", "fn f(a: A) -> u8 { a.bb8 + my_bb8 }");
    clean(
        "http/a.rs",
        "const C: char = '\"'; const D: char = '\\''; // \" tokio_postgres\n/* bb8 /* */ bb8 */ fn f() {}",
    );

    caught("store/helpers.rs", "", "the name helpers says nothing");
    caught("http/util/a.rs", "", "the name util says nothing");
    caught("fhir/long.rs", &"\n".repeat(600), "601 lines");
    assert!(check("fhir/a.rs", "use std::fmt;\n")[0].contains("does not begin with //!"));
}

#[test]
fn dependencies_need_a_reason() {
    let manifest = "[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n# Logs.\ntracing = \"1\"\ntracing-subscriber = \"1\"\n[lints.rust]\nx = \"deny\"";
    assert_eq!(unreasoned(manifest), ["Cargo.toml: b has no line that says why"]);
}

#[test]
fn layers_name_each_module_once() {
    let names: Vec<&str> = LAYERS.iter().flat_map(|names| names.iter().copied()).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
}

/// Where SQL may be put together: the generator of searches, and what names tables, nodes or settings, which no request does.
const MAKES_SQL: &[&str] = &["search/sql", "store/cluster/", "store/copy.rs", "store/pool.rs"];

/// Files that begin a text of SQL in `format!`.
fn made_sql(path: &str, text: &str) -> Vec<String> {
    let starts =
        ["select ", "insert into ", "update ", "delete from ", "with ", "copy ", "create ", "alter ", "drop ", "set "];
    let texts = text.split("format!(").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"'));
    let made = texts.filter(|text| starts.iter().any(|start| text.to_lowercase().starts_with(start)));
    let allowed = MAKES_SQL.iter().any(|place| path.starts_with(place));
    made.filter(|_| !allowed).map(|text| format!("{path}: {}", text.chars().take(40).collect::<String>())).collect()
}

#[test]
fn sql_is_made_in_few_places() {
    assert_eq!(made_sql("store/a.rs", "let x = format!(\n    \"select {name}\");"), ["store/a.rs: select {name}\");"]);
    assert!(made_sql("store/copy.rs", "format!(\"delete from {name}\")").is_empty());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
        if ["store/", "search/", "interaction/", "oauth/", "hl7v2/", "job/"]
            .iter()
            .any(|folder| path.starts_with(folder))
        {
            wrong.extend(made_sql(&path, &fs::read_to_string(&file).unwrap()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Libraries that would open what `docs/security-coverage.md` says is shut: clients of HTTP, regular expressions of users,
/// formats that make objects by their own word, archives, engines of HTML and scripts.
const REFUSED_LIBRARIES: &[&str] = &[
    "reqwest",
    "hyper",
    "ureq",
    "curl",
    "isahc",
    "awc",
    "regex",
    "fancy-regex",
    "bincode",
    "serde_yaml",
    "ron",
    "rmp-serde",
    "ciborium",
    "serde-pickle",
    "typetag",
    "zip",
    "tar",
    "wasmtime",
    "rhai",
    "mlua",
    "boa_engine",
    "headless_chrome",
];

#[test]
fn no_library_of_a_refused_kind_is_used() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let program = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let used: Vec<&str> =
        program.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim()).collect();
    assert!(used.len() > 20 && used.contains(&"serde_json"), "{used:?}");
    let refused: Vec<&&str> = used.iter().filter(|name| REFUSED_LIBRARIES.contains(name)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Each row of `docs/security-coverage.md` names tests that there are, or says why there is none.
#[test]
fn the_page_on_security_is_true() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security-coverage.md")).unwrap();
    let mut files = Vec::new();
    ["src", "tests"].iter().for_each(|folder| rust_files(&root.join(folder), &mut files));
    let code: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let wanted: BTreeSet<String> = (130..150).chain([154]).map(|n| format!("F{n}")).collect();
    let mut seen = BTreeSet::new();
    for line in page.lines().filter(|line| line.starts_with("| F")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(seen.insert(cells[0].to_owned()), "{} stands twice", cells[0]);
        let names: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        if let Some(why) = cells[2].strip_prefix("no test:") {
            assert!(why.len() > 20, "{}: why?", cells[0]);
            continue;
        }
        assert!(!names.is_empty(), "{} names no test", cells[0]);
        for name in names {
            assert!(code.contains(&format!("fn {name}()")), "{}: there is no test {name}", cells[0]);
        }
    }
    assert_eq!(seen, wanted);
}
