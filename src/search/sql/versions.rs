//! H. Versions of resources of one or several types, the newest first: the history of a type and of everything.

use super::text::Text;
use super::{Bind, Guard, LabelRule, Statement};
use jiff::Timestamp;

/// The table that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Current versions, tombstones too.
    Current,
    /// Current versions that are not deleted.
    Living,
    Superseded,
}

/// Which versions are asked for.
#[derive(Clone, Debug, Default)]
pub struct Span<'a> {
    /// At or before this time.
    pub until: Timestamp,
    /// At or after this time.
    pub since: Option<Timestamp>,
    /// Current at some moment of this closed interval.
    pub at: Option<(Timestamp, Timestamp)>,
    /// Time, type and id of the version before the first one.
    pub after: Option<(Timestamp, &'a str, &'a str)>,
    pub limit: i64,
}

const COLUMNS: &str = "w.resource_type, w.documento_id, w.id, w.version, w.method, w.updated, w.deleted, w.owner, w.patient, w.labels, w.body, w.encoding";
/// Stands behind every id.
const LAST: &str = "~";

/// At most `span.limit` versions in the order of time, type and id. `sights`: as for `compartment`. A type of which
/// everything may be seen is an arm of its own that reads its index in order and no further than the limit; the rows of a caller
/// who sees one record are read by that record, an arm for each place where it lies. The columns: `resource_type text, documento_id text, id text, version int8,
/// method text, updated timestamptz, deleted bool, owner text[], patient text[], labels text[], body bytea, encoding int2`.
pub fn versions(kept: Kept, sights: &[(Guard, Vec<String>)], span: &Span<'_>) -> Statement {
    let mut text = Text::default();
    text.add("select * from (");
    let mut first = true;
    let mut arm = |text: &mut Text, guard: &Guard, types: &[String], document: Option<&str>| {
        text.add(if first { "(" } else { " union all (" });
        first = false;
        text.arm(kept, guard, types, document, span).add(")");
    };
    for (guard, types) in sights {
        match &guard.documents {
            // Each of them may lie on another node.
            Some(documents) => documents.iter().for_each(|one| arm(&mut text, guard, types, Some(one))),
            None => types.chunks(1).for_each(|one| arm(&mut text, guard, one, None)),
        }
    }
    text.add(") w order by w.updated desc, w.resource_type, w.id desc limit ").bind(Bind::Int(span.limit));
    text.finish()
}

impl Text {
    fn arm(
        &mut self,
        kept: Kept,
        guard: &Guard,
        types: &[String],
        document: Option<&str>,
        span: &Span<'_>,
    ) -> &mut Self {
        let table = if kept == Kept::Superseded { "resource_history w" } else { "resource w" };
        self.add("select ").add(COLUMNS).add(" from ");
        match document {
            // Fenced: the record is read, and never the whole type in its order.
            Some(document) => {
                self.add("(select * from ").add(table).add(" where w.documento_id = ");
                self.bind(Bind::Text(document.to_owned())).add(" and w.resource_type = any(");
                self.bind(Bind::Texts(types.to_vec())).add(") offset 0) w where true");
            }
            None => {
                let one = types.first().cloned().unwrap_or_default();
                self.add(table).add(" where w.resource_type = ").bind(Bind::Text(one));
            }
        }
        if kept == Kept::Living {
            self.add(" and not w.deleted");
        }
        self.seen("w", guard).within_span(kept, guard, (types, document), span);
        self.add(" order by w.updated desc, w.resource_type, w.id desc limit ").bind(Bind::Int(span.limit))
    }

    /// The conditions of a guard on a row source.
    fn seen(&mut self, row: &'static str, guard: &Guard) -> &mut Self {
        if let Some(owner) = &guard.owner {
            self.add(" and ").add(row).add(".owner @> ").bind(Bind::Texts(vec![owner.clone()]));
        }
        if let Some(LabelRule { if_any, then_any }) = &guard.label_rule {
            self.add(" and (not ").add(row).add(".labels && ").bind(Bind::Texts(if_any.clone())).add(" or ");
            self.add(row).add(".labels && ").bind(Bind::Texts(then_any.clone())).add(")");
        }
        self
    }

    fn within_span(
        &mut self,
        kept: Kept,
        guard: &Guard,
        (types, document): (&[String], Option<&str>),
        span: &Span<'_>,
    ) -> &mut Self {
        self.add(" and w.updated <= ").bind(Bind::Time(span.until));
        if let Some(since) = span.since {
            self.add(" and w.updated >= ").bind(Bind::Time(since));
        }
        if let Some((time, last, id)) = span.after {
            match types {
                [one] => {
                    // Among equals the types come by their names.
                    let id = match one.as_str().cmp(last) {
                        std::cmp::Ordering::Less => "",
                        std::cmp::Ordering::Equal => id,
                        std::cmp::Ordering::Greater => LAST,
                    };
                    self.add(" and (w.updated, w.id) < (").bind(Bind::Time(time)).add(", ");
                    self.bind(Bind::Text(id.to_owned())).add(")");
                }
                _ => {
                    self.add(" and (w.updated < ")
                        .bind(Bind::Time(time))
                        .add(" or w.updated = ")
                        .bind(Bind::Time(time));
                    self.add(" and (w.resource_type > ")
                        .bind(Bind::Text(last.to_owned()))
                        .add(" or w.resource_type = ");
                    self.bind(Bind::Text(last.to_owned()))
                        .add(" and w.id < ")
                        .bind(Bind::Text(id.to_owned()))
                        .add("))");
                }
            }
        }
        if let Some((_, hi)) = span.at {
            self.add(" and w.updated <= ").bind(Bind::Time(hi));
        }
        if let (Kept::Superseded, Some((lo, _))) = (kept, span.at) {
            // When the next version came.
            self.add(" and coalesce((select n.updated from resource_history n where ")
                .same("n", document)
                .add(" and n.version = w.version + 1), ");
            self.add("(select c.updated from resource c where ").same("c", document).add(")) > ").bind(Bind::Time(lo));
        }
        // An old version is seen only by who sees the current one.
        if kept == Kept::Superseded && *guard != Guard::default() {
            self.add(" and exists (select 1 from resource c where ").same("c", document).seen("c", guard).add(")");
        }
        self
    }

    /// The rows of the same resource.
    fn same(&mut self, row: &'static str, document: Option<&str>) -> &mut Self {
        for (n, column) in [".documento_id", ".resource_type", ".id"].into_iter().enumerate() {
            self.add(if n == 0 { "" } else { " and " }).add(row).add(column).add(" = w").add(column);
        }
        // Citus must be told so of each table.
        if let Some(document) = document {
            self.add(" and ").add(row).add(".documento_id = ").bind(Bind::Text(document.to_owned()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(kept: Kept, sights: &[(Guard, Vec<String>)], span: &Span<'_>) -> (String, usize) {
        let statement = versions(kept, sights, span);
        (statement.sql, statement.params.len())
    }

    #[test]
    fn a_type_that_is_seen_whole_is_an_arm_that_stops_at_the_limit() {
        let sights = [(Guard::default(), vec!["Encounter".to_owned(), "Patient".to_owned()])];
        let span = Span { limit: 21, ..Span::default() };
        let (text, params) = sql(Kept::Current, &sights, &span);
        assert_eq!(text.matches("from resource w where w.resource_type = ").count(), 2);
        assert_eq!(text.matches(" limit ").count(), 3);
        assert_eq!(params, 2 * 3 + 1);
        assert!(!text.contains("exists") && !text.contains("owner @>"), "{text}");
    }

    #[test]
    fn one_record_is_read_by_its_documents_and_old_versions_by_the_current_one() {
        let rule = LabelRule { if_any: vec!["results".into()], then_any: vec!["status:final".into()] };
        let guard = Guard { owner: Some("p".into()), documents: Some(vec!["CC-1".into()]), label_rule: Some(rule) };
        let sights = [(guard, vec!["Encounter".to_owned(), "Observation".to_owned()])];
        let at = Some((Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH));
        let span = Span { limit: 5, at, after: Some((Timestamp::UNIX_EPOCH, "Encounter", "e")), ..Span::default() };
        let (text, _) = sql(Kept::Superseded, &sights, &span);
        assert_eq!(text.matches("offset 0").count(), 1);
        assert_eq!(text.matches("owner @> ").count(), 2, "the version and the current row: {text}");
        assert!(text.contains("exists (select 1 from resource c where c.documento_id = w.documento_id"), "{text}");
        assert!(text.contains("coalesce((select n.updated"), "{text}");
        let (text, _) = sql(Kept::Current, &sights, &span);
        assert!(!text.contains("coalesce") && !text.contains("exists"), "{text}");
    }

    #[test]
    fn among_equals_the_types_come_by_their_names() {
        let after = Some((Timestamp::UNIX_EPOCH, "Observation", "o"));
        let span = Span { limit: 5, after, ..Span::default() };
        for (name, expected) in [("Encounter", ""), ("Observation", "o"), ("Patient", "~")] {
            let statement = versions(Kept::Current, &[(Guard::default(), vec![name.to_owned()])], &span);
            assert!(statement.params.contains(&Bind::Text(expected.to_owned())), "{name}: {:?}", statement.params);
        }
    }
}
