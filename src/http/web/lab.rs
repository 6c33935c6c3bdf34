//! `/resultados`: the pages of the laboratory.

use super::screen::{form, screen};
use crate::access::Role;
use crate::view::lab;
use actix_web::web;

const LABORATORY: &[Role] = &[Role::Resultados];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(screen(lab::DESK, LABORATORY, lab::desk))
        .service(form("/resultados/orden/{id}", LABORATORY, lab::enter::page, lab::enter::save))
        .service(form("/resultados/{id}", LABORATORY, lab::validate::page, lab::validate::save));
}
