//! A test that is also a proof: the same code at full size (docs/contract.md, "Tests and proofs").
//!
//! `make proof NAME=.. [SECONDS=..] [SEED=..]` runs the test `proof_<NAME>` with `HISTORIA_TEST_PROOF`, `_SECONDS` and
//! `_SEED`; it writes `target/proof/NAME.json`. In `make test` the same test does a few rounds with its fixed seed.

use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub struct Proof {
    name: &'static str,
    /// At full size.
    pub full: bool,
    pub seed: u64,
    /// Rounds, unless time bounds them.
    wanted: u64,
    seconds: Option<u64>,
    started: Instant,
    n: u64,
    failures: Vec<String>,
}

impl Proof {
    /// `few` rounds in `make test`, `many` in the proof, or as many as fit into its seconds.
    pub fn new(name: &'static str, seed: u64, few: u64, many: u64) -> Proof {
        let full = std::env::var("HISTORIA_TEST_PROOF").is_ok_and(|wanted| wanted == name);
        let number =
            |variable: &str| std::env::var(variable).ok().filter(|_| full).and_then(|text| text.parse::<u64>().ok());
        let seconds = number("HISTORIA_TEST_SECONDS");
        let wanted = match (full, seconds) {
            (false, _) => few,
            (true, None) => many,
            (true, Some(_)) => u64::MAX,
        };
        let seed = number("HISTORIA_TEST_SEED").unwrap_or(seed);
        Proof { name, full, seed, wanted, seconds, started: Instant::now(), n: 0, failures: Vec::new() }
    }

    /// Whether its time is over.
    pub fn is_over(&self) -> bool {
        self.seconds.is_some_and(|seconds| self.started.elapsed() >= Duration::from_secs(seconds))
    }

    /// Whether another round is to be done.
    pub fn goes_on(&self) -> bool {
        self.n < self.wanted && !self.is_over()
    }

    /// Counts rounds.
    pub fn done(&mut self, rounds: u64) {
        self.n += rounds;
    }

    pub fn n(&self) -> u64 {
        self.n
    }

    pub fn failures(&self) -> usize {
        self.failures.len()
    }

    pub fn failed(&mut self, what: &str) {
        println!("FAILED {} (seed {}, round {}): {what}", self.name, self.seed, self.n);
        self.failures.push(what.to_owned());
    }

    /// Writes `target/proof/NAME.json` with whatever else was counted, and fails when something did.
    #[track_caller]
    pub fn ends(self, counts: Value) {
        if self.full {
            let git = |arguments: &[&str]| {
                let output = Command::new("git").args(arguments).output().map(|output| output.stdout);
                String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
            };
            let changed = if git(&["status", "--porcelain"]).is_empty() { "" } else { "+changes" };
            let cores = std::thread::available_parallelism().map_or(0, usize::from);
            let report = json!({
                "name": self.name, "n": self.n, "failures": self.failures.len(), "seed": self.seed,
                "commit": format!("{}{changed}", git(&["rev-parse", "--short=12", "HEAD"])),
                "seconds": self.started.elapsed().as_secs(),
                "machine": format!("{} {}, {cores} cores", std::env::consts::OS, std::env::consts::ARCH),
                "counts": counts,
            });
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/proof");
            std::fs::create_dir_all(&folder).expect("a folder for proofs");
            std::fs::write(folder.join(format!("{}.json", self.name)), report.to_string()).expect("a proof is written");
            println!("{report}");
        }
        let Proof { name, n, failures, .. } = &self;
        assert!(failures.is_empty(), "{name}: {} failures in {n}:\n{}", failures.len(), failures.join("\n"));
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
