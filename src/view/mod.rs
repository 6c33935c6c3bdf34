//! Pages: one file per screen (its model), `html` turns a model into HTML. Texts are in `templates/i18n`.
//!
//! First version: the bare sign-in form.

pub mod export;
pub mod format;
pub mod html;
pub mod login;
pub mod pdf;
pub mod record;
pub mod trend;
