//! The XHTML of a narrative as a part of an XML text (<https://hl7.org/fhir/R4/narrative.html>): whether it can be one.
//!
//! JSON carries it as a string, XML as elements: what is no well-formed element in the one namespace cannot be said in
//! both. The rules of its content (elements, attributes, addresses) are those of `fhir::narrative`.

use crate::fhir::format::XHTML;
use crate::fhir::format::token::{self, Tag, Token, Tokens};
use std::borrow::Cow;

/// Judges the text of `Narrative.div`; the rule that it breaks.
pub fn check(text: &str) -> Result<(), &'static str> {
    look(text).map(|_| ())
}

/// The div as it stands in an XML text: without white space around it, its namespace declared. Mostly that is the text itself.
pub fn in_xml(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let trimmed = trim(text);
    Ok(match look(text)? {
        None => Cow::Borrowed(trimmed),
        Some(at) => {
            let (start, rest) = trimmed.split_at_checked(at).unwrap_or((trimmed, ""));
            Cow::Owned(format!("{start} xmlns=\"{XHTML}\"{rest}"))
        }
    })
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
}

/// Judges a div; the byte after `<div` when it does not declare its namespace.
fn look(text: &str) -> Result<Option<usize>, &'static str> {
    if token::not_xml(text).is_some() {
        return Err("must hold no characters that XML does not have");
    }
    let mut tokens = Tokens::new(trim(text));
    let mut undeclared = None;
    let mut depth = 0_usize;
    let mut done = false;
    loop {
        match tokens.next().map_err(|_| "must be well-formed XHTML")? {
            Token::Open(_) if done => return Err("must be one XHTML div"),
            Token::Open(tag) => {
                if depth == 0 && tag.name != "div" && !tag.name.contains(':') {
                    return Err("must be one XHTML div");
                }
                if depth == 0 && !tag.attributes.iter().any(|(name, _)| *name == "xmlns") {
                    undeclared = Some(tag.start + "<div".len());
                }
                element(&tag)?;
                depth += 1;
            }
            Token::Close => {
                depth -= 1;
                done = depth == 0;
            }
            Token::Text(_) if depth == 0 => return Err("must be one XHTML div"),
            Token::Text(text) if text.contains("]]>") => return Err("must be well-formed XHTML"),
            Token::Text(text) => references(text)?,
            Token::End => return if done { Ok(undeclared) } else { Err("must be one XHTML div") },
        }
    }
}

fn element(tag: &Tag<'_>) -> Result<(), &'static str> {
    if tag.name.contains(':') {
        return Err("must hold no elements with a prefix");
    }
    for (name, value) in &tag.attributes {
        match name.split_once(':') {
            None if *name == "xmlns" && *value != XHTML => {
                return Err("must be in the namespace http://www.w3.org/1999/xhtml");
            }
            None | Some(("xml", _)) => {}
            Some(("xmlns", prefix)) if !prefix.starts_with("xml") && !value.is_empty() => {}
            Some(_) => return Err("must hold no attributes with a prefix"),
        }
        references(value)?;
    }
    Ok(())
}

/// Judges the references of a text: without a document type there are none of HTML.
fn references(text: &str) -> Result<(), &'static str> {
    let good = |after: &str| token::reference(after).is_some();
    let all = text.split('&').skip(1).all(good);
    if all { Ok(()) } else { Err("must hold no entities but those of XML: a number instead, as &#160;") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_div_as_it_stands_in_xml() {
        let check = |text: &str, expected: &str| assert_eq!(in_xml(text).as_deref(), Ok(expected), "{text}");
        let same = "<div xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang='es'>\r\n <b>a</b> <i>b</i><br/>&#160;&lt;<!-- x --></div>";
        check(same, same);
        check(&format!("\n{same} "), same);
        check("<div>a</div>", "<div xmlns=\"http://www.w3.org/1999/xhtml\">a</div>");
        check("<div\n class='x'/>", "<div xmlns=\"http://www.w3.org/1999/xhtml\"\n class='x'/>");
    }

    #[test]
    fn what_xml_cannot_say() {
        for bad in [
            "",
            "a",
            "<p/>",
            "<div>",
            "<div/>a",
            "<div/><div/>",
            "<div>&</div>",
            "<div>&nada;</div>",
            "<div>&nbsp;</div>",
            "<div title='&eacute;'/>",
            "<div>&#0;</div>",
            "<div a='&'/>",
            "<div a='1' a='2'/>",
            "<div a=1/>",
            "<div>]]></div>",
            "<div><![CDATA[x]]></div>",
            "<div><!-- a -- b --></div>",
            "<div>\u{1}</div>",
            "<div xmlns='http://hl7.org/fhir'/>",
            "<div xmlns=''/>",
            "<div><b xmlns='urn:x'/></div>",
            "<h:div xmlns:h='http://www.w3.org/1999/xhtml'/>",
            "<div><svg:svg/></div>",
            "<div xlink:href='x'/>",
            "<div xmlns:xml='x'/>",
            "<div><b></div></b>",
            "<?xml version='1.0'?><div/>",
            "<!DOCTYPE div><div/>",
        ] {
            assert!(in_xml(bad).is_err(), "{bad}");
        }
    }
}
