//! Models -> HTML by the templates of `templates/`, compiled in: the only file that names handlebars.
//!
//! Everything is escaped, and a name that the model does not have is an error (strict mode). There is one registry per
//! language, so that `{{t "key"}}` needs nothing of the model. `{{icon "name"}}` draws a sign of `templates/icons.json`.

use crate::error::{Error, Result};
use crate::i18n::{self, Language};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::LazyLock;

macro_rules! templates {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../templates/", $name, ".hbs")))),*]
    };
}

/// Markup that several pages use.
const PARTIALS: &[(&str, &str)] = templates![
    "partials/layout",
    "partials/mark",
    "partials/message",
    "partials/banner",
    "partials/field",
    "partials/keys",
    "partials/badge",
    "partials/flag",
    "partials/row",
    "partials/result",
    "partials/trend",
    "partials/chart",
    "partials/empty",
    "partials/lines",
    "partials/results",
    "partials/lab-list",
    "partials/lab-rows",
    "partials/own-line",
    "partials/possible",
    "partials/stored-stay",
    "partials/own-meaning",
    "partials/own-list",
];

/// One template per screen.
const PAGES: &[(&str, &str)] = templates![
    // everybody
    "login",
    "error",
    "account",
    "conflict",
    "forgotten",
    "connect",
    // patients without an account
    "register",
    // admission
    "activation",
    "admission",
    "admission-patient",
    "admission-form",
    "messages",
    "register-patient",
    // admin
    "admin/users",
    "admin/user",
    "admin/shown",
    "admin/dialog",
    "admin/clients",
    "admin/client",
    "admin/messages",
    "admin/audit",
    // physician
    "medico",
    "inpatients",
    "chart-page",
    "add",
    "entry",
    "prescribe",
    "signs",
    "observe",
    "problem",
    "versions",
    "correct",
    // results
    "lab",
    "lab-enter",
    "lab-validate",
    "lab-find",
    "lab-history",
    // patient
    "own",
    "own-results",
    "own-result",
    "own-visits",
    "own-seen",
];

const ICONS: &str = include_str!("../../templates/icons.json");

type Pages = Result<Handlebars<'static>, String>;

static ES: LazyLock<Pages> = LazyLock::new(|| pages(Language::Es));
static EN: LazyLock<Pages> = LazyLock::new(|| pages(Language::En));

fn pages(language: Language) -> Pages {
    let mut pages = Handlebars::new();
    pages.set_strict_mode(true);
    for (name, text) in PARTIALS.iter().chain(PAGES) {
        let name = name.strip_prefix("partials/").unwrap_or(name);
        pages.register_template_string(name, text).map_err(|e| format!("template {name}: {e}"))?;
    }
    let icons = serde_json::from_str(ICONS).map_err(|e| format!("icons: {e}"))?;
    pages.register_helper("icon", Box::new(Icon(icons)));
    pages.register_helper("t", Box::new(Text(language)));
    Ok(pages)
}

/// The page `name` of a model.
pub fn render(language: Language, name: &str, model: &impl Serialize) -> Result<String> {
    let pages = match language {
        Language::Es => &ES,
        Language::En => &EN,
    };
    let pages = pages.as_ref().map_err(|e| Error::internal(e.clone()))?;
    // The error of the library may quote the model; its place is enough to find the fault.
    pages.render(name, model).map_err(|e| Error::internal(format!("page {name}: {}", place(&e))))
}

fn place(error: &RenderError) -> String {
    let at = |n: Option<usize>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let what = match error.reason() {
        // The path of a missing member, without values.
        RenderErrorReason::MissingVariable(path) => format!("the model has no {}", path.as_deref().unwrap_or("?")),
        RenderErrorReason::PartialNotFound(name) => format!("there is no partial {name}"),
        RenderErrorReason::Other(text) => text.clone(),
        _ => "cannot be rendered".to_owned(),
    };
    let name = error.template_name.as_deref().unwrap_or("?");
    format!("{what} (template {name}, line {}, column {})", at(error.line_no), at(error.column_no))
}

/// `{{t "key" name=value ...}}`: the text of a key with its places filled; escaped like everything else.
struct Text(Language);

impl HelperDef for Text {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> std::result::Result<ScopedJson<'rc>, RenderError> {
        let key = helper.param(0).and_then(|param| param.value().as_str()).unwrap_or("");
        let text =
            i18n::find(self.0, key).ok_or_else(|| RenderErrorReason::Other(format!("there is no text {key}")))?;
        let shown = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let places: Vec<(&str, String)> =
            helper.hash().iter().map(|(name, value)| (*name, shown(value.value()))).collect();
        let places: Vec<(&str, &str)> = places.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Ok(ScopedJson::Derived(i18n::filled(text, &places).into()))
    }
}

/// `{{icon "name"}}`: an inline sign; the word beside it speaks.
struct Icon(HashMap<String, String>);

impl HelperDef for Icon {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let name = helper.param(0).and_then(|param| param.value().as_str()).unwrap_or("");
        // Only what is in our own file is written unescaped.
        let path = self.0.get(name).ok_or_else(|| RenderErrorReason::Other("there is no such icon".to_owned()))?;
        out.write("<svg class=\"i\" viewBox=\"0 0 16 16\" aria-hidden=\"true\"><path fill-rule=\"evenodd\" d=\"")?;
        out.write(path)?;
        out.write("\"/></svg>")?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "html/tests.rs"]
mod tests;
