//! A browser without scripts: cookies, forms with all their hidden fields, redirects followed by hand.

use crate::harness::html::controls;
use crate::harness::{Fhir, Reply, anonymous, server};
use std::collections::BTreeMap;

/// One person at one browser.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub cookies: BTreeMap<String, String>,
    pub language: String,
    root: Option<String>,
}

impl Browser {
    pub fn new() -> Browser {
        Browser { language: "es-CO".to_owned(), ..Browser::default() }
    }

    /// At another instance than the shared one.
    pub fn at(root: &str) -> Browser {
        Browser { root: Some(root.to_owned()), ..Browser::new() }
    }

    /// The same person, after the server came back at another address.
    pub fn moved_to(&mut self, root: &str) {
        self.root = Some(root.to_owned());
    }

    /// Signed in with the login of a role.
    pub async fn of(role: &str) -> Browser {
        let (usuario, clave) = server().login(role);
        let mut browser = Browser::new();
        browser.sign_in(&usuario, &clave).await.expect(303);
        browser
    }

    pub async fn sign_in(&mut self, usuario: &str, clave: &str) -> Reply {
        self.post("/login", &[("usuario", usuario), ("clave", clave)]).await
    }

    fn headers(&self) -> Vec<(String, String)> {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut headers =
            vec![("accept".to_owned(), "text/html".to_owned()), ("accept-language".to_owned(), self.language.clone())];
        headers.push(("sec-fetch-site".to_owned(), "same-origin".to_owned()));
        if !cookies.is_empty() {
            headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        headers
    }

    async fn send(&mut self, method: &str, path: &str, more: &[(&str, &str)], body: Option<Vec<u8>>) -> Reply {
        self.attempt(method, path, more, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    async fn attempt(
        &mut self,
        method: &str,
        path: &str,
        more: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Reply, String> {
        let own = self.headers();
        let headers: Vec<(&str, &str)> =
            own.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(more.iter().copied()).collect();
        let caller = match &self.root {
            Some(root) => Fhir::new(root, None),
            None => anonymous(),
        };
        let reply = caller.attempt(method, path, &headers, body).await?;
        for cookie in reply.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let value = rest.split(';').next().unwrap_or("");
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Ok(reply)
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.send("GET", path, &[], None).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.try_post(path, fields).await.unwrap_or_else(|e| panic!("POST {path}: {e}"))
    }

    /// The same, where the server may die in the middle.
    pub async fn try_post(&mut self, path: &str, fields: &[(&str, &str)]) -> Result<Reply, String> {
        let body: Vec<String> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.attempt("POST", path, &form, Some(body.join("&").into_bytes())).await
    }

    /// Fills the form of a page and sends it, its hidden fields included.
    pub async fn fill(&mut self, page: &Reply, action: &str, typed: &[(&str, &str)]) -> Reply {
        let hidden = hidden(&page.text(), action);
        let mut fields: Vec<(&str, &str)> =
            hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.retain(|(name, _)| !typed.iter().any(|(known, _)| known == name));
        fields.extend_from_slice(typed);
        self.post(action, &fields).await
    }

    /// Sends the form of a page as it is shown, but for what is typed now.
    pub async fn send_shown(&mut self, page: &Reply, action: &str, typed: &[(&str, &str)]) -> Reply {
        let mut fields = controls(&page.text(), action);
        fields.retain(|(name, _)| !typed.iter().any(|(known, _)| known == name));
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).chain(typed.iter().copied()).collect();
        self.post(action, &fields).await
    }

    /// Goes where an answer leads.
    pub async fn follow(&mut self, reply: &Reply) -> Reply {
        assert_eq!(reply.status, 303, "{}: {}", reply.asked, reply.text());
        let to = reply.header("location").to_owned();
        self.get(&to).await
    }
}

pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn unescaped(text: &str) -> String {
    let text = text.replace("&quot;", "\"").replace("&#x27;", "'").replace("&#x3D;", "=").replace("&#x60;", "`");
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// The value of an attribute in a tag.
pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let rest = tag.split(&format!(" {name}=\"")).nth(1)?;
    Some(unescaped(rest.split('"').next()?))
}

/// Names and values of the hidden fields of the form with this action.
pub fn hidden(html: &str, action: &str) -> Vec<(String, String)> {
    let mut forms = html.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap_or(""));
    let form = forms.find(|form| attribute(&format!(" {form}"), "action").as_deref() == Some(action));
    let form = form.unwrap_or_else(|| panic!("no form {action} in {html}"));
    let tags = form.split("<input ").skip(1).map(|rest| format!(" {}", rest.split('>').next().unwrap_or("")));
    let hidden = tags.filter(|tag| attribute(tag, "type").as_deref() == Some("hidden"));
    hidden.filter_map(|tag| Some((attribute(&tag, "name")?, attribute(&tag, "value").unwrap_or_default()))).collect()
}

/// The value of a field that is shown.
pub fn value_of(html: &str, name: &str) -> Option<String> {
    let tags = html.split("<input ").skip(1).map(|rest| format!(" {}", rest.split('>').next().unwrap_or("")));
    tags.filter(|tag| attribute(tag, "name").as_deref() == Some(name)).find_map(|tag| attribute(&tag, "value"))
}
