//! `POST /hl7v2`: one message in, its acknowledgement out. 200 whatever MSA-1 is; 400 when there is no MSH.

use crate::access::Role;
use crate::error::{Error, Kind, Result};
use crate::hl7v2::charset::Charset;
use crate::hl7v2::receive::{self, Sender};
use crate::http::{State, body, fhir, respond};
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpRequest, HttpResponse, web};

const MEDIA: [&str; 3] = ["application/hl7-v2", "x-application/hl7-v2+er7", "text/plain"];

pub async fn receive(request: HttpRequest, payload: web::Payload, state: web::Data<State>) -> HttpResponse {
    match serve(&request, payload, &state).await {
        Ok(response) => response,
        Err(error) => respond::error(&request, &error),
    }
}

async fn serve(request: &HttpRequest, payload: web::Payload, state: &State) -> Result<HttpResponse> {
    let caller = fhir::caller(request, state).await?;
    if caller.role != Role::Integracion {
        return Err(Error::new(Kind::Forbidden, "messages come from the role integracion only"));
    }
    let media =
        request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    if !MEDIA.contains(&media.split(';').next().unwrap_or_default().trim()) {
        return Err(Error::new(Kind::UnsupportedMediaType, format!("the body must be one of {}", MEDIA.join(", "))));
    }
    let app = &state.app;
    let raw = body::read(request, payload, app.config.limits.mllp_frame, "limits.mllp_frame").await?;
    let sender =
        Sender { name: caller.actor.clone(), charset: Charset::named(&app.config.hl7v2.charset).unwrap_or_default() };
    let ack = receive::receive(app, &caller, &state.hl7v2, &sender, &raw).await;
    let Some(ack) = ack else {
        return Err(Error::at(Kind::Invalid, "MSH", "the body is no HL7 v2 message: it has no MSH"));
    };
    Ok(HttpResponse::Ok().content_type("application/hl7-v2").body(ack))
}
