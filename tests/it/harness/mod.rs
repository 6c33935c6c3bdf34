//! What every test uses: the server under test, its clients, its data.

pub mod browser;
pub mod cluster;
pub mod data;
pub mod database;
pub mod fhir;
pub mod hl7;
pub mod hostile;
pub mod html;
pub mod instance;
pub mod mllp;
pub mod proof;

pub use fhir::{Fhir, Reply, anonymous, fhir};
pub use instance::{Instance, Start, server};

use std::future::Future;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

/// One runtime for all tests: clients keep their connections from test to test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
});

/// Runs the body of a test.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// Ten digits that no other test has: document numbers, control ids.
pub fn unique() -> String {
    let bytes = historia::clock::random::<8>().expect("random bytes");
    format!("{:010}", u64::from_le_bytes(bytes) % 9_000_000_000 + 1_000_000_000)
}

/// The line by which `make test` counts a test as skipped.
pub fn skip(name: &str, reason: &str) {
    println!("SKIP {name}: {reason}");
}
