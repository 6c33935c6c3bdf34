//! `/admin/...`: pages of the administrator.

use super::screen::{form, screen};
use crate::access::Role;
use crate::view::admin::{audit, clients, messages, users};
use actix_web::web;

const ADMIN: &[Role] = &[Role::Admin];

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(screen("/admin", ADMIN, users::list))
        .service(form("/admin/cuentas/nueva", ADMIN, users::new, users::add))
        .service(form("/admin/cuentas/{usuario}/deshabilitar", ADMIN, users::ask_disable, users::disable))
        .service(form("/admin/cuentas/{usuario}/clave", ADMIN, users::ask_reset, users::reset))
        .service(screen("/admin/clientes", ADMIN, clients::list))
        .service(form("/admin/clientes/nuevo", ADMIN, clients::new, clients::add))
        .service(form("/admin/clientes/{id}/deshabilitar", ADMIN, clients::ask_disable, clients::disable))
        .service(screen("/admin/mensajes", ADMIN, messages::list))
        .service(screen("/admin/auditoria", ADMIN, audit::list));
}
