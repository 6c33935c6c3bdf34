use super::*;
use crate::search::query::{Interval, Term, Total};

fn query(clauses: Vec<Clause>, by: SortBy) -> Query {
    Query {
        resource_type: "Observation",
        clauses,
        patient: None,
        selective: false,
        sort: vec![Sort { by, descending: true }],
        years: vec![0],
        count: 20,
        total: Total::Unasked,
        page: None,
        cursor: None,
        until: None,
        includes: Vec::new(),
        bare: false,
        each: None,
        self_parameters: Vec::new(),
        ignored: Vec::new(),
    }
}

fn text(place: Place) -> Clause {
    Clause::Text { keys: vec![1], place, any: vec!["a".into()] }
}

fn range(prefix: Prefix) -> Clause {
    Clause::Range(vec![Term { key: 1, marks: vec![], interval: Interval { prefix, lo: 1.0, hi: 1.0 } }])
}

/// A million rows of which 700,000 are Observations: key 1 is of half of them, 2 of 50,000, 3 of 3,000, 4 of 1,000, and
/// what is not listed of 500 at the most.
fn statistics() -> Statistics {
    Statistics {
        rows: 1_000_000.0,
        floor: 500.0,
        keys: [(1, 350_000.0), (2, 50_000.0), (3, 3_000.0), (4, 1_000.0)].into(),
        types: [("Observation".to_owned(), 700_000.0)].into(),
    }
}

use Plan::{Pick, Plain, Timeline, Walk, Years};

#[test]
fn without_statistics_the_parameters_decide() {
    let check = |clauses: Vec<Clause>, by, selective, expected: &[Plan]| {
        let q = Query { selective, ..query(clauses, by) };
        assert_eq!(choose(&q, &["a".to_owned()], false, None), expected, "{:?}", q.clauses);
    };
    check(vec![], SortBy::Date, false, &[Walk, Plain]);
    check(vec![], SortBy::Id, false, &[Plain]);
    check(vec![Clause::Not(vec![1])], SortBy::Updated, false, &[Walk, Plain]);
    check(vec![Clause::Any(vec![1])], SortBy::Date, false, &[Walk, Pick, Years]);
    check(vec![Clause::Any(vec![1])], SortBy::Date, true, &[Pick, Walk, Years]);
    check(vec![Clause::Any(vec![1])], SortBy::Updated, true, &[Pick, Walk, Plain]);
    check(vec![Clause::Any(vec![1])], SortBy::Id, false, &[Pick, Plain]);
    check(vec![text(Place::Start)], SortBy::Date, false, &[Pick, Walk, Plain]);
    check(vec![text(Place::Start), Clause::Any(vec![1])], SortBy::Date, false, &[Walk, Pick, Years]);
    check(vec![range(Prefix::Gt)], SortBy::Date, false, &[Walk, Pick, Plain]);
    check(vec![range(Prefix::Eq)], SortBy::Date, false, &[Pick, Walk, Plain]);
    check(vec![text(Place::Anywhere)], SortBy::Date, false, &[Walk, Pick, Plain]);
    check(vec![range(Prefix::Gt)], SortBy::Text { key: 1 }, false, &[Pick, Plain]);
    check(vec![Clause::Ids(vec!["a".into()])], SortBy::Date, false, &[Timeline]);
    check(vec![Clause::Any(vec![1]), Clause::Never], SortBy::Date, false, &[]);
}

#[test]
fn statistics_decide_where_they_tell() {
    let check = |clauses: Vec<Clause>, by, expected: &[Plan]| {
        let q = query(clauses, by);
        assert_eq!(choose(&q, &[], false, Some(&statistics())), expected, "{:?}", q.clauses);
    };
    let any = |key| Clause::Any(vec![key]);
    check(vec![any(1)], SortBy::Date, &[Walk, Years]);
    check(vec![any(3)], SortBy::Date, &[Walk, Years]);
    check(vec![any(4)], SortBy::Date, &[Pick, Walk, Years]);
    check(vec![any(99)], SortBy::Date, &[Pick, Walk, Years]);
    check(vec![any(1), any(4)], SortBy::Date, &[Pick, Walk, Years]);
    // Common and seldom together: a walk of 3,000 would meet 10 or more of 1 with 1, fewer of 1 with 2 and 3.
    check(vec![any(1), any(1)], SortBy::Date, &[Walk, Pick, Years]);
    check(vec![any(1), any(3)], SortBy::Date, &[Pick, Walk, Years]);
    // A list is the sum of its values, none of which may be listed.
    check(vec![Clause::Any((100..200).collect())], SortBy::Date, &[Walk, Years]);
    check(vec![Clause::Either(vec![any(4), any(99)])], SortBy::Date, &[Pick, Walk, Years]);
    check(vec![any(1)], SortBy::Id, &[Plain]);
    check(vec![any(1), Clause::Not(vec![3])], SortBy::Id, &[Pick, Plain]);
    check(vec![Clause::Not(vec![1])], SortBy::Date, &[Walk, Plain]);
}

#[test]
fn on_several_nodes_only_what_citus_sends_whole_to_each() {
    let (one, two) = (["a".to_owned()], ["a".to_owned(), "b".to_owned()]);
    let of_one = Query { patient: Some(vec!["p".into()]), ..query(vec![Clause::Any(vec![1])], SortBy::Date) };
    assert_eq!(choose(&of_one, &one, false, None), [Timeline]);
    assert_eq!(choose(&of_one, &one, true, None), [Timeline]);
    assert_eq!(choose(&of_one, &[], true, None), []);
    assert_eq!(choose(&of_one, &two, true, None), [Plain]);
    assert_eq!(choose(&query(vec![text(Place::Start)], SortBy::Date), &[], true, Some(&statistics())), [Plain]);
}

#[test]
fn what_no_index_answers_is_refused_above_the_limit() {
    let check = |clauses: Vec<Clause>, by, limit: f64, expected: bool| {
        let q = query(clauses, by);
        let known = statistics();
        assert_eq!(afford(&q, Plain, false, Some(&known), limit).is_ok(), expected, "{:?} {limit}", q.clauses);
        assert!(afford(&q, Years, false, Some(&known), limit).is_ok() && afford(&q, Plain, false, None, limit).is_ok());
    };
    let any = |key| Clause::Any(vec![key]);
    check(vec![Clause::Not(vec![1])], SortBy::Date, 500_000.0, false);
    check(vec![Clause::Not(vec![1])], SortBy::Date, 700_000.0, true);
    check(vec![any(1)], SortBy::Id, 500_000.0, true);
    check(vec![any(2)], SortBy::Text { key: 1 }, 500_000.0, true);
    check(vec![any(1)], SortBy::Text { key: 1 }, 500_000.0, false);
    let counted = |clauses| afford_count(&query(clauses, SortBy::Date), Some(&statistics()), 500_000.0).is_ok();
    assert!(counted(vec![any(1)]) && !counted(vec![]) && !counted(vec![text(Place::Start)]));
    // Each node walks in the order of its own index and stops.
    assert!(afford(&query(vec![], SortBy::Date), Plain, true, Some(&statistics()), 1.0).is_ok());
    let error = afford(&query(vec![], SortBy::Id), Plain, true, Some(&statistics()), 1_000.0).unwrap_err();
    assert!(error.kind == Kind::TooCostly && error.issues[0].text.contains("limits.search_rows"));
}

#[test]
fn a_walk_is_shorter_for_lists_and_longer_for_pages() {
    let check = |clauses: Vec<Clause>, count, expected| {
        assert_eq!(cap(&Query { count, ..query(clauses, SortBy::Date) }, &Bounds::new(1.0)), expected)
    };
    check(vec![Clause::Any(vec![1])], 20, 3_000);
    check(vec![Clause::Any((0..20).collect())], 20, 1_500);
    check(vec![Clause::Either(vec![Clause::Any((0..500).collect()), Clause::Not((0..500).collect())])], 20, 200);
    check(vec![], 0, 3_000);
    check(vec![], 1_000, 15_000);
}
