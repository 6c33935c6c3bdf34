//! JSON Merge Patch (RFC 7396): members that take the place of those that are there; null takes away. Not one of R4's patches,
//! but what several FHIR clients send for "these elements only".

use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value};

/// The members of a merge patch.
pub type Members = Map<String, Value>;

pub fn parse(document: Value) -> Result<Members> {
    match document {
        Value::Object(members) => Ok(members),
        _ => Err(Error::new(Kind::Structure, "a merge patch is a JSON object")),
    }
}

/// Both were read within the limit of depth, so this goes no deeper.
pub fn apply(patch: &Members, document: Value) -> Value {
    let mut members = match document {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    for (name, value) in patch {
        match value {
            Value::Null => drop(members.shift_remove(name)),
            Value::Object(inner) => {
                let before = members.get_mut(name).map(Value::take).unwrap_or_default();
                members.insert(name.clone(), apply(inner, before));
            }
            other => drop(members.insert(name.clone(), other.clone())),
        }
    }
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The cases of RFC 7396, appendix A, whose patch is an object.
    #[test]
    fn members_take_the_place_of_members() {
        let check = |document: Value, patch: Value, expected: Value| {
            assert_eq!(apply(&parse(patch.clone()).unwrap(), document), expected, "{patch}");
        };
        check(json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"}));
        check(json!({"a": "b"}), json!({"a": null}), json!({}));
        check(json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"}));
        check(json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"}));
        check(json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]}));
        check(json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}}));
        check(json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]}));
        check(json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1}));
        check(json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"}));
        check(json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}}));
        assert_eq!(parse(json!([1])).unwrap_err().kind, Kind::Structure);
    }
}
