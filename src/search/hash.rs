//! Keyed 64-bit hashes of search values: an exact-match value stands in `resource.keys` as one of these, never as text.
//!
//! SipHash with the installation's 128-bit key, so that nobody without the key can guess which value a number stands for
//! nor make two values collide. Type and parameter are part of every hash.

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher24x128};
use std::hash::Hasher as _;

/// The form in which a value was given; part of the hash, so that `a|b` as a code and `a|b` as system and code differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Form {
    /// Token `system|code`.
    SystemCode = 1,
    /// Token `code`, whatever its system.
    Code = 2,
    /// Token `system|`, whatever its code.
    System = 3,
    /// Token `|code`: a code without system.
    Bare = 4,
    /// Reference `Type/id` on this server.
    Typed = 5,
    /// Reference `id` on this server, whatever its type.
    Untyped = 6,
    /// Reference `Type/id/_history/version` on this server.
    Versioned = 7,
    /// Absolute address, URI or canonical.
    Address = 8,
    /// Original text of a string (`:exact`).
    Exact = 9,
    /// The key of the whole values of a parameter in `search_string`.
    Strings = 10,
    /// The key of a parameter in `search_range`.
    Ranges = 11,
    /// Year of `sort_date`.
    Year = 12,
    /// Set of parameters present.
    Shape = 13,
    /// The key of what follows the first word of a value, in `search_string`.
    Words = 14,
    /// The key of the texts beside codes (`:text`), in `search_string`.
    Text = 15,
    /// Identifier by the system and code of its type and its value (`:of-type`).
    OfType = 16,
    /// URI of which the value is the same or begins with it (`:below`).
    Below = 17,
    /// Quantity with this text or code as its unit.
    UnitText = 18,
    /// Quantity with this system and code as its unit.
    UnitCode = 19,
    /// Quantity in base units of this dimension; also the key in `search_range`.
    Dimension = 20,
    /// Two values of a composite: form and parts of each.
    Pair = 21,
    /// The key of the quantities of a composite beside a code, in `search_range`.
    PairRanges = 22,
    /// As `PairRanges`, in base units of a dimension.
    PairDimension = 23,
    /// Word of `_content` or `_text`, by its stem.
    Stem = 24,
}

/// Makes keys; holds the secret, so it shows nothing in `Debug`.
#[derive(Clone)]
pub struct Hasher {
    secret: [u8; 16],
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    pub fn new(secret: [u8; 16]) -> Self {
        Hasher { secret }
    }

    /// The key of a value: resource type, parameter code, form and the parts of the value, each with its length.
    pub fn key(&self, resource_type: &str, parameter: &str, form: Form, parts: &[&str]) -> i64 {
        self.slot(resource_type, parameter).key(form, parts)
    }

    /// The keys of one parameter of one type.
    pub fn slot(&self, resource_type: &str, parameter: &str) -> Slot {
        let mut state = SipHasher13::new_with_key(&self.secret);
        write(&mut state, resource_type);
        write(&mut state, parameter);
        Slot { state }
    }

    /// A 128-bit keyed digest that signs page tokens (SipHash-2-4-128).
    pub fn signature(&self, parts: &[&[u8]]) -> [u8; 16] {
        let mut state = SipHasher24x128::new_with_key(&self.secret);
        for part in parts {
            state.write(&(part.len() as u64).to_le_bytes());
            state.write(part);
        }
        state.finish128().as_bytes()
    }
}

/// A parameter of a type, hashed once for its many values.
pub struct Slot {
    state: SipHasher13,
}

impl Slot {
    pub fn key(&self, form: Form, parts: &[&str]) -> i64 {
        let mut state = self.state;
        state.write(&[form as u8]);
        for part in parts {
            write(&mut state, part);
        }
        // The same 64 bits: PostgreSQL has no unsigned bigint.
        i64::from_ne_bytes(state.finish().to_ne_bytes())
    }
}

fn write(state: &mut SipHasher13, part: &str) {
    state.write(&(part.len() as u32).to_le_bytes());
    state.write(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_counts() {
        let h = Hasher::new([7; 16]);
        let base = h.key("Patient", "name", Form::Exact, &["ab", "c"]);
        assert_eq!(base, Hasher::new([7; 16]).key("Patient", "name", Form::Exact, &["ab", "c"]));
        for other in [
            Hasher::new([8; 16]).key("Patient", "name", Form::Exact, &["ab", "c"]),
            h.key("Person", "name", Form::Exact, &["ab", "c"]),
            h.key("Patient", "family", Form::Exact, &["ab", "c"]),
            h.key("Patient", "name", Form::Code, &["ab", "c"]),
            h.key("Patient", "name", Form::Exact, &["a", "bc"]),
            h.key("Patient", "name", Form::Exact, &["abc"]),
        ] {
            assert_ne!(base, other);
        }
        assert_ne!(h.signature(&[b"ab", b"c"]), h.signature(&[b"a", b"bc"]));
    }
}
