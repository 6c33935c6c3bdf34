//! What both servers hold, in one language: ids and times that the servers make differ, so each has a number here.
//!
//! A request is written with `~3~` (the id with number 3) and `~T3~` (the time with number 3); `rendered` puts in what each
//! side calls it, `canonical` takes it out of what a side answers.

use serde_json::Value;
use std::collections::HashMap;

/// The sides: one node, and the cluster.
pub const SIDES: [usize; 2] = [0, 1];

/// A generator of numbers with a seed (splitmix64): the same seed, the same requests.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n.max(1)).unwrap()).unwrap()
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    pub fn word(&mut self, of: &[&'static str]) -> &'static str {
        of[self.below(of.len())]
    }

    /// One of several, each as often as its weight says.
    pub fn weighted<'t>(&mut self, of: &[(usize, &'t str)]) -> &'t str {
        let mut at = self.below(of.iter().map(|(weight, _)| weight).sum());
        for (weight, name) in of {
            if at < *weight {
                return name;
            }
            at -= weight;
        }
        of[0].1
    }
}

/// A resource that both have.
pub struct Known {
    pub resource_type: String,
    /// Number of its id.
    pub slot: usize,
    pub version: i64,
    /// Its last known version, canonical.
    pub body: Option<Value>,
}

#[derive(Default)]
pub struct World {
    pub known: Vec<Known>,
    ids: Vec<[String; 2]>,
    numbers: [HashMap<String, usize>; 2],
    pub times: Vec<[String; 2]>,
    /// Document numbers that were given out, of patients.
    pub documents: Vec<String>,
}

impl World {
    /// The number of an id that the sides call so; a new resource when it had none.
    pub fn learn(&mut self, resource_type: &str, ids: [&str; 2]) -> usize {
        let slot = match self.numbers[0].get(ids[0]) {
            Some(slot) => *slot,
            None => {
                self.ids.push(ids.map(str::to_owned));
                for side in SIDES {
                    self.numbers[side].insert(ids[side].to_owned(), self.ids.len() - 1);
                }
                self.ids.len() - 1
            }
        };
        if !self.known.iter().any(|known| known.slot == slot && known.resource_type == resource_type) {
            self.known.push(Known { resource_type: resource_type.to_owned(), slot, version: 1, body: None });
        }
        slot
    }

    pub fn is_known(&self, side: usize, id: &str) -> bool {
        self.numbers[side].contains_key(id)
    }

    /// Remembers a version that both answered; its time too when it was written alone: of what was written together the
    /// milliseconds may be equal on one side and not on the other.
    pub fn saw(&mut self, resources: [&Value; 2], alone: bool) {
        let text = |side: usize, place: &str| resources[side].pointer(place).and_then(Value::as_str);
        let (Some(resource_type), Some(id)) = (text(0, "/resourceType"), text(0, "/id")) else { return };
        let Some(slot) = self.numbers[0].get(id).copied() else { return };
        let body = serde_json::from_str(&self.canonical(0, &resources[0].to_string())).ok();
        let times = SIDES.map(|side| text(side, "/meta/lastUpdated").unwrap_or_default().to_owned());
        let version = text(0, "/meta/versionId").and_then(|version| version.parse().ok()).unwrap_or(1);
        let mut all = self.known.iter_mut();
        let Some(known) = all.find(|known| known.slot == slot && known.resource_type == resource_type) else { return };
        if version >= known.version {
            (known.version, known.body) = (version, body);
            if alone {
                self.times.push(times);
            }
        }
    }

    pub fn of_type<'w>(&'w self, resource_type: &'w str) -> impl Iterator<Item = &'w Known> {
        self.known.iter().filter(move |known| known.resource_type == resource_type)
    }

    /// A reference to one of this type.
    pub fn some(&self, rng: &mut Rng, resource_type: &str) -> Option<String> {
        let all: Vec<usize> = self.of_type(resource_type).map(|known| known.slot).collect();
        (!all.is_empty()).then(|| format!("{resource_type}/~{}~", rng.pick(&all)))
    }

    pub fn rendered(&self, side: usize, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('~') {
            out.push_str(before);
            let name = after.split('~').next().unwrap_or_default();
            let value = match (name.strip_prefix('T'), name.parse::<usize>()) {
                (Some(time), _) => time.parse().ok().and_then(|n: usize| self.times.get(n)),
                (None, Ok(n)) => self.ids.get(n),
                _ => None,
            };
            match value {
                Some(value) => {
                    out.push_str(&value[side]);
                    rest = &after[name.len() + 1..];
                }
                None => {
                    out.push('~');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    pub fn canonical(&self, side: usize, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let in_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        while !rest.is_empty() {
            let end = rest.find(|c| !in_id(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            match self.numbers[side].get(word) {
                Some(n) => out.push_str(&format!("~{n}~")),
                None => out.push_str(word),
            }
            let skip = after.find(in_id).unwrap_or(after.len());
            out.push_str(&after[..skip]);
            rest = &after[skip..];
        }
        out
    }
}
