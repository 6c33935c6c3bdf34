//! `/paciente/{id}/codigo`: the activation code of a patient, shown once, to be printed or read out. While one is good that
//! nobody has used, people are asked before another takes its place.

use crate::error::Result;
use crate::oauth::activation;
use crate::oauth::form::Form;
use crate::view::failure::grouped;
use crate::view::page::Page;
use crate::view::patient::{self, Name};
use crate::view::visit::{Reply, SURE, Visit};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Model {
    page: Page,
    name: Name,
    document: Option<String>,
    /// None while it is asked whether there shall be another.
    code: Option<String>,
    /// Of the new code, or of the one that would end.
    expires: String,
    action: String,
    url: String,
    back: String,
}

/// Makes the code. A program is not asked: what is answered last is what is good.
pub async fn make(visit: &Visit, form: &Form) -> Result<Reply> {
    let found = visit.unit(async |unit| patient::resolve(unit, visit.part("id")).await).await?;
    let id = found.get("id").and_then(Value::as_str).unwrap_or_default();
    let back = form.get("pagina").and_then(crate::view::login::local).unwrap_or("/");
    let page = visit.page(visit.text("activation.title")).inside(back, visit.text("activation.back"));
    let asked = Model {
        page: Page { message: None, ..page },
        name: Name::of(&found),
        document: patient::document(visit, &found),
        code: None,
        expires: String::new(),
        action: visit.path.clone(),
        url: format!("{}/registro", visit.app.public_url()),
        back: back.to_owned(),
    };
    if visit.wants_html
        && form.typed(SURE).is_empty()
        && let Some(until) = activation::good_until(&visit.app, id).await?
    {
        return visit.show("activation", &Model { expires: visit.reader.moment(until), ..asked });
    }
    let code = activation::make(&visit.app, id, &visit.caller).await?;
    if !visit.wants_html {
        let body = json!({"codigo": code.codigo, "vence": code.vence.to_string()}).to_string();
        return Ok(Reply::Json { status: 200, body });
    }
    visit.answered(back).await?;
    let code = (grouped(&code.codigo.replace('-', "")), visit.reader.moment(code.vence));
    visit.show("activation", &Model { code: Some(code.0), expires: code.1, ..asked })
}
