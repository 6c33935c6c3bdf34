//! `/mi-historia/accesos`: who looked at one's own record, by day and person, from the audit trail.

use super::SEEN;
use crate::access::Role;
use crate::error::Result;
use crate::i18n;
use crate::interaction::sight::{self, Sights};
use crate::store::trail::Sight;
use crate::view::page::{Empty, Page};
use crate::view::visit::{Reply, Visit, role_key};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

const READ: &str = "own.did_read";
/// Lines of the page.
const LINES: usize = 100;

#[derive(Serialize)]
struct Model {
    page: Page,
    people: Vec<Person>,
    more: bool,
    empty: Option<Empty>,
}

/// What one did on one day.
#[derive(Serialize)]
struct Person {
    name: String,
    role: &'static str,
    when: String,
    did: Vec<String>,
    #[serde(skip)]
    actor: String,
    #[serde(skip)]
    day: Date,
    #[serde(skip)]
    last: Timestamp,
    #[serde(skip)]
    things: Vec<Thing>,
}

/// What was done to things of one type, how often.
struct Thing {
    verb: &'static str,
    what: String,
    times: i64,
}

pub async fn page(visit: &Visit) -> Result<Reply> {
    let sights = sight::of_own(&visit.app, &visit.caller).await?;
    let mut people = people(visit, &sights);
    let more = sights.more || people.len() > LINES;
    people.truncate(LINES);
    for person in &mut people {
        person.when = visit.reader.moment(person.last);
        person.did = told(visit, &person.things);
    }
    let empty =
        Empty { icon: "eye", title: visit.text("own.nobody"), text: visit.text("own.nobody_help"), action: None };
    let page = visit.page(visit.text("own.seen")).at(SEEN);
    visit.show("own-seen", &Model { page, empty: people.is_empty().then_some(empty), people, more })
}

fn people(visit: &Visit, sights: &Sights) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::new();
    for sight in &sights.done {
        let day = visit.reader.local(sight.recorded).date();
        let known =
            people.iter_mut().rev().take_while(|person| person.day == day).find(|person| person.actor == sight.actor);
        match known {
            Some(person) => person.add(visit, sight),
            None => {
                let mut person = Person {
                    name: name(visit, sights, &sight.actor),
                    role: Role::parse(&sight.role)
                        .filter(|_| sight.actor.starts_with("usuario/"))
                        .map_or("", |role| visit.text(role_key(role))),
                    when: String::new(),
                    did: Vec::new(),
                    actor: sight.actor.clone(),
                    day,
                    last: sight.recorded,
                    things: Vec::new(),
                };
                person.add(visit, sight);
                people.push(person);
            }
        }
    }
    people
}

impl Person {
    fn add(&mut self, visit: &Visit, sight: &Sight) {
        let (verb, what) = (verb(&sight.action), thing(visit, sight));
        match self.things.iter_mut().find(|thing| (thing.verb, &thing.what) == (verb, &what)) {
            Some(thing) => thing.times += 1,
            None => self.things.push(Thing { verb, what, times: 1 }),
        }
    }
}

/// A person by name; a program, a sender or the server by what it is.
fn name(visit: &Visit, sights: &Sights, actor: &str) -> String {
    if let Some(name) = sights.name(actor) {
        return name.to_owned();
    }
    match actor.split_once('/') {
        Some(("client", id)) => visit.reader.fill("own.by_client", &[("name", id)]),
        Some(("mllp", id)) => visit.reader.fill("own.by_sender", &[("name", id)]),
        Some(("system", _)) => visit.text("own.by_system").to_owned(),
        _ => visit.text("own.by_account").to_owned(),
    }
}

/// The key of what an action is among people.
fn verb(action: &str) -> &'static str {
    match action {
        "export" => "own.did_export",
        "operation" => "own.did_everything",
        "create" => "own.did_create",
        "update" | "patch" => "own.did_update",
        "delete" => "own.did_delete",
        "activation-code" => "own.did_code",
        _ => READ,
    }
}

/// The types of what was touched, in words; "" where the verb says it all.
fn thing(visit: &Visit, sight: &Sight) -> String {
    if matches!(sight.action.as_str(), "export" | "operation" | "activation-code") {
        return String::new();
    }
    let kind = sight.resource_type.as_deref().unwrap_or_default();
    let find = |group: &str| i18n::find(visit.reader.language, &format!("{group}.{kind}"));
    let word = find("own.type").or_else(|| find("type")).unwrap_or_else(|| visit.text("own.data"));
    lowered(word)
}

/// As it stands inside a sentence; an abbreviation stays.
fn lowered(word: &str) -> String {
    let is_abbreviation = word.chars().nth(1).is_some_and(char::is_uppercase);
    if is_abbreviation { word.to_owned() } else { word.to_lowercase() }
}

/// One line for each verb: "Registró: visitas (8), EPS".
fn told(visit: &Visit, things: &[Thing]) -> Vec<String> {
    let mut lines: Vec<(&'static str, Vec<String>)> = Vec::new();
    for thing in things {
        // How often something was read says little; how much was recorded does.
        let counts = thing.times > 1 && thing.verb != READ;
        let times = if counts { format!(" ({})", visit.reader.whole(thing.times)) } else { String::new() };
        let what = format!("{}{times}", thing.what);
        match lines.iter_mut().find(|(verb, _)| *verb == thing.verb) {
            Some((_, list)) => list.push(what),
            None => lines.push((thing.verb, vec![what])),
        }
    }
    lines
        .iter()
        .map(|(verb, list)| visit.reader.fill(verb, &[("what", list.join(", ").trim())]).trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_inside_a_sentence() {
        let check = |word: &str, expected: &str| assert_eq!(lowered(word), expected);
        check("Órdenes", "órdenes");
        check("EPS", "EPS");
        check("", "");
    }
}
