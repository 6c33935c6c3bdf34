//! Models -> HTML by the templates of `templates/`, compiled in: the only file that names handlebars.
//!
//! Everything is escaped, and a name that the model does not have is an error (strict mode).

use crate::error::{Error, Result};
use handlebars::Handlebars;
use serde::Serialize;
use std::sync::LazyLock;

const TEMPLATES: [(&str, &str); 1] = [("login", include_str!("../../templates/login.hbs"))];

/// The one style sheet, served at `/assets/historia.css`.
pub const STYLE: &str = include_str!("../../templates/assets/historia.css");

static PAGES: LazyLock<Result<Handlebars<'static>, String>> = LazyLock::new(|| {
    let mut pages = Handlebars::new();
    pages.set_strict_mode(true);
    for (name, text) in TEMPLATES {
        pages.register_template_string(name, text).map_err(|e| format!("template {name}: {e}"))?;
    }
    Ok(pages)
});

/// The page `name` of a model.
pub fn render(name: &str, model: &impl Serialize) -> Result<String> {
    let pages = PAGES.as_ref().map_err(|e| Error::internal(e.clone()))?;
    // The error of the library may quote the model; its name is enough to find the fault.
    pages.render(name, model).map_err(|e| Error::internal(format!("page {name}: {}", kind(&e))))
}

fn kind(error: &handlebars::RenderError) -> String {
    let at = |n: Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    format!("line {}, column {}", at(error.line_no), at(error.column_no))
}
