//! JSON Patch (RFC 6902) over JSON Pointers (RFC 6901); numbers keep their digits.

use super::{Limits, depth, failed, too_deep, too_many};
use crate::error::{Error, Kind, Result};
use serde_json::{Map, Value};

#[derive(Clone, Debug)]
pub struct Operations(Vec<Operation>);

#[derive(Clone, Debug)]
enum Operation {
    Add(Pointer, Value),
    Remove(Pointer),
    Replace(Pointer, Value),
    /// From, to.
    Move(Pointer, Pointer),
    Copy(Pointer, Pointer),
    Test(Pointer, Value),
}

/// The tokens of a JSON Pointer, unescaped.
type Pointer = Vec<String>;

pub(super) fn parse(document: Value, limits: &Limits) -> Result<Operations> {
    let Value::Array(items) = document else {
        return Err(Error::new(Kind::Invalid, "a JSON Patch is an array of operations"));
    };
    if items.len() > limits.operations {
        return Err(too_many(limits));
    }
    items.into_iter().enumerate().map(|(n, item)| operation(n, item)).collect::<Result<_>>().map(Operations)
}

/// Members that an operation does not know are not looked at (RFC 6902, 4).
fn operation(n: usize, item: Value) -> Result<Operation> {
    let Value::Object(mut members) = item else { return Err(failed(Kind::Invalid, n, "an operation is an object")) };
    let op = members.get("op").and_then(Value::as_str).unwrap_or_default().to_owned();
    let path = pointer(n, &members, "path")?;
    match op.as_str() {
        "add" => Ok(Operation::Add(path, value(n, &mut members)?)),
        "replace" => Ok(Operation::Replace(path, value(n, &mut members)?)),
        "test" => Ok(Operation::Test(path, value(n, &mut members)?)),
        "remove" => Ok(Operation::Remove(path)),
        "move" => Ok(Operation::Move(pointer(n, &members, "from")?, path)),
        "copy" => Ok(Operation::Copy(pointer(n, &members, "from")?, path)),
        _ => Err(failed(Kind::Invalid, n, "op is one of add, remove, replace, move, copy, test")),
    }
}

fn value(n: usize, members: &mut Map<String, Value>) -> Result<Value> {
    members.remove("value").ok_or_else(|| failed(Kind::Invalid, n, "the member value is missing"))
}

fn pointer(n: usize, members: &Map<String, Value>, name: &str) -> Result<Pointer> {
    let wrong = || failed(Kind::Invalid, n, &format!("the member {name} is a JSON Pointer"));
    let text = members.get(name).and_then(Value::as_str).ok_or_else(wrong)?;
    if text.is_empty() {
        return Ok(Pointer::new());
    }
    let tokens = text.strip_prefix('/').ok_or_else(wrong)?.split('/');
    tokens.map(|token| unescaped(token).ok_or_else(wrong)).collect()
}

/// `~1` is `/` and `~0` is `~`; any other `~` is none of a pointer.
fn unescaped(token: &str) -> Option<String> {
    let mut out = String::with_capacity(token.len());
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        out.push(match character {
            '~' => match characters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

pub(super) fn apply(operations: &Operations, mut document: Value, limits: &Limits) -> Result<Value> {
    let mut bytes = limits.bytes;
    for (n, operation) in operations.0.iter().enumerate() {
        let no_place = || failed(Kind::BusinessRule, n, "there is no such place");
        let fits = |to: &Pointer, value: &Value| match to.len() + depth(value) > limits.depth {
            true => Err(too_deep(n, limits)),
            false => Ok(()),
        };
        match operation {
            Operation::Add(path, value) => {
                fits(path, value)?;
                add(&mut document, path, value.clone()).ok_or_else(no_place)?;
            }
            Operation::Remove(path) => drop(remove(&mut document, path).ok_or_else(no_place)?),
            Operation::Replace(path, value) => {
                fits(path, value)?;
                *place_mut(&mut document, path).ok_or_else(no_place)? = value.clone();
            }
            Operation::Move(from, to) => {
                if to.len() > from.len() && to.starts_with(from) {
                    return Err(failed(Kind::BusinessRule, n, "nothing is moved into itself"));
                }
                let value = remove(&mut document, from).ok_or_else(no_place)?;
                fits(to, &value)?;
                add(&mut document, to, value).ok_or_else(no_place)?;
            }
            Operation::Copy(from, to) => {
                let value = place(&document, from).ok_or_else(no_place)?;
                fits(to, value)?;
                bytes = bytes.checked_sub(size(value)).ok_or_else(|| {
                    failed(Kind::TooCostly, n, "the copies are larger than a body may be (limits.body)")
                })?;
                let value = value.clone();
                add(&mut document, to, value).ok_or_else(no_place)?;
            }
            Operation::Test(path, expected) => {
                if !is_equal(place(&document, path).ok_or_else(no_place)?, expected) {
                    return Err(failed(Kind::BusinessRule, n, "the test fails: another value is there"));
                }
            }
        }
    }
    Ok(document)
}

/// About as many bytes as the text of a value has.
fn size(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.iter().map(|(name, member)| name.len() + 4 + size(member)).sum::<usize>() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::String(text) => text.len() + 2,
        Value::Number(number) => number.as_str().len(),
        Value::Null | Value::Bool(_) => 5,
    }
}

/// The place of an item: digits without a zero in front (RFC 6901, 4).
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|b| b.is_ascii_digit()) && (token == "0" || !token.starts_with('0'));
    token.parse().ok().filter(|_| digits)
}

fn place<'v>(document: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(members) => members.get(token),
        Value::Array(items) => items.get(index(token)?),
        _ => None,
    })
}

fn place_mut<'v>(document: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(members) => members.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    })
}

fn add(document: &mut Value, path: &[String], value: Value) -> Option<()> {
    let Some((last, parent)) = path.split_last() else {
        *document = value;
        return Some(());
    };
    match place_mut(document, parent)? {
        Value::Object(members) => drop(members.insert(last.clone(), value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(last).filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &[String]) -> Option<Value> {
    let Some((last, parent)) = path.split_last() else { return Some(document.take()) };
    match place_mut(document, parent)? {
        Value::Object(members) => members.shift_remove(last),
        Value::Array(items) => {
            let at = index(last).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

/// Equality of RFC 6902, 4.6: numbers by their value, objects without order.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| is_equal(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Number(a), Value::Number(b)) => a == b || plain(a.as_str()) == plain(b.as_str()),
        _ => a == b,
    }
}

/// Sign, digits without zeros at either end, and the power of ten of the last of them: one form for each number.
fn plain(number: &str) -> (bool, String, i64) {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    let (leading, trailing) = (digits.trim_start_matches('0'), digits.trim_end_matches('0'));
    if leading.is_empty() {
        return (false, String::new(), 0);
    }
    let dropped = i64::try_from(digits.len() - trailing.len()).unwrap_or(0);
    let exponent = exponent.parse::<i64>().unwrap_or(0) - i64::try_from(part.len()).unwrap_or(0) + dropped;
    (negative, leading.trim_end_matches('0').to_owned(), exponent)
}
