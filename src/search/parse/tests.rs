use super::*;
use crate::fhir::definitions::r4;
use crate::search::hash::Hasher;
use crate::search::query::{Comparison, Cursor, Prefix};

const BASE: &str = "https://h.example/fhir";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn read(name: &str, raw: &str) -> Result<Query> {
    let hasher = Hasher::new([1; 16]);
    let context = Context { hasher: &hasher, definitions: r4(), base: BASE, local: -5 * 3600 };
    parse(&context, ResourceType::parse(name).unwrap(), raw, &Limits::default(), now())
}

fn key(name: &str, code: &str, form: Form, parts: &[&str]) -> i64 {
    Hasher::new([1; 16]).key(name, code, form, parts)
}

fn clauses(name: &str, raw: &str) -> Vec<Clause> {
    read(name, raw).unwrap_or_else(|e| panic!("{raw}: {e}")).clauses
}

#[test]
fn tokens() {
    let check = |raw: &str, form, parts: &[&str]| {
        assert_eq!(clauses("Observation", raw), [Clause::Any(vec![key("Observation", "code", form, parts)])], "{raw}");
    };
    check("code=8867-4", Form::Code, &["8867-4"]);
    check("code=http://loinc.org|8867-4", Form::SystemCode, &["http://loinc.org", "8867-4"]);
    check("code=http%3A%2F%2Floinc.org%7C8867-4", Form::SystemCode, &["http://loinc.org", "8867-4"]);
    check("code=http://loinc.org|", Form::System, &["http://loinc.org"]);
    check("code=|8867-4", Form::Bare, &["8867-4"]);
    check(r"code=a\|b", Form::Code, &["a|b"]);
    check(r"code=a\,b", Form::Code, &["a,b"]);
    check("code=a+b", Form::Code, &["a b"]);
    let k = |code| key("Observation", "code", Form::Code, &[code]);
    assert_eq!(
        clauses("Observation", "code=a,b&code=c"),
        [Clause::Any(vec![k("a"), k("b")]), Clause::Any(vec![k("c")])]
    );
    assert_eq!(clauses("Observation", "code:not=a,b"), [Clause::Not(vec![k("a"), k("b")])]);
}

#[test]
fn strings_and_uris() {
    let strings = key("Patient", "name", Form::Strings, &[]);
    assert_eq!(
        clauses("Patient", "name=Garc%C3%ADa%20M,Mu%C3%B1oz"),
        [Clause::Prefix { key: strings, any: vec!["garcia m".into(), "munoz".into()] }]
    );
    assert_eq!(
        clauses("Patient", "name:exact=Garc%C3%ADa"),
        [Clause::Any(vec![key("Patient", "name", Form::Exact, &["García"])])]
    );
    assert_eq!(
        clauses("ValueSet", "url=http://a/b"),
        [Clause::Any(vec![key("ValueSet", "url", Form::Address, &["http://a/b"])])]
    );
    assert_eq!(
        clauses("Patient", "_profile=http://a/b"),
        [Clause::Any(vec![key("Patient", "_profile", Form::Address, &["http://a/b"])])]
    );
}

#[test]
fn references() {
    let check = |raw: &str, code: &str, form, parts: &[&str], patient: Option<&str>| {
        let query = read("Observation", raw).unwrap_or_else(|e| panic!("{raw}: {e}"));
        assert_eq!(query.clauses, [Clause::Any(vec![key("Observation", code, form, parts)])], "{raw}");
        assert_eq!(query.patient, patient.map(|id| vec![id.to_owned()]), "{raw}");
    };
    check("subject=Patient/1", "subject", Form::Typed, &["Patient", "1"], Some("1"));
    check("subject=https://h.example/fhir/Patient/1", "subject", Form::Typed, &["Patient", "1"], Some("1"));
    check("subject:Patient=1", "subject", Form::Typed, &["Patient", "1"], Some("1"));
    check("subject:Patient=Patient/1", "subject", Form::Typed, &["Patient", "1"], Some("1"));
    check("subject=1", "subject", Form::Untyped, &["1"], None);
    check("subject=Group/1", "subject", Form::Typed, &["Group", "1"], None);
    check("performer=Patient/1", "performer", Form::Typed, &["Patient", "1"], Some("1"));
    check("subject=Patient/1/_history/2", "subject", Form::Versioned, &["Patient", "1", "2"], Some("1"));
    check("subject=http://o/Patient/1", "subject", Form::Address, &["http://o/Patient/1"], None);
    check("subject=urn:uuid:5", "subject", Form::Address, &["urn:uuid:5"], None);
    check("encounter=e", "encounter", Form::Untyped, &["e"], None);
    // One target type: an id alone is typed.
    check("device:Device=e", "device", Form::Typed, &["Device", "e"], None);
    check("patient=1", "patient", Form::Typed, &["Patient", "1"], Some("1"));
    let two = read("Observation", "patient=2,1").unwrap();
    assert_eq!(two.patient, Some(vec!["1".into(), "2".into()]));
    assert_eq!(read("Observation", "subject=Patient/1,Group/2").unwrap().patient, None);
    // Neither a link between Patients nor a Group says where rows lie.
    assert_eq!(read("Patient", "link=Patient/1").unwrap().patient, None);
    assert_eq!(read("Group", "member=Patient/1").unwrap().patient, None);
}

#[test]
fn dates() {
    let one =
        |prefix, lo: &str, hi: &str| vec![Comparison { prefix, lo: lo.parse().unwrap(), hi: hi.parse().unwrap() }];
    let year = |prefix| one(prefix, "2020-01-01T05:00:00Z", "2021-01-01T04:59:59.999999Z");
    assert_eq!(clauses("Observation", "date=ge2020"), [Clause::Date(year(Prefix::Ge))]);
    let ranges = key("Observation", "value-date", Form::Ranges, &[]);
    assert_eq!(clauses("Observation", "value-date=2020"), [Clause::Range { key: ranges, any: year(Prefix::Eq) }]);
    assert_eq!(clauses("Observation", "_lastUpdated=sa2020"), [Clause::Updated(year(Prefix::Sa))]);
    let several = key("Substance", "expiry", Form::Ranges, &[]);
    assert_eq!(clauses("Substance", "expiry=lt2020"), [Clause::Range { key: several, any: year(Prefix::Lt) }]);
    let zone = one(Prefix::Gt, "2020-02-03T08:00:00Z", "2020-02-03T08:00:00.999999Z");
    assert_eq!(clauses("Observation", "date=gt2020-02-03T10:00:00+02:00"), [Clause::Date(zone.clone())]);
    assert_eq!(clauses("Observation", "date=gt2020-02-03T10:00:00%2B02:00"), [Clause::Date(zone)]);
}

#[test]
fn result_parameters() {
    let q = |raw: &str| read("Observation", raw).unwrap_or_else(|e| panic!("{raw}: {e}"));
    assert_eq!(
        (q("").count, q("").total, q("").sort),
        (20, Total::Unasked, Sort { by: SortBy::Date, descending: true })
    );
    assert_eq!(q("_count=5").count, 5);
    assert_eq!(q("_count=1000000000000000000000").count, 1000);
    assert_eq!(q("_count=2000").self_parameters, [("_count".to_owned(), "1000".to_owned())]);
    assert_eq!((q("_count=0").count, q("_count=0").total), (0, Total::Accurate));
    assert_eq!((q("_summary=count").count, q("_summary=count&_count=7").count), (0, 0));
    assert_eq!(q("_total=estimate").total, Total::Estimate);
    assert_eq!(q("_sort=date").sort, Sort { by: SortBy::Date, descending: false });
    assert_eq!(q("_sort=-_lastUpdated").sort, Sort { by: SortBy::Updated, descending: true });
    assert_eq!(q("_sort=_id").sort, Sort { by: SortBy::Id, descending: false });
    let decoded = q("code=a%20b&_format=json&_pretty=true&_sort=-date").self_parameters;
    assert_eq!(decoded, [("code".to_owned(), "a b".to_owned()), ("_sort".to_owned(), "-date".to_owned())]);
    assert_eq!(q("_id=b,a,b").clauses, [Clause::Ids(vec!["a".into(), "b".into()])]);
    assert!(
        q("identifier=x").selective
            && q("encounter=e").selective
            && !q("code=x").selective
            && !q("performer=Organization/o").selective
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let check = |name: &str, raw: &str, expected: &str| {
        let error = read(name, raw).err().unwrap_or_else(|| panic!("{raw} was accepted"));
        assert!(error.to_string().contains(expected), "{raw}: {error}");
        assert!(matches!(error.kind, Kind::NotSupported | Kind::Value | Kind::TooCostly), "{raw}");
        assert!(!error.to_string().contains("secret"), "{raw}: {error}");
    };
    check("Patient", "famly=secret", "famly: is no search parameter of Patient; the nearest are family");
    check("Patient", "foo=secret&bar=secret", "bar: is no search parameter");
    check("Patient", "name:contains=secret", "name: the modifier :contains is not supported here; supported: :exact");
    check("Patient", "gender:text=secret", "supported: :not");
    check("Patient", "gender:missing=secret", "gender: the modifier :missing");
    check("Patient", "_id:not=secret", "_id: the modifier :not");
    check("Patient", "birthdate:exact=2000", "birthdate: the modifier :exact");
    check("Observation", "subject:Medication=secret", "subject: the modifier :Medication");
    check("Observation", "subject:Patient=Group/secret", "subject: the type of the value");
    check("Observation", "subject=secret/x/y", "subject: the value is not Type/id");
    check("Observation", "subject=%23secret", "subject: the value is not Type/id");
    check("Observation", "value-quantity=5", "value-quantity: parameters of type quantity");
    check("Observation", "code-value-quantity=secret", "parameters of type composite");
    check("RiskAssessment", "probability=1", "parameters of type number");
    check("Location", "near=1", "parameters of type special");
    check("Observation", "subject.name=secret", "subject.name: chained parameters");
    check("Patient", "_has:Observation:patient:code=secret", "_has:Observation:patient:code: is not supported yet");
    check("Patient", "_include=secret", "_include: is not supported yet");
    check("Patient", "_text=secret", "_text:");
    check("Patient", "_filter=secret", "_filter:");
    check("Patient", "name=", "name: the value is empty");
    check("Patient", "name", "name: the value is empty");
    check("Patient", "name=secret,", "name: one of the values is empty");
    check("Patient", "identifier=|", "identifier: the value is not code");
    check("Patient", "birthdate=secret", "birthdate: the value is not a date");
    check("Patient", "birthdate=ge", "birthdate: the value is not a date");
    check("Patient", "_id=secret%20x", "_id: the value is not an id");
    check("Patient", "_count=-1", "_count: the value is not a whole number");
    check("Patient", "_count=1&_count=2", "_count: is given more than once");
    check("Patient", "_sort=name", "_sort: Patient can be sorted by one of birthdate, _lastUpdated, _id");
    check("Patient", "_sort=birthdate,_id", "_sort:");
    check("Patient", "_total=secret", "_total:");
    check("Patient", "_summary=true", "_summary: only count");
    check("Patient", "_summary=secret", "_summary: the value is not count");
    check("Patient", "_page=secret", "_page: is not a page of this search");
    check("Patient", "name=%00secret", "name: the value is not valid");
    check("Patient", "name=%zz", "name: the value is not valid");
    check("Patient", "name=%ff", "name: the value is not valid");
    check("Patient", &format!("name={}", vec!["a"; 501].join(",")), "name: has more than 500 values");
    check("Patient", &vec!["name=a"; 101].join("&"), "more than 100 parameters");
    check("Patient", &format!("name={}", "a".repeat(17_000)), "longer than");
}

#[test]
fn pages_belong_to_their_query() {
    let hasher = Hasher::new([1; 16]);
    let first = read("Patient", "name=ana&_sort=birthdate").unwrap();
    let last = Cursor { at: Some(now()), id: "x.y-1".into() };
    let token = page::token(&hasher, &first, &last);
    let next = read("Patient", &format!("name=ana&_sort=birthdate&_page={token}")).unwrap();
    assert_eq!(next.cursor, Some(last));
    assert_eq!(next.self_parameters.last(), Some(&("_page".to_owned(), token.clone())));
    // The page after it has a token of the same query.
    let undated = Cursor { at: None, id: "z".into() };
    let after = page::token(&hasher, &next, &undated);
    assert_eq!(read("Patient", &format!("name=ana&_sort=birthdate&_page={after}")).unwrap().cursor, Some(undated));
    let mut forged = token.clone().into_bytes();
    forged[5] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    for raw in [
        format!("name=anb&_sort=birthdate&_page={token}"),
        format!("name=ana&_sort=-birthdate&_page={token}"),
        format!("name=ana&_page={token}"),
        format!("name=ana&_sort=birthdate&_page={forged}"),
        format!("name=ana&_sort=birthdate&_page={}", "A".repeat(400)),
        "name=ana&_sort=birthdate&_page=AAAA".to_owned(),
    ] {
        assert!(read("Patient", &raw).is_err(), "{raw}");
    }
    assert!(read("Person", &format!("name=ana&_sort=birthdate&_page={token}")).is_err());
}
