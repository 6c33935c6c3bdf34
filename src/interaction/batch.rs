//! batch (<https://hl7.org/fhir/R4/http.html#transaction>): each entry a unit of its own; one that fails harms no other.

use crate::access::Caller;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::{Entry, Response, Writer};
use crate::fhir::outcome;
use crate::interaction::transaction::{entries, response};
use crate::interaction::{Answer, Interaction};
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn execute(app: &Arc<App>, caller: &Caller, bundle: &Value) -> Result<Answer> {
    let mut answers = Writer::new("batch-response");
    for (n, entry) in entries(app, bundle)?.iter().enumerate() {
        let result = match entry.interaction(&app.base) {
            Ok(Interaction::Transaction { .. } | Interaction::Batch { .. }) => {
                Err(Error::new(Kind::Invalid, "a batch holds no Bundles to execute"))
            }
            // An entry is never a Bundle to execute, so this does not nest.
            Ok(interaction) => Box::pin(super::execute(app, caller, &interaction)).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(answer) => {
                let resource = answer.body.as_deref().filter(|_| entry.method() == Some("GET"));
                answers.entry(&Entry { resource, response: Some(response(&answer)), ..Entry::default() });
            }
            Err(error) => {
                let error = error.within(&format!("Bundle.entry[{n}]"));
                let status = status_line(outcome::status(error.kind));
                let response = Response { status, outcome: Some(outcome::to_bytes(&error)), ..Response::default() };
                answers.entry(&Entry { response: Some(response), ..Entry::default() });
            }
        }
    }
    Ok(Answer::bundle(answers.finish()))
}

/// `201 Created`
pub(super) fn status_line(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        422 => "Unprocessable Content",
        503 => "Service Unavailable",
        _ => "",
    };
    format!("{status} {reason}").trim_end().to_owned()
}
