//! Who the patient is: name, documents, age, sex, where from, how reached, who pays, where now.

use crate::fhir::documento::DocumentoId;
use crate::view::record::words::{When, Words, clean, code_of, joined, list, text};
use serde::Serialize;
use serde_json::Value;

/// A term and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    pub term: String,
    pub text: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Who {
    pub surnames: String,
    pub names: String,
    pub birth: When,
    pub age: String,
    pub sex: String,
    /// Patient.gender.
    pub gender: String,
    /// `CC 51.999.208`, the current ones first.
    pub documents: Vec<String>,
    pub municipality: String,
    pub address: String,
    pub telephones: Vec<String>,
    pub insurance: Vec<String>,
    /// Where the patient lies now; empty when not admitted.
    pub place: String,
    pub deceased: Option<String>,
    /// Everything else that is recorded of the person.
    pub more: Vec<Fact>,
}

impl Who {
    /// `Apellidos, Nombres`: the one form of a name in lists and on paper.
    pub fn full_name(&self) -> String {
        joined([&self.surnames, &self.names], ", ")
    }

    pub fn document(&self) -> &str {
        self.documents.first().map(String::as_str).unwrap_or_default()
    }
}

/// Surnames and given names of a HumanName.
pub fn name_parts(name: &Value) -> (String, String) {
    let family = clean(text(name, "family"));
    let given = joined(list(name, "given").filter_map(Value::as_str).map(clean), " ");
    if family.is_empty() && given.is_empty() { (clean(text(name, "text")), String::new()) } else { (family, given) }
}

/// A person as staff are named: given names first.
pub fn person(resource: &Value) -> String {
    let Some(name) = current_name(resource) else { return String::new() };
    let (family, given) = name_parts(name);
    let prefix = joined(list(name, "prefix").filter_map(Value::as_str).map(clean), " ");
    joined([prefix, given, family], " ")
}

/// The name that is used: official, else usual, else the first that is not old.
fn current_name(resource: &Value) -> Option<&Value> {
    let of = |usage: &str| list(resource, "name").find(|name| text(name, "use") == usage);
    of("official")
        .or_else(|| of("usual"))
        .or_else(|| list(resource, "name").find(|name| text(name, "use") != "old"))
        .or_else(|| list(resource, "name").next())
}

impl Words<'_> {
    pub fn who(&self, patient: &Value) -> Who {
        let mut who = Who::default();
        let current = current_name(patient);
        if let Some(name) = current {
            (who.surnames, who.names) = name_parts(name);
        }
        who.birth = self.date(text(patient, "birthDate"));
        let died = text(patient, "deceasedDateTime");
        if let Some(birth) = self.reader.day_of(text(patient, "birthDate")) {
            let until = self.reader.day_of(died).unwrap_or_else(|| self.reader.today());
            who.age = self.reader.age_on(birth, until).unwrap_or_default();
        }
        who.gender = text(patient, "gender").to_owned();
        who.sex =
            self.word("sex", if text(patient, "gender").is_empty() { "unknown" } else { text(patient, "gender") });
        who.deceased = match patient.get("deceasedBoolean").and_then(Value::as_bool) {
            Some(true) => Some(String::new()),
            _ => (!died.is_empty()).then(|| self.moment(died)),
        };
        self.identifiers(patient, &mut who);
        self.whereabouts(patient, &mut who);
        self.rest(patient, current, &mut who);
        who
    }

    fn identifiers(&self, patient: &Value, who: &mut Who) {
        let old = |identifier: &&Value| text(identifier, "use") == "old";
        let current = list(patient, "identifier").filter(|identifier| !old(identifier));
        for identifier in current.chain(list(patient, "identifier").filter(old)) {
            let past = text(identifier, "use") == "old";
            let documento =
                DocumentoId::of_identifier(identifier, self.systems).and_then(|d| self.reader.document(d.as_str()));
            match documento {
                Some(documento) if !past && !who.documents.contains(&documento) => who.documents.push(documento),
                Some(documento) if past => self.fact(who, "rec.former_document", documento),
                Some(_) => {}
                None => {
                    let value = joined([self.concept(identifier.get("type")), clean(text(identifier, "value"))], " ");
                    self.fact(who, "rec.identifier", value);
                }
            }
        }
    }

    fn whereabouts(&self, patient: &Value, who: &mut Who) {
        let home = list(patient, "address").find(|address| text(address, "use") == "home");
        if let Some(address) = home.or_else(|| list(patient, "address").next()) {
            let code = list(address.get("_city").unwrap_or(&Value::Null), "extension")
                .find_map(|extension| extension.get("valueCoding"));
            let district = clean(text(address, "district"));
            let is_code = district.len() == 5 && district.bytes().all(|b| b.is_ascii_digit());
            let code = code.map(|coding| clean(text(coding, "code"))).or_else(|| is_code.then(|| district.clone()));
            let code = code.map(|code| format!("({code})")).unwrap_or_default();
            let (city, state) = (clean(text(address, "city")), clean(text(address, "state")));
            let city = if state == city { city } else { joined([city, state], ", ") };
            who.municipality = joined([city, code], " ");
            let lines = joined(list(address, "line").filter_map(Value::as_str).map(clean), ", ");
            let lines = if lines.is_empty() { clean(text(address, "text")) } else { lines };
            who.address = joined(
                [
                    lines,
                    if is_code { String::new() } else { district },
                    clean(text(address, "postalCode")),
                    if matches!(text(address, "country"), "COL" | "CO") {
                        String::new()
                    } else {
                        clean(text(address, "country"))
                    },
                ],
                ", ",
            );
        }
        who.telephones = list(patient, "telecom")
            .filter(|t| text(t, "use") != "old")
            .map(|t| clean(text(t, "value")))
            .filter(|t| !t.is_empty())
            .collect();
    }

    fn rest(&self, patient: &Value, current: Option<&Value>, who: &mut Who) {
        let same = |name: &Value| current.is_some_and(|current| std::ptr::eq(current, name));
        for name in list(patient, "name").filter(|name| !same(name)) {
            let (family, given) = name_parts(name);
            self.fact(who, "rec.other_name", joined([family, given], ", "));
        }
        let marital = code_of(patient.get("maritalStatus"), |_| true);
        let word = self.word("marital", &marital);
        self.fact(who, "rec.marital", if word == marital { self.concept(patient.get("maritalStatus")) } else { word });
        for contact in list(patient, "contact") {
            self.fact(who, "rec.contact", self.related(contact, contact.get("name")));
        }
        let languages = list(patient, "communication").map(|c| self.concept(c.get("language")));
        self.fact(who, "rec.language", joined(languages, ", "));
        self.fact(who, "rec.general_practitioner", self.people(patient, "generalPractitioner", ""));
        self.fact(who, "rec.managing", self.named(patient.get("managingOrganization")));
    }

    /// A person of the patient's: name, relation, telephone.
    pub fn related(&self, person: &Value, name: Option<&Value>) -> String {
        let (family, given) = name.map(name_parts).unwrap_or_default();
        let telecom = joined(list(person, "telecom").map(|t| clean(text(t, "value"))), ", ");
        joined([joined([given, family], " "), self.concepts(person, "relationship"), telecom], " · ")
    }

    pub fn fact(&self, who: &mut Who, term: &str, text: String) {
        let fact = Fact { term: self.say(term).to_owned(), text };
        if !fact.text.is_empty() && !who.more.contains(&fact) {
            who.more.push(fact);
        }
    }

    /// A Coverage: who pays, and how.
    pub fn coverage(&self, coverage: &Value) -> String {
        let number = clean(text(coverage, "subscriberId"));
        joined([self.people(coverage, "payor", ""), self.concept(coverage.get("type")), number], " · ")
    }
}
