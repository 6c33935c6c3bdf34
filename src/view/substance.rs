//! What a medicine is by its name as people type it: with a strength, by a brand, with a letter missing, two in one. For the
//! comparison with allergies and with what is ordered already. Pure.
//!
//! Names are compared word by word with the compiled lists (`fhir-profiles/local`) and by the stems of international
//! names. It is a question, not a verdict: what is alike is asked, and what is in no list is said to be unknown.

use crate::search::param::string::fold;
use crate::view::duplicate::is_near;
use crate::view::suggestion::{self, ALLERGENS, MEDICINES};
use std::sync::LazyLock;

/// Characters of an ATC code that name the chemical group of a substance: what is alike enough to be warned of.
const GROUP: usize = 5;
/// Shortest word that may have a letter wrong, and that says what a medicine is.
const NEAR: usize = 6;
const WORD: usize = 4;
/// Salts, forms and the like: they name no medicine.
const FORMS: [&str; 44] = [
    "acido",
    "acid",
    "sales",
    "cloruro",
    "sulfato",
    "carbonato",
    "bromuro",
    "clorhidrato",
    "sodico",
    "sodica",
    "sodium",
    "potasico",
    "potasica",
    "calcico",
    "oral",
    "tableta",
    "tabletas",
    "capsula",
    "capsulas",
    "ampolla",
    "ampollas",
    "jarabe",
    "gotas",
    "crema",
    "solucion",
    "inyectable",
    "suspension",
    "polvo",
    "regular",
    "compuesta",
    "compuesto",
    "forte",
    "cada",
    "para",
    "insulina",
    "insulin",
    "benzatinica",
    "cristalina",
    "tablet",
    "tablets",
    "cream",
    "drops",
    "agua",
    "infantil",
];
/// What the ends and beginnings of international names say: end, beginning, ATC group.
const STEMS: [(&str, &str, &str); 17] = [
    ("cilina", "", "J01C"),
    ("cillin", "", "J01C"),
    ("", "cef", "J01D"),
    ("", "sulfa", "J01E"),
    ("floxacina", "", "J01MA"),
    ("floxacino", "", "J01MA"),
    ("floxacin", "", "J01MA"),
    ("profeno", "", "M01AE"),
    ("profen", "", "M01AE"),
    ("oxicam", "", "M01AC"),
    ("coxib", "", "M01AH"),
    ("penem", "", "J01DH"),
    ("caina", "", "N01BB"),
    ("caine", "", "N01BB"),
    ("pril", "", "C09AA"),
    ("sartan", "", "C09CA"),
    ("statina", "", "C10AA"),
];
/// Anti-inflammatory drugs: who does not bear them as a group does not bear these.
const INFLAMMATION: [&str; 4] = ["M01A", "N02BA", "N02BB", "B01AC06"];

/// A name of a list, in words, and what is in it.
struct Name {
    words: Vec<String>,
    /// The word by which it is known: the first that is no salt or form.
    first: Option<usize>,
    codes: Vec<&'static str>,
}

impl Name {
    fn new(name: &str, codes: Vec<&'static str>) -> Name {
        let words: Vec<String> = fold(name).split(' ').map(str::to_owned).collect();
        let first = words.iter().position(|word| word.chars().count() >= WORD && !FORMS.contains(&word.as_str()));
        Name { words, first, codes }
    }
}

static NAMES: LazyLock<Vec<Name>> = LazyLock::new(|| {
    let file = include_str!("../../fhir-profiles/local/sinonimos-medicamentos.csv");
    let others = file.lines().skip(1).filter_map(|line| line.split_once(','));
    let others = others.map(|(name, codes)| Name::new(name, codes.split(' ').collect()));
    let known = suggestion::coded(&MEDICINES).chain(suggestion::coded(&ALLERGENS));
    known.flat_map(|(names, code)| names.map(|name| Name::new(name, vec![code]))).chain(others).collect()
});

/// What a name says.
#[derive(Clone, Debug, Default)]
pub struct Substance {
    words: Vec<String>,
    /// ATC codes of a whole name of the lists.
    exact: Vec<&'static str>,
    /// Those and what one of the words may mean.
    codes: Vec<&'static str>,
}

impl Substance {
    pub fn of(typed: &str) -> Substance {
        let folded = fold(typed);
        let words: Vec<String> =
            folded.split(' ').filter(|word| word.starts_with(char::is_alphabetic)).map(str::to_owned).collect();
        let mut found = Substance::default();
        let mut named = vec![false; words.len()];
        // Long names first, so that the words of one are not taken for another.
        let mut names: Vec<&Name> = NAMES.iter().filter(|name| !name.words.is_empty()).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.words.len()));
        for name in names {
            let spots = words.windows(name.words.len()).enumerate();
            let free = |at: usize| named.iter().skip(at).take(name.words.len()).all(|taken| !taken);
            let at =
                spots.filter(|(_, window)| *window == name.words.as_slice()).map(|(at, _)| at).find(|at| free(*at));
            let again = name.words.len() == words.len() && name.words == words;
            if at.is_some() || again {
                found.exact.extend(&name.codes);
            }
            named.iter_mut().skip(at.unwrap_or(words.len())).take(name.words.len()).for_each(|taken| *taken = true);
        }
        found.codes.clone_from(&found.exact);
        for word in words.iter().zip(&named).filter(|(_, named)| !**named).map(|(word, _)| word) {
            found.codes.extend(meant(word));
        }
        found.words = words;
        found
    }

    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        self.codes.is_empty()
    }

    /// The words that say what it is.
    fn telling(&self) -> impl Iterator<Item = &String> {
        self.words.iter().filter(|word| word.chars().count() >= WORD && !FORMS.contains(&word.as_str()))
    }

    fn shares_word(&self, other: &Substance) -> bool {
        self.telling().any(|one| other.telling().any(|known| is_word(one, known)))
    }

    /// Whether a medicine is what somebody is allergic to, or of the same group.
    pub fn meets(&self, allergy: &Substance) -> bool {
        let inflames = |code: &str| INFLAMMATION.iter().any(|group| code.starts_with(group));
        let alike = |medicine: &str, allergy: &str| {
            let group = allergy.get(..GROUP).unwrap_or(allergy);
            let whole_group = allergy == "M01A" || allergy.starts_with("N02BA");
            medicine.starts_with(group) || group.starts_with(medicine) || (whole_group && inflames(medicine))
        };
        self.codes.iter().any(|one| allergy.codes.iter().any(|other| alike(one, other)))
            || self.shares_word(allergy)
            || self.words == allergy.words
    }

    /// A cephalosporin for somebody who does not bear penicillins: seldom both, but worth a look.
    pub fn may_cross(&self, allergy: &Substance) -> bool {
        let of = |one: &Substance, group: &str| one.codes.iter().any(|code| code.starts_with(group));
        of(self, "J01D") && of(allergy, "J01C")
    }

    /// Whether both are one medicine, whatever they are called.
    pub fn is_same(&self, other: &Substance) -> bool {
        self.exact.iter().any(|code| code.len() > GROUP && other.exact.contains(code))
            || self.shares_word(other)
            || self.words == other.words
    }
}

/// The same word, or one with a letter wrong.
fn is_word(one: &str, known: &str) -> bool {
    one == known || (one.chars().count() >= NEAR && known.chars().count() >= NEAR && is_near(one, known))
}

/// What a word may mean: the names that it begins, or nearly; else what its stem says.
fn meant(word: &str) -> Vec<&'static str> {
    if word.chars().count() < WORD {
        return Vec::new();
    }
    let first =
        |name: &&Name| name.first.and_then(|first| name.words.get(first)).is_some_and(|known| is_word(word, known));
    let is_form = FORMS.contains(&word) && !word.starts_with("insulin");
    let mut codes: Vec<&'static str> =
        NAMES.iter().filter(|name| !is_form && first(name)).flat_map(|name| name.codes.iter().copied()).collect();
    if word.starts_with("insulin") {
        codes.push("A10AB");
        codes.push("A10AE");
    }
    if codes.is_empty() && !is_form && word != "sulfato" {
        let says = |(end, start, _): &&(&str, &str, &str)| word.ends_with(end) && word.starts_with(start);
        codes.extend(STEMS.iter().filter(says).map(|(.., group)| *group));
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Substance {
        Substance::of(text)
    }

    #[test]
    fn what_somebody_is_allergic_to_is_found_however_it_is_typed() {
        for medicine in [
            "Amoxicilina",
            "AMOXICILINA 500",
            "Amoxicilina/ácido clavulánico",
            "amoxicilina+clavulanato 875/125 mg",
            "Bencilpenicilina",
            "Augmentin",
            "Amoxiclina",
            "Amoxicilina, tabletas",
            "Dicloxacilina",
            "Penicilina benzatínica",
            "Piperacilina tazobactam",
            "Flucloxacilina",
        ] {
            assert!(of(medicine).meets(&of("Penicilina")), "{medicine}");
            assert!(!of(medicine).meets(&of("Dipirona")), "{medicine}");
            assert!(!of(medicine).is_unknown(), "{medicine}");
        }
        for medicine in
            ["Dipirona", "dipirona 1 g", "Metamizol", "Metamizole", "Novalgina", "Dipyrona", "Buscapina compuesta"]
        {
            assert!(of(medicine).meets(&of("dipirona")), "{medicine}");
            assert!(!of(medicine).meets(&of("Penicilina")), "{medicine}");
        }
        let check = |medicine: &str, allergy: &str, expected: bool| {
            assert_eq!(of(medicine).meets(&of(allergy)), expected, "{medicine} {allergy}");
        };
        check("Naproxeno", "Ibuprofeno", true);
        check("Ketoprofeno 100 mg", "Ibuprofeno", true);
        check("Dipirona", "Antiinflamatorios no esteroideos", true);
        check("Aspirina", "AINES", true);
        check("Diclofenaco", "Aspirina", true);
        check("Acetaminofén", "Dipirona", false);
        check("Acetaminofén", "Aspirina", false);
        check("Ceftriaxona", "Penicilina", false);
        check("Bactrim F", "Sulfas", true);
        check("Sulfato ferroso", "Sulfas", false);
        check("Agua de rosas", "agua de Rosas", true);
        check("Amoxicilina", "Maní", false);
        check("Losartán potásico", "Cloruro de potasio", false);
        assert!(of("Cefuroxima").may_cross(&of("Amoxicilina")) && !of("Cefuroxima").may_cross(&of("Dipirona")));
        assert!(
            of("Polvo de estrellas").is_unknown()
                && of("Isotretinoína").is_unknown()
                && !of("Insulina NPH").is_unknown()
        );
    }

    #[test]
    fn one_medicine_is_one_whatever_it_is_called() {
        let check = |one: &str, other: &str, expected: bool| {
            assert_eq!(of(one).is_same(&of(other)), expected, "{one} {other}");
            assert_eq!(of(other).is_same(&of(one)), expected, "{other} {one}");
        };
        check("Metformin", "Metformina", true);
        check("Metformina 850 mg", "Glucophage", true);
        check("Acetaminofén", "Dolex", true);
        check("Amoxicilina", "Amoxicilina clavulanato", true);
        check("Insulina glargina", "Insulina cristalina", false);
        check("Prednisona", "Prednisolona", false);
        check("Ácido fólico", "Ácido valproico", false);
        check("Ibuprofeno", "Naproxeno", false);
        check("Losartán potásico", "Cloruro de potasio", false);
    }
}
