//! A test that is also a proof: the same code with more rounds (docs/contract.md, "Tests and proofs"; `.ci/proof`).
//!
//! `HISTORIA_PROOF=1` makes the tests that are run proofs: `HISTORIA_PROOF_SECONDS` bounds them (else their own number
//! of rounds does), `HISTORIA_PROOF_SEED` gives another seed than the fixed one of `make test`.

use std::time::{Duration, Instant};

pub struct Proof {
    name: &'static str,
    pub seed: u64,
    /// Whether this is the proof.
    pub full: bool,
    /// Rounds; none when time bounds it.
    wanted: Option<u64>,
    until: Option<Instant>,
    n: u64,
    failures: Vec<String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Proof {
    /// `few` rounds in `make test`, `many` in the proof.
    pub fn new(name: &'static str, seed: u64, few: u64, many: u64) -> Proof {
        let full = number("HISTORIA_PROOF") == Some(1);
        let seconds = number("HISTORIA_PROOF_SECONDS").filter(|_| full);
        Proof {
            name,
            full,
            seed: number("HISTORIA_PROOF_SEED").filter(|_| full).unwrap_or(seed),
            wanted: match (full, seconds) {
                (false, _) => Some(few),
                (true, None) => Some(many),
                (true, Some(_)) => None,
            },
            until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            n: 0,
            failures: Vec::new(),
        }
    }

    /// Whether another round is to be done.
    pub fn goes_on(&self) -> bool {
        self.wanted.is_none_or(|wanted| self.n < wanted) && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Counts a round.
    pub fn done(&mut self) {
        self.n += 1;
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

    /// Prints the line that `.ci/proof` reads, and fails when something did.
    pub fn ends(self) {
        println!("PROOF {} n={} failures={} seed={}", self.name, self.n, self.failures.len(), self.seed);
        assert!(self.failures.is_empty(), "{} of {} failed", self.failures.len(), self.n);
    }
}
