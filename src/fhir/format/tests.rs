//! XML in and out, on resources of our own with everything odd that FHIR has; the official examples are in `tests/it`.

use super::*;
use crate::fhir::format::{parse_json, to_xml};
use crate::fhir::validate::validate;

fn read(xml: &str) -> Result<Value> {
    parse_xml(xml.as_bytes(), &Limits::default())
}

fn written(json: &str) -> String {
    String::from_utf8(to_xml(json.as_bytes(), false).unwrap()).unwrap()
}

/// A patient in both formats, member for member in the order of the specification.
const JSON: &str = r##"{"resourceType":"Patient","id":"p-1","meta":{"versionId":"1","lastUpdated":"2026-11-24T08:31:11.123Z","tag":[{"system":"urn:x","code":"a&b"}]},"implicitRules":"urn:y","language":"es","_language":{"id":"l1"},"text":{"id":"t","status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">\n a <b>b</b> <i class='x'>ñ &lt; &#160;</i><br/><!-- c -->\r\n</div>"},"contained":[{"resourceType":"Organization","id":"o","name":"A \"B\" <C>"},{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"aGk="}],"extension":[{"id":"e1","url":"urn:e?a=1&b=2","valueDecimal":1.10},{"extension":[{"url":"i","valueBoolean":true},{"url":"q","valueQuantity":{"value":1.0E2}}],"url":"urn:nested"},{"url":"urn:none","_valueString":{"extension":[{"url":"urn:absent","valueCode":"unknown"}]}},{"url":"urn:b","valueReference":{"reference":"#b"}}],"modifierExtension":[{"url":"urn:m","valueInteger":-0}],"active":true,"name":[{"id":"n1","family":"Gómez  de\n\tla\r Ñ 😀","_family":{"id":"f","extension":[{"url":"urn:own","valueString":"Gómez"}]},"given":["Ana",null,"Lía"],"_given":[null,{"extension":[{"url":"urn:absent","valueCode":"masked"}]},{"id":"g3"}]}],"gender":"female","_birthDate":{"extension":[{"url":"urn:bt","valueDateTime":"1970-01-02T03:04:05.60-05:00"}]},"deceasedBoolean":false,"multipleBirthInteger":2,"photo":[{"data":"aGk=","title":"' \u007f"}],"contact":[{"name":{"_text":{"id":"only"}},"gender":"other"}],"managingOrganization":{"reference":"#o"},"link":[{"other":{"reference":"#"},"type":"seealso"}]}"##;

const XML: &str = concat!(
    r##"<?xml version="1.0" encoding="UTF-8"?>"##,
    "\n",
    r##"<Patient xmlns="http://hl7.org/fhir"><id value="p-1"/><meta><versionId value="1"/><lastUpdated value="2026-11-24T08:31:11.123Z"/><tag><system value="urn:x"/><code value="a&amp;b"/></tag></meta><implicitRules value="urn:y"/><language value="es" id="l1"/><text id="t"><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">"##,
    "\n a <b>b</b> <i class='x'>ñ &lt; &#160;</i><br/><!-- c -->\r\n</div></text>",
    r##"<contained><Organization><id value="o"/><name value="A &quot;B&quot; &lt;C&gt;"/></Organization></contained><contained><Binary><id value="b"/><contentType value="text/plain"/><data value="aGk="/></Binary></contained><extension id="e1" url="urn:e?a=1&amp;b=2"><valueDecimal value="1.10"/></extension><extension url="urn:nested"><extension url="i"><valueBoolean value="true"/></extension><extension url="q"><valueQuantity><value value="1.0E2"/></valueQuantity></extension></extension><extension url="urn:none"><valueString><extension url="urn:absent"><valueCode value="unknown"/></extension></valueString></extension><extension url="urn:b"><valueReference><reference value="#b"/></valueReference></extension><modifierExtension url="urn:m"><valueInteger value="-0"/></modifierExtension><active value="true"/><name id="n1"><family value="Gómez  de&#10;&#9;la&#13; Ñ 😀" id="f"><extension url="urn:own"><valueString value="Gómez"/></extension></family><given value="Ana"/><given><extension url="urn:absent"><valueCode value="masked"/></extension></given><given value="Lía" id="g3"/></name><gender value="female"/><birthDate><extension url="urn:bt"><valueDateTime value="1970-01-02T03:04:05.60-05:00"/></extension></birthDate><deceasedBoolean value="false"/><multipleBirthInteger value="2"/><photo><data value="aGk="/><title value="' "##,
    "\u{7f}",
    r##""/></photo><contact><name><text id="only"/></name><gender value="other"/></contact><managingOrganization><reference value="#o"/></managingOrganization><link><other><reference value="#"/></other><type value="seealso"/></link></Patient>"##
);

#[test]
fn everything_odd_is_said_in_both() {
    // A text with an id and nothing else is refused on its way in, and so left out here.
    let json = JSON.replace(r#""name":{"_text":{"id":"only"}},"gender""#, r#""gender""#);
    let xml = XML.replace(r#"<name><text id="only"/></name>"#, "");
    assert_eq!(written(&json), xml);
    let value = read(&xml).unwrap();
    assert_eq!(value.to_string(), parse_json(json.as_bytes(), &Limits::default()).unwrap().to_string());
    assert_eq!(written(JSON), XML);
    let error = read(XML).unwrap_err().to_string();
    assert!(error.starts_with("Patient.contact[0].name.text: must have a value or extensions"), "{error}");
    let issues = validate(r4(), ResourceType::parse("Patient").unwrap(), &value, 1 << 20);
    assert!(issues.is_empty(), "{issues:?}");
}

#[test]
fn members_of_any_order_become_elements_in_order_and_lines_change_nothing() {
    let mixed = r#"{"name":[{"given":["A"],"family":"B"}],"_active":{"id":"x"},"active":true,"id":"1","resourceType":"Patient","meta":{"versionId":"1"}}"#;
    let expected = r#"<Patient xmlns="http://hl7.org/fhir"><id value="1"/><meta><versionId value="1"/></meta><active value="true" id="x"/><name><family value="B"/><given value="A"/></name></Patient>"#;
    assert_eq!(written(mixed).lines().last(), Some(expected));
    let pretty = String::from_utf8(to_xml(mixed.as_bytes(), true).unwrap()).unwrap();
    assert_eq!(pretty.lines().count(), 12, "{pretty}");
    assert_eq!(read(&pretty).unwrap(), read(expected).unwrap());
    let narrative = r#"{"resourceType":"Basic","text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"> <b>a</b> <i>b</i> </div>"}}"#;
    let pretty = String::from_utf8(to_xml(narrative.as_bytes(), true).unwrap()).unwrap();
    assert!(pretty.contains(r#"<div xmlns="http://www.w3.org/1999/xhtml"> <b>a</b> <i>b</i> </div>"#), "{pretty}");
    assert_eq!(read(&pretty).unwrap().to_string(), narrative);
}

#[test]
fn resources_inside_resources() {
    let json = r#"{"resourceType":"Bundle","type":"searchset","link":[{"relation":"self","url":"http://h/?a=1&b=2"}],"entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Patient","text":{"status":"empty","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\"/>"}},"response":{"status":"201","outcome":{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational"}]}}},{"resource":{"resourceType":"Parameters","parameter":[{"name":"a","resource":{"resourceType":"Binary","contentType":"a/b"}},{"name":"b","part":[{"name":"c","valueDate":"2026"}]}]}}]}"#;
    let xml = written(json);
    assert!(xml.contains(r#"<entry><resource><Parameters><parameter><name value="a"/><resource><Binary>"#), "{xml}");
    assert_eq!(xml.matches("xmlns=\"http://hl7.org/fhir\"").count(), 1);
    assert_eq!(read(&xml).unwrap().to_string(), json);
}

#[test]
fn other_spellings_of_the_same() {
    let plain = read(r#"<Patient xmlns="http://hl7.org/fhir"><active value="true"/></Patient>"#).unwrap();
    for same in [
        "\u{FEFF}<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n<!-- a --><Patient xmlns='http://hl7.org/fhir'\n ><!-- b --><active value = \"tr&#x75;e\"></active >\n</Patient>\n<!-- c -->",
        r#"<f:Patient xmlns:f="http://hl7.org/fhir"><f:active value="true"/></f:Patient>"#,
        r#"<Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="http://hl7.org/fhir ../fhir.xsd"><active value="true"/></Patient>"#,
        r#"<Patient xmlns="http://hl7.org/fhir"><x:active xmlns:x="http://hl7.org/fhir" value="true"/></Patient>"#,
    ] {
        assert_eq!(read(same).unwrap(), plain, "{same}");
    }
    let inherited = r#"<f:Basic xmlns:f="http://hl7.org/fhir" xmlns="http://www.w3.org/1999/xhtml"><f:text><f:status value="empty"/><div>x</div></f:text></f:Basic>"#;
    assert_eq!(read(inherited).unwrap()["text"]["div"], "<div>x</div>");
    let breaks = read("<Patient xmlns='http://hl7.org/fhir'><name><family value='a\r\nb\tc&#xA;d'/></name></Patient>");
    assert_eq!(breaks.unwrap()["name"][0]["family"], "a b c\nd");
}

fn refused(inner: &str, expected: &str) {
    let error =
        read(&format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>")).expect_err(inner).to_string();
    assert!(error.starts_with(expected), "{inner}: {error}");
}

#[test]
fn refused_with_its_place() {
    refused("<nada value='1'/>", "Patient.nada: is not an element of Patient (line 1, column 38)");
    refused("<active value='true' x='1'/>", "Patient.active.x: is not an attribute of boolean");
    refused("<name value='x'/>", "Patient.name[0].value: is not an attribute of HumanName");
    refused("<name><id value='x'/></name>", "Patient.name[0].id: is an attribute in XML");
    refused("<active value='true'/><active value='true'/>", "Patient.active: must not stand twice");
    refused("<gender value='male'/><active value='true'/>", "Patient.active: must stand before gender");
    refused("<name/><gender value='male'/><name/>", "Patient.name: must stand before gender");
    refused(
        "<deceasedBoolean value='true'/><deceasedDateTime value='2026'/>",
        "Patient.deceased: must have one type only",
    );
    refused("<active/>", "Patient.active: must have a value or extensions");
    refused("<active value='TRUE'/>", "Patient.active: must be true or false");
    refused("<multipleBirthInteger value='+1'/>", "Patient.multipleBirth: must be a number");
    refused("<multipleBirthInteger value=' 1'/>", "Patient.multipleBirth: must be a number");
    refused("text", "Patient: must hold no text");
    refused("&#32;", "Patient: must hold no text");
    refused("<contact><name>x</name></contact>", "Patient.contact[0].name: must hold no text");
    refused("<contained/>", "Patient.contained[0]: must hold a resource");
    refused("<contained><Nada/></contained>", "Patient.contained[0]: the name is that of no resource type");
    refused("<contained><Basic/><Basic/></contained>", "Patient.contained[0]: must hold one resource only");
    refused(
        "<contained><Basic xmlns='urn:x'/></contained>",
        "Patient.contained[0]: a resource must be in the namespace",
    );
    refused("<active xmlns='urn:x' value='true'/>", "Patient.active: must be in the namespace http://hl7.org/fhir");
    refused("<x:active value='true'/>", "Patient: the prefix of a name is not declared");
    refused("<active xml:lang='es' value='true'/>", "Patient.active.?: is not an attribute");
    refused("<active value='&nbsp;'/>", "Patient.active: an entity that is not one of amp");
    refused("<active value='a' value='b'/>", "Patient: an attribute stands twice");
    refused("<active value='a'value2='b'/>", "Patient: white space is expected");
    refused("<active value=true/>", "Patient: the value of an attribute must be in quotes");
    refused("<active value='<'/>", "Patient: the value of an attribute must not hold <");
    refused("<name></nam>", "Patient.name[0]: the end tag does not match");
    refused("<![CDATA[x]]>", "Patient: CDATA sections are refused");
    refused("<?php x?>", "Patient: processing instructions are refused");
    refused("<!ENTITY x 'y'>", "Patient: document type declarations are refused");
    refused("<!-- a -- b -->", "Patient: a comment must not hold two hyphens");
    refused("<!-- a ", "Patient: a comment is not closed");
    refused("<", "Patient: a name is expected");
    let div = |div: &str, expected: &str| refused(&format!("<text><status value='empty'/>{div}</text>"), expected);
    div("<div>x</div>", "Patient.text.div: must be in the namespace http://www.w3.org/1999/xhtml");
    div("<div xmlns='http://www.w3.org/1999/xhtml'>&nbsp;</div>", "Patient.text.div: must hold no entities");
    div(
        "<h:div xmlns:h='http://www.w3.org/1999/xhtml'>x</h:div>",
        "Patient.text.div: must hold no elements with a prefix",
    );
    div("<div xmlns='http://www.w3.org/1999/xhtml'><b></div>", "Patient.text.div: the end tag does not match");
    let all = read("<Patient xmlns='http://hl7.org/fhir'>\n<a/>\n<active value='x'/>\n<b/></Patient>").unwrap_err();
    let places: Vec<_> = all.issues.iter().filter_map(|issue| issue.expression.as_deref()).collect();
    assert_eq!(places, ["Patient.a", "Patient.active", "Patient.b"]);
    assert!(all.issues[1].text.ends_with("(line 3, column 1)"), "{all}");
}

#[test]
fn whole_texts_that_are_refused() {
    let check = |text: &[u8], expected: &str| {
        let error = parse_xml(text, &Limits::default()).expect_err(&String::from_utf8_lossy(text)).to_string();
        assert!(error.contains(expected), "{}: {error}", String::from_utf8_lossy(text));
    };
    check(b"", "an XML element is expected (line 1, column 1)");
    check(b"{}", "an XML element is expected");
    check(b"<Patient/>", "a resource must be in the namespace http://hl7.org/fhir");
    check(b"<Nada xmlns='http://hl7.org/fhir'/>", "no resource type");
    check(b"<Patient xmlns='http://hl7.org/fhir'>", "Patient: the XML text ends too early");
    check(b"<Patient xmlns='http://hl7.org/fhir'/><Patient/>", "data after the end of the resource");
    check(b"<Patient xmlns='http://hl7.org/fhir'/>x", "data after the end of the resource");
    check(b"\xFF\xFE<\0", "not UTF-8 (line 1, column 1)");
    check(b"<?xml version='1.0' encoding='ISO-8859-1'?><Patient/>", "only the encoding UTF-8 is read");
    check(b"<?xml version='1.1'?><Patient/>", "only XML 1.0 is read");
    check(b" <?xml version='1.0'?><Patient/>", "processing instructions are refused");
    check(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "document type declarations are refused");
    check(b"<Patient\x01/>", "a character that XML does not have");
    check("<a\u{FFFF}/>".as_bytes(), "a character that XML does not have");
    check(b"<Patient xmlns='http://hl7.org/fhir' xmlns:a=''/>", "a namespace is declared that cannot be");
}

#[test]
fn limits_hold_and_the_stack_is_safe() {
    let within = |inner: String| read(&format!("<Patient xmlns=\"http://hl7.org/fhir\">{inner}</Patient>"));
    let nested = |n: usize| format!("{}{}", "<extension url='x'>".repeat(n), "</extension>".repeat(n));
    // An object and an array a level, below the resource.
    assert!(within(nested(31)).is_ok());
    assert_eq!(within(nested(32)).unwrap_err().kind, Kind::TooCostly);
    assert_eq!(within("<extension url='x'>".repeat(1_000_000)).unwrap_err().kind, Kind::TooCostly);
    assert_eq!(within("<nada>".repeat(10_000)).unwrap_err().issues.last().unwrap().kind, Kind::TooCostly);
    let div = format!("<text><div xmlns='{XHTML}'>{}", "<b>".repeat(10_000));
    assert_eq!(within(div).unwrap_err().issues.last().unwrap().kind, Kind::TooCostly);
    let attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
    assert_eq!(within(format!("<active{attributes}/>")).unwrap_err().kind, Kind::TooCostly);
    let spaces: String = (0..60).map(|n| format!(" xmlns:a{n}='urn:x'")).collect();
    assert_eq!(within(format!("<name{spaces}><period{spaces}/></name>")).unwrap_err().kind, Kind::TooCostly);
    assert!(within(format!("<name{spaces}/><name{spaces}/>")).is_ok());
    assert_eq!(
        within(format!("<extension url='x'><valueDecimal value='{}'/></extension>", "9".repeat(65))).unwrap_err().kind,
        Kind::TooCostly
    );
    let many = within("<nada/>".repeat(5_000)).unwrap_err();
    assert_eq!(many.issues.len(), 100);
    let few = Limits { values: 2, ..Limits::default() };
    let xml = |n: usize| format!("<Patient xmlns='{FHIR}'>{}</Patient>", "<name id='x'/>".repeat(n));
    assert!(parse_xml(xml(2).as_bytes(), &few).is_ok());
    assert_eq!(parse_xml(xml(3).as_bytes(), &few).unwrap_err().kind, Kind::TooCostly);
    assert!(to_xml(&[b'['; 1_000_000], false).is_err());
}

#[test]
fn what_xml_cannot_say_is_not_written() {
    let check = |json: &str, expected: &str| {
        let error = to_xml(json.as_bytes(), false).expect_err(json);
        assert_eq!(error.kind, Kind::NotAcceptable);
        assert!(error.to_string().starts_with(expected), "{json}: {error}");
    };
    check("[]", "the resource cannot be written as XML");
    check("{", "the resource cannot be written as XML: its text is not JSON");
    check(r#"{"resourceType":"Patient","nada":1}"#, "Patient.nada: ");
    check(r#"{"resourceType":"Patient","name":"x"}"#, "Patient.name: ");
    check(r#"{"resourceType":"Patient","name":["x"]}"#, "Patient.name[0]: ");
    check(r#"{"resourceType":"Patient","active":{}}"#, "Patient.active: ");
    check(r#"{"resourceType":"Patient","id":"a\u0001"}"#, "Patient.id: ");
    check(r#"{"resourceType":"Patient","id":"a\uffff"}"#, "Patient.id: ");
    check(r#"{"resourceType":"Patient","text":{"div":"<div>&</div>"}}"#, "Patient.text.div: ");
    check(r#"{"resourceType":"Patient","contained":[{"resourceType":"X"}]}"#, "Patient.contained[0]: ");
}
