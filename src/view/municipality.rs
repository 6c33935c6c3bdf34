//! Municipalities of Colombia by the codes of the DANE (DIVIPOLA): `fhir-profiles/local/divipola.csv`. Found by words,
//! whatever the accents, or by the code. Pure.

use crate::search::param::string::fold;
use std::sync::LazyLock;

const FILE: &str = include_str!("../../fhir-profiles/local/divipola.csv");
/// As many as fit under a field.
const MOST: usize = 6;
/// Longest text that is looked for, in characters.
const LONGEST: usize = 80;

#[derive(Debug)]
pub struct Municipality {
    pub code: &'static str,
    pub name: &'static str,
    pub department: &'static str,
    name_folded: String,
    whole_folded: String,
}

impl Municipality {
    /// `Soacha, Cundinamarca (25754)`.
    pub fn label(&self) -> String {
        match self.name == self.department {
            true => format!("{} ({})", self.name, self.code),
            false => format!("{}, {} ({})", self.name, self.department, self.code),
        }
    }
}

static ALL: LazyLock<Vec<Municipality>> = LazyLock::new(|| FILE.lines().skip(1).filter_map(line).collect());

fn line(line: &'static str) -> Option<Municipality> {
    let mut parts = line.split(';');
    let (code, name, department) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = if name == department { name.to_owned() } else { format!("{name} {department}") };
    Some(Municipality { code, name, department, name_folded: fold(name), whole_folded: fold(&whole) })
}

pub fn find(code: &str) -> Option<&'static Municipality> {
    ALL.binary_search_by(|known| known.code.cmp(code)).ok().and_then(|at| ALL.get(at))
}

/// The one that was typed: by its code, with or without the name; by its name, with or without the department; by words of
/// its name that no other has. Else those that it may be.
pub fn read(text: &str) -> Result<&'static Municipality, Vec<&'static Municipality>> {
    let code: String = text.chars().filter(char::is_ascii_digit).collect();
    if let Some(known) = find(&code) {
        return Ok(known);
    }
    let wanted = fold(&text.chars().take(LONGEST).collect::<String>());
    let one = |fits: &dyn Fn(&Municipality) -> bool| {
        let mut found = ALL.iter().filter(|known| fits(known));
        (found.next(), found.next())
    };
    if wanted.is_empty() {
        return Err(Vec::new());
    }
    if let (Some(known), None) = one(&|known| known.whole_folded == wanted || known.name_folded == wanted) {
        return Ok(known);
    }
    let has = |known: &Municipality, word: &str| known.name_folded.split(' ').any(|part| part == word);
    match one(&|known| wanted.split(' ').all(|word| has(known, word))) {
        (Some(known), None) => Ok(known),
        _ => Err(search(text)),
    }
}

/// Those of which every word is the beginning of a word; whose name begins with the text comes first.
pub fn search(text: &str) -> Vec<&'static Municipality> {
    let wanted = fold(&text.chars().take(LONGEST).collect::<String>());
    if wanted.chars().count() < 2 {
        return Vec::new();
    }
    let begins = |known: &Municipality, word: &str| {
        known.code.starts_with(word) || known.whole_folded.split(' ').any(|part| part.starts_with(word))
    };
    let mut found: Vec<&Municipality> =
        ALL.iter().filter(|known| wanted.split(' ').all(|word| begins(known, word))).collect();
    found.sort_by_key(|known| (known.name_folded != wanted, !known.name_folded.starts_with(&wanted)));
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_municipalities_are_read_or_suggested() {
        let check = |typed: &str, expected: Result<&str, &[&str]>| {
            let found = read(typed).map(|known| known.code);
            let found = found.map_err(|several| several.iter().map(|known| known.code).collect::<Vec<_>>());
            assert_eq!(found, expected.map_err(<[&str]>::to_vec), "{typed}");
        };
        check("Soacha, Cundinamarca (25754)", Ok("25754"));
        check("25754", Ok("25754"));
        check("soacha", Ok("25754"));
        check("bogota", Ok("11001"));
        check("Bogotá, D. C. (11001)", Ok("11001"));
        check("cucuta", Ok("54001"));
        check("caldas antioquia", Ok("05129"));
        check("argelia valle del cauca", Ok("76054"));
        check("san carlos", Err(&["05649", "23678", "50680"]));
        check("soach", Err(&["25754"]));
        check("Caracas", Err(&[]));
        check("99999", Err(&[]));
        check("", Err(&[]));
        assert_eq!(find("25754").map(Municipality::label).as_deref(), Some("Soacha, Cundinamarca (25754)"));
        assert_eq!(find("11001").map(Municipality::label).as_deref(), Some("Bogotá, D. C. (11001)"));
    }

    #[test]
    fn the_list_is_sorted_and_whole() {
        assert_eq!(ALL.len(), 1_121);
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(
            ALL.iter().all(|known| known.code.len() == 5 && !known.name.is_empty() && !known.department.is_empty())
        );
    }
}
