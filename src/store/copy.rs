//! An installation copied into another database, row by row: from one node to a cluster, and back.
//!
//! Tables of records go over by ranges of `documento_id`, one transaction a range; control tables go over whole. The table
//! `copia` of the target says how far each has come, so a copy that was interrupted goes on. At the end both sides count
//! and sum each table by the shards of the cluster; what differs (somebody wrote meanwhile) is copied again, a few times.
//!
//! Everything goes: versions, audit, messages, accounts and the keys of the installation, without which the hashes of the
//! search values mean nothing.

use crate::error::{Error, Kind, Result};
use crate::store::pool::{Conn, Pool};
use crate::store::{NO_DATABASE, cluster, has_state, installation, migrate, search};
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;

pub const STATEMENTS: &[&str] = &[FOREIGN, BEGUN, EMPTY, COLUMNS];

/// What is distributed by documento_id on a cluster.
pub const RECORDS: [&str; 7] =
    ["usuario", "resource", "resource_history", "search_string", "search_range", "audit_event", "hl7_message"];
/// What lies on the coordinator alone.
pub const CONTROL: [&str; 17] = [
    "installation",
    "record",
    "record_key",
    "resource_directory",
    "shape",
    "credencial",
    "session",
    "oauth_client",
    "hl7_receipt",
    "form",
    "draft",
    "codigo",
    "intento",
    "search_generation",
    "search_parameter",
    "search_unfinished",
    "reindex_job",
];

/// Rows of one transaction, to the end of the documento_id they reach.
const ROWS: i64 = 20_000;
/// Parts by which tables are compared when neither side has shards.
const PARTS: i64 = 8;
/// How often what differs is copied again.
const ROUNDS: u32 = 3;

const FOREIGN: &str = "\
select to_regclass('migration') is null and exists (select 1 from pg_tables where schemaname = current_schema())";
const BEGUN: &str = "select to_regclass('copia') is not null";
const EMPTY: &str = "select not exists (select 1 from resource) and not exists (select 1 from usuario)";
const COLUMNS: &str = "\
select attname::text, format_type(atttypid, null) from pg_attribute
where attrelid = to_regclass($1) and attnum > 0 and not attisdropped order by attnum";
// Not distributed, as on one node: a range that another node kept and this table does not know is copied once more.
const MAKE: &str = "\
create table copia (name text collate \"C\" primary key, until text collate \"C\" not null, done boolean not null, mark bytea not null)";
const MARK: &str = "select mark from copia limit 1";
const AT: &str = "select until, done from copia where name = $1";
const REACHED: &str = "\
insert into copia (name, until, done, mark) values ($1, $2, $3, $4)
on conflict (name) do update set until = excluded.until, done = excluded.done";

/// What became of a copy.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether an earlier, interrupted copy was gone on with.
    pub resumed: bool,
    pub tables: Vec<Table>,
    /// Whether the tables are compared by the shards of a cluster.
    pub by_shard: bool,
}

impl Report {
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.differing.is_empty())
    }

    pub fn rows(&self) -> i64 {
        self.tables.iter().map(Table::rows).sum()
    }
}

/// One table: its rows by shard, and the shards in which the two sides are not the same.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub shards: Vec<i64>,
    pub differing: Vec<usize>,
}

impl Table {
    pub fn rows(&self) -> i64 {
        self.shards.iter().sum()
    }
}

/// One table as it is copied.
struct Plan {
    name: &'static str,
    /// Its columns, quoted, with commas.
    columns: String,
    /// One text of a row that is the same wherever the row lies.
    text: String,
    /// The number of the shard of a row; 0 for a control table.
    shard: String,
    is_control: bool,
}

struct Copy<'a> {
    from: Conn,
    to: Conn,
    /// Which installation is copied: the hash of its key.
    mark: Vec<u8>,
    resumed: bool,
    /// Where the shards start, as hashes of documento_id.
    bounds: Vec<i64>,
    by_shard: bool,
    watch: &'a mut (dyn FnMut(&str, u64) + Send),
}

/// Copies the installation of `source` into the database of `target`, which is empty or holds the beginning of this copy.
/// `watch` hears the table and the rows that went over since it was called last.
pub async fn copy(source: &Pool, target: &Pool, watch: &mut (dyn FnMut(&str, u64) + Send)) -> Result<Report> {
    let from = source.dedicated().await?;
    migrate::check(&from).await?;
    let to = target.dedicated().await.map_err(|error| match has_state(&error, NO_DATABASE) {
        true => error.told(Kind::Transient, "to", "--to names a database that does not exist: make it first, empty"),
        false => error,
    })?;
    if to.query_opt(FOREIGN, &[]).await?.is_some_and(|row| row.get(0)) {
        return Err(Error::at(
            Kind::Invalid,
            "to",
            "the target holds tables that are not historia's: give an empty database",
        ));
    }
    if to.is_citus() && !is_distributed(&to).await? {
        let text = "the target has Citus, but its tables are not distributed: run `historia cluster init` on it first";
        return Err(Error::at(Kind::Invalid, "to", text));
    }
    migrate::migrate(target).await?;
    for conn in [&from, &to] {
        conn.batch("set statement_timeout = 0").await?;
    }
    let secret = installation::read(&from, "hash").await?;
    let secret = secret.ok_or_else(|| Error::new(Kind::Invalid, "the source holds no installation"))?;
    let mark = Sha256::digest(&secret).to_vec();
    let resumed = begin(&to, &mark).await?;
    let (bounds, by_shard) = bounds(&from, &to).await?;
    let mut copy = Copy { from, to, mark, resumed, bounds, by_shard, watch };
    copy.all().await
}

async fn is_distributed(conn: &Conn) -> Result<bool> {
    Ok(conn.is_citus() && conn.query_opt(cluster::IS_DISTRIBUTED, &[]).await?.is_some_and(|row| row.get(0)))
}

/// Whether this copy was begun before. A target with anything else in it is refused.
async fn begin(to: &Conn, mark: &[u8]) -> Result<bool> {
    if to.query_opt(BEGUN, &[]).await?.is_some_and(|row| row.get(0)) {
        let kept: Option<Vec<u8>> = to.query_generated(MARK, false, &[]).await?.first().map(|row| row.get(0));
        if kept.is_some_and(|kept| kept != mark) {
            return Err(Error::at(
                Kind::Invalid,
                "to",
                "the target holds the beginning of a copy of another installation",
            ));
        }
        return Ok(true);
    }
    if !to.query_opt(EMPTY, &[]).await?.is_some_and(|row| row.get(0)) {
        return Err(Error::at(
            Kind::Invalid,
            "to",
            "the target already holds records or accounts: give an empty database",
        ));
    }
    to.batch(MAKE).await?;
    Ok(false)
}

/// The starts of the shards of whichever side has some, else of even parts.
async fn bounds(from: &Conn, to: &Conn) -> Result<(Vec<i64>, bool)> {
    for conn in [to, from] {
        if is_distributed(conn).await? {
            let rows = conn.query_generated(cluster::SHARD_STARTS, false, &[]).await?;
            return Ok((rows.iter().map(|row| row.get(0)).collect(), true));
        }
    }
    let (first, width) = (i64::from(i32::MIN), (1_i64 << 32) / PARTS);
    Ok(((0..PARTS).map(|n| first + n * width).collect(), false))
}

impl Copy<'_> {
    async fn all(&mut self) -> Result<Report> {
        let mut plans = Vec::new();
        for name in RECORDS {
            plans.push(self.plan(name, false).await?);
        }
        for name in CONTROL {
            plans.push(self.plan(name, true).await?);
        }
        for plan in &plans {
            self.table(plan).await?;
        }
        search::analyze(&self.to).await?;
        let mut report = Report { resumed: self.resumed, tables: Vec::new(), by_shard: self.by_shard };
        for round in 0..=ROUNDS {
            report.tables.clear();
            for plan in &plans {
                report.tables.push(self.compared(plan).await?);
            }
            if report.is_equal() || round == ROUNDS {
                break;
            }
            for (plan, table) in plans.iter().zip(&report.tables) {
                for shard in &table.differing {
                    self.again(plan, *shard).await?;
                }
            }
        }
        if report.is_equal() {
            self.to.batch("drop table copia").await?;
        }
        Ok(report)
    }

    async fn plan(&self, name: &'static str, is_control: bool) -> Result<Plan> {
        let rows = self.from.query(COLUMNS, &[&name]).await?;
        let columns: Vec<(String, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let bounds: Vec<String> = self.bounds.iter().map(i64::to_string).collect();
        let shard = match is_control {
            true => "0".to_owned(),
            false => {
                format!("width_bucket(hashtext(documento_id)::bigint, array[{}]::bigint[]) - 1", bounds.join(", "))
            }
        };
        let quoted: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let texts: Vec<String> = columns.iter().map(|(name, of)| text_of(name, of)).collect();
        let text = format!("concat_ws('|', {})", texts.join(", "));
        Ok(Plan { name, columns: quoted.join(", "), text, shard, is_control })
    }

    async fn table(&mut self, plan: &Plan) -> Result<()> {
        let at = self.to.query_generated(AT, false, &[(&plan.name, Type::TEXT)]).await?;
        let (mut after, done) = at.first().map_or((String::new(), false), |row| (row.get(0), row.get(1)));
        let mut may_be_half = self.resumed;
        if done {
            return Ok(());
        }
        loop {
            let end = if plan.is_control { None } else { self.end(plan, &after).await? };
            let range = range(plan, &after, end.as_deref());
            self.to.batch("begin").await?;
            // A control table of a new database holds what its migrations and its first start put there.
            if may_be_half || plan.is_control {
                self.to.batch(&format!("delete from {} where {range}", plan.name)).await?;
            }
            let rows = self.rows(plan, &range).await?;
            let reached = end.as_deref().unwrap_or(&after);
            let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] = [
                (&plan.name, Type::TEXT),
                (&reached, Type::TEXT),
                (&end.is_none(), Type::BOOL),
                (&self.mark, Type::BYTEA),
            ];
            self.to.query_generated(REACHED, false, &params).await?;
            self.to.batch("commit").await?;
            (self.watch)(plan.name, rows);
            may_be_half = false;
            match end {
                Some(end) => after = end,
                None => return Ok(()),
            }
        }
    }

    async fn rows(&self, plan: &Plan, which: &str) -> Result<u64> {
        let Plan { name, columns, .. } = plan;
        let out = format!("copy (select {columns} from {name} where {which}) to stdout (format binary)");
        self.to.copy_from(&self.from, &out, &format!("copy {name} ({columns}) from stdin (format binary)")).await
    }

    /// The last documento_id of the range that starts behind `after`; none when it is the last range.
    async fn end(&self, plan: &Plan, after: &str) -> Result<Option<String>> {
        let sql = format!(
            "select documento_id from {} where documento_id > $1 order by documento_id offset {ROWS} limit 1",
            plan.name
        );
        let found = self.from.query_generated(&sql, false, &[(&after, Type::TEXT)]).await?;
        Ok(found.first().map(|row| row.get(0)))
    }

    /// One shard once more.
    async fn again(&mut self, plan: &Plan, shard: usize) -> Result<()> {
        let which = format!("{} = {shard}", plan.shard);
        self.to.batch("begin").await?;
        self.to.batch(&format!("delete from {} where {which}", plan.name)).await?;
        let rows = self.rows(plan, &which).await?;
        self.to.batch("commit").await?;
        (self.watch)(plan.name, rows);
        Ok(())
    }

    async fn compared(&self, plan: &Plan) -> Result<Table> {
        let shards = if plan.is_control { 1 } else { self.bounds.len() };
        let (here, there) = (self.sums(&self.from, plan, shards).await?, self.sums(&self.to, plan, shards).await?);
        let differing = here.iter().zip(&there).enumerate().filter(|(_, (a, b))| a != b).map(|(n, _)| n).collect();
        Ok(Table { name: plan.name, shards: there.iter().map(|(rows, _)| *rows).collect(), differing })
    }

    /// Rows of each shard, and the sum of their hashes.
    async fn sums(&self, conn: &Conn, plan: &Plan, shards: usize) -> Result<Vec<(i64, String)>> {
        let Plan { name, text, shard, .. } = plan;
        let sql = format!(
            "select ({shard})::int4, count(*), sum(hashtextextended({text}, 0)::numeric)::text from {name} group by 1"
        );
        let mut sums = vec![(0, "0".to_owned()); shards];
        for row in conn.query_generated(&sql, false, &[]).await? {
            let n: i32 = row.get(0);
            if let Some(place) = usize::try_from(n).ok().and_then(|n| sums.get_mut(n)) {
                *place = (row.get(1), row.get(2));
            }
        }
        Ok(sums)
    }
}

fn range(plan: &Plan, after: &str, end: Option<&str>) -> String {
    match (plan.is_control, end) {
        (true, _) => "true".to_owned(),
        (false, Some(end)) => format!("documento_id > {} and documento_id <= {}", literal(after), literal(end)),
        (false, None) => format!("documento_id > {}", literal(after)),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text of the value that depends on no setting of the session: on a cluster each node has its own.
fn text_of(column: &str, of: &str) -> String {
    let text = match of {
        "timestamp with time zone" => format!("extract(epoch from \"{column}\")::text"),
        "bytea" => format!("md5(\"{column}\")"),
        "double precision" => format!("encode(float8send(\"{column}\"), 'hex')"),
        _ => format!("\"{column}\"::text"),
    };
    format!("coalesce({text}, '~')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_and_quote_what_they_are_given() {
        let plan = |is_control| Plan {
            name: "resource",
            columns: String::new(),
            text: String::new(),
            shard: String::new(),
            is_control,
        };
        assert_eq!(range(&plan(false), "", Some("CC-1")), "documento_id > '' and documento_id <= 'CC-1'");
        assert_eq!(range(&plan(false), "CC-1", None), "documento_id > 'CC-1'");
        assert_eq!(range(&plan(false), "a'b", None), "documento_id > 'a''b'");
        assert_eq!(range(&plan(true), "", None), "true");
    }
}
