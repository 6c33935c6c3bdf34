//! The clinical history as a document to take along: who may, what is in it, and the trace that it leaves.

use crate::access::{Caller, role};
use crate::app::App;
use crate::audit::{Event, Outcome};
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::outcome;
use crate::store;
use crate::view::format::Reader;
use crate::view::pdf::{self, Document};
use crate::view::record::{self, Extent};
use crate::view::visit::{Reply, Visit};
use std::sync::Arc;
use uuid::Uuid;

/// `/exportar_pdf/{id}`.
pub async fn show(visit: &Visit) -> Result<Reply> {
    let document = pdf(&visit.app, &visit.caller, &visit.reader, visit.part("id")).await?;
    Ok(Reply::File { media_type: "application/pdf", name: "historia-clinica.pdf", bytes: document.bytes })
}

/// What the audit trail calls it.
const ACTION: &str = "export";

/// The PDF of the patient that `given` means. Found, read, drawn and audited as one unit: the record of the audit trail
/// names the pages and the code that stands at the foot of each.
pub async fn pdf(app: &Arc<App>, caller: &Caller, reader: &Reader, given: &str) -> Result<Document> {
    if !role::exports(caller.role) {
        let event = Event::new(caller, ACTION).ended(Outcome::Minor, outcome::issue_code(Kind::Forbidden));
        app.audit.record(vec![event]).await?;
        return Err(Error::new(Kind::Forbidden, "the role may not export a record"));
    }
    let by = name(app, caller).await?;
    let code = code()?;
    record::read(app, caller, reader, given, Extent::Whole, ACTION, async |record| {
        let (reader, institution, shown, role) =
            (*reader, app.config.institution.clone(), code.clone(), caller.role.code());
        // Drawing is work of the processor: not on the thread that serves others.
        let drawn = tokio::task::spawn_blocking(move || {
            let export = pdf::Export { reader: &reader, institution: &institution, by: &by, role, code: &shown };
            pdf::render(&record, &export)
        });
        let document = drawn.await.map_err(Error::internal)??;
        if document.missing > 0 {
            tracing::warn!(
                characters = document.missing,
                "a PDF has characters that its fonts do not have; they are boxes"
            );
        }
        let detail = format!("pdf pages={} code={code}", document.pages);
        Ok((document, detail))
    })
    .await
}

/// The name of the person whose session this is; what is no person shows what it is.
async fn name(app: &App, caller: &Caller) -> Result<String> {
    let id = caller.actor.strip_prefix("usuario/").and_then(|id| Uuid::try_parse(id).ok());
    let Some(id) = id else { return Ok(caller.actor.clone()) };
    let conn = app.pool.lane().await?;
    let account = app.pool.within(store::account::find_by_id(&conn, id)).await?;
    Ok(account.map_or_else(|| caller.actor.clone(), |account| account.nombre))
}

/// Twelve characters in groups of four, to be read aloud.
fn code() -> Result<String> {
    let random = clock::base32(&clock::random::<8>()?, 12).to_uppercase();
    let mut code = String::with_capacity(14);
    for (n, c) in random.chars().enumerate() {
        if n > 0 && n % 4 == 0 {
            code.push('-');
        }
        code.push(c);
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_groups() {
        let code = code().unwrap();
        assert_eq!(code.len(), 14, "{code}");
        assert!(
            code.split('-').all(|group| group.len() == 4 && group.chars().all(|c| c.is_ascii_alphanumeric())),
            "{code}"
        );
        assert_ne!(code, super::code().unwrap());
    }
}
