//! How PostgreSQL carries out a search: each statement with its plan, never a value of it nor of a row.
//!
//! The tree that PostgreSQL tells holds the values in its conditions, those of the server's own (documents, patients)
//! included: only what is listed here of each node goes out, and counts of rows are rounded up to tens, so that nobody can
//! be looked for by counting.

use crate::access::Access;
use crate::error::Result;
use crate::search::plan::{self, Guess, Plan};
use crate::search::query::Query;
use crate::search::sql::{Bind, Guard, Statement};
use crate::store::pool::Conn;
use crate::store::search::{Search, bound, counting};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};
use tokio_postgres::types::{FromSql, Type};

/// What a node says of itself.
const SHOWN: [&str; 11] = [
    "Node Type",
    "Relation Name",
    "Index Name",
    "Join Type",
    "Plan Rows",
    "Total Cost",
    "Actual Total Time",
    "Actual Loops",
    "Task Count",
    "Tasks Shown",
    "Never Executed",
];
/// Figures of rows and pages.
const ROUNDED: [&str; 6] = [
    "Actual Rows",
    "Rows Removed by Filter",
    "Rows Removed by Index Recheck",
    "Rows Removed by Join Filter",
    "Shared Hit Blocks",
    "Shared Read Blocks",
];

/// A statement of a search.
pub struct Step {
    pub plan: &'static str,
    pub sql: String,
    /// `$n` with its type, and how many values an array has.
    pub parameters: Vec<String>,
    pub tree: Value,
    /// Rows of tables that were looked at, in tens; none when it was not run.
    pub visited: Option<u64>,
    pub took: Duration,
    /// Whether its answer was the end of the search; none when it was not run.
    pub complete: Option<bool>,
}

pub struct Explained {
    pub guess: Option<Guess>,
    pub steps: Vec<Step>,
}

/// The statements of a page in their order, or that of a total where no row is wanted. `run`: they are carried out, as far
/// as the search would go.
pub async fn explain(
    conn: &Conn,
    access: &Access,
    guard: &Guard,
    query: &Query,
    documents: Option<&[String]>,
    run: bool,
) -> Result<Explained> {
    conn.reach_all()?;
    debug_assert_eq!(access.resource_type().name(), query.resource_type);
    let (known, bounds, citus) = (conn.known().latest(), conn.known().bounds, conn.is_citus());
    let mut steps = Vec::new();
    if query.count == 0 {
        if run && documents.is_none() {
            plan::afford_count(query, known.as_deref(), bounds.rows)?;
        }
        let (statement, _) = counting(conn, guard, query, documents, None);
        let mut step = step(conn, "count", statement, run).await?;
        step.complete = run.then_some(true);
        steps.push(step);
        return Ok(Explained { guess: known.map(|known| Guess::of(query, &known)), steps });
    }
    let documents = documents.unwrap_or_default();
    let mut search = Search::new(query, guard, documents, bounds);
    for plan in plan::choose(query, documents, citus, known.as_deref()) {
        if run {
            plan::afford(query, plan, citus, known.as_deref(), bounds.rows)?;
        }
        let statement = search.statement(plan);
        let mut step = step(conn, plan.name(), statement.clone(), run).await?;
        if run {
            let rows = conn.query_generated(&statement.sql, plan != Plan::Plain, &bound(&statement)).await?;
            step.complete = Some(search.takes(plan, rows));
        }
        let done = step.complete == Some(true);
        steps.push(step);
        if done {
            break;
        }
    }
    Ok(Explained { guess: known.map(|known| Guess::of(query, &known)), steps })
}

async fn step(conn: &Conn, plan: &'static str, statement: Statement, run: bool) -> Result<Step> {
    let words = if run { "analyze, buffers, " } else { "" };
    let text = format!("explain ({words}format json) {}", statement.sql);
    let started = Instant::now();
    let rows = conn.query_generated(&text, false, &bound(&statement)).await?;
    let took = started.elapsed();
    let whole = rows.first().map(|row| row.get::<_, Json>(0).0).unwrap_or_default();
    let mut visited = 0.0;
    Ok(Step {
        plan,
        parameters: statement.params.iter().enumerate().map(|(n, bind)| parameter(n + 1, bind)).collect(),
        sql: statement.sql,
        tree: shown(&whole, &mut visited),
        visited: run.then(|| tens(visited)),
        took,
        complete: None,
    })
}

/// Rounded up to tens; nothing is as much as ten.
fn tens(rows: f64) -> u64 {
    // Counts of rows are far below what an f64 holds exactly.
    ((rows / 10.0).ceil().max(1.0) * 10.0) as u64
}

fn parameter(n: usize, bind: &Bind) -> String {
    match bind {
        Bind::Text(_) => format!("${n} text"),
        Bind::Texts(values) => format!("${n} text[{}]", values.len()),
        Bind::Int(_) => format!("${n} int8"),
        Bind::Ints(values) => format!("${n} int8[{}]", values.len()),
        Bind::Float(_) => format!("${n} float8"),
        Bind::Time(_) => format!("${n} timestamptz"),
        Bind::Bool(_) => format!("${n} bool"),
    }
}

/// What may be told of a tree; adds the rows that its scans looked at to `visited`.
fn shown(value: &Value, visited: &mut f64) -> Value {
    match value {
        Value::Array(all) => all.iter().map(|one| shown(one, visited)).collect(),
        Value::Object(members) => {
            let number = |name: &str| members.get(name).and_then(Value::as_f64).unwrap_or(0.0);
            if members.contains_key("Relation Name") {
                let rows =
                    number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
                *visited += rows * number("Actual Loops");
            }
            let mut kept = Map::new();
            for (name, value) in members {
                let name = name.as_str();
                let inner = matches!(value, Value::Object(_) | Value::Array(_));
                let value = match value {
                    _ if SHOWN.contains(&name) => value.clone(),
                    Value::Number(_) if ROUNDED.contains(&name) => tens(number(name)).into(),
                    _ if inner
                        && matches!(name, "Plan" | "Plans" | "Distributed Query" | "Job" | "Tasks" | "Remote Plan") =>
                    {
                        shown(value, visited)
                    }
                    _ => continue,
                };
                kept.insert(name.to_owned(), value);
            }
            Value::Object(kept)
        }
        // Of a text it is not known what it says.
        _ => Value::Null,
    }
}

/// A value of type json.
#[derive(Debug)]
struct Json(Value);

impl<'a> FromSql<'a> for Json {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Json(serde_json::from_slice(raw)?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_stay_inside_and_counts_are_rounded() {
        let tree = json!([{"Plan": {"Node Type": "Limit", "Actual Rows": 0, "Actual Loops": 1, "Plans": [
            {"Node Type": "Index Scan", "Relation Name": "resource", "Index Cond": "(documento_id = 'CC-1')", "Filter": "x",
             "Actual Rows": 21, "Rows Removed by Filter": 3, "Actual Loops": 2, "Output": ["a"]}]}, "Settings": {"a": "b"}}]);
        let mut visited = 0.0;
        let expected = json!([{"Plan": {"Node Type": "Limit", "Actual Rows": 10, "Actual Loops": 1, "Plans": [
            {"Node Type": "Index Scan", "Relation Name": "resource", "Actual Rows": 30, "Rows Removed by Filter": 10, "Actual Loops": 2}]}}]);
        assert_eq!(shown(&tree, &mut visited), expected);
        assert_eq!((visited, tens(visited), tens(0.0), tens(50.0)), (48.0, 50, 10, 50));
    }
}
