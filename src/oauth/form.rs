//! `application/x-www-form-urlencoded` (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>): the bodies of
//! the sign-in form and of the token endpoint. Names stand once (RFC 6749, 3.2); what is doubtful is refused.

use percent_encoding::percent_decode_str;

/// Most bytes of a body.
pub const LONGEST: usize = 16 * 1024;
const PARAMETERS: usize = 20;
/// The same for the forms of pages, which hold free text.
pub const LONGEST_OF_PAGE: usize = 128 * 1024;
const PARAMETERS_OF_PAGE: usize = 200;

/// The parameters of a form, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// None: too long, not UTF-8, a broken escape, or a name twice.
    pub fn parse(body: &[u8]) -> Option<Form> {
        Form::within(body, LONGEST, PARAMETERS)
    }

    /// The form of a page.
    pub fn of_page(body: &[u8]) -> Option<Form> {
        Form::within(body, LONGEST_OF_PAGE, PARAMETERS_OF_PAGE)
    }

    fn within(body: &[u8], longest: usize, parameters: usize) -> Option<Form> {
        if body.len() > longest {
            return None;
        }
        let body = std::str::from_utf8(body).ok()?;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in body.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.len() == parameters || pairs.iter().any(|(known, _)| *known == name) {
                return None;
            }
            pairs.push((name, value));
        }
        Some(Form(pairs))
    }

    /// A parameter without a value counts as absent (RFC 6749, 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// What was typed into a field, without the blanks around it; empty when there was nothing.
    pub fn typed(&self, name: &str) -> &str {
        self.get(name).map_or("", str::trim)
    }

    /// All names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// From names and values, each name once.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Form {
        Form(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// Undoes the encoding of one name or value.
pub fn decode(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    if !escapes.all(|rest| rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))) {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_strictly() {
        let check = |body: &str, name: &str, expected: Option<Option<&str>>| {
            let form = Form::parse(body.as_bytes());
            assert_eq!(form.as_ref().map(|form| form.get(name)), expected, "{body}");
        };
        check("grant_type=client_credentials&scope=system%2F*.*", "scope", Some(Some("system/*.*")));
        check("clave=a+b%2Bc%C3%B1", "clave", Some(Some("a b+cñ")));
        check("a=1&a=2", "a", None);
        check("a=1&%61=2", "a", None);
        check("a=&b", "a", Some(None));
        check("a=%zz", "a", None);
        check("a=%4", "a", None);
        check("a=%ff", "a", None);
        check("", "a", Some(None));
        assert!(Form::parse(&[b'a'; LONGEST + 1]).is_none());
        let many: Vec<String> = (0..21).map(|n| format!("p{n}=1")).collect();
        assert!(Form::parse(many.join("&").as_bytes()).is_none());
    }
}
