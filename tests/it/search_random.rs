//! Random queries over random resources: what the server finds, in which order, is what a slow matcher in memory finds that
//! knows nothing of hashes, columns and plans. Pages are cut small and followed, while other resources change between them.

use crate::harness::data::patient;
use crate::harness::fhir::signed_in;
use crate::harness::instance::Start;
use crate::harness::proof::{Proof, Random};
use crate::harness::{Fhir, fhir, run, unique};
use crate::search_cases::{encoded, stored};
use crate::search_random_filter;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeSet;

const LOINC: &str = "http://loinc.org";
const LOCAL: &str = "http://example.org/codes";
const UCUM: &str = "http://unitsofmeasure.org";
const RESOURCES: usize = 80;
/// Resources that change while pages are read; they are not looked at.
const RESTLESS: usize = 6;
/// Queries over one set of resources: what `make test` asks, and the whole of a proof.
const QUERIES: u64 = 300;
const FULL: u64 = 100_000;

pub struct Dice(Random);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0.below(sides)
    }

    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        *self.0.of(all)
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.roll(100) < percent
    }
}

const CODES: [(Option<&str>, &str); 5] =
    [(Some(LOINC), "a"), (Some(LOCAL), "a"), (None, "a"), (Some(LOINC), "b"), (Some(LOCAL), "c")];
pub const STATUS: [&str; 3] = ["amended", "final", "preliminary"];
pub const DATES: [&str; 7] =
    ["2020", "2020-05", "2020-05-06", "2020-05-06T10:00:00Z", "2020-05-06T10:00:00-05:00", "2019-12-31", "2021-01"];
const NUMBERS: [&str; 8] = ["5", "5.0", "5.4", "5400", "0.0054", "5.44", "0", "-1.5"];
const UNITS: [Option<&str>; 5] = [Some("mg"), Some("ug"), Some("g"), Some("mmol/L"), None];
pub const TEXTS: [&str; 5] = ["Muestra hemolizada", "Sérica", "muestra sérica", "NIÑO", "Ayunas"];
pub const WORDS: [&str; 6] = ["muestra", "SERICA", "hemo", "nino", "a", "sérica"];

fn coding((system, code): (Option<&str>, &str)) -> Value {
    match system {
        Some(system) => json!({"system": system, "code": code}),
        None => json!({"code": code}),
    }
}

fn quantity(dice: &mut Dice) -> Value {
    let mut quantity = json!({"value": serde_json::from_str::<Value>(dice.of(&NUMBERS)).unwrap()});
    if let Some(unit) = dice.of(&UNITS) {
        (quantity["system"], quantity["code"]) = (UCUM.into(), unit.into());
    }
    quantity
}

fn observation(dice: &mut Dice, patient: &str) -> Value {
    let mut one = json!({"resourceType": "Observation", "status": dice.of(&STATUS), "code": {"coding": [coding(dice.of(&CODES))]}});
    if dice.chance(30) {
        one["code"]["coding"].as_array_mut().unwrap().push(coding(dice.of(&CODES)));
    }
    if dice.chance(50) {
        one["subject"] = json!({"reference": patient});
    }
    match dice.roll(4) {
        0 => {}
        1 => one["effectivePeriod"] = json!({"start": dice.of(&DATES[3..5])}),
        2 => one["effectivePeriod"] = json!({"start": "2019-12-31", "end": dice.of(&DATES[1..3])}),
        _ => one["effectiveDateTime"] = dice.of(&DATES).into(),
    }
    match dice.roll(3) {
        0 => one["valueQuantity"] = quantity(dice),
        1 => one["valueString"] = dice.of(&TEXTS).into(),
        _ => {}
    }
    let components: Vec<Value> = (0..dice.roll(3))
        .map(|_| json!({"code": {"coding": [coding(dice.of(&CODES))]}, "valueQuantity": quantity(dice)}))
        .collect();
    if !components.is_empty() {
        one["component"] = components.into();
    }
    one
}

// ---------------------------------------------------------------------- the matcher

/// First and last microsecond, without a zone five hours west.
pub fn instants(text: &str) -> (i64, i64) {
    let day = |text: &str| text.parse::<Date>().unwrap();
    let start =
        |day: Date| TimeZone::fixed(Offset::constant(-5)).to_timestamp(day.at(0, 0, 0, 0)).unwrap().as_microsecond();
    if text.contains('T') {
        let at = text.parse::<Timestamp>().unwrap().as_microsecond();
        return (at, at + 999_999);
    }
    let (first, next) = match text.len() {
        4 => (day(&format!("{text}-01-01")), day(&format!("{}-01-01", text.parse::<i32>().unwrap() + 1))),
        7 => {
            let first = day(&format!("{text}-01"));
            (first, first.checked_add(jiff::Span::new().months(1)).unwrap())
        }
        _ => (day(text), day(text).tomorrow().unwrap()),
    };
    (start(first), start(next) - 1)
}

pub fn effective(one: &Value) -> Option<(i64, i64)> {
    if let Some(text) = one["effectiveDateTime"].as_str() {
        return Some(instants(text));
    }
    let period = one["effectivePeriod"].as_object()?;
    let end = |name: &str| period.get(name).and_then(Value::as_str).map(instants);
    Some((end("start").map_or(i64::MIN, |(lo, _)| lo), end("end").map_or(i64::MAX, |(_, hi)| hi)))
}

/// R4's table of prefixes between two closed intervals.
fn holds(prefix: &str, (from, to): (i64, i64), (lo, hi): (i64, i64)) -> bool {
    let contained = from <= lo && hi <= to;
    match prefix {
        "eq" => contained,
        "ne" => !contained,
        "gt" => hi > to,
        "lt" => lo < from,
        "ge" => hi > to || contained,
        "le" => lo < from || contained,
        "sa" => lo > to,
        "eb" => hi < from,
        _ => panic!("{prefix}"),
    }
}

/// A decimal as whole billionths, and half a unit of its last digit.
fn billionths(text: &str) -> (i64, i64) {
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len() as u32);
    let whole: i64 = text.replace('.', "").parse().unwrap();
    (whole * 10_i64.pow(9 - digits), 10_i64.pow(9 - digits) / 2)
}

/// Kind of unit, and how many of the smallest of it one is.
fn scale(unit: &str) -> (&'static str, i64) {
    match unit {
        "g" => ("mass", 1_000_000),
        "mg" => ("mass", 1000),
        "ug" => ("mass", 1),
        _ => ("amount", 1),
    }
}

fn has_quantity(quantity: &Value, prefix: &str, number: &str, unit: Option<&str>) -> bool {
    let Value::Number(value) = &quantity["value"] else { return false };
    let (at, _) = billionths(&value.to_string());
    let (asked, half) = billionths(number);
    let (factor, of) = match (unit, quantity["code"].as_str()) {
        (None, _) => (1, 1),
        (Some(asked), Some(of)) if scale(asked).0 == scale(of).0 => (scale(asked).1, scale(of).1),
        _ => return false,
    };
    let at = i128::from(at) * i128::from(of);
    let asked = i128::from(asked) * i128::from(factor);
    let half = i128::from(half) * i128::from(factor);
    match prefix {
        "eq" => asked - half <= at && at < asked + half,
        "ne" => !(asked - half <= at && at < asked + half),
        "gt" | "sa" => at > asked,
        "lt" | "eb" => at < asked,
        "ge" => at >= asked,
        "le" => at <= asked,
        _ => panic!("{prefix}"),
    }
}

fn has_code(concept: &Value, asked: &str) -> bool {
    concept["coding"].as_array().into_iter().flatten().any(|coding| {
        let (system, code) = (coding["system"].as_str(), coding["code"].as_str());
        match asked.split_once('|') {
            None => code == Some(asked),
            Some(("", wanted)) => system.is_none() && code == Some(wanted),
            Some((wanted, "")) => system == Some(wanted),
            Some((wanted, of)) => system == Some(wanted) && code == Some(of),
        }
    })
}

pub fn folded(text: &str) -> String {
    let plain = |c| match c {
        'é' => 'e',
        'ñ' => 'n',
        c => c,
    };
    text.to_lowercase().chars().map(plain).collect()
}

pub fn is_missing(one: &Value, code: &str) -> bool {
    match code {
        "date" => effective(one).is_none(),
        "value-quantity" => one["valueQuantity"].is_null(),
        "value-string" => one["valueString"].is_null(),
        "component-code" => one["component"].is_null(),
        "subject" => one["subject"].is_null(),
        _ => panic!("{code}"),
    }
}

/// One value of one parameter.
pub fn has(one: &Value, name: &str, value: &str) -> bool {
    let (prefix, rest) = match value.get(..2) {
        Some(prefix @ ("ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb")) => (prefix, &value[2..]),
        _ => ("eq", value),
    };
    let components = || one["component"].as_array().into_iter().flatten();
    let amount = |text: &str| {
        let (number, unit) =
            text.split_once('|').map_or((text, None), |(number, unit)| (number, unit.rsplit('|').next()));
        (number.to_owned(), unit.map(str::to_owned))
    };
    let composite = |value: &str, within: Vec<&Value>| {
        let (code, of) = value.split_once('$').unwrap();
        let (prefix, of) = match of.get(..2) {
            Some(prefix @ ("ne" | "gt" | "lt" | "ge" | "le" | "sa" | "eb")) => (prefix.to_owned(), &of[2..]),
            _ => ("eq".to_owned(), of),
        };
        let (number, unit) = amount(of);
        within.into_iter().any(|node| {
            has_code(&node["code"], code) && has_quantity(&node["valueQuantity"], &prefix, &number, unit.as_deref())
        })
    };
    match name {
        "code" => has_code(&one["code"], value),
        "component-code" => components().any(|part| has_code(&part["code"], value)),
        "combo-code" => has(one, "code", value) || has(one, "component-code", value),
        "status" => one["status"] == value,
        "subject" => one["subject"]["reference"] == value,
        "date" => effective(one).is_some_and(|range| holds(prefix, instants(rest), range)),
        "value-string" => {
            let text = one["valueString"].as_str().map(folded).unwrap_or_default();
            let wanted = folded(value);
            text.starts_with(&wanted) || text.contains(&format!(" {wanted}"))
        }
        "value-string:contains" => {
            one["valueString"].as_str().is_some_and(|text| folded(text).contains(&folded(value)))
        }
        "value-string:exact" => one["valueString"] == value,
        "value-quantity" => {
            let (number, unit) = amount(rest);
            has_quantity(&one["valueQuantity"], prefix, &number, unit.as_deref())
        }
        "component-value-quantity" => {
            let (number, unit) = amount(rest);
            components().any(|part| has_quantity(&part["valueQuantity"], prefix, &number, unit.as_deref()))
        }
        "combo-value-quantity" => has(one, "value-quantity", value) || has(one, "component-value-quantity", value),
        "code-value-quantity" => composite(value, vec![one]),
        "component-code-value-quantity" => composite(value, components().collect()),
        "combo-code-value-quantity" => {
            has(one, "code-value-quantity", value) || has(one, "component-code-value-quantity", value)
        }
        _ => panic!("{name}"),
    }
}

fn matches(one: &Value, query: &[(String, Vec<String>)]) -> bool {
    query.iter().all(|(name, values)| match name.rsplit_once(':') {
        Some((code, "missing")) => is_missing(one, code) == (values[0] == "true"),
        Some((code, "not")) => !values.iter().any(|value| has(one, code, value)),
        _ => values.iter().any(|value| has(one, name, value)),
    })
}

/// The value of a sort key; what has none is the least.
fn sort_key(one: &Value, code: &str) -> (i64, String) {
    match code {
        "date" => match effective(one) {
            None => (i64::MIN, String::new()),
            Some((i64::MIN, hi)) => (hi, String::new()),
            Some((lo, _)) => (lo, String::new()),
        },
        "status" => (0, one["status"].as_str().unwrap().to_owned()),
        "value-string" => (0, one["valueString"].as_str().map(folded).unwrap_or_default()),
        "_id" => (0, one["id"].as_str().unwrap().to_owned()),
        _ => panic!("{code}"),
    }
}

fn order(a: &Value, b: &Value, sort: &[(bool, &str)]) -> Ordering {
    let by_id = [(sort[0].0, "_id")];
    for (descending, code) in sort.iter().chain(&by_id) {
        let order = sort_key(a, code).cmp(&sort_key(b, code));
        let order = if *descending { order.reverse() } else { order };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

// ---------------------------------------------------------------------- queries

pub fn token(dice: &mut Dice) -> String {
    let (system, code) = dice.of(&CODES);
    match dice.roll(4) {
        0 => code.to_owned(),
        1 => format!("|{code}"),
        2 => format!("{}|", system.unwrap_or(LOINC)),
        _ => format!("{}|{code}", system.unwrap_or(LOCAL)),
    }
}

fn prefixed(dice: &mut Dice, text: &str) -> String {
    format!("{}{text}", dice.of(&["", "", "ne", "gt", "lt", "ge", "le", "sa", "eb"]))
}

pub fn amount(dice: &mut Dice) -> String {
    let number = dice.of(&NUMBERS);
    let text = match dice.of(&UNITS) {
        Some(unit) => format!("{number}|{UCUM}|{unit}"),
        None => number.to_owned(),
    };
    prefixed(dice, &text)
}

fn criterion(dice: &mut Dice, patient: &str) -> (String, Vec<String>) {
    let name = dice.of(&[
        "code",
        "code:not",
        "component-code",
        "combo-code",
        "status",
        "status:not",
        "subject",
        "date",
        "date",
        "value-string",
        "value-string:contains",
        "value-string:exact",
        "value-quantity",
        "component-value-quantity",
        "combo-value-quantity",
        "code-value-quantity",
        "component-code-value-quantity",
        "combo-code-value-quantity",
        "date:missing",
        "value-quantity:missing",
        "value-string:missing",
        "component-code:missing",
        "subject:missing",
    ]);
    if name.ends_with(":missing") {
        return (name.to_owned(), vec![dice.of(&["true", "false"]).to_owned()]);
    }
    let count = 1 + dice.roll(2);
    let values = (0..count).map(|_| match name.split(':').next().unwrap() {
        "code" | "component-code" | "combo-code" => token(dice),
        "status" => dice.of(&STATUS).to_owned(),
        "subject" => dice.of(&[patient, "Patient/none"]).to_owned(),
        "date" => {
            let date = dice.of(&DATES);
            prefixed(dice, date)
        }
        "value-string" if name.ends_with("exact") => dice.of(&TEXTS).to_owned(),
        "value-string" => dice.of(&WORDS).to_owned(),
        "value-quantity" | "component-value-quantity" | "combo-value-quantity" => amount(dice),
        _ => {
            let (_, code) = dice.of(&CODES);
            let code = if dice.chance(50) { code.to_owned() } else { format!("{LOINC}|{code}") };
            format!("{code}${}", amount(dice))
        }
    });
    (name.to_owned(), values.collect())
}

fn sort(dice: &mut Dice) -> Vec<(bool, &'static str)> {
    let mut keys: Vec<(bool, &'static str)> = Vec::new();
    for _ in 0..1 + dice.roll(3) {
        let code = dice.of(&["date", "status", "value-string", "_id"]);
        if keys.iter().all(|(_, known)| *known != code) && keys.last().is_none_or(|(_, last)| *last != "_id") {
            keys.push((dice.chance(50), code));
        }
    }
    keys
}

/// One set of resources and some queries over it. `by_date`: half of them in the order of the main date alone.
async fn round(integracion: &Fhir, by_date: bool, dice: &mut Dice, proof: &mut Proof) {
    let patient = format!("Patient/{}", integracion.create(patient()).await["id"].as_str().unwrap());
    let (tag, restless) = (unique(), BTreeSet::from_iter(0..RESTLESS));
    let mut resources: Vec<Value> = (0..RESOURCES).map(|_| observation(dice, &patient)).collect();
    let tagged = resources.iter().map(|one| (tag.clone(), one.clone())).collect();
    let references = stored(integracion, tagged).await;
    for (one, reference) in resources.iter_mut().zip(&references) {
        one["id"] = reference.strip_prefix("Observation/").unwrap().into();
    }
    for n in 0..QUERIES {
        let query: Vec<_> = (0..dice.roll(4)).map(|_| criterion(dice, &patient)).collect();
        let filter = dice.chance(30).then(|| search_random_filter::random(dice, &patient, 3));
        let sort = if by_date && dice.chance(50) { vec![(dice.chance(50), "date")] } else { sort(dice) };
        let is_match = |one: &&Value| {
            matches(one, &query) && filter.as_ref().is_none_or(|filter| search_random_filter::holds(one, filter))
        };
        let mut expected: Vec<&Value> = resources.iter().skip(RESTLESS).filter(is_match).collect();
        expected.sort_by(|a, b| order(a, b, &sort));
        let expected: Vec<&str> = expected.iter().filter_map(|one| one["id"].as_str()).collect();

        let mut criteria: Vec<String> =
            query.iter().map(|(name, values)| format!("{name}={}", values.join(","))).collect();
        criteria.extend(filter.as_ref().map(|filter| format!("_filter={}", search_random_filter::text(filter))));
        let keys: Vec<String> =
            sort.iter().map(|(down, code)| format!("{}{code}", if *down { "-" } else { "" })).collect();
        criteria.extend([format!("_sort={}", keys.join(",")), format!("_count={}", 1 + dice.roll(30))]);
        let text = criteria.join("&");
        let mut next = Some(format!("Observation?{}&_tag={tag}", encoded(&text)));
        let mut found = Vec::new();
        while let Some(path) = next {
            let page = integracion.get(&path).await.expect(200);
            found.extend(page.ids());
            next = page.link("next");
            if next.is_some() && n % 4 == 0 {
                let which = dice.roll(RESTLESS);
                let mut changed = observation(dice, &patient);
                changed["id"] = resources[which]["id"].clone();
                changed["meta"] = json!({"tag": [{"system": "urn:historia:test", "code": tag}]});
                integracion.put(&references[which], &changed).await.expect(200);
            }
        }
        found.retain(|id| !restless.iter().any(|which| resources[*which]["id"] == **id));
        if found != expected {
            proof.failed(&format!("{text}: found {found:?}, not {expected:?}"));
        }
        proof.done(1);
    }
}

#[test]
fn proof_search() {
    let mut proof = Proof::new("search", 20_261_124, QUERIES, FULL);
    run(async {
        let mut dice = Dice(Random(proof.seed));
        while proof.goes_on() && proof.failures() < 20 {
            round(&fhir("integracion").await, false, &mut dice, &mut proof).await;
        }
        // Again where a walk ends after 45 rows and a pick after 4: then each plan has its turn.
        if cfg!(feature = "failpoints") && proof.failures() == 0 {
            let small = Start::dev().with("HISTORIA_TEST_FAILPOINT", "search-small").ready();
            let integracion = signed_in(&small, "integracion").await;
            for _ in 0..if proof.full { 30 } else { 1 } {
                round(&integracion, true, &mut dice, &mut proof).await;
            }
        }
        let resources = proof.n() / QUERIES * RESOURCES as u64;
        proof.ends(json!({"resources": resources}));
    });
}
