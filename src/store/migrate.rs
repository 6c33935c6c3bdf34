//! Migrations: forward only, each in a transaction of its own, under an advisory lock so that instances may start at once.

use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::store::pool::{Conn, Pool};
use crate::store::{cluster, reindex};

/// The migrations of this version, in order.
pub const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_foundation", include_str!("../../sql/migrations/0001_foundation.sql")),
    ("0002_pages", include_str!("../../sql/migrations/0002_pages.sql")),
    ("0003_desk", include_str!("../../sql/migrations/0003_desk.sql")),
    ("0004_search", include_str!("../../sql/migrations/0004_search.sql")),
    ("0005_sent", include_str!("../../sql/migrations/0005_sent.sql")),
    ("0006_words", include_str!("../../sql/migrations/0006_words.sql")),
    ("0007_history", include_str!("../../sql/migrations/0007_history.sql")),
    ("0008_reindex", include_str!("../../sql/migrations/0008_reindex.sql")),
];

/// What is extracted of a resource changed with this in nearly every parameter, so that nothing could be asked while a job
/// reads what is there.
const EXTRACTION: &[&str] = &["0004_search"];
/// From here on a migration that changes what is extracted leaves the work to a job.
const JOBS: &str = "0008_reindex";
/// The migration that brought the words of resources and the places of Locations, when it came.
const WORDS: &str = "select applied from migration where name = '0006_words'";
const WITHOUT_WORDS: &str = "select distinct resource_type from resource where updated < $1 and not deleted";
const WAIT: &str = "insert into search_unfinished (resource_type, code) select * from unnest($1::text[], $2::text[])";
const HAS_ROWS: &str = "select exists (select 1 from resource)";

/// Chosen once; any number that nobody else in the database uses.
const LOCK: &str = "select pg_advisory_lock(7166214)";
const UNLOCK: &str = "select pg_advisory_unlock(7166214)";
const TABLE: &str = "create table if not exists migration (name text collate \"C\" primary key, applied timestamptz not null default now())";
const EXISTS: &str = "select to_regclass('migration') is not null";
const APPLIED: &str = "select name from migration order by name";
const DONE: &str = "insert into migration (name) values ($1)";

/// Brings the schema up to this version. Returns the names of what was applied now.
pub async fn migrate(pool: &Pool) -> Result<Vec<&'static str>> {
    let conn = pool.dedicated().await?;
    // Waiting for the lock and long migrations are no faults.
    conn.batch("set statement_timeout = 0").await?;
    conn.batch(LOCK).await?;
    let result = apply(&conn).await;
    if result.is_err() {
        // A failed transaction takes nothing else; outside of one this does nothing.
        conn.batch("rollback").await?;
    }
    conn.batch(UNLOCK).await?;
    result
}

async fn apply(conn: &Conn) -> Result<Vec<&'static str>> {
    conn.batch(TABLE).await?;
    let applied = applied(conn).await?;
    let mut now = Vec::new();
    for (name, sql) in MIGRATIONS {
        if !applied.iter().any(|done| done == name) {
            if EXTRACTION.contains(name)
                && !applied.is_empty()
                && conn.query_opt(HAS_ROWS, &[]).await?.is_some_and(|row| row.get(0))
            {
                let text = format!(
                    "{name}: the resources that are there were stored by a version that extracts less of them for searches. Store them again in an empty database"
                );
                return Err(Error::at(Kind::Invalid, "database", text));
            }
            conn.batch("begin").await?;
            if conn.is_citus() {
                conn.batch(cluster::ONE_BY_ONE).await?;
            }
            for statement in statements(sql) {
                conn.batch(statement).await?;
            }
            if *name == JOBS {
                words(conn).await?;
            }
            conn.execute(DONE, &[name]).await?;
            conn.batch("commit").await?;
            now.push(*name);
        }
    }
    if conn.is_citus() && conn.query_opt(cluster::IS_DISTRIBUTED, &[]).await?.is_some_and(|row| row.get(0)) {
        // New tables come to the others; harmless when there are none.
        conn.batch(cluster::DISTRIBUTE).await?;
    }
    Ok(now)
}

/// What was stored before the words were extracted is read again; until then they cannot be asked.
async fn words(conn: &Conn) -> Result<()> {
    let Some(applied) = conn.query_opt(WORDS, &[]).await? else { return Ok(()) };
    let applied: jiff::Timestamp = applied.get(0);
    let types: Vec<String> = conn.query(WITHOUT_WORDS, &[&applied]).await?.iter().map(|row| row.get(0)).collect();
    if types.is_empty() {
        return Ok(());
    }
    let (mut names, mut codes) = (Vec::new(), Vec::new());
    for name in &types {
        let near = (name == "Location").then_some("near");
        for code in ["_content", "_text"].into_iter().chain(near) {
            names.push(name.as_str());
            codes.push(code);
        }
    }
    conn.execute(WAIT, &[&names, &codes]).await?;
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    reindex::add(conn, clock::uuid(), "0006_words", &types).await
}

/// The statements of a script. Each is sent by itself: Citus hands the whole text of a message to the nodes, and they take
/// one command only.
fn statements(script: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(rest) = script.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(';') {
            found.extend(script.get(start..at));
            start = at + 1;
        }
        at += token(rest);
    }
    found.extend(script.get(start..));
    found.retain(|statement| {
        statement.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--"))
    });
    found
}

/// Bytes of the comment, of the quoted text or of the one character at the start.
fn token(text: &str) -> usize {
    let through = |opening: usize, closing: &str| {
        let inside = text.get(opening..).unwrap_or_default();
        opening + inside.find(closing).map_or(inside.len(), |end| end + closing.len())
    };
    match text.chars().next() {
        Some('-') if text.starts_with("--") => through(2, "\n"),
        Some('/') if text.starts_with("/*") => through(2, "*/"),
        Some('\'') => through(1, "'"),
        Some('"') => through(1, "\""),
        Some('$') => match text.get(1..).and_then(|rest| rest.find('$')).and_then(|end| text.get(..end + 2)) {
            Some(tag) if tag.trim_matches('$').chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                through(tag.len(), tag)
            }
            _ => 1,
        },
        Some(c) => c.len_utf8(),
        None => 1,
    }
}

async fn applied(conn: &Conn) -> Result<Vec<String>> {
    Ok(conn.query(APPLIED, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// Whether the schema is that of this version: `serve` refuses an older one.
pub async fn check(conn: &Conn) -> Result<()> {
    let there = conn.query_opt(EXISTS, &[]).await?.is_some_and(|row| row.get(0));
    let applied = if there { applied(conn).await? } else { Vec::new() };
    let missing: Vec<&str> =
        MIGRATIONS.iter().map(|(name, _)| *name).filter(|name| !applied.iter().any(|done| done == name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "the database lacks the migrations {}: run `historia migrate`, or set database.migrate = true",
        missing.join(", ")
    );
    Err(Error::at(Kind::Invalid, "database.migrate", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_migration() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut names: Vec<String> =
            files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, MIGRATIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }

    #[test]
    fn scripts_fall_into_statements() {
        let check = |script: &str, expected: &[&str]| {
            let found: Vec<&str> = statements(script).iter().map(|s| s.trim()).collect();
            assert_eq!(found, expected, "{script}");
        };
        check("a; b", &["a", "b"]);
        check("a;\n-- x; y\n", &["a"]);
        check("-- it's; one\na;", &["-- it's; one\na"]);
        check("select ';', 'it''s;', \";\" /* ; */; b;", &["select ';', 'it''s;', \";\" /* ; */", "b"]);
        check("do $$ begin a; end $$; b; f($q$ $$; $q$, $1);", &["do $$ begin a; end $$", "b", "f($q$ $$; $q$, $1)"]);
        check("é;ñ 'open;", &["é", "ñ 'open;"]);
    }

    #[test]
    fn every_migration_is_split_as_it_is_meant() {
        for (name, sql) in MIGRATIONS {
            // As this repository writes them: what ends a statement ends a line, and stands in no comment.
            let written = sql
                .lines()
                .filter(|line| line.ends_with(';') && !line.trim_start().starts_with("--") && !line.starts_with("    "))
                .count();
            assert_eq!(statements(sql).len(), written, "{name}");
        }
    }
}
