//! The authorization server: accounts, sessions, tokens (RFC 6749, RFC 9068), one file per thing.
//!
//! * [`password`]: Argon2id. [`keys`]: the signing key and its JWKS. [`token`]: claims, and who a request is of.
//! * [`login`]: a person's password -> token or cookie, and the end of both. [`grant`]: `POST /oauth/token`.
//! * [`attempt`]: the delay after wrong passwords. [`form_key`]: keys of the forms of pages. [`activation`]: a patient's own
//!   account, by the code that admission prints.
//! * [`account`]: accounts and clients, for the command line and the administrator's pages. [`dev`]: the sign-ins that `historia dev` shows.
//!
//! First version: a person's own sign-in and `client_credentials`. It has no second factor and no refresh; scopes are told, but what is enforced is the table of roles (`access::role`).

pub mod account;
pub mod activation;
pub mod attempt;
pub mod dev;
pub mod form;
pub mod form_key;
pub mod grant;
pub mod keys;
pub mod login;
pub mod password;
pub mod scope;
pub mod token;

use crate::access::{Caller, Role};
use crate::audit::{Event, Outcome};
use crate::i18n::Language;
pub use token::{Authority, Issued};

/// An audit record of somebody who is not known: a refused sign-in or token request. Nothing of what was typed is in it.
fn refused(action: &'static str, detail: &'static str, request_id: &str) -> Event {
    let nobody = Caller {
        role: Role::Paciente,
        actor: "anonymous".to_owned(),
        documento_id: "-".to_owned(),
        patient: None,
        language: Language::En,
        request_id: request_id.to_owned(),
    };
    let event = Event::new(&nobody, action).ended(Outcome::Minor, detail);
    Event { role: "-", ..event }
}
