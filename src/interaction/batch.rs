//! batch (<https://hl7.org/fhir/R4/http.html#transaction>): each entry a unit of its own; one that fails harms no other.

use crate::access::Caller;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::fhir::bundle::Writer;
use crate::fhir::rule;
use crate::interaction::entry::{entries, refuse, respond};
use crate::interaction::{Answer, Interaction, Return};
use serde_json::Value;
use std::sync::Arc;

pub(super) async fn execute(
    app: &Arc<App>,
    caller: &Caller,
    bundle: &Value,
    returns: Option<Return>,
) -> Result<Answer> {
    let mut answers = Writer::new("batch-response");
    for (n, entry) in entries(app, bundle)?.iter().enumerate() {
        let result = match entry.interaction(app) {
            Ok(Interaction::Transaction { .. } | Interaction::Batch { .. }) => {
                Err(Error::new(Kind::Invalid, "a batch holds no Bundles to execute"))
            }
            // An entry is never a Bundle to execute, so this does not nest.
            Ok(interaction) => Box::pin(super::execute(app, caller, &interaction)).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(answer) => respond(&mut answers, &answer, returns),
            Err(error) => {
                let error = error.within(&format!("Bundle.entry[{n}]"));
                refuse(&mut answers, &rule::told_in(caller.language, error));
            }
        }
    }
    Ok(Answer::bundle(answers.finish()))
}
