//! `/livez` never touches the database (else one outage of it restarts every instance); `/readyz` does; `/metrics` on ops only.

use crate::error::Result;
use crate::http::State;
use actix_web::http::header::{CACHE_CONTROL, RETRY_AFTER};
use actix_web::{HttpResponse, web};
use std::time::Duration;

/// A database that takes longer is not ready.
const DEADLINE: Duration = Duration::from_secs(2);

pub fn probes(config: &mut web::ServiceConfig) {
    config.route("/livez", web::get().to(livez)).route("/readyz", web::get().to(readyz));
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).content_type("text/plain; charset=utf-8").body("ok\n")
}

async fn readyz(state: web::Data<State>) -> HttpResponse {
    let app = &state.app;
    let reached = async {
        let conn = app.pool.lane().await?;
        crate::store::migrate::check(&conn).await
    };
    let database: Result<bool> = match tokio::time::timeout(DEADLINE, reached).await {
        Ok(result) => result.map(|()| true),
        Err(_) => Ok(false),
    };
    let (text, ready) = match (app.is_draining(), database) {
        (true, _) => ("stopping\n", false),
        (false, Ok(true)) => ("ready\n", true),
        (false, _) => ("the database cannot be reached\n", false),
    };
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !ready {
        response.insert_header((RETRY_AFTER, "2"));
    }
    response.insert_header((CACHE_CONTROL, "no-store")).content_type("text/plain; charset=utf-8").body(text)
}

pub async fn metrics(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(state.telemetry.render())
}
