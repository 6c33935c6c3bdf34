//! `/paciente/{id}/codigo`: the activation code of a patient, shown once, to be printed or read out.

use crate::error::Result;
use crate::oauth::activation;
use crate::oauth::form::Form;
use crate::view::failure::grouped;
use crate::view::page::Page;
use crate::view::patient::{self, Name};
use crate::view::visit::{Reply, Visit};
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Model {
    page: Page,
    name: Name,
    document: Option<String>,
    code: String,
    expires: String,
    url: String,
    back: String,
}

/// Makes the code. A second sending makes another, and the first is worth nothing: what is shown last is what is good.
pub async fn make(visit: &Visit, form: &Form) -> Result<Reply> {
    let found = visit.unit(async |unit| patient::resolve(unit, visit.part("id")).await).await?;
    let id = found.get("id").and_then(Value::as_str).unwrap_or_default();
    let code = activation::make(&visit.app, id, &visit.caller).await?;
    if !visit.wants_html {
        let body = json!({"codigo": code.codigo, "vence": code.vence.to_string()}).to_string();
        return Ok(Reply::Json { status: 200, body });
    }
    let back = form.get("pagina").and_then(crate::view::login::local).unwrap_or("/");
    let page = visit.page(visit.text("activation.title")).inside(back, visit.text("activation.back"));
    let model = Model {
        page: Page { message: None, ..page },
        name: Name::of(&found),
        document: patient::document(visit, &found),
        code: grouped(&code.codigo.replace('-', "")),
        expires: visit.reader.moment(code.vence),
        url: format!("{}/registro", visit.app.public_url()),
        back: back.to_owned(),
    };
    visit.show("activation", &model)
}
