//! `/mi-historia`: the pages of a patient about the own record.

use super::screen::screen;
use crate::access::Role;
use crate::view::own;
use actix_web::web;

const PATIENT: &[Role] = &[Role::Paciente];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(screen(own::HOME, PATIENT, own::home))
        .service(screen(own::RESULTS, PATIENT, own::result::page))
        .service(screen("/mi-historia/resultados/{id}/{n}", PATIENT, own::result::one))
        .service(screen(own::VISITS, PATIENT, own::visits))
        .service(screen(own::SEEN, PATIENT, own::seen::page));
}
