//! Pages: one file per screen = the interactions it runs + its model; `html` turns a model into HTML.
//!
//! # How to add a page
//!
//! 1. **View** (`view/<screen>.rs`): `pub async fn desk(visit: &Visit) -> Result<Reply>` runs what it needs and builds a
//!    `#[derive(Serialize)]` model, one member of which is `page: Page` (`visit.page(title).at("/section")`, then
//!    `.inside(back, label)`, `.about(banner)`, `.says(message)`), and ends with `visit.show("template", &model)`.
//!    * Read: `visit.unit(async |unit| { patient::resolve(unit, id).await?; patient::search(unit, "Observation",
//!      &format!("patient={id}&_sort=-date&_count=50")).await })`. Values in queries: `visit::encoded`. One unit a page.
//!    * Words, dates, numbers, ages, documents: `visit.reader` ([`format::Reader`]); typed ones: `format::typed_number`,
//!      `format::typed_date`. Trends: [`trend`]. Names: [`patient::Name`], always surnames first.
//!    * What is not there or not visible is `Kind::NotFound`; other errors just go up (`?`): `http` shows the page.
//! 2. **Form**: GET and POST have the *same address* (a form that stands on another page sends `<input type=hidden
//!    name=pagina value="/address/of/its/page">`). POST is `async fn save(visit: &Visit, form: &Form) -> Result<Reply>`.
//!    `Form::typed(name)` is trimmed, "" when absent. Wrong: fill [`sheet::Problems`], build the same [`sheet::Sheet`]
//!    with `Some(form)`, `page.says(sheet.summary())`, `visit.show_as(422, ...)`. Right: `let to = visit.once(async |unit|
//!    { ...; Ok(address) }).await?; Ok(Reply::said(to, "said.saved"))`: happens once for the form's key, whatever is sent
//!    twice. Stale version (`Kind::StaleVersion` of an Update with `if_match`): [`conflict::page`] shows both.
//!    On GET use `visit.draft.as_ref()` as the typed form: it is what waited when a session ended.
//!    Names of secrets begin with `clave`: they are never shown again.
//! 3. **Template** (`templates/<name>.hbs`, listed in `html.rs`): `{{#> layout}} ... {{/layout}}`; in each
//!    `<form method="post">` stands `{{> keys page}}`, its submit button has `data-busy="{{t "form.saving"}}"`. Texts
//!    `{{t "area.key" n=value}}`, signs `{{icon "plus"}}`, partials `field fields.x`, `badge`, `flag`, `row`, `result`,
//!    `trend`, `chart`, `empty`, `message` (their models are the structs here). Start lines with partials at column 0.
//!    No `style=`, no `{{{`, no script: the policy forbids them. Live search: `<input data-live="ID">` in a GET form,
//!    results in `<div id="ID">` with `data-option` on each line. While somebody types,
//!    `?solo=1` asks for that region only. News: `<div id data-refresh="30" data-look="ADDRESS" data-news="BUTTON-ID">`;
//!    the address answers `{"text"}`, empty when there is none. `Field::ask`: suggestions, a JSON list of texts for `?q=`.
//!    `<form data-check="NAMES">`: when one of these fields changes, the form is posted with `mirar=1` and `data-checked`
//!    regions and hints are put in place of ours.
//! 4. **Texts**: both `templates/i18n/{es,en}.json`, in your area of the file. A test finds keys that are missing.
//! 5. **Route** (`http/web/<area>.rs` with `pub fn routes(config)`, called in `http/web/mod.rs`): `screen("/medico",
//!    &[Role::Medico], view::x::desk)` for a page, `form("/paciente/{id}/signos", &[Role::Medico], view::x::page,
//!    view::x::save)` for a form, `act(...)` for a button of another page. Variable parts: `visit.part("id")`. Sessions,
//!    CSRF, drafts, one-time keys, headers and error pages are done there.
//! 6. **Section** (`page.rs`): one line in `sections(role)`; the first is where `/` leads.

pub mod account;
pub mod activation;
pub mod admin;
pub mod admission;
pub mod admit;
pub mod affiliation;
pub mod allergy;
pub mod bed;
pub mod chart;
pub mod conflict;
pub mod connect;
pub mod contact;
pub mod correct;
pub mod desk_patient;
pub mod duplicate;
pub mod encounter;
pub mod export;
pub mod failure;
pub mod find;
pub mod format;
pub mod html;
pub mod lab;
pub mod login;
pub mod loinc;
pub mod medico;
pub mod messages;
pub mod municipality;
pub mod new_patient;
pub mod observation;
pub mod observe;
pub mod own;
pub mod page;
pub mod panels;
pub mod patient;
pub mod patient_data;
pub mod pdf;
pub mod prescribe;
pub mod problem;
pub mod record;
pub mod register;
pub mod seen;
pub mod sheet;
pub mod signs;
pub mod stay;
pub mod substance;
pub mod suggestion;
pub mod trend;
pub mod versions;
pub mod visit;
