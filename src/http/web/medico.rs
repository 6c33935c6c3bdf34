//! The pages of the physician, and the chart, which every role sees as far as it may.

use super::screen::{act, form, screen};
use crate::access::Role;
use crate::view::{allergy, chart, correct, medico, observe, prescribe, problem, seen, signs, versions};
use actix_web::web;

pub fn routes(config: &mut web::ServiceConfig) {
    const WRITE: &[Role] = &[Role::Medico];
    config
        .service(screen("/medico", WRITE, medico::desk))
        .service(screen("/medico/hospitalizados", WRITE, medico::inpatients))
        .service(screen("/paciente/{id}", &[], chart::page))
        .service(screen("/exportar_pdf/{id}", &[], chart::pdf))
        .service(screen("/paciente/{id}/agregar", WRITE, observe::add))
        .service(form("/paciente/{id}/signos", WRITE, signs::page, signs::save))
        .service(form("/paciente/{id}/observacion", WRITE, observe::page, observe::save))
        .service(form("/paciente/{id}/problema", WRITE, problem::page, problem::save))
        .service(form("/paciente/{id}/alergia", WRITE, allergy::page, allergy::save))
        .service(form("/paciente/{id}/sin-alergias", WRITE, allergy::none_page, allergy::none_save))
        .service(form("/paciente/{id}/medicacion", WRITE, prescribe::page, prescribe::save))
        .service(act("/paciente/{id}/visto/{rid}", WRITE, seen::save))
        .service(screen("/paciente/{id}/registro/{tipo}/{rid}", &[], versions::page))
        .service(form("/paciente/{id}/registro/{tipo}/{rid}/corregir", WRITE, correct::page, correct::save))
        .service(form("/paciente/{id}/registro/{tipo}/{rid}/suspender", WRITE, correct::page, correct::save))
        .service(form("/paciente/{id}/registro/{tipo}/{rid}/anular", WRITE, correct::page, correct::save));
}
