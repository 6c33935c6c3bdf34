//! The rows of many patients, each asked by itself: the newest of each are read, not all that they have.

use super::text::Text;
use super::{Bind, Guard, Statement};
use crate::search::query::Query;

/// One page of a query sorted by the main date. `pairs`: a documento_id under which rows of a patient lie, and the key that
/// they have; it stands for the clause at `at`. Columns as for [`plain`](super::plain). Complete.
pub fn each(query: &Query, guard: &Guard, pairs: &[(String, i64)], at: usize) -> Statement {
    let documents: Vec<String> = pairs.iter().map(|(documento_id, _)| documento_id.clone()).collect();
    let keys: Vec<i64> = pairs.iter().map(|(_, key)| *key).collect();
    let mut text = Text::default();
    text.row(query, "w").add(", null::int8 as found, false as capped from unnest(").bind(Bind::Texts(documents));
    text.add(", ").bind(Bind::Ints(keys.clone())).add(") d(documento_id, key) cross join lateral (");
    text.add("select * from (select w.* from resource w where w.documento_id = d.documento_id");
    text.of_type(query).guard(guard).order(query, "w").add(" offset 0) w where w.keys @> array[d.key]");
    // Of several patients: it is found with one of them.
    text.add(" and (cardinality(w.patient) < 2 or d.key = (select min(k) from unnest(w.keys) k where k = any(");
    text.bind(Bind::Ints(keys)).add("))) and not w.deleted").clauses(query, Some(at)).cursor(query, "w");
    text.order(query, "w").page(query).add(") w").order(query, "w").page(query);
    text.finish()
}
