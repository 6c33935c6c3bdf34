//! The audit list: who did what to which record, when, and how it ended. Newest first, with filters, by pages.

use crate::access::Role;
use crate::audit::Event;
use crate::error::{Error, Kind, Result};
use crate::i18n;
use crate::oauth::account;
use crate::oauth::token::{actor_of_client, actor_of_usuario};
use crate::store::account::Usuario;
use crate::store::audit::{self, Filter, Shown};
use crate::view::failure::grouped;
use crate::view::format::{Reader, date_field, typed_date};
use crate::view::page::{Badge, Empty, Page};
use crate::view::sheet::{Choice, Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded, role_key};
use jiff::civil::{Date, Time};
use jiff::{Timestamp, ToSpan};
use serde::Serialize;
use std::collections::HashMap;
use uuid::Uuid;

const DESK: &str = "/admin/auditoria";
const ROWS: usize = 50;
/// Days that are looked at when no date is given.
const DAYS: i32 = 7;

/// What is recorded: interactions by FHIR's codes, and what touches no resource.
const ACTIONS: [&str; 25] = [
    "read",
    "vread",
    "history-instance",
    "search-type",
    "create",
    "update",
    "delete",
    "transaction",
    "batch",
    "operation",
    "login",
    "logout",
    "token",
    "password",
    "register",
    "activation-code",
    "user-add",
    "user-disable",
    "user-reset",
    "client-add",
    "client-disable",
    "message",
    "audit",
    "audit-list",
    "message-counts",
];

/// The words of an action; its code when a later version has recorded it.
fn action_word(reader: &Reader, code: &str) -> String {
    let key = format!("action.{}", code.replace('-', "_"));
    i18n::find(reader.language, &key).map_or_else(|| code.to_owned(), str::to_owned)
}

#[derive(Serialize)]
struct Row {
    when: String,
    who: String,
    role: String,
    action: String,
    on: String,
    patient: Option<String>,
    outcome: Badge,
    detail: Option<String>,
    request: String,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    fields: Fields,
    roles: Vec<Choice>,
    rows: Vec<Row>,
    older: Option<String>,
    is_newest: bool,
    empty: Empty,
}

/// The page: `?desde= hasta= quien= rol= accion= paciente= resultado= antes=`.
pub async fn list(visit: &Visit) -> Result<Reply> {
    let query = &visit.query;
    let users = account::list_users(&visit.app).await?;
    let mut problems = Problems::default();
    let filter = filter(visit, &users, &mut problems)?;
    let wrong = !problems.is_empty();
    let most = i64::try_from(ROWS).unwrap_or(50) + 1;
    // What cannot be asked for lists nothing, rather than what somebody else might have meant.
    let mut found = match wrong {
        true => Vec::new(),
        false => audit::search(&*visit.app.pool.lane().await?, &filter, most).await?,
    };
    let more = found.len() > ROWS;
    found.truncate(ROWS);
    // Who looks at the trail leaves one.
    visit.app.audit.record(vec![Event::new(&visit.caller, "audit-list")]).await?;
    let older = found.last().filter(|_| more).map(|last| next_page(visit, last));
    let names: HashMap<String, &Usuario> = users.iter().map(|user| (actor_of_usuario(user.id), user)).collect();
    let sheet = sheet(visit, problems);
    let page = visit.page(visit.text("admin.audit_title")).at(DESK);
    let message = sheet.summary().or_else(|| page.message.clone());
    let model = Model {
        page: Page { message, ..page },
        fields: sheet.fields(),
        roles: roles(visit, query.typed("rol")),
        rows: found.iter().map(|shown| row(visit, shown, &names)).collect(),
        older,
        is_newest: filter.before.is_none(),
        empty: Empty {
            icon: "eye",
            title: visit.text(if wrong { "admin.audit_unasked" } else { "admin.audit_none" }),
            text: visit.text(if wrong { "admin.audit_unasked_help" } else { "admin.audit_none_help" }),
            action: None,
        },
    };
    visit.show_as(if wrong { 400 } else { 200 }, "admin/audit", &model)
}

/// The days that are looked at when nothing is typed.
fn days(reader: &Reader) -> [(&'static str, Date); 2] {
    let today = reader.today();
    [("desde", today.saturating_sub(DAYS.days())), ("hasta", today)]
}

/// What is asked for.
fn filter(visit: &Visit, users: &[Usuario], problems: &mut Problems) -> Result<Filter> {
    let (query, reader) = (&visit.query, &visit.reader);
    let text = |name: &str| Some(query.typed(name).to_owned()).filter(|text| !text.is_empty());
    let [from, to] = days(reader).map(|(name, usual)| match query.typed(name) {
        "" => usual,
        typed => typed_date(typed).unwrap_or_else(|| {
            problems.add(name, reader.text("taken.date_wrong"));
            usual
        }),
    });
    if from > to {
        problems.add("hasta", reader.text("admin.range_wrong"));
    }
    let roles = Role::ALL.map(Role::code);
    for (name, known) in [("accion", &ACTIONS[..]), ("resultado", &["0", "4", "8"]), ("rol", &roles)] {
        if visit.one_of(name, known).is_err() {
            problems.add(name, reader.text("form.not_listed"));
        }
    }
    let before = text("antes").map(|token| cursor(&token)).transpose().unwrap_or_else(|_| {
        problems.add("antes", reader.text("admin.place_wrong"));
        None
    });
    Ok(Filter {
        from: midnight(reader, from)?,
        to: midnight(reader, to.saturating_add(1.day()))?,
        actor: text("quien").map(|typed| actor(users, &typed)),
        role: text("rol"),
        action: text("accion"),
        patient_id: text("paciente"),
        outcome: query.typed("resultado").parse().ok(),
        before,
    })
}

fn sheet(visit: &Visit, problems: Problems) -> Sheet<'_> {
    let query = &visit.query;
    let mut sheet = Sheet::new(&visit.reader, None, problems);
    for ((name, usual), label) in days(&visit.reader).into_iter().zip(["admin.from", "admin.to"]) {
        let usual = date_field(usual);
        sheet.line(name, label, query.get(name).unwrap_or(&usual)).digits().longest(10);
    }
    sheet.line("quien", "admin.actor", query.typed("quien")).plain().longest(120);
    let any = [("", visit.text("admin.any").to_owned())];
    let words = ACTIONS.iter().map(|code| (*code, action_word(&visit.reader, code)));
    let actions: Vec<(&str, String)> = any.into_iter().chain(words).collect();
    let actions: Vec<(&str, &str)> = actions.iter().map(|(code, word)| (*code, word.as_str())).collect();
    sheet.choice("accion", "admin.action", query.typed("accion"), &actions);
    sheet.line("paciente", "admin.patient_id", query.typed("paciente")).plain().longest(64);
    let outcomes = [("", "admin.any"), ("0", "admin.ok"), ("4", "admin.refused"), ("8", "admin.fault")];
    let outcomes: Vec<(&str, &str)> = outcomes.iter().map(|(value, key)| (*value, visit.text(key))).collect();
    sheet.choice("resultado", "admin.outcome", query.typed("resultado"), &outcomes);
    sheet
}

fn roles(visit: &Visit, chosen: &str) -> Vec<Choice> {
    let choice =
        |value: &str, label: &str| Choice { value: value.to_owned(), label: label.to_owned(), chosen: value == chosen };
    let all = std::iter::once(choice("", visit.text("admin.any")));
    all.chain(Role::ALL.iter().map(|role| choice(role.code(), visit.text(role_key(*role))))).collect()
}

/// The actor of what was typed: a user name, a client, or an actor as the list writes it.
fn actor(users: &[Usuario], typed: &str) -> String {
    match users.iter().find(|user| user.usuario.eq_ignore_ascii_case(typed)) {
        Some(user) => actor_of_usuario(user.id),
        None if typed.contains('/') => typed.to_owned(),
        None => actor_of_client(typed),
    }
}

fn midnight(reader: &Reader, date: Date) -> Result<Timestamp> {
    reader
        .offset
        .to_timestamp(date.to_datetime(Time::midnight()))
        .map_err(|_| Error::new(Kind::Value, "the date is out of range"))
}

/// Where the next page starts: `<milliseconds>-<id>`.
fn cursor(token: &str) -> Result<(Timestamp, Uuid)> {
    let read = || {
        let (at, id) = token.split_once('_')?;
        Some((Timestamp::from_microsecond(at.parse().ok()?).ok()?, Uuid::try_parse(id).ok()?))
    };
    read().ok_or_else(|| Error::at(Kind::Value, "antes", "is no place in the list"))
}

fn next_page(visit: &Visit, last: &Shown) -> String {
    let kept = visit.query.pairs().filter(|(name, _)| *name != "antes");
    let kept = kept.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect::<String>();
    format!("{DESK}?{kept}antes={}_{}", last.recorded.as_microsecond(), last.id)
}

fn row(visit: &Visit, shown: &Shown, names: &HashMap<String, &Usuario>) -> Row {
    let outcome = match shown.outcome {
        0 => Badge::new("plain", Some("check"), visit.text("admin.ok")),
        8 => Badge::new("crit", Some("octagon"), visit.text("admin.fault")),
        _ => Badge::new("warn", Some("triangle"), visit.text("admin.refused")),
    };
    let on = [shown.resource_type.as_deref(), shown.resource_id.as_deref()];
    Row {
        when: visit.reader.moment(shown.recorded),
        who: names
            .get(&shown.actor)
            .map_or_else(|| shown.actor.clone(), |user| format!("{} ({})", user.nombre, user.usuario)),
        role: Role::parse(&shown.role).map_or_else(String::new, |role| visit.text(role_key(role)).to_owned()),
        action: action_word(&visit.reader, &shown.action),
        on: match shown.resource_id.as_deref().and_then(|id| names.get(id)) {
            Some(user) => user.usuario.clone(),
            None => on.iter().flatten().copied().collect::<Vec<_>>().join("/"),
        },
        patient: shown.patient_id.clone(),
        outcome,
        detail: shown.detail.clone(),
        request: grouped(&shown.request_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_its_words() {
        for language in [i18n::Language::Es, i18n::Language::En] {
            let reader = Reader { language, offset: jiff::tz::Offset::UTC, now: Timestamp::UNIX_EPOCH };
            assert!(ACTIONS.iter().all(|code| action_word(&reader, code) != *code));
            assert_eq!(action_word(&reader, "later-one"), "later-one");
        }
    }

    #[test]
    fn places_in_the_list_are_read_back() {
        let id = Uuid::from_u128(7);
        let at: Timestamp = "2026-11-23T19:05:00.123Z".parse().unwrap();
        assert_eq!(cursor(&format!("{}_{id}", at.as_microsecond())).unwrap(), (at, id));
        for bad in ["", "_", "1", "x_y", &format!("99999999999999999999_{id}"), &format!("{}_x", at.as_microsecond())] {
            assert!(cursor(bad).is_err(), "{bad}");
        }
    }
}
