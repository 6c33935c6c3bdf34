//! Statements that bring what comes beside matches, of several types at once.

use super::text::Text;
use super::{Bind, Guard, Statement};

/// Where the rows come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// documento_id, type and id of each.
    Places(Vec<[String; 3]>),
    /// What has one of these keys.
    Keys(Vec<i64>),
}

/// Current rows in the order of type and id, after `after`, at most `limit`, none of `known` (`Type/id`). `sights`: the
/// types that the caller may see, each with its guard; what stands in none is not answered. The columns are those of
/// [`compartment`](super::compartment). `distributed` as for [`plans`](super::plans): then it is to be planned anew each time.
pub fn included(
    source: &Source,
    sights: &[(Guard, Vec<String>)],
    after: Option<(&str, &str)>,
    known: &[String],
    limit: i64,
    distributed: bool,
) -> Statement {
    let mut text = Text::default();
    text.add("select w.resource_type, w.documento_id, w.id, w.version, w.updated, w.body, w.encoding, w.owner, w.labels, w.patient from ");
    match source {
        Source::Places(places) => {
            let part = |n: usize| Bind::Texts(places.iter().filter_map(|place| place.get(n).cloned()).collect());
            text.add("unnest(").bind(part(0)).add(", ").bind(part(1)).add(", ").bind(part(2));
            text.add(") k(documento_id, resource_type, id) ");
            if distributed {
                text.add("join resource w on w.documento_id = k.documento_id and w.resource_type = k.resource_type and w.id = k.id where w.documento_id = any(").bind(part(0)).add(")");
            } else {
                text.add("cross join lateral (select * from resource r where r.documento_id = k.documento_id and r.resource_type = k.resource_type and r.id = k.id limit 1) w where true");
            }
        }
        Source::Keys(keys) if distributed => {
            text.add("resource w where w.keys && ").bind(Bind::Ints(keys.clone()));
        }
        Source::Keys(keys) => {
            text.add("(select * from resource r where r.keys && ").bind(Bind::Ints(keys.clone()));
            text.add(" offset 0) w where true");
        }
    }
    text.add(" and not w.deleted and (false");
    for (guard, types) in sights {
        text.add(" or (w.resource_type = any(").bind(Bind::Texts(types.clone())).add(")").guard(guard).add(")");
    }
    text.add(")");
    if let Some((resource_type, id)) = after {
        text.add(" and (w.resource_type, w.id) > (").bind(Bind::Text(resource_type.to_owned())).add(", ");
        text.bind(Bind::Text(id.to_owned())).add(")");
    }
    if !known.is_empty() {
        text.add(" and (w.resource_type || '/' || w.id) <> all(").bind(Bind::Texts(known.to_vec())).add(")");
    }
    text.add(" order by w.resource_type, w.id limit ").bind(Bind::Int(limit));
    text.finish()
}
