//! A patient's own account: the one-time code that admission prints, and what it opens (`docs/contract.md`, `/registro`).
//!
//! Whatever is wrong - code, document, birth date, too late - is one answer: nobody learns which documents are known.

use crate::access::{Caller, Role};
use crate::app::App;
use crate::audit::Event;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::fhir::definitions::ResourceType;
use crate::fhir::documento::DocumentoId;
use crate::i18n::Language;
use crate::interaction::{self, Interaction};
use crate::oauth::account::changed;
use crate::oauth::attempt::Attempts;
use crate::oauth::token::actor_of_usuario;
use crate::oauth::{password, refused};
use crate::store::account::{self as accounts, Usuario};
use crate::store::code;
use crate::store::session::{self, Holder};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Characters of a code: 60 random bits.
const LENGTH: usize = 12;

/// A new code, shown once.
pub struct NewCode {
    /// In groups of four: `7f3k-92qd-m4xa`.
    pub codigo: String,
    pub vence: Timestamp,
}

/// What a person types at `/registro`.
pub struct Registration<'r> {
    pub documento_id: &'r str,
    pub fecha_nacimiento: &'r str,
    pub codigo: &'r str,
    pub clave: &'r str,
}

/// How a registration ended.
pub enum Registered {
    /// The user name of the account.
    Done(String),
    /// No valid code. Seconds until the next try is looked at.
    Refused { wait: u64 },
    /// Too many wrong ones: nothing was looked at. Seconds that are left.
    Wait { seconds: u64 },
}

fn digest(codigo: &str) -> Vec<u8> {
    // As people read it out: blanks and hyphens do not count, nor letters that are taken for digits.
    let clean = codigo.chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| match c.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        c => c,
    });
    Sha256::digest(clean.take(64).collect::<String>()).to_vec()
}

/// Makes the code of a Patient. Who may is judged before.
pub async fn make(app: &App, patient: &str, by: &Caller) -> Result<NewCode> {
    let code = clock::base32(&clock::random::<8>()?, LENGTH);
    let now = clock::now();
    let vence = now + 24.hours();
    let records = app.placement.records_of(&*app.pool.lane().await?, &[patient]).await?;
    let documento_id = records.get(patient).map_or("-", |record| record.documento_id.as_str());
    let event = Event::new(by, "activation-code").record(documento_id, Some(patient));
    changed(app, event, async |conn| code::add(conn, &digest(&code), patient, now, vence, &by.actor).await).await?;
    let groups: Vec<&str> = [0, 4, 8].iter().filter_map(|at| code.get(*at..at + 4)).collect();
    Ok(NewCode { codigo: groups.join("-"), vence })
}

/// Until when the code of a Patient is good that was made before.
pub async fn good_until(app: &App, patient: &str) -> Result<Option<Timestamp>> {
    code::good_until(&*app.pool.lane().await?, patient, clock::now()).await
}

/// Opens the account of the Patient whose code it is; one that this patient has already gets the new password.
/// A password that does not fit is an error of the field `clave`, whatever the code is worth.
pub async fn register(app: &Arc<App>, typed: Registration<'_>, source: &str, request_id: &str) -> Result<Registered> {
    let documento = DocumentoId::parse(&typed.documento_id.trim().replacen(' ', "-", 1));
    let usuario = documento.as_ref().map_or(String::new(), |documento| documento.as_str().to_ascii_lowercase());
    password::check(typed.clave, &usuario)?;
    let attempts = Attempts::new(app, "registro", &usuario, source);
    let left = attempts.left().await?;
    if !left.is_zero() {
        app.audit.record(vec![refused("register", "throttled", request_id)]).await?;
        return Ok(Registered::Wait { seconds: left.as_secs() + 1 });
    }
    let hash = digest(typed.codigo);
    let patient = match &documento {
        Some(documento) => patient_of(app, &hash, documento, typed.fecha_nacimiento, request_id).await?,
        None => None,
    };
    let opened = match (patient, documento) {
        (Some(patient), Some(documento)) => open(app, &hash, &patient, documento, typed.clave, request_id).await?,
        _ => None,
    };
    match opened {
        Some(usuario) => {
            attempts.succeeded().await?;
            Ok(Registered::Done(usuario))
        }
        None => {
            let wait = attempts.failed().await?.as_secs();
            app.audit.record(vec![refused("register", "no valid code", request_id)]).await?;
            Ok(Registered::Refused { wait })
        }
    }
}

/// The Patient of a good code, when document and birth date are its own.
async fn patient_of(
    app: &Arc<App>,
    hash: &[u8],
    documento: &DocumentoId,
    birth: &str,
    request_id: &str,
) -> Result<Option<Value>> {
    let Some(id) = code::find(&*app.pool.lane().await?, hash, clock::now()).await? else { return Ok(None) };
    let resource_type = ResourceType::parse("Patient").ok_or_else(|| Error::internal("a type is missing"))?;
    let system = Caller::system("registro", request_id.to_owned());
    let answer = match interaction::execute(app, &system, &Interaction::Read { resource_type, id }).await {
        Ok(answer) => answer,
        Err(error) if matches!(error.kind, Kind::NotFound | Kind::Deleted) => return Ok(None),
        Err(error) => return Err(error),
    };
    let patient: Value = serde_json::from_slice(answer.body.as_deref().unwrap_or_default()).map_err(Error::internal)?;
    let own = DocumentoId::of_patient(&patient, &app.systems).as_ref() == Some(documento);
    let born = patient.get("birthDate").and_then(Value::as_str).is_some_and(|date| date == birth);
    Ok((own && born).then_some(patient))
}

async fn open(
    app: &App,
    hash: &[u8],
    patient: &Value,
    documento: DocumentoId,
    clave: &str,
    request_id: &str,
) -> Result<Option<String>> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("").to_owned();
    let id = text(patient.get("id"));
    let usuario = documento.as_str().to_ascii_lowercase();
    let secret = password::hash(clave).await?;
    let conn = app.pool.lane().await?;
    let known = match accounts::credential(&conn, &usuario).await? {
        Some(credential) => accounts::find(&conn, &credential.documento_id, credential.usuario_id).await?,
        None => None,
    };
    // A name that somebody else has is none to be had.
    if known.as_ref().is_some_and(|account| account.paciente_id.as_deref() != Some(id.as_str())) {
        return Ok(None);
    }
    let account = known.clone().unwrap_or_else(|| Usuario {
        documento_id: documento.as_str().to_owned(),
        id: clock::uuid(),
        usuario: usuario.clone(),
        nombre: given_name(patient).unwrap_or_else(|| usuario.clone()),
        rol: Role::Paciente,
        active: true,
        paciente_id: Some(id.clone()),
    });
    let caller = Caller {
        role: Role::Paciente,
        actor: actor_of_usuario(account.id),
        documento_id: account.documento_id.clone(),
        patient: Some(id.clone()),
        language: Language::En,
        request_id: request_id.to_owned(),
    };
    let event = Event::new(&caller, "register").instance(&actor_of_usuario(account.id), None);
    let is_new = known.is_none();
    let done = changed(app, event, async |conn| {
        let now = clock::now();
        if !code::consume(conn, hash, now).await? {
            return Err(Error::new(Kind::Conflict, USED));
        }
        if is_new {
            return accounts::add(conn, &account, &secret, None, now).await;
        }
        accounts::set_password(conn, &account.usuario, &secret, None, now).await?;
        accounts::set_active(conn, &account.documento_id, account.id, true, now).await?;
        session::end_all(conn, &Holder::Usuario(account.id), now).await.map(drop)
    });
    match done.await {
        Ok(()) => Ok(Some(usuario)),
        Err(error) if error.kind == Kind::Conflict => Ok(None),
        Err(error) => Err(error),
    }
}

const USED: &str = "the code was used";

/// The name by which the patient is greeted, at most 200 bytes.
fn given_name(patient: &Value) -> Option<String> {
    let names = patient.get("name")?.as_array()?;
    let usage = |name: &&Value| name.get("use").and_then(Value::as_str) == Some("official");
    let name = names.iter().find(usage).or_else(|| names.first())?;
    let given = name.get("given").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let whole = given.chain(name.get("family").and_then(Value::as_str)).collect::<Vec<_>>().join(" ");
    let mut end = whole.len().min(200);
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    whole.get(..end).filter(|text| !text.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_code_is_the_same_however_it_is_read_out() {
        let check = |typed: &str, same: bool| assert_eq!(digest(typed) == digest("7f3k-92qd-m4x1"), same, "{typed}");
        check("7F3K92QDM4X1", true);
        check(" 7f3k 92qd m4xl ", true);
        check("7f3k-92qd-m4xi", true);
        check("7f3k-92qd-m4x2", false);
        check("", false);
        let long = "a".repeat(10_000);
        assert_eq!(digest(&long).len(), 32);
    }

    #[test]
    fn patients_are_greeted_by_their_name() {
        let patient = json!({"name": [{"use": "old", "family": "X"}, {"use": "official", "family": "Muñoz", "given": ["Gloria", "Inés"]}]});
        assert_eq!(given_name(&patient).as_deref(), Some("Gloria Inés Muñoz"));
        assert_eq!(given_name(&json!({"name": [{"family": "ñ".repeat(150)}]})).unwrap().len(), 200);
        assert_eq!(given_name(&json!({"name": []})), None);
        assert_eq!(given_name(&json!({})), None);
    }
}
