//! Searches of every type and parameter that R4 defines, with values of what was written. What the server does not take
//! must be refused alike.

use crate::differential::compare::{Order, SortBy};
use crate::differential::content::{WRITTEN, day, moment};
use crate::differential::request::Request;
use crate::differential::world::{Rng, World};
use crate::harness::browser::encoded;
use historia::fhir::definitions::{self, ResourceType, SearchKind, SearchParameter};
use historia::search::main_date::main_date;
use historia::search::param::reference::points_at;
use historia::search::parse::supported;
use serde_json::Value;

pub fn of(kind: &'static str, role: &'static str, path: String) -> Request {
    let order = Order::Search { by: SortBy::Date, descending: true };
    Request { order, ..Request::new(kind, role, "GET", path) }
}

pub fn request(rng: &mut Rng, world: &World, role: &'static str) -> Request {
    let all: Vec<ResourceType> = definitions::r4().resource_types().collect();
    let resource_type = match rng.below(10) {
        0 => *rng.pick(&all),
        1..4 => {
            let known = rng.pick(&world.known);
            definitions::r4().resource_type(&known.resource_type).unwrap()
        }
        _ => definitions::r4().resource_type(rng.word(&WRITTEN)).unwrap(),
    };
    let mut query = Vec::new();
    let (all, taken) =
        (definitions::r4().search_parameters(resource_type), supported(definitions::r4(), resource_type));
    for _ in 0..*rng.pick(&[0, 1, 1, 1, 2, 2, 3]) {
        let parameter = if rng.chance(8) { rng.pick(all) } else { rng.pick(&taken) };
        query.push(criterion(rng, world, resource_type, parameter));
    }
    let code = rng.word(&["patient", "patient", "subject"]);
    if rng.chance(35)
        && (rng.chance(3) || taken.iter().any(|parameter| parameter.code == code))
        && let Some(patient) = world.some(rng, "Patient")
    {
        let other = if rng.chance(15) { format!(",{}", world.some(rng, "Patient").unwrap()) } else { String::new() };
        query.push(format!("{code}={patient}{other}"));
    }
    if rng.chance(12) {
        query.extend(chain(rng, world, resource_type));
    }
    if rng.chance(10) {
        query.extend(has(rng, world, resource_type));
    }
    if rng.chance(10) {
        query.extend(include(rng, resource_type));
    }
    if rng.chance(8) {
        query.push(odd(rng, world));
    }
    let (order, sort) = sorted(rng, resource_type);
    query.extend(sort.map(|sort| format!("_sort={sort}")));
    match rng.below(6) {
        0 => query.push(format!("_count={}", rng.pick(&["0", "1", "2", "7"]))),
        1 => query.push(format!("_count={}", rng.pick(&["100", "5000"]))),
        2 => query.push(format!("_total={}", rng.pick(&["accurate", "estimate", "none"]))),
        3 if rng.chance(30) => query.push(format!("_summary={}", rng.pick(&["count", "true", "false"]))),
        _ => {}
    }
    let query = query.join("&");
    match rng.chance(15) {
        true => {
            let form = "application/x-www-form-urlencoded";
            let post = Request::new("search", role, "POST", format!("{resource_type}/_search"));
            Request { order, body: Some(query), ..post.header("content-type", form) }
        }
        false => Request { order, ..Request::new("search", role, "GET", format!("{resource_type}?{query}")) },
    }
}

fn sorted(rng: &mut Rng, resource_type: ResourceType) -> (Order, Option<String>) {
    let main = main_date(definitions::r4(), resource_type).map(|parameter| parameter.code);
    let (by, code) = match rng.below(8) {
        0 => (SortBy::Updated, "_lastUpdated"),
        1 => (SortBy::Id, "_id"),
        2 | 3 => (SortBy::Date, main.unwrap_or("_lastUpdated")),
        4 if rng.chance(20) => (SortBy::Date, "nada"),
        _ => return (Order::Search { by: SortBy::Date, descending: true }, None),
    };
    let by = if code == "_lastUpdated" { SortBy::Updated } else { by };
    let descending = rng.chance(50);
    (Order::Search { by, descending }, Some(format!("{}{code}", if descending { "-" } else { "" })))
}

fn references(resource_type: ResourceType) -> Vec<&'static SearchParameter> {
    let all = supported(definitions::r4(), resource_type).into_iter();
    all.filter(|parameter| parameter.kind == SearchKind::Reference).collect()
}

/// A type that is written and that the parameter may point at.
fn target(rng: &mut Rng, parameter: &SearchParameter) -> Option<ResourceType> {
    let written = WRITTEN.iter().filter_map(|name| definitions::r4().resource_type(name));
    let all: Vec<ResourceType> = written.filter(|to| points_at(parameter, *to)).collect();
    (!all.is_empty()).then(|| *rng.pick(&all))
}

/// A condition on a resource of a type: perhaps itself on one that it points at.
fn condition(rng: &mut Rng, world: &World, resource_type: ResourceType) -> String {
    if rng.chance(15)
        && let Some(chained) = chain(rng, world, resource_type)
    {
        return chained;
    }
    let parameter = *rng.pick(&supported(definitions::r4(), resource_type));
    criterion(rng, world, resource_type, parameter)
}

fn chain(rng: &mut Rng, world: &World, resource_type: ResourceType) -> Option<String> {
    let references = references(resource_type);
    let parameter = *(!references.is_empty()).then(|| rng.pick(&references))?;
    let to = target(rng, parameter)?;
    let named = if rng.chance(70) { format!(":{to}") } else { String::new() };
    Some(format!("{}{named}.{}", parameter.code, condition(rng, world, to)))
}

fn has(rng: &mut Rng, world: &World, resource_type: ResourceType) -> Option<String> {
    let holder = definitions::r4().resource_type(rng.word(&WRITTEN))?;
    let pointing: Vec<_> = references(holder).into_iter().filter(|one| points_at(one, resource_type)).collect();
    let parameter = *(!pointing.is_empty()).then(|| rng.pick(&pointing))?;
    Some(format!("_has:{holder}:{}:{}", parameter.code, condition(rng, world, holder)))
}

/// Includes of other types than the one that is searched: what is a match on one page is no include of another.
fn include(rng: &mut Rng, resource_type: ResourceType) -> Vec<String> {
    let mut query = vec!["_count=1000".to_owned()];
    let references = references(resource_type);
    if rng.chance(60) && !references.is_empty() {
        let parameter = *rng.pick(&references);
        let to = target(rng, parameter).filter(|_| rng.chance(40)).map_or_else(String::new, |to| format!(":{to}"));
        query.push(format!("_include={resource_type}:{}{to}", parameter.code));
        query.extend(rng.chance(30).then(|| "_include:iterate=Patient:organization".to_owned()));
    } else {
        let holder = rng.word(&WRITTEN);
        let code = rng.word(&["patient", "subject", "organization", "encounter", "performer", "*"]);
        query.push(format!("_revinclude={holder}:{code}"));
    }
    query.extend(rng.chance(10).then(|| "_include=*".to_owned()));
    query
}

/// What is not taken yet, or never.
fn odd(rng: &mut Rng, world: &World) -> String {
    let one = world.some(rng, "Patient").unwrap_or_default();
    let all = [
        "_include=Observation:subjet".to_owned(),
        "_revinclude=Nada:subject".to_owned(),
        "subject:Patient.nada=ana".to_owned(),
        "subject.birthdate=ayer".to_owned(),
        "_has:Observation:patient=29463-7".to_owned(),
        "_sort=subject.name".to_owned(),
        "_elements=id".to_owned(),
        "_page=AQAGX".to_owned(),
        "_page=x".to_owned(),
        "nada=1".to_owned(),
        "_id:not=1".to_owned(),
        "identifier:of-type=a|b|c".to_owned(),
        "name:contains=a".to_owned(),
        "_count=-1".to_owned(),
        "_sort=a,b".to_owned(),
        "_filter=name eq a".replace(' ', "%20"),
        format!("_compartment={one}"),
        "code=%ZZ".to_owned(),
        "code=%00".to_owned(),
        "code=".to_owned(),
    ];
    rng.pick(&all).clone()
}

fn criterion(rng: &mut Rng, world: &World, resource_type: ResourceType, parameter: &SearchParameter) -> String {
    let mut values = Vec::new();
    for _ in 0..*rng.pick(&[1, 1, 1, 2]) {
        values.push(value(rng, world, resource_type, parameter));
    }
    let modifier = match parameter.kind {
        SearchKind::Token if rng.chance(15) => ":not",
        SearchKind::String if rng.chance(25) => ":exact",
        SearchKind::Reference if rng.chance(15) => *rng.pick(&[":Patient", ":Patient", ":Organization"]),
        _ if rng.chance(3) => *rng.pick(&[":missing", ":contains", ":text", ":in", ":below"]),
        _ => "",
    };
    format!("{}{modifier}={}", parameter.code, values.join(","))
}

/// A value that one of the written resources has, or nearly; written as in a URL.
fn value(rng: &mut Rng, world: &World, resource_type: ResourceType, parameter: &SearchParameter) -> String {
    match parameter.code {
        "_id" => {
            return world
                .some(rng, resource_type.name())
                .map_or("1".to_owned(), |one| one.split('/').nth(1).unwrap().to_owned());
        }
        "_lastUpdated" => {
            let time = format!("~T{}~", rng.below(world.times.len()));
            return format!("{}{time}", rng.pick(&["", "ge", "le", "gt", "lt", "sa", "eb", "ne"]));
        }
        _ => {}
    }
    let bodies: Vec<&Value> = world.of_type(resource_type.name()).filter_map(|known| known.body.as_ref()).collect();
    let mut nodes = Vec::new();
    if let (false, Some(expression)) = (bodies.is_empty(), &parameter.expression) {
        for _ in 0..6 {
            expression.evaluate(bodies[rng.below(bodies.len())], &mut nodes);
            if !nodes.is_empty() {
                break;
            }
        }
    }
    let node = (!nodes.is_empty()).then(|| rng.pick(&nodes).value);
    match parameter.kind {
        SearchKind::Token => token(rng, node),
        SearchKind::String => text(rng, node),
        SearchKind::Date => date(rng, node),
        SearchKind::Reference => reference(rng, world, node),
        SearchKind::Uri => encoded(node.and_then(Value::as_str).unwrap_or("https://example.org/vs/1")),
        SearchKind::Number | SearchKind::Quantity => format!("{}{}", rng.pick(&["", "gt", "le"]), rng.below(100)),
        SearchKind::Composite => "29463-7$gt5".to_owned(),
        SearchKind::Special => "x".to_owned(),
    }
}

fn token(rng: &mut Rng, node: Option<&Value>) -> String {
    let coding = node.map(|node| node["coding"].get(0).unwrap_or(node));
    let of = |name: &str| coding.and_then(|coding| coding.get(name)).and_then(Value::as_str);
    let (system, code) = match coding {
        Some(Value::String(code)) => (None, code.clone()),
        Some(Value::Bool(truth)) => (None, truth.to_string()),
        _ => (of("system"), of("code").or(of("value")).unwrap_or("active").to_owned()),
    };
    let (system, code) = (encoded(system.unwrap_or("https://example.org/s")), encoded(&code));
    match rng.below(8) {
        0 => format!("{system}|"),
        1 => format!("|{code}"),
        2 => format!("https://example.org/otro|{code}"),
        3 => format!("{code}x"),
        4 | 5 => format!("{system}|{code}"),
        _ => code,
    }
}

fn text(rng: &mut Rng, node: Option<&Value>) -> String {
    let mut all = Vec::new();
    node.into_iter().for_each(|node| strings(node, &mut all));
    let text = if all.is_empty() { "ruiz".to_owned() } else { (*rng.pick(&all)).to_owned() };
    let words: Vec<&str> = text.split_whitespace().collect();
    let word = if words.is_empty() { "x" } else { rng.pick(&words) };
    let text = match rng.below(6) {
        0 => word.chars().take(2).collect(),
        1 => word.to_uppercase(),
        2 => word.replace('ñ', "n").replace('ú', "u"),
        3 => word.chars().skip(1).collect::<String>() + "q",
        4 => word.to_owned(),
        _ => text.clone(),
    };
    encoded(&text.replace('\\', "\\\\").replace(',', "\\,"))
}

fn strings<'v>(value: &'v Value, all: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, all)),
        Value::Object(members) => members.values().for_each(|value| strings(value, all)),
        _ => {}
    }
}

fn date(rng: &mut Rng, node: Option<&Value>) -> String {
    let mut all = Vec::new();
    node.into_iter().for_each(|node| strings(node, &mut all));
    all.retain(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let own = if all.is_empty() || rng.chance(15) { moment(rng) } else { (*rng.pick(&all)).to_owned() };
    let given = match rng.below(6) {
        0 => own.get(..4).unwrap_or(&own).to_owned(),
        1 => own.get(..7).unwrap_or(&own).to_owned(),
        2 => own.get(..10).unwrap_or(&own).to_owned(),
        3 => day(rng),
        _ => own,
    };
    let prefix = *rng.pick(&["", "", "", "eq", "ne", "lt", "gt", "ge", "le", "sa", "eb", "ap", "ap"]);
    format!("{prefix}{}", given.replace('+', "%2B"))
}

fn reference(rng: &mut Rng, world: &World, node: Option<&Value>) -> String {
    let own = node.and_then(|node| node.get("reference").unwrap_or(node).as_str());
    let own = match own {
        Some(own) if rng.chance(80) => own.to_owned(),
        _ => {
            let known = rng.pick(&world.known);
            format!("{}/~{}~", known.resource_type, known.slot)
        }
    };
    let bare = || own.rsplit('/').next().unwrap_or_default().to_owned();
    match rng.below(8) {
        0 => bare(),
        1 => format!("http://historia.test/fhir/{own}"),
        2 => format!("{own}/_history/1"),
        3 => format!("http://example.org/fhir/{own}"),
        _ => own,
    }
}
