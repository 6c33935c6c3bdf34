//! The addresses of admission.

use super::screen::{form, screen};
use crate::access::Role;
use crate::view::{admission, admit, desk_patient, messages, new_patient, patient_data, stay};
use actix_web::web;

const ROLES: &[Role] = &[Role::Admisionista];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(screen("/admision", ROLES, admission::desk))
        .service(screen("/admision/llegadas", ROLES, admission::arrivals))
        .service(screen("/admision/llegadas/nuevas", ROLES, admission::news))
        .service(screen(messages::DESK, ROLES, messages::page))
        .service(screen("/admision/municipios", ROLES, new_patient::municipalities))
        .service(form("/admision/registrar", ROLES, new_patient::page, new_patient::save))
        .service(screen("/admision/paciente/{id}", ROLES, desk_patient::page))
        .service(form("/admision/paciente/{id}/ingresar", ROLES, admit::page, admit::save))
        .service(form("/admision/paciente/{id}/datos", ROLES, patient_data::page, patient_data::save))
        .service(form("/admision/encuentro/{id}/ingresar", ROLES, stay::receive, stay::save_receive))
        .service(form("/admision/encuentro/{id}/trasladar", ROLES, stay::transfer, stay::save_transfer))
        .service(form("/admision/encuentro/{id}/egresar", ROLES, stay::discharge, stay::save_discharge))
        .service(form("/admision/encuentro/{id}/cancelar", ROLES, stay::cancel, stay::save_cancel));
}
