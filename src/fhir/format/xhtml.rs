//! The XHTML of a narrative as a part of an XML text (<https://hl7.org/fhir/R4/narrative.html>): whether it can be one.
//!
//! JSON carries it as a string, XML as elements: what is no well-formed element in the one namespace cannot be said in
//! both. The rules of its content (elements, attributes, addresses) are those of `fhir::narrative`.

use crate::fhir::format::token::{self, Tag, Token, Tokens};
use crate::fhir::format::{FHIR, XHTML};
use std::borrow::Cow;

/// Judges the text of `Narrative.div`; the rule that it breaks.
pub fn check(text: &str) -> Result<(), &'static str> {
    look(text).map(|_| ())
}

/// Judges a div that stands in an XML text, where HTML has no say.
pub(super) fn check_xml(text: &str) -> Result<(), &'static str> {
    match look(text)?.entities {
        true => Err("must hold no entities but those of XML: a number instead, as &#160;"),
        false => Ok(()),
    }
}

/// What an XML text needs beside the div as it stands.
struct Look {
    /// Byte after `<div`, when the div does not declare its namespace.
    undeclared: Option<usize>,
    /// Whether there are entities of HTML, which XML does not know.
    entities: bool,
}

/// The div as it stands in an XML text: without white space around it, its namespace declared, the entities of HTML as
/// numbers. Mostly that is the text itself.
pub fn in_xml(text: &str) -> Result<Cow<'_, str>, &'static str> {
    let look = look(text)?;
    let trimmed = trim(text);
    if look.undeclared.is_none() && !look.entities {
        return Ok(Cow::Borrowed(trimmed));
    }
    let mut rest = trimmed;
    let mut out = String::with_capacity(trimmed.len() + 64);
    if let Some((start, after)) = look.undeclared.and_then(|at| trimmed.split_at_checked(at)) {
        out.push_str(start);
        out.push_str(" xmlns=\"");
        out.push_str(XHTML);
        out.push('"');
        rest = after;
    }
    while let Some(at) = rest.find('&') {
        let (before, after) = rest.split_at_checked(at + 1).unwrap_or((rest, ""));
        out.push_str(before);
        rest = after;
        if let Some((code, length)) = entity(after).filter(|_| token::reference(after).is_none()) {
            out.push_str(&format!("#{code};"));
            rest = after.get(length..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
}

fn look(text: &str) -> Result<Look, &'static str> {
    if token::not_xml(text).is_some() {
        return Err("must hold no characters that XML does not have");
    }
    let mut look = Look { undeclared: None, entities: false };
    let mut tokens = Tokens::new(trim(text));
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
                    look.undeclared = Some(tag.start + "<div".len());
                }
                element(&tag, depth, &mut look)?;
                depth += 1;
            }
            Token::Close => {
                depth -= 1;
                done = depth == 0;
            }
            Token::Text(_) if depth == 0 => return Err("must be one XHTML div"),
            Token::Text(text) if text.contains("]]>") => return Err("must be well-formed XHTML"),
            Token::Text(text) => references(text, &mut look)?,
            Token::End => return if done { Ok(look) } else { Err("must be one XHTML div") },
        }
    }
}

fn element(tag: &Tag<'_>, depth: usize, look: &mut Look) -> Result<(), &'static str> {
    if tag.name.contains(':') {
        return Err("must hold no elements with a prefix");
    }
    for (name, value) in &tag.attributes {
        match name.split_once(':') {
            None if *name == "xmlns" && *value != XHTML => {
                return Err(if depth == 0 || *value == FHIR {
                    "must be in the namespace http://www.w3.org/1999/xhtml"
                } else {
                    "must hold no elements of other namespaces"
                });
            }
            None | Some(("xml", _)) => {}
            Some(("xmlns", prefix)) if !prefix.starts_with("xml") && !value.is_empty() => {}
            Some(_) => return Err("must hold no attributes with a prefix"),
        }
        references(value, look)?;
    }
    Ok(())
}

/// Judges the references of a text.
fn references(text: &str, look: &mut Look) -> Result<(), &'static str> {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        rest = rest.get(at + 1..).unwrap_or_default();
        if token::reference(rest).is_none() {
            entity(rest).ok_or("must hold no entities but those of XML and HTML 4")?;
            look.entities = true;
        }
    }
    Ok(())
}

/// An entity of HTML 4 at the start of `text`, after its `&`: its code, and its length with the semicolon.
fn entity(text: &str) -> Option<(&'static str, usize)> {
    let end = text.bytes().take(16).position(|b| b == b';')?;
    let name = text.get(..end)?;
    let mut known = ENTITIES.split(' ').filter_map(|word| word.split_once('='));
    known.find(|(known, _)| *known == name).map(|(_, code)| (code, end + 1))
}

/// The character entities of HTML 4 (<https://www.w3.org/TR/html401/sgml/entities.html>) that XML does not have.
const ENTITIES: &str = "AElig=198 Aacute=193 Acirc=194 Agrave=192 Alpha=913 Aring=197 Atilde=195 Auml=196 Beta=914 Ccedil=199 \
    Chi=935 Dagger=8225 Delta=916 ETH=208 Eacute=201 Ecirc=202 Egrave=200 Epsilon=917 Eta=919 Euml=203 \
    Gamma=915 Iacute=205 Icirc=206 Igrave=204 Iota=921 Iuml=207 Kappa=922 Lambda=923 Mu=924 Ntilde=209 Nu=925 \
    OElig=338 Oacute=211 Ocirc=212 Ograve=210 Omega=937 Omicron=927 Oslash=216 Otilde=213 Ouml=214 Phi=934 \
    Pi=928 Prime=8243 Psi=936 Rho=929 Scaron=352 Sigma=931 THORN=222 Tau=932 Theta=920 Uacute=218 Ucirc=219 \
    Ugrave=217 Upsilon=933 Uuml=220 Xi=926 Yacute=221 Yuml=376 Zeta=918 aacute=225 acirc=226 acute=180 \
    aelig=230 agrave=224 alefsym=8501 alpha=945 and=8743 ang=8736 aring=229 asymp=8776 atilde=227 auml=228 \
    bdquo=8222 beta=946 brvbar=166 bull=8226 cap=8745 ccedil=231 cedil=184 cent=162 chi=967 circ=710 clubs=9827 \
    cong=8773 copy=169 crarr=8629 cup=8746 curren=164 dArr=8659 dagger=8224 darr=8595 deg=176 delta=948 \
    diams=9830 divide=247 eacute=233 ecirc=234 egrave=232 empty=8709 emsp=8195 ensp=8194 epsilon=949 equiv=8801 \
    eta=951 eth=240 euml=235 euro=8364 exist=8707 fnof=402 forall=8704 frac12=189 frac14=188 frac34=190 \
    frasl=8260 gamma=947 ge=8805 hArr=8660 harr=8596 hearts=9829 hellip=8230 iacute=237 icirc=238 iexcl=161 \
    igrave=236 image=8465 infin=8734 int=8747 iota=953 iquest=191 isin=8712 iuml=239 kappa=954 lArr=8656 \
    lambda=955 lang=9001 laquo=171 larr=8592 lceil=8968 ldquo=8220 le=8804 lfloor=8970 lowast=8727 loz=9674 \
    lrm=8206 lsaquo=8249 lsquo=8216 macr=175 mdash=8212 micro=181 middot=183 minus=8722 mu=956 nabla=8711 \
    nbsp=160 ndash=8211 ne=8800 ni=8715 not=172 notin=8713 nsub=8836 ntilde=241 nu=957 oacute=243 ocirc=244 \
    oelig=339 ograve=242 oline=8254 omega=969 omicron=959 oplus=8853 or=8744 ordf=170 ordm=186 oslash=248 \
    otilde=245 otimes=8855 ouml=246 para=182 part=8706 permil=8240 perp=8869 phi=966 pi=960 piv=982 plusmn=177 \
    pound=163 prime=8242 prod=8719 prop=8733 psi=968 rArr=8658 radic=8730 rang=9002 raquo=187 rarr=8594 \
    rceil=8969 rdquo=8221 real=8476 reg=174 rfloor=8971 rho=961 rlm=8207 rsaquo=8250 rsquo=8217 sbquo=8218 \
    scaron=353 sdot=8901 sect=167 shy=173 sigma=963 sigmaf=962 sim=8764 spades=9824 sub=8834 sube=8838 sum=8721 \
    sup=8835 sup1=185 sup2=178 sup3=179 supe=8839 szlig=223 tau=964 there4=8756 theta=952 thetasym=977 \
    thinsp=8201 thorn=254 tilde=732 times=215 trade=8482 uArr=8657 uacute=250 uarr=8593 ucirc=251 ugrave=249 \
    uml=168 upsih=978 upsilon=965 uuml=252 weierp=8472 xi=958 yacute=253 yen=165 yuml=255 zeta=950 zwj=8205 \
    zwnj=8204";

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
        check(
            "<div title=\"&eacute;\">a&nbsp;&amp;nbsp;&zwnj;</div>",
            "<div xmlns=\"http://www.w3.org/1999/xhtml\" title=\"&#233;\">a&#160;&amp;nbsp;&#8204;</div>",
        );
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

    #[test]
    fn entities_of_html_are_known() {
        assert_eq!(ENTITIES.split(' ').count(), 248);
        assert_eq!(entity("nbsp; x"), Some(("160", 5)));
        assert_eq!(entity("Yuml;"), Some(("376", 5)));
        assert_eq!(entity("nbsp"), None);
    }
}
