//! HL7 v2 data types as FHIR elements: CX, XPN, XAD, XTN, XCN, PL, CWE.
//!
//! Facts: the datatype maps of <https://build.fhir.org/ig/HL7/v2-to-fhir/>. A part that is empty makes no element.
//! Dates have a file of their own, [`super::dtm`].

use super::message::{Component, Repetition};
use super::plan::Settings;
use super::{dtm::Dtm, table};
use crate::fhir::documento::{DocumentoId, V2_0203, type_code};
use serde_json::{Map, Value, json};

const FATHERS_FAMILY: &str = "http://hl7.org/fhir/StructureDefinition/humanname-fathers-family";
const MOTHERS_FAMILY: &str = "http://hl7.org/fhir/StructureDefinition/humanname-mothers-family";
/// The Colombian list of document types, as coding system.
const DOCUMENT_TYPES: &str = "https://fhir.minsalud.gov.co/rda/CodeSystem/ColombianPersonIdentifier";

/// CX as Identifier, and the national document it states.
pub struct Cx {
    pub identifier: Value,
    pub documento: Option<DocumentoId>,
    /// CX-1 as sent, trimmed.
    pub value: String,
    /// CX-5.
    pub kind: String,
    /// The system of the assigner, when it has one.
    pub system: Option<String>,
    /// The name of the assigner.
    pub assigner: Option<String>,
}

/// Reads CX. Without CX-1 there is no identifier.
pub fn cx(part: Repetition<'_>, settings: &Settings) -> Option<Cx> {
    let value = part.text(1)?;
    let kind = part.text(5).unwrap_or_default();
    let system = system_of(part.component(4), settings);
    let assigner = part.text(4).filter(|name| type_code(name).is_none());
    let documento = document_type(&kind, part.text(4).as_deref(), system.as_deref(), settings)
        .and_then(|code| DocumentoId::from_parts(code, &value));
    let mut identifier = Map::new();
    match documento.as_ref().and_then(DocumentoId::parts) {
        Some((code, number)) => {
            identifier.insert("use".into(), json!("official"));
            let coding = json!([{"system": V2_0203, "code": "PN"}, {"system": DOCUMENT_TYPES, "code": code}]);
            identifier.insert("type".into(), json!({"coding": coding}));
            identifier.insert("system".into(), json!(settings.document_system));
            identifier.insert("value".into(), json!(number));
        }
        None => {
            if !kind.is_empty() {
                identifier.insert("type".into(), json!({"coding": [{"system": V2_0203, "code": code_text(&kind)}]}));
            }
            put(&mut identifier, "system", system.clone());
            identifier.insert("value".into(), json!(value));
        }
    }
    let date = |n: usize| part.text(n).and_then(|text| Dtm::parse(&text)).map(|moment| moment.date());
    let period = object([("start", date(7)), ("end", date(8))]);
    if !period.is_empty() {
        identifier.insert("period".into(), Value::Object(period));
    }
    if let Some(name) = &assigner {
        identifier.insert("assigner".into(), json!({"display": name}));
    }
    Some(Cx { identifier: Value::Object(identifier), documento, value, kind, system, assigner })
}

/// The type of national document that a CX states. Senders write it in CX-5 or, older ones, in CX-4; a code of table
/// 0203 counts when nobody foreign assigned the number. `PE` and `PT` are hospital numbers unless a national authority
/// assigned them.
fn document_type(
    kind: &str,
    assigner: Option<&str>,
    system: Option<&str>,
    settings: &Settings,
) -> Option<&'static str> {
    let national = assigner.is_some_and(|name| table::lists("authority", &name.to_uppercase()));
    let named = assigner.and_then(type_code);
    let by_kind = type_code(kind).filter(|code| national || !matches!(*code, "PE" | "PT"));
    let by_table = || {
        let target = table::lookup("documento", kind).filter(|_| national || assigner.is_none());
        target.and_then(|target| type_code(target.code))
    };
    by_kind.or(named).or_else(by_table).or_else(|| system.and_then(|system| settings.systems.type_of(system)))
}

/// HD as the address of an identifier system: a universal id, else what the site has configured for the name.
fn system_of(assigner: Component<'_>, settings: &Settings) -> Option<String> {
    let universal = assigner.text(2).and_then(|id| match assigner.text(3)?.to_ascii_uppercase().as_str() {
        "ISO" if !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit() || b == b'.') => Some(format!("urn:oid:{id}")),
        "UUID" | "GUID" if id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') => {
            Some(format!("urn:uuid:{}", id.to_ascii_lowercase()))
        }
        "URI" if id.contains(':') && !id.contains(char::is_whitespace) => Some(id),
        _ => None,
    });
    universal.or_else(|| settings.assigners.get(&assigner.text(1)?).cloned())
}

/// XPN as HumanName. A name without a type is the legal one.
pub fn xpn(part: Repetition<'_>, settings: &Settings) -> Option<Value> {
    let mut name = Map::new();
    let usage = match part.text(7) {
        None => Some("official"),
        Some(kind) => table::lookup("0200", &kind).map(|target| target.code),
    };
    put(&mut name, "use", usage.map(str::to_owned));
    let surnames = Surnames::of(part.component(1), settings.two_surnames);
    put(&mut name, "family", surnames.family.clone());
    if let (Some(fathers), Some(mothers)) = (surnames.fathers, surnames.mothers) {
        let extension = json!([
            {"url": FATHERS_FAMILY, "valueString": fathers},
            {"url": MOTHERS_FAMILY, "valueString": mothers},
        ]);
        name.insert("_family".into(), json!({"extension": extension}));
    }
    let texts = |numbers: &[usize]| -> Vec<String> { numbers.iter().filter_map(|n| part.text(*n)).collect() };
    put_list(&mut name, "given", texts(&[2, 3]));
    if name.get("family").is_none() && name.get("given").is_none() {
        return None;
    }
    put_list(&mut name, "prefix", texts(&[5]));
    put_list(&mut name, "suffix", texts(&[4, 6]));
    Some(Value::Object(name))
}

/// The surnames of FN: the whole, and both when they can be told apart.
struct Surnames {
    family: Option<String>,
    fathers: Option<String>,
    mothers: Option<String>,
}

impl Surnames {
    fn of(part: Component<'_>, two_surnames: bool) -> Self {
        let whole = part.text(1);
        let (own, second) = (part.text(3), part.text(5));
        match (whole, second) {
            (Some(whole), Some(second)) if two_surnames => {
                // FN-1 has the first surname alone, or both.
                let first = whole.strip_suffix(second.as_str()).map(|first| first.trim().to_owned());
                let family = match &first {
                    Some(first) if !first.is_empty() => whole.clone(),
                    _ => format!("{whole} {second}"),
                };
                let fathers = own.or(first.filter(|first| !first.is_empty())).unwrap_or(whole);
                Surnames { family: Some(family), fathers: Some(fathers), mothers: Some(second) }
            }
            (Some(whole), _) => {
                let pair = if two_surnames { two(&whole) } else { None };
                let (fathers, mothers) = pair.unzip();
                Surnames { family: Some(whole), fathers, mothers }
            }
            (None, _) => Surnames { family: own, fathers: None, mothers: None },
        }
    }
}

/// Splits `primer segundo`; particles (`de la`) belong to the word they precede. Other than two surnames: unknown.
fn two(family: &str) -> Option<(String, String)> {
    const PARTICLES: [&str; 14] =
        ["DE", "DEL", "LA", "LAS", "LOS", "EL", "SAN", "SANTA", "DA", "DO", "DOS", "VON", "VAN", "DI"];
    let mut surnames: Vec<String> = Vec::new();
    let mut open = false;
    for word in family.split_whitespace() {
        match surnames.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => surnames.push(word.to_owned()),
        }
        open = PARTICLES.contains(&word.to_uppercase().as_str());
    }
    match <[String; 2]>::try_from(surnames) {
        Ok([first, second]) if !open => Some((first, second)),
        _ => None,
    }
}

/// XAD as Address.
pub fn xad(part: Repetition<'_>) -> Option<Value> {
    let mut address = Map::new();
    if let Some(kind) = part.text(7) {
        put(&mut address, "use", table::lookup("0190-use", &kind).map(|target| target.code.to_owned()));
        put(&mut address, "type", table::lookup("0190-type", &kind).map(|target| target.code.to_owned()));
    }
    let codes = address.len();
    let street: Vec<String> = (1..=3).filter_map(|n| part.component(1).text(n)).collect();
    let mut line = Vec::new();
    if !street.is_empty() {
        line.push(street.join(" "));
    }
    line.extend(part.text(2));
    put_list(&mut address, "line", line);
    for (element, number) in [("city", 3), ("district", 9), ("state", 4), ("postalCode", 5), ("country", 6)] {
        put(&mut address, element, part.text(number));
    }
    (address.len() > codes).then_some(Value::Object(address))
}

/// XTN as ContactPoint; `usage` counts when XTN-2 says nothing.
pub fn xtn(part: Repetition<'_>, usage: Option<&str>) -> Option<Value> {
    let equipment = part.text(3).unwrap_or_default();
    let told = part.text(2).unwrap_or_default();
    let net = told == "NET" || matches!(equipment.as_str(), "Internet" | "X.400");
    let local: Vec<String> = [5, 6, 7].iter().filter_map(|n| part.text(*n)).collect();
    let spelled = (!local.is_empty()).then(|| local.join(" "));
    let email = part.text(4).filter(|text| text.contains('@'));
    let phone = part.text(12).or_else(|| part.text(1)).or(spelled);
    let (system, value) = match (net, email, phone) {
        (true, Some(email), _) | (_, Some(email), None) => ("email", email),
        (true, None, Some(value)) => ("email", value),
        (false, _, Some(value)) => (table::lookup("0202", &equipment).map_or("phone", |target| target.code), value),
        (_, None, None) => return None,
    };
    let usage = match equipment.as_str() {
        "CP" => Some("mobile"),
        _ => table::lookup("0201", &told).map(|target| target.code).or(if told.is_empty() { usage } else { None }),
    };
    let extension = part.text(8).filter(|_| system == "phone");
    let value = extension.map_or_else(|| value.clone(), |extension| format!("{value} ext. {extension}"));
    let mut point = object([("system", Some(system.to_owned())), ("value", Some(value))]);
    put(&mut point, "use", usage.map(str::to_owned));
    Some(Value::Object(point))
}

/// XCN as a Reference without an address: identifier and display, since nobody says that the person has a resource here.
pub fn xcn(part: Repetition<'_>, settings: &Settings) -> Option<Value> {
    let words: Vec<String> =
        [part.text(6), part.text(3), part.text(4), part.text(2), part.text(5)].into_iter().flatten().collect();
    let mut reference = Map::new();
    reference.insert("type".into(), json!("Practitioner"));
    if let Some(value) = part.text(1) {
        let mut identifier = Map::new();
        if let Some(kind) = part.text(13) {
            identifier.insert("type".into(), json!({"coding": [{"system": V2_0203, "code": code_text(&kind)}]}));
        }
        put(&mut identifier, "system", system_of(part.component(9), settings));
        identifier.insert("value".into(), json!(value));
        if let Some(name) = part.text(9) {
            identifier.insert("assigner".into(), json!({"display": name}));
        }
        reference.insert("identifier".into(), Value::Object(identifier));
    }
    if !words.is_empty() {
        reference.insert("display".into(), json!(words.join(" ")));
    }
    (reference.len() > 1).then_some(Value::Object(reference))
}

/// PL as text: from the largest part to the bed.
pub fn pl(part: Repetition<'_>) -> Option<String> {
    let parts: Vec<String> = [4, 7, 8, 1, 2, 3].iter().filter_map(|n| part.text(*n)).collect();
    let description = part.text(9);
    if parts.is_empty() { description } else { Some(parts.join(" / ")) }
}

/// CWE (and CE, IS, ID) as CodeableConcept. `home` is the HL7 table of the field, for codes that name no system.
pub fn cwe(part: Repetition<'_>, home: &str) -> Option<Value> {
    let coding = |first: usize, default: Option<&str>| -> Option<Value> {
        let code = part.text(first)?;
        let system = match part.text(first + 2) {
            Some(name) => coding_system(&name),
            None => default.map(table::system),
        };
        let display = part.text(first + 1);
        Some(Value::Object(object([("system", system), ("code", Some(code_text(&code))), ("display", display)])))
    };
    let codings: Vec<Value> = [coding(1, Some(home)), coding(4, None)].into_iter().flatten().collect();
    let text = part.text(9).or_else(|| if codings.is_empty() { part.text(2) } else { None });
    let mut concept = Map::new();
    if !codings.is_empty() {
        concept.insert("coding".into(), Value::Array(codings));
    }
    put(&mut concept, "text", text);
    (!concept.is_empty()).then_some(Value::Object(concept))
}

/// The address of a coding system by its name in CWE-3.
fn coding_system(name: &str) -> Option<String> {
    if let Some(number) = name.strip_prefix("HL7").filter(|n| n.len() == 4 && n.bytes().all(|b| b.is_ascii_digit())) {
        return Some(table::system(number));
    }
    let address = || (name.contains("://") && !name.contains(char::is_whitespace)).then(|| name.to_owned());
    table::lookup("0396", name).map(|target| target.system.to_owned()).or_else(address)
}

/// A FHIR `code` has no white space but single blanks inside.
pub fn code_text(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An object of the members that are there.
pub fn object<const N: usize>(members: [(&str, Option<String>); N]) -> Map<String, Value> {
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::String(value?))));
    present.collect()
}

fn put(map: &mut Map<String, Value>, name: &str, value: Option<String>) {
    if let Some(value) = value {
        map.insert(name.to_owned(), Value::String(value));
    }
}

fn put_list(map: &mut Map<String, Value>, name: &str, values: Vec<String>) {
    if !values.is_empty() {
        map.insert(name.to_owned(), json!(values));
    }
}

#[cfg(test)]
mod tests {
    use super::super::charset::Charset;
    use super::super::message::Message;
    use super::*;

    fn read<T>(field: &str, read: impl Fn(Repetition<'_>, &Settings) -> T) -> T {
        let raw = format!("MSH|^~\\&|A|B|||2024||ADT^A08|1|P|2.5\rZZZ|{field}");
        let message = Message::parse(raw.as_bytes(), Charset::Utf8).unwrap();
        let settings =
            Settings { assigners: [("HOSP".to_owned(), "urn:oid:1.2".to_owned())].into(), ..Settings::default() };
        read(message.field("ZZZ", 1).first(), &settings)
    }

    #[test]
    fn documents_are_told_from_hospital_numbers() {
        let check = |field: &str, expected: Option<&str>| {
            let found = read(field, |part, settings| cx(part, settings).and_then(|cx| cx.documento));
            assert_eq!(found.as_ref().map(DocumentoId::as_str), expected, "{field}");
        };
        check("1.020.304.050^^^RNEC^CC", Some("CC-1020304050"));
        check("1020304050^^^^CC", Some("CC-1020304050"));
        check("1020304050^^^CC", Some("CC-1020304050"));
        check("1020304050^^^CC^NI", Some("CC-1020304050"));
        check("990101^^^REGISTRADURIA^ti", Some("TI-990101"));
        check("1020^^^REGISTRADURIA^CZ", Some("CC-1020"));
        check("AB123^^^^PPN", Some("PA-AB123"));
        check("AB123^^^USA^PPN", None);
        check("12345^^^LAB^PT", None);
        check("12345^^^^PE", None);
        check("12345^^^MIGRACION^PT", Some("PT-12345"));
        check("4471^^^HOSP^MR", None);
        check("12^^^RNEC^CC", None);
        check("^^^RNEC^CC", None);
    }

    #[test]
    fn identifiers() {
        let check = |field: &str, expected: Value| {
            assert_eq!(read(field, |part, settings| cx(part, settings).unwrap().identifier), expected, "{field}");
        };
        check(
            "4471^^^HOSP^MR",
            json!({"type": {"coding": [{"system": V2_0203, "code": "MR"}]}, "system": "urn:oid:1.2", "value": "4471", "assigner": {"display": "HOSP"}}),
        );
        check(
            "4471^^^X&2.16.840.1&ISO^^^20200101^2021",
            json!({"system": "urn:oid:2.16.840.1", "value": "4471", "period": {"start": "2020-01-01", "end": "2021"}, "assigner": {"display": "X"}}),
        );
        check("4471^^^X&not an oid&ISO", json!({"value": "4471", "assigner": {"display": "X"}}));
        check(
            "10.20^^^^CC",
            json!({"use": "official", "type": {"coding": [{"system": V2_0203, "code": "PN"}, {"system": DOCUMENT_TYPES, "code": "CC"}]},
            "system": "https://fhir.minsalud.gov.co/rda/NamingSystem/RNEC", "value": "1020"}),
        );
    }

    #[test]
    fn two_surnames() {
        let check = |field: &str, family: &str, both: Option<(&str, &str)>| {
            let name = read(field, xpn).unwrap();
            assert_eq!(name["family"], family, "{field}");
            let found = name["_family"]["extension"]
                .as_array()
                .map(|list| (list[0]["valueString"].as_str().unwrap(), list[1]["valueString"].as_str().unwrap()));
            assert_eq!(found, both, "{field}");
        };
        check("MUÑOZ PEÑA^ANA", "MUÑOZ PEÑA", Some(("MUÑOZ", "PEÑA")));
        check("DE LA CRUZ GÓMEZ^ANA", "DE LA CRUZ GÓMEZ", Some(("DE LA CRUZ", "GÓMEZ")));
        check("Rojas de la Torre^ANA", "Rojas de la Torre", Some(("Rojas", "de la Torre")));
        check("ROJAS^ANA", "ROJAS", None);
        check("PÉREZ Y RUIZ SOTO^ANA", "PÉREZ Y RUIZ SOTO", None);
        check("ROJAS DE^ANA", "ROJAS DE", None);
        check("NUÑEZ&&NUÑEZ&&IBÁÑEZ^ANA", "NUÑEZ IBÁÑEZ", Some(("NUÑEZ", "IBÁÑEZ")));
        check("NUÑEZ IBÁÑEZ&&&&IBÁÑEZ^ANA", "NUÑEZ IBÁÑEZ", Some(("NUÑEZ", "IBÁÑEZ")));
        check("PEÑA&&&&PEÑA^ANA", "PEÑA PEÑA", Some(("PEÑA", "PEÑA")));
        assert_eq!(read("^^^^DR", xpn), None);
        assert_eq!(
            read("ROJAS^ANA^LUZ^^DRA^^N", xpn).unwrap(),
            json!({"use": "nickname", "family": "ROJAS", "given": ["ANA", "LUZ"], "prefix": ["DRA"]})
        );
    }

    #[test]
    fn addresses_telephones_people_places_codes() {
        let check = |found: Option<Value>, expected: Value| assert_eq!(found.unwrap_or_default(), expected);
        check(
            read("CALLE 10&& 5-20^APTO 1^BOGOTÁ^DC^110111^COL^H^^USAQUÉN", |part, _| xad(part)),
            json!({"use": "home", "line": ["CALLE 10 5-20", "APTO 1"], "city": "BOGOTÁ", "district": "USAQUÉN", "state": "DC", "postalCode": "110111", "country": "COL"}),
        );
        check(read("^^^^^^H", |part, _| xad(part)), Value::Null);
        check(
            read("3005550101^PRN^CP", |part, _| xtn(part, Some("home"))),
            json!({"system": "phone", "value": "3005550101", "use": "mobile"}),
        );
        check(
            read("^PRN^PH^^57^601^5550101^12", |part, _| xtn(part, None)),
            json!({"system": "phone", "value": "57 601 5550101 ext. 12", "use": "home"}),
        );
        check(
            read("^NET^Internet^ana@example.org", |part, _| xtn(part, Some("home"))),
            json!({"system": "email", "value": "ana@example.org"}),
        );
        check(
            read("5550101", |part, _| xtn(part, Some("work"))),
            json!({"system": "phone", "value": "5550101", "use": "work"}),
        );
        check(read("^PRN^PH", |part, _| xtn(part, None)), Value::Null);
        check(
            read("7001^ÁLVAREZ^ANA^^^DRA.^^^RETHUS", xcn),
            json!({"type": "Practitioner", "identifier": {"value": "7001", "assigner": {"display": "RETHUS"}}, "display": "DRA. ANA ÁLVAREZ"}),
        );
        check(read("^", xcn), Value::Null);
        assert_eq!(read("URG^101^A^HOSP NORTE", |part, _| pl(part)).as_deref(), Some("HOSP NORTE / URG / 101 / A"));
        check(
            read("E^Urgencia", |part, _| cwe(part, "0007")),
            json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0007", "code": "E", "display": "Urgencia"}]}),
        );
        check(
            read("J189^Neumonía^I10^X^y^L^^^Neumonía", |part, _| cwe(part, "0051")),
            json!({"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "J189", "display": "Neumonía"}, {"code": "X", "display": "y"}], "text": "Neumonía"}),
        );
        check(read("^Dolor", |part, _| cwe(part, "0051")), json!({"text": "Dolor"}));
    }
}
