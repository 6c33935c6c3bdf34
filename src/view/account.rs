//! `/cuenta`: who one is, the password, the open sessions, language and colours.

use crate::error::{Error, Kind, Result};
use crate::oauth::account;
use crate::oauth::form::Form;
use crate::view::page::{Link, Message, Page, Tone};
use crate::view::sheet::{Fields, Problems, Sheet};
use crate::view::visit::{Reply, Visit, role_key};
use serde::Serialize;
use uuid::Uuid;

#[derive(Serialize)]
struct Row {
    jti: String,
    kind: &'static str,
    since: String,
    seen: String,
    current: bool,
}

#[derive(Serialize)]
struct Model {
    page: Page,
    name: String,
    role: &'static str,
    fields: Fields,
    sessions: Vec<Row>,
    themes: Vec<Theme>,
    must_change: bool,
}

#[derive(Serialize)]
struct Theme {
    link: Link,
    current: bool,
}

/// The page.
pub async fn page(visit: &Visit) -> Result<Reply> {
    let must_change = visit.must_change;
    let message = must_change
        .then(|| Message::new(Tone::Warn, visit.text("account.must_change"), visit.text("account.must_change_help")));
    shown(visit, 200, Sheet::new(&visit.reader, None, Problems::default()), message, must_change).await
}

async fn shown(
    visit: &Visit,
    status: u16,
    mut sheet: Sheet<'_>,
    message: Option<Message>,
    must_change: bool,
) -> Result<Reply> {
    sheet.secret("clave", "account.present", "current-password");
    sheet.secret("clave_nueva", "account.new", "new-password").hint(visit.text("account.rule"));
    let page = visit.page(visit.text("account.title"));
    let message = sheet.summary().or(message);
    let page = Page { message: message.or_else(|| page.message.clone()), ..page };
    let row = |open: account::OpenSession| Row {
        current: open.jti == visit.jti,
        jti: open.jti.to_string(),
        kind: visit.text(if open.is_cookie { "account.browser" } else { "account.program" }),
        since: visit.reader.moment(open.created),
        seen: visit.reader.moment(open.seen),
    };
    let sessions = if must_change { Vec::new() } else { account::sessions_of(&visit.app, visit.usuario_id).await? };
    let model = Model {
        name: visit.name.clone(),
        role: visit.text(role_key(visit.caller.role)),
        fields: sheet.fields(),
        sessions: sessions.into_iter().map(row).collect(),
        themes: themes(visit),
        must_change,
        page,
    };
    visit.show_as(status, "account", &model)
}

fn themes(visit: &Visit) -> Vec<Theme> {
    let all = [
        (None, "auto", "account.theme_auto"),
        (Some("light"), "claro", "account.theme_light"),
        (Some("dark"), "oscuro", "account.theme_dark"),
    ];
    let theme = |(theme, code, label): (Option<&str>, &str, &str)| Theme {
        link: Link::new(format!("/tema/{code}?volver=/cuenta"), visit.text(label)),
        current: theme == visit.theme,
    };
    all.into_iter().map(theme).collect()
}

/// Changes the password.
pub async fn change(visit: &Visit, form: &Form) -> Result<Reply> {
    let mut problems = Problems::default();
    let (present, new) = (form.get("clave").unwrap_or(""), form.get("clave_nueva").unwrap_or(""));
    if present.is_empty() {
        problems.add("clave", visit.text("account.present_missing"));
    } else if present == new {
        problems.add("clave_nueva", visit.text("account.same"));
    } else {
        match account::change_password(&visit.app, visit.usuario_id, visit.jti, present, new, &visit.caller).await {
            Ok(true) => return Ok(Reply::said("/cuenta", "said.password")),
            Ok(false) => problems.add("clave", visit.text("account.present_wrong")),
            Err(error) if error.kind == Kind::BusinessRule => {
                problems.add("clave_nueva", visit.text(password_problem(&error)))
            }
            Err(error) => return Err(error),
        }
    }
    shown(visit, 422, Sheet::new(&visit.reader, Some(form), problems), None, visit.must_change).await
}

/// What is wrong with a new password.
pub fn password_problem(error: &Error) -> &'static str {
    match error.text() {
        text if text.contains("shorter") => "password.short",
        text if text.contains("longer") => "password.long",
        text if text.contains("user name") => "password.name",
        _ => "password.refused",
    }
}

/// Ends one of one's own sessions.
pub async fn end(visit: &Visit, form: &Form) -> Result<Reply> {
    let jti =
        Uuid::try_parse(form.typed("sesion")).map_err(|_| Error::new(Kind::NotFound, "there is no such session"))?;
    account::end_session(&visit.app, visit.usuario_id, jti, &visit.caller).await?;
    visit.app.sessions.end_here(jti);
    Ok(Reply::said("/cuenta", "said.session_ended"))
}
