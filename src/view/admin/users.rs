//! Accounts: the list, a new one, the dialogs that disable one or give it a new password.
//!
//! The administrator never chooses a password: a made one is shown once, is good for a day, and must be changed first.

use super::{Dialog, ShownOnce};
use crate::access::Role;
use crate::error::{Error, Kind, Result};
use crate::fhir::documento::DocumentoId;
use crate::oauth::account::{self, NewUsuario};
use crate::oauth::form::Form;
use crate::store::account::Usuario;
use crate::view::page::{Badge, Empty, Link, Message, Page, Tone};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded, role_key};
use serde::Serialize;

const DESK: &str = "/admin";
/// Rows of a page; more are found by the search.
const MOST: usize = 100;
/// Roles of people.
const ROLES: [Role; 5] = [Role::Admisionista, Role::Medico, Role::Resultados, Role::Admin, Role::Paciente];

#[derive(Serialize)]
struct Row {
    name: String,
    usuario: String,
    role: &'static str,
    document: String,
    state: Badge,
    reset: String,
    /// None for one's own account, and for one that is disabled.
    disable: Option<String>,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    q: String,
    roles: Vec<crate::view::sheet::Choice>,
    count: String,
    rows: Vec<Row>,
    more: bool,
    empty: Empty,
}

fn role_choices(visit: &Visit, chosen: &str) -> Vec<crate::view::sheet::Choice> {
    let choice = |value: &str, label: &str| crate::view::sheet::Choice {
        value: value.to_owned(),
        label: label.to_owned(),
        chosen: value == chosen,
    };
    let all = std::iter::once(choice("", visit.text("admin.all_roles")));
    all.chain(ROLES.iter().map(|role| choice(role.code(), visit.text(role_key(*role))))).collect()
}

/// The list: `?q=`, `?rol=`.
pub async fn list(visit: &Visit) -> Result<Reply> {
    let known = ROLES.map(Role::code);
    let (q, rol) = (visit.query.typed("q"), visit.one_of("rol", &known)?);
    let words: Vec<String> = q.split_whitespace().map(folded).collect();
    let fits = |account: &Usuario| {
        let text = folded(&format!(
            "{} {} {} {}",
            account.nombre,
            account.usuario,
            account.documento_id,
            account.documento_id.replace('-', "")
        ));
        (rol.is_empty() || account.rol.code() == rol)
            && words.iter().all(|word| text.contains(&word.replace('.', "")) || text.contains(word.as_str()))
    };
    let found: Vec<Usuario> = account::list_users(&visit.app).await?.into_iter().filter(fits).collect();
    let page = visit.page(visit.text("admin.users")).at(DESK);
    let known = match visit.query.typed("ya") {
        "1" => Some(Message::new(Tone::Info, visit.text("said.user_known"), "")),
        "propia" => Some(Message::new(Tone::Warn, visit.text("admin.own_account"), "")),
        _ => None,
    };
    let model = Model {
        page: Page { message: known.or(page.message.clone()), ..page },
        q: q.to_owned(),
        roles: role_choices(visit, rol),
        count: visit.reader.count("admin.accounts", i64::try_from(found.len()).unwrap_or(0)),
        more: found.len() > MOST,
        rows: found.iter().take(MOST).map(|account| row(visit, account)).collect(),
        empty: Empty {
            icon: "person",
            title: visit.text("admin.no_users"),
            text: visit.text("admin.no_users_help"),
            action: None,
        },
    };
    visit.show("admin/users", &model)
}

/// Without accents and capitals, so that «munoz» finds Muñoz.
fn folded(text: &str) -> String {
    crate::search::param::string::fold(text)
}

fn row(visit: &Visit, account: &Usuario) -> Row {
    let state = match account.active {
        true => Badge::new("ok", Some("check"), visit.text("admin.active")),
        false => Badge::new("off", None, visit.text("admin.inactive")),
    };
    let address = |what: &str| format!("/admin/cuentas/{}/{what}", encoded(&account.usuario));
    Row {
        name: account.nombre.clone(),
        usuario: account.usuario.clone(),
        role: visit.text(role_key(account.rol)),
        document: visit.reader.document(&account.documento_id).unwrap_or_default(),
        state,
        reset: address("clave"),
        disable: (account.active && account.id != visit.usuario_id).then(|| address("deshabilitar")),
    }
}

#[derive(Serialize)]
struct NewModel {
    page: Page,
    fields: Fields,
}

pub async fn new(visit: &Visit) -> Result<Reply> {
    form(visit, 200, Sheet::new(&visit.reader, visit.draft.as_ref(), Problems::default()))
}

fn form(visit: &Visit, status: u16, mut sheet: Sheet<'_>) -> Result<Reply> {
    let roles: Vec<(&str, &str)> = ROLES.iter().map(|role| (role.code(), visit.text(role_key(*role)))).collect();
    sheet.line("nombre", "admin.name", "").hint(visit.text("admin.name_hint")).autocomplete("off");
    sheet.choice("rol", "admin.role", "medico", &roles);
    sheet
        .line("usuario", "admin.usuario", "")
        .hint(visit.text("admin.usuario_hint"))
        .plain()
        .longest(64)
        .autocomplete("off");
    sheet
        .line("documento", "admin.documento", "")
        .hint(visit.text("admin.documento_hint"))
        .plain()
        .longest(40)
        .autocomplete("off");
    sheet
        .line("paciente", "admin.patient", "")
        .hint(visit.text("admin.patient_hint"))
        .optional()
        .plain()
        .longest(64)
        .autocomplete("off");
    let page = visit.page(visit.text("admin.add_user")).at(DESK).inside(DESK, visit.text("admin.users"));
    let message = sheet.summary().or_else(|| page.message.clone());
    let model = NewModel { page: Page { message, ..page }, fields: sheet.fields() };
    visit.show_as(status, "admin/user", &model)
}

/// Makes the account and shows its password once.
pub async fn add(visit: &Visit, typed: &Form) -> Result<Reply> {
    let mut problems = Problems::default();
    let rol = Role::parse(typed.typed("rol")).filter(|rol| ROLES.contains(rol));
    let documento = DocumentoId::parse(&typed.typed("documento").replacen(' ', "-", 1));
    if rol.is_none() {
        problems.add("rol", visit.text("admin.role_wrong"));
    }
    if documento.is_none() {
        problems.add("documento", visit.text("admin.documento_wrong"));
    }
    let paciente = typed.get("paciente").map(str::trim);
    for (field, _) in account::wrong(typed.typed("usuario"), typed.typed("nombre"), rol, paciente) {
        if let Some((field, text)) = text_of(Kind::BusinessRule, field) {
            problems.add(field, visit.text(text));
        }
    }
    let (Some(rol), Some(documento_id), true) = (rol, documento, problems.is_empty()) else {
        return form(visit, 422, Sheet::new(&visit.reader, Some(typed), problems));
    };
    let clave = account::made_password()?;
    let new = NewUsuario {
        rol,
        usuario: typed.typed("usuario").to_owned(),
        documento_id,
        nombre: typed.typed("nombre").to_owned(),
        paciente_id: paciente.map(str::to_owned),
        clave: clave.clone(),
        temporary: true,
    };
    match account::add_user(&visit.app, new, &visit.caller).await {
        Ok(account) => {
            visit.answered(&format!("{DESK}?ya=1")).await?;
            password(visit, &account.nombre, &account.usuario, clave)
        }
        Err(error) => {
            let (field, text) = problem(&error).ok_or(error)?;
            problems.add(field, visit.text(text));
            form(visit, 422, Sheet::new(&visit.reader, Some(typed), problems))
        }
    }
}

/// The field that an error of the account is about.
fn problem(error: &Error) -> Option<(&'static str, &'static str)> {
    text_of(error.kind, error.issues.first()?.expression.as_deref()?)
}

fn text_of(kind: Kind, field: &str) -> Option<(&'static str, &'static str)> {
    match (kind, field) {
        (Kind::Conflict, "usuario") => Some(("usuario", "admin.usuario_taken")),
        (Kind::BusinessRule, "usuario") => Some(("usuario", "admin.usuario_wrong")),
        (Kind::BusinessRule, "nombre") => Some(("nombre", "admin.name_wrong")),
        (Kind::BusinessRule, "paciente") => Some(("paciente", "admin.patient_wrong")),
        (Kind::BusinessRule, "rol") => Some(("rol", "admin.role_wrong")),
        _ => None,
    }
}

fn password(visit: &Visit, name: &str, usuario: &str, clave: String) -> Result<Reply> {
    let page = visit.page(visit.text("admin.password_title")).at(DESK).inside(DESK, visit.text("admin.users"));
    let model = ShownOnce {
        page: Page { message: None, ..page },
        title: visit.text("admin.password_title"),
        intro: visit.text("admin.password_intro"),
        about: format!("{name} · {usuario}"),
        secret: clave,
        done: Link::new(DESK, visit.text("admin.done")),
    };
    visit.show("admin/shown", &model)
}

async fn known(visit: &Visit) -> Result<Usuario> {
    let usuario = visit.part("usuario");
    let absent = || Error::new(Kind::NotFound, "there is no such account");
    account::list_users(&visit.app).await?.into_iter().find(|account| account.usuario == usuario).ok_or_else(absent)
}

/// What a dialog says.
struct Question {
    title: &'static str,
    lines: [&'static str; 3],
    button: &'static str,
}

async fn ask(visit: &Visit, question: Question) -> Result<Reply> {
    let account = known(visit).await?;
    let page = visit.page(visit.text(question.title)).at(DESK).inside(DESK, visit.text("admin.users"));
    let model = Dialog {
        page: Page { bare: true, ..page.class("dialog") },
        title: visit.text(question.title),
        second: format!("{} · {}", account.usuario, visit.text(role_key(account.rol))),
        about: account.nombre,
        lines: question.lines.iter().map(|key| visit.text(key)).collect(),
        action: visit.path.clone(),
        button: visit.text(question.button),
        back: Link::new(DESK, visit.text("form.cancel")),
    };
    visit.show("admin/dialog", &model)
}

pub async fn ask_disable(visit: &Visit) -> Result<Reply> {
    if known(visit).await?.id == visit.usuario_id {
        return Ok(Reply::see(format!("{DESK}?ya=propia")));
    }
    let lines = ["admin.disable_user_1", "admin.disable_user_2", "admin.disable_user_3"];
    ask(visit, Question { title: "admin.disable_user_title", lines, button: "admin.disable" }).await
}

pub async fn disable(visit: &Visit, _: &Form) -> Result<Reply> {
    let account = known(visit).await?;
    if account.id == visit.usuario_id {
        return Ok(Reply::see(format!("{DESK}?ya=propia")));
    }
    account::disable_user(&visit.app, &account.usuario, &visit.caller).await?;
    Ok(Reply::said(DESK, "said.user_disabled"))
}

pub async fn ask_reset(visit: &Visit) -> Result<Reply> {
    let lines = ["admin.reset_1", "admin.reset_2", "admin.reset_3"];
    ask(visit, Question { title: "admin.reset_title", lines, button: "admin.reset" }).await
}

/// A new password, shown once. A second sending makes another: what is shown last is what is good.
pub async fn reset(visit: &Visit, _: &Form) -> Result<Reply> {
    let account = known(visit).await?;
    let clave = account::made_password()?;
    account::reset_password(&visit.app, &account.usuario, &clave, true, &visit.caller).await?;
    password(visit, &account.nombre, &account.usuario, clave)
}
