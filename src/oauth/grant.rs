//! `POST /oauth/token` (RFC 6749, 3.2 and 4.4): `client_credentials` by HTTP Basic or by the form.
//!
//! The password grant and the implicit one are never here; `authorization_code` and `refresh_token` come with SMART
//! App Launch, client assertions with SMART Backend Services.

use crate::access::{Caller, Role};
use crate::audit::Event;
use crate::error::Result;
use crate::i18n::Language;
use crate::oauth::form::{self, Form};
use crate::oauth::token::{self, Authority, Issued};
use crate::oauth::{refused, scope};
use crate::store;
use crate::store::account::OauthClient;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Longest client id: longer ones are nobody's.
pub const LONGEST_ID: usize = 64;
/// What the secret of an unknown client is compared with.
const NOBODY: [u8; 32] = [0; 32];

/// An error of RFC 6749, 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub code: &'static str,
    pub description: &'static str,
}

impl Refused {
    const fn new(code: &'static str, description: &'static str) -> Refused {
        Refused { code, description }
    }

    /// 401 goes with `WWW-Authenticate: Basic`.
    pub fn status(&self) -> u16 {
        if self.code == "invalid_client" { 401 } else { 400 }
    }
}

const MALFORMED: Refused = Refused::new("invalid_request", "the body is not a form, or a parameter stands twice");
const NO_GRANT_TYPE: Refused = Refused::new("invalid_request", "grant_type is missing");
const TWO_METHODS: Refused = Refused::new("invalid_request", "the client authenticates in two ways");
const UNSUPPORTED: Refused = Refused::new("unsupported_grant_type", "the grant type here is client_credentials");
const NO_CLIENT: Refused =
    Refused::new("invalid_client", "the client is not known, is disabled, or its secret is wrong");
const NO_ROLE: Refused = Refused::new("unauthorized_client", "the client may not use client_credentials");
const SCOPE: Refused = Refused::new("invalid_scope", "this version grants a client the whole scope of its role only");

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    client_id: String,
    secret: String,
    scope: Option<String>,
}

/// Answers a token request. The outer error is a fault of this server (503, 500).
pub async fn token(
    authority: &Authority,
    authorization: Option<&str>,
    body: &[u8],
    request_id: &str,
) -> Result<Result<Issued, Refused>> {
    let granted = match read(authorization, body) {
        Ok(asked) => client_credentials(authority, asked, request_id).await?,
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = granted {
        // What is no credible request leaves no record: anybody could fill the trail with it.
        if refusal != MALFORMED && refusal != NO_GRANT_TYPE && refusal != UNSUPPORTED && refusal != TWO_METHODS {
            authority.app.audit.record(vec![refused("token", refusal.code, request_id)]).await?;
        }
    }
    Ok(granted)
}

async fn client_credentials(authority: &Authority, asked: Asked, request_id: &str) -> Result<Result<Issued, Refused>> {
    let app = &authority.app;
    let found = match asked.client_id.len() <= LONGEST_ID {
        true => store::account::find_client(&*app.pool.lane().await?, &asked.client_id).await?,
        false => None,
    };
    if !authenticates(found.as_ref(), &asked.secret) {
        return Ok(Err(NO_CLIENT));
    }
    app.pool
        .within(async {
            let tx = app.pool.begin().await?;
            // Judged again as it is now: it may have been disabled or given another secret meanwhile.
            let client = store::account::hold_client(tx.conn(), &asked.client_id).await?;
            let Some(client) = client.filter(|client| authenticates(Some(client), &asked.secret)) else {
                return tx.rollback().await.map(|()| Err(NO_CLIENT));
            };
            let Some(rol) = client.rol else { return tx.rollback().await.map(|()| Err(NO_ROLE)) };
            let Some(scope) = scope::grant(rol, asked.scope.as_deref()) else {
                return tx.rollback().await.map(|()| Err(SCOPE));
            };
            let issued = authority.issue_for_client(tx.conn(), &client, rol, scope).await?;
            store::audit::insert(tx.conn(), &[issue(&client, rol, request_id)]).await?;
            tx.commit().await?;
            Ok(Ok(issued))
        })
        .await
}

fn issue(client: &OauthClient, rol: Role, request_id: &str) -> Event {
    let caller = Caller {
        role: rol,
        actor: token::actor_of_client(&client.id),
        documento_id: "-".to_owned(),
        patient: None,
        language: Language::En,
        request_id: request_id.to_owned(),
    };
    Event::new(&caller, "token")
}

/// Whether the secret is that of an active confidential client; takes as long when there is none.
fn authenticates(client: Option<&OauthClient>, secret: &str) -> bool {
    let usable = client.filter(|client| client.active && client.tipo == "confidential");
    let kept = usable.and_then(|client| client.secret.as_deref());
    let same = verify_slices_are_equal(&digest(secret), kept.unwrap_or(&NOBODY)).is_ok();
    same && kept.is_some()
}

/// What is kept of a client secret: it is 160 random bits, so a slow hash adds nothing.
pub fn digest(secret: &str) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}

/// Reads the request, without judging the client.
fn read(authorization: Option<&str>, body: &[u8]) -> Result<Asked, Refused> {
    let form = Form::parse(body).ok_or(MALFORMED)?;
    match form.get("grant_type") {
        None => return Err(NO_GRANT_TYPE),
        Some("client_credentials") => {}
        Some(_) => return Err(UNSUPPORTED),
    }
    let (in_form, secret) = (form.get("client_id"), form.get("client_secret"));
    let (client_id, secret) = match (authorization, in_form, secret) {
        (Some(_), _, Some(_)) => return Err(TWO_METHODS),
        (Some(header), in_form, None) => {
            let (id, secret) = basic(header).ok_or(NO_CLIENT)?;
            if in_form.is_some_and(|in_form| in_form != id) {
                return Err(TWO_METHODS);
            }
            (id, secret)
        }
        (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
        (None, _, _) => return Err(NO_CLIENT),
    };
    Ok(Asked { client_id, secret, scope: form.get("scope").map(str::to_owned) })
}

/// Client id and secret of `Authorization: Basic`, each form-encoded first (RFC 6749, 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > form::LONGEST {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let (id, secret) = (form::decode(id)?, form::decode(secret)?);
    (!id.is_empty() && !secret.is_empty()).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic_of(pair: &str) -> String {
        format!("Basic {}", STANDARD.encode(pair))
    }

    #[test]
    fn basic_credentials_are_read() {
        let check = |header: &str, expected: Option<(&str, &str)>| {
            let found = basic(header);
            assert_eq!(found.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str())), expected, "{header}");
        };
        check(&basic_of("lab:s3cret"), Some(("lab", "s3cret")));
        check(&basic_of("lab%20a:s+b%3Ac"), Some(("lab a", "s b:c")));
        check(&basic_of("lab:a:b").replace("Basic", "bAsIc"), Some(("lab", "a:b")));
        check(&basic_of("lab"), None);
        check(&basic_of("lab:"), None);
        check(&basic_of(":x"), None);
        check(&basic_of("lab:%zz"), None);
        check("Basic ???", None);
        check("Bearer abc", None);
        check("Basic", None);
    }

    #[test]
    fn token_requests_are_read() {
        let good = basic_of("lab:s");
        let check = |authorization: Option<&str>, body: &str, expected: Result<(&str, Option<&str>), Refused>| {
            let found = read(authorization, body.as_bytes());
            let found = found.as_ref().map(|asked| (asked.client_id.as_str(), asked.scope.as_deref())).map_err(|e| *e);
            assert_eq!(found, expected, "{body}");
        };
        let grant = "grant_type=client_credentials";
        check(Some(&good), grant, Ok(("lab", None)));
        check(Some(&good), &format!("{grant}&scope=system%2F*.*&client_id=lab"), Ok(("lab", Some("system/*.*"))));
        check(None, &format!("{grant}&client_id=lab&client_secret=s"), Ok(("lab", None)));
        check(Some(&good), &format!("{grant}&client_id=lab&client_secret=s"), Err(TWO_METHODS));
        check(Some(&good), &format!("{grant}&client_id=other"), Err(TWO_METHODS));
        check(None, &format!("{grant}&client_id=lab"), Err(NO_CLIENT));
        check(None, grant, Err(NO_CLIENT));
        check(Some("Bearer x"), grant, Err(NO_CLIENT));
        check(Some(&good), "", Err(NO_GRANT_TYPE));
        check(Some(&good), "grant_type=password&username=a&password=b", Err(UNSUPPORTED));
        check(Some(&good), "grant_type=implicit", Err(UNSUPPORTED));
        check(Some(&good), &format!("{grant}&{grant}"), Err(MALFORMED));
        assert_eq!((NO_CLIENT.status(), UNSUPPORTED.status()), (401, 400));
    }

    #[test]
    fn only_an_active_confidential_client_authenticates() {
        let client = OauthClient {
            id: "lab".into(),
            tipo: "confidential".into(),
            secret: Some(digest("right")),
            redirect: vec![],
            scope: String::new(),
            rol: Some(Role::Integracion),
            jwks: None,
            active: true,
        };
        let check = |client: &OauthClient, secret: &str, ok: bool| assert_eq!(authenticates(Some(client), secret), ok);
        check(&client, "right", true);
        check(&client, "wrong", false);
        check(&OauthClient { active: false, ..client.clone() }, "right", false);
        check(&OauthClient { tipo: "public".into(), ..client.clone() }, "right", false);
        check(&OauthClient { secret: None, ..client.clone() }, "right", false);
        check(&OauthClient { secret: Some(vec![]), ..client }, "", false);
        assert!(!authenticates(None, "right"));
    }
}
