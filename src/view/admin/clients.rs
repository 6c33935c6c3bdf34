//! OAuth clients: the list, a new one with its secret shown once, the dialog that disables one.

use super::{Dialog, ShownOnce};
use crate::access::Role;
use crate::error::{Error, Kind, Result};
use crate::oauth::account::{self, NewClient};
use crate::oauth::form::Form;
use crate::store::account::OauthClient;
use crate::view::page::{Badge, Empty, Link, Message, Page, Tone};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, encoded};
use serde::Serialize;

const DESK: &str = "/admin/clientes";

#[derive(Serialize)]
struct Row {
    id: String,
    kind: &'static str,
    scope: String,
    redirect: Vec<String>,
    integration: bool,
    state: Badge,
    disable: Option<String>,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    rows: Vec<Row>,
    empty: Empty,
}

fn kind_key(tipo: &str) -> &'static str {
    match tipo {
        "confidential" => "admin.type_confidential",
        "public" => "admin.type_public",
        _ => "admin.type_asymmetric",
    }
}

pub async fn list(visit: &Visit) -> Result<Reply> {
    let row = |client: OauthClient| Row {
        kind: visit.text(kind_key(&client.tipo)),
        integration: client.rol.is_some(),
        state: match client.active {
            true => Badge::new("ok", Some("check"), visit.text("admin.client_active")),
            false => Badge::new("off", None, visit.text("admin.client_inactive")),
        },
        disable: client.active.then(|| format!("{DESK}/{}/deshabilitar", encoded(&client.id))),
        id: client.id,
        scope: client.scope,
        redirect: client.redirect,
    };
    let action = Some(Link::new("/admin/clientes/nuevo", visit.text("admin.add_client")));
    let page = visit.page(visit.text("admin.clients")).at(DESK);
    let known = (visit.query.typed("ya") == "1").then(|| Message::new(Tone::Info, visit.text("said.client_known"), ""));
    let model = Model {
        page: Page { message: known.or(page.message.clone()), ..page },
        rows: account::list_clients(&visit.app).await?.into_iter().map(row).collect(),
        empty: Empty {
            icon: "key",
            title: visit.text("admin.clients_none"),
            text: visit.text("admin.clients_none_help"),
            action,
        },
    };
    visit.show("admin/clients", &model)
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
    let types: Vec<(&str, &str)> =
        ["confidential", "public", "asymmetric"].iter().map(|tipo| (*tipo, visit.text(kind_key(tipo)))).collect();
    sheet.line("id", "admin.client", "").hint(visit.text("admin.client_hint")).plain().longest(64).autocomplete("off");
    sheet.choice("tipo", "admin.type", "confidential", &types);
    sheet.check("integracion", "admin.integration", true);
    sheet
        .line("redirect", "admin.redirect", "")
        .hint(visit.text("admin.redirect_hint"))
        .optional()
        .plain()
        .longest(2_000);
    sheet.line("scope", "admin.scope", "").hint(visit.text("admin.scope_hint")).optional().plain().longest(2_000);
    sheet.text("jwks", "admin.jwks", "").hint(visit.text("admin.jwks_hint")).optional().longest(65_536);
    let page = visit.page(visit.text("admin.add_client")).at(DESK).inside(DESK, visit.text("admin.clients"));
    let message = sheet.summary().or_else(|| page.message.clone());
    let model = NewModel { page: Page { message, ..page }, fields: sheet.fields() };
    visit.show_as(status, "admin/client", &model)
}

/// Makes the client; a confidential one has a secret, which is shown once.
pub async fn add(visit: &Visit, typed: &Form) -> Result<Reply> {
    let new = NewClient {
        id: typed.typed("id").to_owned(),
        tipo: typed.typed("tipo").to_owned(),
        redirect: typed.get("redirect").map(|uri| uri.trim().to_owned()).into_iter().collect(),
        scope: typed.get("scope").map(|scope| scope.trim().to_owned()),
        rol: typed.get("integracion").map(|_| Role::Integracion),
        jwks: typed.get("jwks").map(|jwks| jwks.trim().to_owned()),
    };
    match account::add_client(&visit.app, new, &visit.caller).await {
        Ok(None) => Ok(Reply::said(DESK, "said.client_added")),
        Ok(Some(secret)) => {
            visit.answered(&format!("{DESK}?ya=1")).await?;
            let page = visit.page(visit.text("admin.secret_title")).at(DESK).inside(DESK, visit.text("admin.clients"));
            let model = ShownOnce {
                page: Page { message: None, ..page },
                title: visit.text("admin.secret_title"),
                intro: visit.text("admin.secret_intro"),
                about: typed.typed("id").to_owned(),
                secret,
                done: Link::new(DESK, visit.text("admin.done")),
            };
            visit.show("admin/shown", &model)
        }
        Err(error) => {
            let (field, text) = problem(&error).ok_or(error)?;
            let mut problems = Problems::default();
            problems.add(field, visit.text(text));
            form(visit, 422, Sheet::new(&visit.reader, Some(typed), problems))
        }
    }
}

/// The field that an error of the client is about.
fn problem(error: &Error) -> Option<(&'static str, &'static str)> {
    let at = error.issues.first()?.expression.as_deref()?;
    match (error.kind, at) {
        (Kind::Conflict, "id") => Some(("id", "admin.client_taken")),
        (Kind::BusinessRule, "id") => Some(("id", "admin.client_wrong")),
        (Kind::BusinessRule, "redirect") => Some(("redirect", "admin.redirect_wrong")),
        (Kind::BusinessRule, "scope") => Some(("scope", "admin.scope_wrong")),
        (Kind::BusinessRule, "jwks") => Some(("jwks", "admin.jwks_wrong")),
        (Kind::BusinessRule, "rol" | "tipo") => Some(("tipo", "admin.type_wrong")),
        _ => None,
    }
}

async fn known(visit: &Visit) -> Result<OauthClient> {
    let id = visit.part("id");
    let absent = || Error::new(Kind::NotFound, "there is no such client");
    account::list_clients(&visit.app).await?.into_iter().find(|client| client.id == id).ok_or_else(absent)
}

pub async fn ask_disable(visit: &Visit) -> Result<Reply> {
    let client = known(visit).await?;
    let page = visit.page(visit.text("admin.disable_client_title")).at(DESK).inside(DESK, visit.text("admin.clients"));
    let model = Dialog {
        page: Page { bare: true, ..page.class("dialog") },
        title: visit.text("admin.disable_client_title"),
        second: visit.text(kind_key(&client.tipo)).to_owned(),
        about: client.id,
        lines: vec![visit.text("admin.disable_client_1"), visit.text("admin.disable_client_2")],
        action: visit.path.clone(),
        button: visit.text("admin.disable"),
        back: Link::new(DESK, visit.text("form.cancel")),
    };
    visit.show("admin/dialog", &model)
}

pub async fn disable(visit: &Visit, _: &Form) -> Result<Reply> {
    account::disable_client(&visit.app, &known(visit).await?.id, &visit.caller).await?;
    Ok(Reply::said(DESK, "said.client_disabled"))
}
