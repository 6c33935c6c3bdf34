//! Pages of the administrator: accounts, clients, message counts, the audit list. No clinical content is here.

pub mod audit;
pub mod clients;
pub mod messages;
pub mod users;

use crate::view::page::{Link, Page};
use serde::Serialize;

/// A secret that is shown once.
#[derive(Serialize)]
struct ShownOnce {
    page: Page,
    title: &'static str,
    intro: &'static str,
    about: String,
    secret: String,
    done: Link,
}

/// A dialog as a page of its own: one danger button, one way back.
#[derive(Serialize)]
struct Dialog {
    page: Page,
    title: &'static str,
    about: String,
    second: String,
    lines: Vec<&'static str>,
    action: String,
    button: &'static str,
    back: Link,
}
