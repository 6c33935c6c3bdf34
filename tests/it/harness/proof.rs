//! Proofs: the same tests at full size. `make proof NAME=.. SECONDS=..` runs the test `proof_<NAME>`.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub struct Proof {
    name: &'static str,
    /// At full size; otherwise as a part of `make test`.
    pub full: bool,
    /// What a full proof may take, when it was said.
    seconds: Option<u64>,
    pub seed: u64,
    started: Instant,
}

impl Proof {
    pub fn of(name: &'static str) -> Proof {
        let full = std::env::var("HISTORIA_TEST_PROOF").is_ok_and(|wanted| wanted == name);
        let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
        let seed = number("HISTORIA_TEST_SEED").unwrap_or(1);
        Proof { name, full, seconds: number("HISTORIA_TEST_SECONDS"), seed, started: Instant::now() }
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        self.seconds.is_some_and(|seconds| self.started.elapsed() >= Duration::from_secs(seconds))
    }

    /// Writes `target/proof/NAME.json` and fails when there are failures.
    #[track_caller]
    pub fn end(&self, n: usize, failures: &[String], counts: Value) {
        if self.full {
            let commit = Command::new("git").args(["rev-parse", "HEAD"]).output().map(|output| output.stdout);
            let commit = String::from_utf8_lossy(&commit.unwrap_or_default()).trim().to_owned();
            let cores = std::thread::available_parallelism().map_or(0, usize::from);
            let machine = format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH);
            let seconds = self.started.elapsed().as_secs_f64().round();
            let report = json!({
                "name": self.name, "n": n, "failures": failures, "seed": self.seed, "commit": commit, "seconds": seconds,
                "machine": machine, "counts": counts,
            });
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proof");
            std::fs::create_dir_all(&folder).expect("a folder for proofs");
            let text = serde_json::to_string_pretty(&report).expect("JSON");
            std::fs::write(folder.join(format!("{}.json", self.name)), &text).expect("a proof is written");
            println!("{text}");
        }
        assert!(failures.is_empty(), "{}: {} of {n}:\n{}", self.name, failures.len(), failures.join("\n"));
    }
}

/// Numbers that a seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or_default()
    }

    pub fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}
