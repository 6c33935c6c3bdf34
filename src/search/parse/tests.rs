use super::*;
use crate::fhir::definitions::r4;
use crate::search::hash::Hasher;
use crate::search::index::is_main_quantity;
use crate::search::param::date;
use crate::search::query::{Clause, Comparison, Place, Prefix, Term};

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
    let both = vec![key("Patient", "name", Form::Strings, &[]), key("Patient", "name", Form::Words, &[])];
    assert_eq!(
        clauses("Patient", "name=Garc%C3%ADa%20M,Mu%C3%B1oz"),
        [Clause::Text { keys: both.clone(), place: Place::Start, any: vec!["garcia m".into(), "munoz".into()] }]
    );
    assert_eq!(
        clauses("Patient", "name:contains=RC%C3%ADa"),
        [Clause::Text { keys: both, place: Place::Anywhere, any: vec!["rcia".into()] }]
    );
    assert_eq!(
        clauses("Observation", "code:text=Gluco"),
        [Clause::Text {
            keys: vec![key("Observation", "code", Form::Text, &[])],
            place: Place::Word,
            any: vec!["gluco".into()]
        }]
    );
    let above =
        |parts: &[&str]| parts.iter().map(|one| key("ValueSet", "url", Form::Address, &[one])).collect::<Vec<_>>();
    let Some(Clause::Any(keys)) = clauses("ValueSet", "url:above=http://a/b/c").pop() else { panic!("no keys") };
    assert!(above(&["http://a", "http://a/b", "http://a/b/", "http://a/b/c"]).iter().all(|key| keys.contains(key)));
    assert_eq!(
        clauses("ValueSet", "url:below=http://a/b/"),
        [Clause::Any(vec![key("ValueSet", "url", Form::Below, &["http://a/b"])])]
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
    let terms = |key, prefix| {
        let term = |one: &Comparison| Term { key, marks: Vec::new(), interval: date::interval(one) };
        vec![Clause::Range(year(prefix).iter().map(term).collect())]
    };
    assert_eq!(clauses("Observation", "value-date=2020"), terms(ranges, Prefix::Eq));
    assert_eq!(clauses("Observation", "_lastUpdated=sa2020"), [Clause::Updated(year(Prefix::Sa))]);
    let several = key("Substance", "expiry", Form::Ranges, &[]);
    assert_eq!(clauses("Substance", "expiry=lt2020"), terms(several, Prefix::Lt));
    let zone = one(Prefix::Gt, "2020-02-03T08:00:00Z", "2020-02-03T08:00:00.999999Z");
    assert_eq!(clauses("Observation", "date=gt2020-02-03T10:00:00+02:00"), [Clause::Date(zone.clone())]);
    assert_eq!(clauses("Observation", "date=gt2020-02-03T10:00:00%2B02:00"), [Clause::Date(zone)]);
}

#[test]
fn result_parameters() {
    let q = |raw: &str| read("Observation", raw).unwrap_or_else(|e| panic!("{raw}: {e}"));
    assert_eq!(
        (q("").count, q("").total, q("").sort),
        (20, Total::Unasked, vec![Sort { by: SortBy::Date, descending: true }])
    );
    assert_eq!(q("_count=5").count, 5);
    assert_eq!(q("_count=1000000000000000000000").count, 1000);
    assert_eq!(q("_count=2000").self_parameters, [("_count".to_owned(), "1000".to_owned())]);
    assert_eq!((q("_count=0").count, q("_count=0").total), (0, Total::Accurate));
    assert_eq!((q("_summary=count").count, q("_summary=count&_count=7").count), (0, 0));
    assert_eq!(q("_total=estimate").total, Total::Estimate);
    let sort = |raw: &str| q(raw).sort.into_iter().map(|one| (one.by, one.descending)).collect::<Vec<_>>();
    assert_eq!(sort("_sort=date"), [(SortBy::Date, false)]);
    assert_eq!(sort("_sort=-_lastUpdated"), [(SortBy::Updated, true)]);
    assert_eq!(sort("_sort=_id,-date"), [(SortBy::Id, false)]);
    let several = sort("_sort=status,-date,value-string,-value-date");
    let [
        (SortBy::Code { keys }, false),
        (SortBy::Date, true),
        (SortBy::Text { .. }, false),
        (SortBy::Range { .. }, true),
    ] = several.as_slice()
    else {
        panic!("{several:?}")
    };
    assert_eq!(keys.len(), 8);
    assert_eq!(q("_page=abc").page, Some("abc".to_owned()));
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
    check(
        "Patient",
        "name:contain=secret",
        "name: the modifier :contain is not supported here; supported: :exact, :contains",
    );
    check("Patient", "gender:text=secret", "supported: :not, :in, :not-in, :above, :below, :missing");
    check("Observation", "code:below=secret", "code: the value is not system|code");
    check(
        "Patient",
        "identifier:in=secret",
        "identifier: the modifier :in is not supported here; supported: :not, :text",
    );
    check(
        "Observation",
        "code:of-type=secret",
        "code: the modifier :of-type is not supported here; supported: :not, :text",
    );
    check("Patient", "gender:missing=secret", "gender: the value is not true or false");
    check("Patient", "_id:not=secret", "_id: the modifier :not");
    check("Patient", "_profile:below=secret", "_profile: the modifier :below is not supported here; supported: :above");
    check("Patient", "birthdate:exact=2000", "birthdate: the modifier :exact");
    check("Observation", "subject:Medication=secret", "subject: the modifier :Medication");
    check("Observation", "subject:Patient=Group/secret", "subject: the type of the value");
    check("Observation", "subject=secret/x/y", "subject: the value is not Type/id");
    check("Observation", "subject=%23secret", "subject: the value is not Type/id");
    check("Observation", "value-quantity=secret", "value-quantity: the value is not a number");
    check("Observation", "value-quantity=5|mg", "value-quantity: the value is not a number");
    check("Observation", "code-value-quantity=secret", "the values of code and value-quantity joined by $");
    check("Observation", "code-value-quantity=secret$secret", "code-value-quantity: the value is not a number");
    check(
        "Observation",
        "component-code-value-quantity=secret|$5",
        "component-code-value-quantity: the value is not code",
    );
    check("RiskAssessment", "probability=secret", "probability: the value is not a number");
    check("Location", "near=1", "near: the value is not latitude|longitude");
    check("Location", "near:exact=1", "near: the modifier :exact is not supported here; supported: :missing");
    check("MolecularSequence", "chromosome-variant-coordinate=1$2$3", "is not supported yet");
    check("Observation", "subject.nada=secret", "subject.nada: nothing that subject may point at");
    check(
        "Patient",
        "_has:Observation:encounter:code=secret",
        "_has:Observation:encounter:code: Observation:encounter does",
    );
    check("Patient", "_include=secret", "_include: is written Type:reference");
    check("Patient", "_text=%3F", "_text: the value is not words");
    check("Patient", "_content=secret%20OR%20secret", "_content: the value is not words");
    check("Patient", "_content=(secret)", "_content: the value is not words");
    check("Patient", "_content:missing=true", "_content:missing: takes no modifier");
    check("Binary", "_text=secret", "_text: is no search parameter of Binary");
    check("Patient", "_query=secret", "_query: named queries are not supported");
    check("Patient", "_type=Patient", "_type: is for a search over several types");
    check("Patient", "_filter:not=secret", "_filter:not: takes no modifier");
    check("Patient", "_cuont=5", "_cuont: is no search parameter of Patient; the nearest are _count");
    check("Patient", "_filtro=secret", "the nearest are _filter");
    check("Patient", "_list=$current-problems", "_list: functional lists");
    check("Patient", "_list=secret%20x", "_list: the value is not the id of a List");
    check("Patient", "_list=1,2,3,4,5,6,7,8,9", "_list: has more than 8 values");
    check("Patient", "name=", "name: the value is empty");
    check("Patient", "name", "name: the value is empty");
    check("Patient", "name=secret,", "name: one of the values is empty");
    check("Patient", "identifier=|", "identifier: the value is not code");
    check("Patient", "birthdate=secret", "birthdate: the value is not a date");
    check("Patient", "birthdate=ge", "birthdate: the value is not a date");
    check("Patient", "_id=secret%20x", "_id: the value is not an id");
    check("Patient", "_count=-1", "_count: the value is not a whole number");
    check("Patient", "_count=1&_count=2", "_count: is given more than once");
    check("Patient", "_sort=identifier", "_sort: Patient can be sorted by _id, _lastUpdated, address");
    check("Patient", "_sort=birthdate,", "_sort:");
    check("Patient", "_sort=name,family,given,address,gender", "_sort: has more than 4");
    check("Patient", "_total=secret", "_total:");
    check("Patient", "_summary=secret", "_summary: the value is not true, text, data, count");
    check("Patient", "name=%00secret", "name: the value is not valid");
    check("Patient", "name=%zz", "name: the value is not valid");
    check("Patient", "name=%ff", "name: the value is not valid");
    check("Patient", &format!("name={}", vec!["a"; 501].join(",")), "name: has more than 500 values");
    check("Patient", &vec!["name=a"; 101].join("&"), "more than 100 parameters");
    check("Patient", &format!("name={}", "a".repeat(17_000)), "longer than");
}

#[test]
fn filters_tell_what_is_wrong_and_where() {
    let check = |filter: &str, expected: &str| {
        let raw = format!("_filter={}", filter.replace('%', "%25").replace('&', "%26").replace('+', "%2B"));
        let error = read("Patient", &raw).err().unwrap_or_else(|| panic!("{filter} was accepted"));
        assert!(error.to_string().contains(expected), "{filter}: {error}");
        assert!(!error.to_string().contains("secret"), "{filter}: {error}");
        assert_eq!(error.issues[0].expression.as_deref(), Some("_filter"), "{filter}");
    };
    check("given", "at character 6: expected a value");
    check("given eq", "at character 9: expected a value");
    check("given eq secret or", "at character 19: expected a test");
    check("given eq secret gender eq male", "at character 17: expected and, or, or the end");
    check("(given eq secret", "at character 17: expected and, or, or )");
    check("given eq secret)", "at character 16: expected and, or, or the end");
    check("given eq \"secret", "at character 10: the value is no JSON string");
    check("given eq \"\"", "at character 10: the value is empty");
    check("not given eq secret", "at character 5: expected ( after not");
    check("famly eq secret", "at character 1: famly: is no search parameter of Patient; the nearest are family");
    check("given gt secret", "given: the operator is not supported here; supported: eq ne co sw ew pr");
    check("identifier ne secret", "identifier: the operator is not supported here; supported: eq in ni ss sb pr");
    check("birthdate eq secret", "at character 1: birthdate: the value is not a date");
    check("birthdate eq ge2020", "birthdate: the value is not a date");
    check("gender pr secret", "gender: the value is not true or false");
    check("gender eq male and organization.name eq secret", "at character 20: organization.name: chains");
    check("link[other eq secret].type eq x", "filters inside a path are not supported");
    check(&format!("{}given eq x{}", "(".repeat(20), ")".repeat(20)), "more than 16 parentheses inside each other");
    check(&vec!["given eq x"; 101].join(" or "), "more than 100 tests");
    assert!(read("Patient", &format!("_filter={}given eq x{}", "(".repeat(16), ")".repeat(16))).is_ok());
    assert!(read("Patient", &format!("_filter={}", vec!["given eq x"; 100].join(" or "))).is_ok());
}

#[test]
fn filters_say_where_rows_lie_only_when_they_always_hold() {
    let patient = |filter: &str| read("Observation", &format!("_filter={filter}")).unwrap().patient;
    let one = Some(vec!["1".to_owned()]);
    assert_eq!(patient("subject re Patient/1"), one);
    assert_eq!(patient("(subject re Patient/1 and code eq x) and status eq final"), one);
    assert_eq!(patient("subject re Patient/1 or code eq x"), None);
    assert_eq!(patient("not (subject re Patient/1)"), None);
    assert_eq!(patient("code eq x and (subject re Patient/1 or status eq final)"), None);
    let flat = read("Observation", "_filter=code eq x and status eq final and date gt 2020").unwrap();
    assert_eq!(flat.clauses.len(), 3);
}

#[test]
fn lenient_handling_leaves_out_and_tells() {
    let hasher = Hasher::new([1; 16]);
    let context = Context { hasher: &hasher, definitions: r4(), base: BASE, local: 0 };
    let limits = Limits { lenient: true, ..Limits::default() };
    let read = |raw: &str| parse(&context, ResourceType::parse("Patient").unwrap(), raw, &limits, now());
    let query = read("famly=secret&name=ana&gender:exact=x&_sort=identifier").unwrap();
    assert_eq!(query.clauses.len(), 1);
    let names: Vec<&str> = query.ignored.iter().filter_map(|issue| issue.expression.as_deref()).collect();
    assert_eq!(names, ["famly", "gender", "_sort"]);
    assert_eq!(query.self_parameters, [("name".to_owned(), "ana".to_owned())]);
    assert!(query.ignored.iter().all(|issue| !issue.text.contains("secret")));
    // A value that is wrong is wrong.
    assert_eq!(read("birthdate=secret").unwrap_err().kind, Kind::Value);
}

#[test]
fn numbers_quantities_and_composites() {
    let o = |raw: &str| clauses("Observation", raw);
    assert!(is_main_quantity(ResourceType::parse("Observation").unwrap(), "value-quantity"));
    assert!(matches!(o("value-quantity=5,6").as_slice(), [Clause::Number(any)] if any.len() == 2));
    assert!(matches!(o("component-value-quantity=5").as_slice(), [Clause::Range(_)]));
    assert!(
        matches!(o("combo-value-quantity=5").as_slice(), [Clause::Either(any)] if matches!(any.as_slice(), [Clause::Number(_), Clause::Range(_)]))
    );
    assert!(matches!(o("code-value-quantity=8867-4$gt5").as_slice(), [Clause::Any(_), Clause::Number(_)]));
    assert!(
        matches!(o("code-value-quantity=8867-4$gt5,x$6").as_slice(), [Clause::Either(any)] if matches!(any.as_slice(), [Clause::All(_), Clause::All(_)]))
    );
    assert!(matches!(o("code-value-date=x$ge2020").as_slice(), [Clause::Any(_), Clause::Range(_)]));
    assert!(matches!(o("component-code-value-quantity=x$5").as_slice(), [Clause::Range(_)]));
    assert!(matches!(o("component-code-value-concept=x$y").as_slice(), [Clause::Any(keys)] if keys.len() == 1));
    assert!(matches!(clauses("RiskAssessment", "probability=gt0.5").as_slice(), [Clause::Range(_)]));
    assert!(matches!(
        clauses("DocumentReference", "relationship=replaces$DocumentReference/1").as_slice(),
        [Clause::Any(_)]
    ));
    assert!(matches!(o("code:missing=true").as_slice(), [Clause::Missing { code: "code", missing: true }]));
    // Escapes reach into the parts.
    assert_eq!(o(r"component-code-value-concept=a\$b$c"), o(r"component-code-value-concept=a\$b$c"));
    assert!(read("Observation", r"component-code-value-concept=a$b$c").is_err());
    let shapes = vec![(1, vec!["code".to_owned()]), (2, vec!["date".to_owned()])];
    let mut query = read("Observation", "code:missing=true&date:missing=false&status:missing=false").unwrap();
    assert!(query.asks_for_shapes());
    query.know_shapes(&shapes);
    assert_eq!(query.clauses, [Clause::Any(vec![2]), Clause::Any(vec![2]), Clause::Never]);
    assert!(!query.asks_for_shapes());
}
