//! The XHTML of a narrative (<https://hl7.org/fhir/R4/narrative.html>): well-formed enough to be carried, nothing active.
//!
//! A plain scan: tags balance, no declarations, no elements or attributes that act. It does not decide what is safe to
//! show in a page: whoever shows a narrative sanitises it.

/// Elements inside each other.
const MAX_DEPTH: usize = 128;

/// Elements that the specification excludes (scripts, forms, frames, objects, document structure, external styles).
const FORBIDDEN: [&str; 21] = [
    "script", "style", "link", "base", "meta", "head", "body", "html", "title", "iframe", "frame", "frameset",
    "object", "embed", "applet", "form", "input", "button", "select", "textarea", "noscript",
];

/// The text of `Narrative.div`, or the rule that it breaks.
pub fn check(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    if !is_tag(text, "<div") {
        return Err("must be XHTML that starts with <div>");
    }
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if open.is_empty() && !(before.is_empty() && rest.len() == text.len()) {
            return Err("must be one XHTML div");
        }
        rest = one(tag, &mut open)?;
    }
    match (open.is_empty(), rest.trim().is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err("must be one XHTML div"),
        (false, _) => Err("must be well-formed XHTML: an element is not closed"),
    }
}

fn is_tag(text: &str, start: &str) -> bool {
    let next = text.strip_prefix(start).and_then(|rest| rest.bytes().next());
    matches!(next, Some(b' ' | b'\t' | b'\r' | b'\n' | b'>' | b'/'))
}

/// One tag or comment at the start of `text`; what follows it.
fn one<'a>(text: &'a str, open: &mut Vec<&'a str>) -> Result<&'a str, &'static str> {
    const ILL: &str = "must be well-formed XHTML";
    if let Some(comment) = text.strip_prefix("<!--") {
        return comment.split_once("-->").map(|(_, rest)| rest).ok_or(ILL);
    }
    if text.starts_with("<!") || text.starts_with("<?") {
        return Err("must hold no declarations and no processing instructions");
    }
    if let Some(end) = text.strip_prefix("</") {
        let (name, rest) = end.split_once('>').ok_or(ILL)?;
        return (open.pop() == Some(name.trim_ascii_end()))
            .then_some(rest)
            .ok_or("must be well-formed XHTML: tags do not match");
    }
    let body = text.strip_prefix('<').ok_or(ILL)?;
    let (name, mut rest) = name(body).ok_or(ILL)?;
    if FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden)) {
        return Err("must hold no scripts, forms, frames, objects or document elements");
    }
    loop {
        let spaced = rest.trim_ascii_start();
        if let Some(rest) = spaced.strip_prefix('>') {
            open.push(name);
            return if open.len() > MAX_DEPTH { Err("must not nest more than 128 elements") } else { Ok(rest) };
        }
        if let Some(rest) = spaced.strip_prefix("/>") {
            return Ok(rest);
        }
        if spaced.len() == rest.len() {
            return Err(ILL);
        }
        rest = attribute(spaced).ok_or(ILL)??;
    }
}

/// One attribute at the start of `text`; none when it is not well-formed.
fn attribute(text: &str) -> Option<Result<&str, &'static str>> {
    let (name, rest) = name(text)?;
    let value = rest.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, rest) = value.get(1..)?.split_once(quote)?;
    if value.contains('<') {
        return None;
    }
    if name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("on")) {
        return Some(Err("must hold no event attributes"));
    }
    let scheme: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(11).collect();
    if scheme.eq_ignore_ascii_case("javascript:") || scheme.to_ascii_lowercase().starts_with("vbscript:") {
        return Some(Err("must hold no script addresses"));
    }
    Some(Ok(rest))
}

fn name(text: &str) -> Option<(&str, &str)> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '-' | '_' | '.');
    let end = text.find(|c| !letters(c))?;
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    text.split_at_checked(end).filter(|(name, _)| starts && !name.is_empty())
}

/// Replaces the addresses of `href` and `src` for which `f` knows another; none when nothing changes.
pub fn rewrite_links(text: &str, f: &mut impl FnMut(&str) -> Option<String>) -> Option<String> {
    let mut out: Option<String> = None;
    let (mut rest, mut copied) = (text, 0);
    while let Some(at) = rest.find('=') {
        let (before, after) = (rest.get(..at)?, rest.get(at + 1..)?);
        rest = after;
        let attribute = before.trim_ascii_end();
        if !(attribute.ends_with("href") || attribute.ends_with("src")) {
            continue;
        }
        let value = after.trim_ascii_start();
        let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\'')) else { continue };
        let Some((address, following)) = value.get(1..).and_then(|value| value.split_once(quote)) else { continue };
        rest = following;
        if let Some(new) = f(address) {
            let start = text.len() - following.len() - 1 - address.len();
            let out = out.get_or_insert_with(String::new);
            out.push_str(text.get(copied..start)?);
            out.push_str(&new);
            copied = start + address.len();
        }
    }
    let mut out = out?;
    out.push_str(text.get(copied..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divs() {
        for good in [
            "<div>text</div>",
            "<div/>",
            " <div xmlns=\"http://www.w3.org/1999/xhtml\">a <b class='x'>b</b><br/><!-- <x> --><a href=\"#c\" >c</a></div>\n",
            "<div\n  xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &lt; b &amp; c</p ></div>",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let check = |text: &str, part: &str| {
            let rule = check(text).expect_err(text);
            assert!(rule.contains(part), "{text}: {rule}");
        };
        check("", "starts with <div>");
        check("text", "starts with <div>");
        check("<p>x</p>", "starts with <div>");
        check("<divx></divx>", "starts with <div>");
        check("<div>", "not closed");
        check("<div><p></div></p>", "do not match");
        check("<div></div><div></div>", "one XHTML div");
        check("<div></div>x", "one XHTML div");
        check("<div><p</div>", "well-formed");
        check("<div><br /", "well-formed");
        check("<div a=b></div>", "well-formed");
        check("<div a=\"b\"c=\"d\"></div>", "well-formed");
        check("<div>a < b</div>", "well-formed");
        check("<div><!-- x </div>", "well-formed");
        check("<!DOCTYPE x><div></div>", "starts with <div>");
        check("<div><!DOCTYPE x></div>", "declarations");
        check("<div><?php x?></div>", "declarations");
        check("<div><![CDATA[x]]></div>", "declarations");
        check("<div><SCRIPT>x</SCRIPT></div>", "no scripts");
        check("<div><iframe src=\"x\"/></div>", "no scripts");
        check("<div onClick='x()'></div>", "event");
        check("<div><a href=\"java\nscript:x\">y</a></div>", "script addresses");
        check(&format!("<div>{}</div>", "<b>".repeat(200)), "128");
    }

    #[test]
    fn links_are_replaced_in_place() {
        let mut f = |address: &str| (address == "urn:uuid:1").then(|| "Patient/7".to_owned());
        let text = "<div><a class=\"é\" href=\"urn:uuid:1\">x=1</a><img src = 'urn:uuid:1'/><a href=\"#y\">urn:uuid:1</a></div>";
        let expected =
            "<div><a class=\"é\" href=\"Patient/7\">x=1</a><img src = 'Patient/7'/><a href=\"#y\">urn:uuid:1</a></div>";
        assert_eq!(rewrite_links(text, &mut f).as_deref(), Some(expected));
        assert_eq!(rewrite_links("<div>a=b</div>", &mut f), None);
        assert_eq!(rewrite_links("href=", &mut f), None);
        assert_eq!(rewrite_links("href=\"x", &mut f), None);
    }
}
