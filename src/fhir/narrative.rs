//! The XHTML of a narrative (<https://hl7.org/fhir/R4/narrative.html>): well-formed, and nothing but what it may hold.
//!
//! A plain scan by the lists of the invariant txt-1: only these elements and attributes, only addresses and styles that
//! load and run nothing. What is not allowed is refused, never taken out: a narrative is stored to the byte. An error is
//! the key of the rule that is broken (`fhir::rule`).

/// Elements inside each other.
const MAX_DEPTH: usize = 128;
/// Attributes of one element: more than there are names of them.
const MAX_ATTRIBUTES: usize = 64;

/// The elements of txt-1.
const ELEMENTS: [&str; 48] = [
    "a",
    "abbr",
    "acronym",
    "b",
    "big",
    "blockquote",
    "br",
    "caption",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "q",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "ul",
    "var",
];

/// The attributes of txt-1.
const ATTRIBUTES: [&str; 51] = [
    "abbr",
    "accesskey",
    "align",
    "alt",
    "axis",
    "bgcolor",
    "border",
    "cellhalign",
    "cellpadding",
    "cellspacing",
    "cellvalign",
    "char",
    "charoff",
    "charset",
    "cite",
    "class",
    "colspan",
    "compact",
    "coords",
    "dir",
    "frame",
    "headers",
    "height",
    "href",
    "hreflang",
    "hspace",
    "id",
    "lang",
    "longdesc",
    "name",
    "nowrap",
    "rel",
    "rev",
    "rowspan",
    "rules",
    "scope",
    "shape",
    "span",
    "src",
    "start",
    "style",
    "summary",
    "tabindex",
    "title",
    "type",
    "valign",
    "value",
    "vspace",
    "width",
    // Not in the list, and in most narratives that tools make: they are XML's own.
    "xml:lang",
    "xml:space",
];

const NAMESPACE: &str = "http://www.w3.org/1999/xhtml";

/// Schemes that a narrative may point at; what has none is relative.
const SCHEMES: [&str; 8] = ["http", "https", "mailto", "tel", "ftp", "ftps", "urn", "cid"];

/// What a style must not say, when white space is taken out: it would load something, or run it in some browser.
const STYLES: [&str; 6] = ["\\", "expression(", "behavior:", "-moz-binding", "@import", "javascript:"];

type Step<T> = Result<T, &'static str>;

const ILL: &str = "rule.xhtml_ill";

/// The text of `Narrative.div`, or the rule that it breaks.
pub fn check(text: &str) -> Step<()> {
    let text = text.trim_ascii();
    if !is_tag(text, "<div") {
        return Err("rule.xhtml_div");
    }
    let mut open: Vec<&str> = Vec::new();
    let (mut rest, mut has_content) = (text, false);
    while let Some(at) = rest.find('<') {
        let (before, tag) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if open.is_empty() && !(before.is_empty() && rest.len() == text.len()) {
            return Err("rule.xhtml_one");
        }
        characters(before)?;
        has_content |= !before.trim_ascii().is_empty() || is_tag(tag, "<img");
        rest = one(tag, &mut open)?;
    }
    match (open.is_empty(), rest.is_empty()) {
        (true, true) if has_content => Ok(()),
        (true, true) => Err("rule.xhtml_content"),
        (true, false) => Err("rule.xhtml_one"),
        (false, _) => Err("rule.xhtml_closed"),
    }
}

fn is_tag(text: &str, start: &str) -> bool {
    let next = text.strip_prefix(start).and_then(|rest| rest.bytes().next());
    matches!(next, Some(b' ' | b'\t' | b'\r' | b'\n' | b'>' | b'/'))
}

/// Characters of XML, and no entities but its own: nothing declares those of HTML.
fn characters(text: &str) -> Step<()> {
    if !text.chars().all(is_character) || text.contains("]]>") {
        return Err(ILL);
    }
    text.split('&').skip(1).try_for_each(|after| entity(after).map(drop).ok_or("rule.xhtml_entity"))
}

/// Character of XML 1.0 (<https://www.w3.org/TR/xml/#NT-Char>).
fn is_character(c: char) -> bool {
    c >= ' ' && !matches!(c, '\u{FFFE}' | '\u{FFFF}') || matches!(c, '\t' | '\r' | '\n')
}

/// The character of an entity and what follows it; `after` its ampersand.
fn entity(after: &str) -> Option<(char, &str)> {
    let (name, rest) = after.split_once(';')?;
    let code = |digits: &str, radix| {
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| plain)?).filter(|c| is_character(*c))
    };
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(digits), _) => code(digits, 16)?,
            (None, Some(digits)) => code(digits, 10)?,
            (None, None) => return None,
        },
    };
    Some((character, rest))
}

/// What a browser reads in an attribute: entities replaced.
fn decoded(text: &str) -> String {
    let mut parts = text.split('&');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match entity(part) {
            Some((character, rest)) => {
                out.push(character);
                out.push_str(rest);
            }
            None => {
                out.push('&');
                out.push_str(part);
            }
        }
    }
    out
}

/// One tag or comment at the start of `text`; what follows it.
fn one<'a>(text: &'a str, open: &mut Vec<&'a str>) -> Step<&'a str> {
    if let Some(comment) = text.strip_prefix("<!--") {
        let (inside, rest) = comment.split_once("--").ok_or(ILL)?;
        return rest.strip_prefix('>').filter(|_| inside.chars().all(is_character)).ok_or(ILL);
    }
    if text.starts_with("<!") || text.starts_with("<?") {
        return Err("rule.xhtml_declaration");
    }
    if let Some(end) = text.strip_prefix("</") {
        let (name, rest) = end.split_once('>').ok_or(ILL)?;
        return (open.pop() == Some(name.trim_ascii_end())).then_some(rest).ok_or("rule.xhtml_match");
    }
    let body = text.strip_prefix('<').ok_or(ILL)?;
    let (name, mut rest) = name(body).ok_or(ILL)?;
    if !ELEMENTS.contains(&name) {
        return Err("rule.xhtml_element");
    }
    let mut attributes: Vec<&str> = Vec::new();
    loop {
        let spaced = rest.trim_ascii_start();
        if let Some(rest) = spaced.strip_prefix('>') {
            open.push(name);
            return if open.len() > MAX_DEPTH { Err("rule.xhtml_deep") } else { Ok(rest) };
        }
        if let Some(rest) = spaced.strip_prefix("/>") {
            return Ok(rest);
        }
        if spaced.len() == rest.len() {
            return Err(ILL);
        }
        let (attribute, following) = attribute(name, spaced)?;
        if attributes.contains(&attribute) || attributes.len() >= MAX_ATTRIBUTES {
            return Err(ILL);
        }
        attributes.push(attribute);
        rest = following;
    }
}

/// One attribute at the start of `text`: its name, and what follows it.
fn attribute<'a>(element: &str, text: &'a str) -> Step<(&'a str, &'a str)> {
    let (name, rest) = name(text).ok_or(ILL)?;
    let value = rest.trim_ascii_start().strip_prefix('=').ok_or(ILL)?.trim_ascii_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or(ILL)?;
    let (value, rest) = value.get(1..).and_then(|value| value.split_once(quote)).ok_or(ILL)?;
    if value.contains('<') {
        return Err(ILL);
    }
    characters(value)?;
    match name {
        "xmlns" if value == NAMESPACE => {}
        "xmlns" => return Err("rule.xhtml_namespace"),
        _ if !ATTRIBUTES.contains(&name) => return Err("rule.xhtml_attribute"),
        "href" | "src" | "cite" | "longdesc" if !is_address(value, name == "src" && element == "img") => {
            return Err("rule.xhtml_address");
        }
        "style" if !is_style(value) => return Err("rule.xhtml_style"),
        _ => {}
    }
    Ok((name, rest))
}

/// What a browser makes of a text before it looks at it: entities replaced, white space and controls out, lower case.
fn bare(value: &str) -> String {
    decoded(value).chars().filter(|c| !c.is_whitespace() && !c.is_control()).flat_map(char::to_lowercase).collect()
}

fn is_address(value: &str, of_image: bool) -> bool {
    let text = bare(value);
    let Some((scheme, rest)) = text.split_once(':') else { return true };
    // Behind the first of these a colon is part of a path.
    if scheme.contains(['/', '?', '#']) {
        return true;
    }
    SCHEMES.contains(&scheme) || (of_image && scheme == "data" && is_image(rest))
}

/// A picture as data; SVG can hold scripts.
fn is_image(data: &str) -> bool {
    ["image/png", "image/jpeg", "image/jpg", "image/gif", "image/bmp", "image/webp"]
        .iter()
        .any(|kind| data.strip_prefix(kind).is_some_and(|rest| rest.starts_with([';', ','])))
}

fn is_style(value: &str) -> bool {
    let text = bare(value);
    let loads = |after: &str| !after.trim_start_matches(['"', '\'']).strip_prefix("data:").is_some_and(is_image);
    !STYLES.iter().any(|style| text.contains(style)) && !text.contains("/*") && !text.split("url(").skip(1).any(loads)
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
            "<div><img src=\"a.png\" alt=\"\"/></div>",
            " <div xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"es\">a <b class='x'>b</b><br/><!-- <x> --><a href=\"#c\" >c</a></div>\n",
            "<div\n  xmlns=\"http://www.w3.org/1999/xhtml\"><p>a &lt; b &amp; c &#160;&#xE9;</p ></div>",
            "<div><a href=\"Patient/1\">x</a><a href=\"mailto:a@b.c\">x</a><a href=\"a/b:c\">x</a><a name=\"x\"/></div>",
            "<div style=\"color: red; background: url(data: image/png;base64,AA==)\">x</div>",
            "<div><img src=\"data:image/png;base64,iVBO\"/></div>",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let check =
            |text: &str, rule: &str| assert_eq!(check(text).expect_err(text), format!("rule.xhtml_{rule}"), "{text}");
        check("", "div");
        check("text", "div");
        check("<p>x</p>", "div");
        check("<divx></divx>", "div");
        check("<div>", "closed");
        check("<div/>", "content");
        check("<div> <p>\n</p><!-- x --></div>", "content");
        check("<div><p></div></p>", "match");
        check("<div>x</div><div>x</div>", "one");
        check("<div>x</div>x", "one");
        check("<div><p</div>", "ill");
        check("<div><br /", "ill");
        check("<div lang=b></div>", "ill");
        check("<div lang=\"b\"class=\"d\"></div>", "ill");
        check("<div lang=\"b\" lang=\"b\"></div>", "ill");
        check("<div>a < b</div>", "ill");
        check("<div>a ]]> b</div>", "ill");
        check("<div>a \u{1} b</div>", "ill");
        check("<div><!-- x </div>", "ill");
        check("<div><!-- x -- y --></div>", "ill");
        check("<div>a & b</div>", "entity");
        check("<div>a&nbsp;b</div>", "entity");
        check("<div title=\"&copy;\">b</div>", "entity");
        check("<div>&#0;&#xD800;</div>", "entity");
        check("<div>&#+65;</div>", "entity");
        check("<!DOCTYPE x><div></div>", "div");
        check("<div><!DOCTYPE x></div>", "declaration");
        check("<div><?php x?></div>", "declaration");
        check("<div><![CDATA[x]]></div>", "declaration");
        check(&format!("<div>{}</div>", "<b>".repeat(200)), "deep");
        check("<div xmlns=\"http://www.w3.org/2000/svg\">x</div>", "namespace");
    }

    #[test]
    fn what_acts_is_refused() {
        let check = |inside: &str, rule: &str| {
            let text = format!("<div>{inside}</div>");
            assert_eq!(check(&text).expect_err(&text), format!("rule.xhtml_{rule}"), "{text}");
        };
        for element in [
            "script", "SCRIPT", "iframe", "form", "object", "embed", "style", "link", "base", "meta", "svg", "math",
            "template", "noscript", "textarea", "title", "x:script", "video", "button", "select", "font", "center",
        ] {
            check(&format!("<{element}>x</{element}>"), "element");
        }
        for attribute in [
            "onclick",
            "onClick",
            "ONLOAD",
            "formaction",
            "srcdoc",
            "action",
            "xlink:href",
            "xmlns:x",
            "background",
            "dynsrc",
            "http-equiv",
            "target",
            "srcset",
            "ping",
        ] {
            check(&format!("<p {attribute}=\"x\">y</p>"), "attribute");
        }
        for address in [
            "javascript:x",
            "java\nscript:x",
            "JaVaScRiPt:x",
            "&#106;avascript:x",
            "&#x6A;avascript:x",
            "jav&#x09;ascript:x",
            " javascript:x",
            "vbscript:x",
            "data:text/html,x",
            "data:image/png;base64,AA",
            "file:///etc/passwd",
            "blob:x",
            "javascript&#58;x",
            "&#1;javascript:x",
        ] {
            let rule = if address.starts_with("&#1;") { "entity" } else { "address" };
            check(&format!("<a href=\"{address}\">y</a>"), rule);
        }
        check("<img src=\"data:image/svg+xml,x\"/>", "address");
        check("<img src=\"javascript:x\"/>", "address");
        check("<q cite=\"javascript:x\">y</q>", "address");
        for style in [
            "background:url(http://a/b)",
            "background:URL( 'x' )",
            "width:expression(x)",
            "behavior:url(x)",
            "-moz-binding:x",
            "@import 'x'",
            "background:u\\72l(x)",
            "background:ur/**/l(x)",
            "background:url(data:text/html,x)",
            "background:u&#114;l(x)",
        ] {
            check(&format!("<p style=\"{style}\">y</p>"), "style");
        }
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
