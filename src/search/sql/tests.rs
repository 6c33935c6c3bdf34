use super::*;
use crate::search::link::{Joined, Way};
use crate::search::query::{
    Amount, Circle, Clause, Comparison, Cursor, Interval, Place, Prefix, Sort, SortBy, Term, Total,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A query with one clause of every form.
fn query(by: SortBy, descending: bool) -> Query {
    let one = |prefix| Comparison { prefix, lo: at("2020-01-01T00:00:00Z"), hi: at("2020-12-31T23:59:59.999999Z") };
    let number = |prefix| Interval { prefix, lo: 1.0, hi: 2.0 };
    let text = |place| Clause::Text { keys: vec![15, 23], place, any: vec!["folded value".into(), "other".into()] };
    let prefixes =
        [Prefix::Eq, Prefix::Ne, Prefix::Lt, Prefix::Gt, Prefix::Ge, Prefix::Le, Prefix::Sa, Prefix::Eb, Prefix::Ap];
    Query {
        resource_type: "Observation",
        clauses: vec![
            Clause::Any(vec![11]),
            Clause::Any(vec![12, 13]),
            Clause::Not(vec![14]),
            Clause::Ids(vec!["id-value".into()]),
            text(Place::Start),
            text(Place::Word),
            text(Place::Anywhere),
            text(Place::Whole),
            text(Place::Differs),
            text(Place::End),
            Clause::Near(vec![Circle { key: 24, latitude: 4.6, longitude: 179.9, metres: 20_000.0 }]),
            Clause::Without(Box::new(Clause::Any(vec![25]))),
            Clause::Date(vec![one(Prefix::Eq)]),
            Clause::Range(prefixes.map(|p| Term { key: 16, marks: vec![17], interval: number(p) }).to_vec()),
            Clause::Number(
                prefixes.map(|p| Amount { canonical: p == Prefix::Eq, keys: vec![18], interval: number(p) }).to_vec(),
            ),
            Clause::Number(vec![Amount { canonical: true, keys: vec![19], interval: number(Prefix::Gt) }]),
            Clause::Either(vec![Clause::Any(vec![20]), Clause::All(vec![Clause::Any(vec![21, 22]), Clause::Never])]),
            Clause::Updated(prefixes.map(one).to_vec()),
            Clause::Updated(vec![one(Prefix::Ge)]),
            joined(Way::Chain),
            joined(Way::Has),
        ],
        patient: Some(vec!["patient-value".into()]),
        each: None,
        selective: false,
        sort: vec![Sort { by, descending }],
        years: (i64::from(FIRST_YEAR)..=i64::from(LAST_YEAR)).collect(),
        count: 20,
        total: Total::Unasked,
        page: None,
        cursor: Some(Cursor { values: vec!["sort-value".into()], id: "cursor-value".into() }),
        until: Some(Cursor { values: vec!["sort-value".into()], id: "until-value".into() }),
        includes: Vec::new(),
        bare: false,
        self_parameters: Vec::new(),
        ignored: Vec::new(),
    }
}

fn joined(way: Way) -> Clause {
    let inner = Query {
        resource_type: "Patient",
        clauses: vec![Clause::Any(vec![41]), Clause::Not(vec![42])],
        patient: None,
        each: None,
        selective: false,
        sort: vec![Sort { by: SortBy::Id, descending: false }],
        years: Vec::new(),
        count: 20,
        total: Total::None,
        page: None,
        cursor: None,
        until: None,
        includes: Vec::new(),
        bare: true,
        self_parameters: Vec::new(),
        ignored: Vec::new(),
    };
    Clause::Joined(Box::new(Joined {
        way,
        query: inner,
        guard: guard(),
        elsewhere: Clause::Ids(vec!["else-value".into()]),
    }))
}

fn guard() -> Guard {
    Guard {
        owner: Some("owner-value".into()),
        documents: Some(vec!["document-value".into()]),
        label_rule: Some(LabelRule { if_any: vec!["if-value".into()], then_any: vec!["then-value".into()] }),
    }
}

/// Every statement of this module, by plan, sort and shape of query.
fn statements() -> Vec<(String, Statement)> {
    let mut all = Vec::new();
    let computed = [SortBy::Text { key: 31 }, SortBy::Range { key: 32 }, SortBy::Code { keys: vec![33, 34] }];
    for by in [SortBy::Date, SortBy::Updated, SortBy::Id].into_iter().chain(computed) {
        for descending in [true, false] {
            let mut full = query(by.clone(), descending);
            if full.walk_order().is_none() {
                full.sort.push(Sort { by: SortBy::Text { key: 35 }, descending: !descending });
                full.cursor =
                    full.cursor.map(|cursor| Cursor { values: vec!["1".into(), "sort-value".into()], ..cursor });
            }
            let mut text = query(by.clone(), descending);
            text.patient = None;
            text.clauses.retain(|clause| !clause.demands_key());
            let mut empty = query(by.clone(), descending);
            (empty.clauses, empty.patient, empty.cursor, empty.until) = (Vec::new(), None, None, None);
            for (name, q) in [("full", &full), ("text", &text), ("empty", &empty)] {
                let documents = ["where-value".to_owned()];
                let named = |plan: &str, statement| (format!("{plan} {name} {:?} {descending}", q.sort), statement);
                all.push(named("timeline", timeline(q, &guard(), &documents)));
                if q.walk_order().is_some() {
                    all.push(named("walk", walk(q, &guard(), 3000)));
                    let stop = Cursor { values: vec!["stop-value".into()], id: "stop-id-value".into() };
                    all.push(named("years", years(q, &guard(), &stop, 2020, 21)));
                }
                all.push(named("pick", pick(q, &guard(), 2001)));
                all.push(named("plain", plain(q, &guard(), None)));
                all.push(named("plain under documents", plain(q, &guard(), Some(&documents))));
                all.push(named("found", found(q, &guard(), None)));
                all.push(named("count", count(q, &guard(), None, false)));
                all.push(named("count under documents", count(q, &guard(), Some(&documents), false)));
                all.push(named("fenced count", count(q, &guard(), Some(&documents), true)));
                all.push(named("count up to", count_up_to(q, &guard(), None, false, 10_001)));
            }
        }
    }
    all
}

#[test]
fn values_are_bound_and_never_in_the_text() {
    for (name, statement) in statements() {
        assert!(!statement.sql.contains("-value"), "{name}: {}", statement.sql);
        assert!(
            !statement.sql.contains("folded")
                && !statement.sql.contains("2020")
                && !statement.sql.contains("Observation"),
            "{name}"
        );
        for n in 1..=statement.params.len() {
            assert!(statement.sql.contains(&format!("${n}::")), "{name}: ${n} is not used");
        }
        assert!(!statement.sql.contains(&format!("${}::", statement.params.len() + 1)), "{name}");
    }
}

#[test]
fn the_guard_stands_before_every_limit_on_rows() {
    let parts = ["w.documento_id = any(", "w.owner @> ", "not w.labels && ", "or w.labels && "];
    for (name, statement) in statements() {
        // Wherever rows of the table come in (plan P by text: by their ids), the guard is on them before any limit.
        let places: Vec<usize> = statement.sql.match_indices(" w where ").map(|(place, _)| place).collect();
        let enters =
            |place: &usize| ["from resource", "limit 1)"].iter().any(|end| statement.sql[..*place].ends_with(end));
        let places: Vec<usize> = places.into_iter().filter(enters).collect();
        assert!(!places.is_empty(), "{name}");
        for place in places {
            let conditions = statement.sql[place..].split(" limit ").next().unwrap();
            for part in parts {
                assert!(conditions.contains(part), "{name}: {part}\n{}", statement.sql);
            }
        }
        let bound = |value: &str| statement.params.contains(&Bind::Texts(vec![value.to_owned()]));
        assert!(["document-value", "owner-value", "if-value", "then-value"].into_iter().all(bound), "{name}");
    }
}

#[test]
fn what_is_joined_is_guarded_and_asked_of_the_row_beside() {
    let (_, statement) = statements().into_iter().find(|(name, _)| name.starts_with("plain full")).unwrap();
    for way in ["p.id = any(w.owner)", "p.owner @> array[w.id]"] {
        let (_, rest) = statement.sql.split_once(way).unwrap();
        let (inner, _) = rest.split_once(") or w.id = any(").unwrap();
        let parts = [
            "not p.deleted",
            "p.resource_type = ",
            "p.documento_id = any(",
            "p.owner @> ",
            "not p.labels && ",
            "or p.labels && ",
            "p.keys @> ",
        ];
        assert!(parts.iter().all(|part| inner.contains(part)), "{inner}");
        assert!(!inner.contains(" w."), "{inner}");
    }
}

#[test]
fn many_patients_are_each_asked_in_the_order_of_the_index() {
    let mut q = query(SortBy::Date, true);
    (q.patient, q.clauses) = (None, vec![Clause::Any(vec![51]), Clause::Any(vec![52])]);
    let statement = each(&q, &guard(), &[("where-value".to_owned(), 51)], 0);
    let (arm, _) = statement.sql.split_once(" offset 0)").unwrap();
    assert!(arm.contains("w.owner @> ") && arm.contains("not w.labels && "), "{arm}");
    assert!(arm.ends_with("order by w.sort_date desc, w.id desc"), "{arm}");
    assert!(!statement.params.contains(&Bind::Ints(vec![51, 52])) && statement.params.contains(&Bind::Ints(vec![52])));
    assert!(!statement.sql.contains("-value"));
}

#[test]
fn what_is_included_is_guarded_by_type() {
    let sights = [(guard(), vec!["Observation".to_owned()]), (Guard::default(), vec!["Organization".to_owned()])];
    for distributed in [false, true] {
        for source in [Source::Keys(vec![1]), Source::Places(vec![["a".into(), "b".into(), "c".into()]])] {
            let known = ["Patient/known-value".to_owned()];
            let statement = included(&source, &sights, Some(("Patient", "id-value")), &known, 10, distributed);
            let guards = ["w.documento_id = any(", "w.owner @> ", "not w.labels && ", "or w.labels && "];
            assert!(guards.iter().all(|part| statement.sql.contains(part)), "{}", statement.sql);
            assert_eq!(statement.sql.matches("w.resource_type = any(").count(), 2);
            assert!(!statement.sql.contains("-value") && !statement.sql.contains("Patient"), "{}", statement.sql);
            assert!(statement.sql.contains(&format!("${}::", statement.params.len())));
        }
    }
}

#[test]
fn one_document_keeps_the_order_of_the_index() {
    let check = |documents: &[&str], expected: &str| {
        let documents: Vec<String> = documents.iter().map(|d| (*d).to_owned()).collect();
        let guard = Guard { owner: None, documents: None, label_rule: None };
        let sql = timeline(&query(SortBy::Date, true), &guard, &documents).sql;
        assert!(sql.contains(expected), "{documents:?}: {sql}");
    };
    check(&["a"], "w.documento_id = $1");
    check(&["a", "b"], ") union all (select * from (select w.* from resource w where w.documento_id = $");
    check(&["a", "b", "c", "d", "e", "f", "g", "h", "i"], "w.documento_id = any($1");
}

#[test]
fn a_walk_is_bounded_by_what_bounds_its_order() {
    let sql = |prefix, by| {
        let mut q = query(by, true);
        q.clauses = vec![Clause::Date(vec![Comparison {
            prefix,
            lo: at("2020-01-01T00:00:00Z"),
            hi: at("2020-01-02T00:00:00Z"),
        }])];
        walk(&q, &Guard::default(), 3000).sql
    };
    assert!(sql(Prefix::Eq, SortBy::Date).contains("w.sort_date <= "));
    assert!(sql(Prefix::Sa, SortBy::Date).contains("w.sort_date > "));
    assert!(!sql(Prefix::Eq, SortBy::Updated).contains("w.sort_date <= "));
    // A period without start has its end as sort_date: these must not be cut off.
    assert!(!sql(Prefix::Le, SortBy::Date).contains("w.sort_date <"));
    assert!(!sql(Prefix::Ge, SortBy::Date).contains("w.sort_date >"));
}

#[test]
fn a_compartment_holds_the_guard_of_each_type() {
    let sights = [(guard(), vec!["Observation".to_owned()]), (Guard::default(), vec!["Coverage".to_owned()])];
    let documents = ["document-value".to_owned()];
    let member = Member::Patient("patient-value", &documents);
    let since = Some(Timestamp::UNIX_EPOCH);
    let statement =
        compartment(member, &sights, &Members { since, after: Some(("A", "b")), limit: 7, ..Members::default() });
    let alternatives: Vec<&str> = statement.sql.split(" or (w.resource_type = any(").collect();
    assert_eq!(alternatives.len(), 3, "{}", statement.sql);
    for part in ["w.documento_id = any(", "w.owner @> ", "not w.labels && ", "or w.labels && "] {
        assert!(alternatives[1].contains(part), "{part}: {}", statement.sql);
    }
    assert!(!statement.sql.contains("-value") && !statement.sql.contains("Observation"), "{}", statement.sql);
    assert!(
        statement.sql.contains(" and (w.resource_type, w.id) > (") && statement.sql.ends_with("limit $12::int8"),
        "{}",
        statement.sql
    );
    let during = Some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
    let dated = compartment(Member::Keys(&[1, 2]), &sights, &Members { during, limit: 7, ..Members::default() });
    for part in ["w.keys && ", "w.date_lo is null or w.date_lo <= ", " and w.date_hi >= "] {
        assert!(dated.sql.contains(part), "{part}: {}", dated.sql);
    }
    let nothing = compartment(Member::Patient("patient-value", &[]), &[], &Members { limit: 7, ..Members::default() });
    assert!(nothing.sql.contains(" and (false) order by"), "{}", nothing.sql);
}

#[test]
fn years_go_by_in_blocks() {
    let keys: Vec<i64> = (i64::from(FIRST_YEAR)..=i64::from(LAST_YEAR)).collect();
    let check = |year: i16, descending: bool, expected: &[&str]| {
        let arms = arms(&keys, year, descending);
        let shown = arms.iter().map(|arm| match arm {
            Arm::Years(years) => format!("{}-{}", years[0], years[years.len() - 1]),
            other => format!("{other:?}"),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{year} {descending}");
    };
    let back = ["2020-2020", "2018-2019", "2014-2017", "2006-2013", "1990-2005", "1958-1989", "1900-1957", "Before"];
    check(2020, true, &back);
    check(1901, true, &["1901-1901", "1900-1900", "Before"]);
    check(1899, true, &["Before"]);
    check(i16::MIN, true, &["Before"]);
    check(
        2060,
        true,
        &[
            "After",
            "2050-2050",
            "2048-2049",
            "2044-2047",
            "2036-2043",
            "2020-2035",
            "1988-2019",
            "1924-1987",
            "1900-1923",
            "Before",
        ],
    );
    check(2040, false, &["2040-2040", "2041-2042", "2043-2046", "2047-2050", "After"]);
    check(2051, false, &["After"]);
    check(i16::MAX, false, &["After"]);
    assert_eq!(arms(&keys, i16::MIN, false).len(), 10);
    assert_eq!(arms(&keys, 1899, false)[0], Arm::Before);
}
