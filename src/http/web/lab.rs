//! `/resultados`: the pages of the laboratory.

use super::screen::{form, screen};
use crate::access::Role;
use crate::view::lab::{self, enter, find, history, list, validate};
use actix_web::web;

const LABORATORY: &[Role] = &[Role::Resultados];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(screen(lab::DESK, LABORATORY, list::page))
        .service(screen(find::PATIENTS, LABORATORY, find::patients))
        .service(screen(history::HISTORY, LABORATORY, history::page))
        .service(screen(find::NEW, LABORATORY, find::new))
        .service(form("/resultados/nuevo/{id}", LABORATORY, enter::page, enter::save))
        .service(form("/resultados/orden/{id}", LABORATORY, enter::page, enter::save))
        .service(form("/resultados/{id}", LABORATORY, validate::page, validate::save));
}
