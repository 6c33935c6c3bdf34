//! The table.

use crate::cpu::Used;
use crate::options::Options;
use crate::prepare::Bytes;
use crate::shape::{Measured, Sample};

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => (below + above) / 2.0,
        (_, value) => value.copied().unwrap_or_default(),
    }
}

fn of(samples: &[Sample], value: fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(value))
}

fn sum(used: Used) -> f64 {
    used.server + used.postgres
}

/// Median of the ratios of the pairs: what disturbs both sides of a pair falls out.
fn ratio(row: &Measured) -> f64 {
    median(row.historia.iter().zip(&row.floor).map(|(ours, theirs)| sum(ours.used) / sum(theirs.used).max(1e-9)))
}

/// What the first version is to reach at 32 connections: CPU as a multiple of the floor's.
fn goal(shape: &str) -> Option<f64> {
    match shape {
        "read" => Some(2.5),
        "create" | "update" => Some(4.0),
        _ => None,
    }
}

/// CPU of an imported entry, server and PostgreSQL together, in ms.
const IMPORT_GOAL: f64 = 0.2;

pub fn print(rows: &[Measured], bytes: &Bytes, options: &Options) {
    println!();
    println!("CPU in ms per request (import: per entry), medians of {} interleaved repeats", options.repeats);
    println!();
    println!(
        "{:<8} {:>5} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}   {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}   {:>6}  goal",
        "shape",
        "conn",
        "req/s",
        "p50 ms",
        "p99 ms",
        "server",
        "PG",
        "sum",
        "floor/s",
        "p50 ms",
        "p99 ms",
        "server",
        "PG",
        "sum",
        "ratio"
    );
    for row in rows {
        let (cpu, floor_cpu) = (of(&row.historia, |s| sum(s.used)), of(&row.floor, |s| sum(s.used)));
        let verdict = |met: bool| if met { "met" } else { "NOT met" };
        let goal = match (row.shape, row.connections, goal(row.shape)) {
            ("import", ..) => format!("{IMPORT_GOAL} ms an entry: {}", verdict(cpu <= IMPORT_GOAL)),
            (_, 32, Some(most)) => format!("{most}: {}", verdict(ratio(row) <= most)),
            _ => String::new(),
        };
        let side = |samples: &[Sample], sum: f64| {
            format!(
                "{:>9.0} {:>8.2} {:>8.2} {:>8.4} {:>8.4} {:>8.4}",
                of(samples, |s| s.per_second),
                of(samples, |s| s.p50),
                of(samples, |s| s.p99),
                of(samples, |s| s.used.server),
                of(samples, |s| s.used.postgres),
                sum
            )
        };
        println!(
            "{:<8} {:>5} {}   {}   {:>6.2}  {goal}",
            row.shape,
            row.connections,
            side(&row.historia, cpu),
            side(&row.floor, floor_cpu),
            ratio(row)
        );
    }
    println!();
    println!("bytes per resource ({} resources, body {:.0} bytes)", bytes.resources, bytes.body);
    let mut whole = 0.0;
    for (name, table, indexes) in &bytes.parts {
        println!("  {name:<14} table {table:>6.0}  indexes {indexes:>6.0}");
        whole += table + indexes;
    }
    println!("  {:<14} {whole:>12.0}  and {:.0} for each audit record", "all", bytes.audit_record);
}
