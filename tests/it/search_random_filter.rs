//! Random `_filter` expressions over the resources of `search_random`, and what they mean.

use crate::search_random::{
    DATES, Dice, STATUS, TEXTS, WORDS, amount, effective, folded, has, instants, is_missing, token,
};
use serde_json::Value;

pub enum Expression {
    Test { name: &'static str, operator: &'static str, value: String },
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
}

use Expression::{And, Not, Or, Test};

pub fn random(dice: &mut Dice, patient: &str, depth: usize) -> Expression {
    let inner = |dice: &mut Dice| Box::new(random(dice, patient, depth.saturating_sub(1)));
    match dice.roll(if depth == 0 { 1 } else { 4 }) {
        1 => Not(inner(dice)),
        2 => And(inner(dice), inner(dice)),
        3 => Or(inner(dice), inner(dice)),
        _ => test(dice, patient),
    }
}

const PREFIXES: [&str; 8] = ["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"];

fn test(dice: &mut Dice, patient: &str) -> Expression {
    let name = dice.of(&[
        "code",
        "component-code",
        "status",
        "subject",
        "date",
        "date",
        "value-string",
        "value-string",
        "value-quantity",
        "component-value-quantity",
    ]);
    if dice.chance(15) && !matches!(name, "code" | "status" | "component-value-quantity") {
        return Test { name, operator: "pr", value: dice.of(&["true", "false"]).to_owned() };
    }
    let (operator, value) = match name {
        "code" | "component-code" => ("eq", token(dice)),
        "status" => (dice.of(&["eq", "ne"]), dice.of(&STATUS).to_owned()),
        "subject" => ("re", dice.of(&[patient, "Patient/none"]).to_owned()),
        "date" => (dice.of(&["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "po"]), dice.of(&DATES).to_owned()),
        "value-string" => {
            let value = if dice.chance(50) { dice.of(&TEXTS) } else { dice.of(&WORDS) };
            (dice.of(&["eq", "ne", "co", "sw", "ew"]), value.to_owned())
        }
        _ => {
            let amount = amount(dice);
            (dice.of(&PREFIXES), amount.trim_start_matches(|c: char| c.is_ascii_alphabetic()).to_owned())
        }
    };
    Test { name, operator, value }
}

/// As it is written: from left to right, so that only what stands right needs parentheses.
pub fn text(expression: &Expression) -> String {
    let right = |one: &Expression| match one {
        And(..) | Or(..) => format!("({})", text(one)),
        _ => text(one),
    };
    match expression {
        Test { name, operator, value } => {
            let bare = value.chars().all(|c| !c.is_whitespace() && c != ')' && c != ']' && c != '"');
            let value = if bare { value.clone() } else { Value::from(value.as_str()).to_string() };
            format!("{name} {operator} {value}")
        }
        Not(inner) => format!("not ({})", text(inner)),
        And(one, other) => format!("{} and {}", text(one), right(other)),
        Or(one, other) => format!("{} or {}", text(one), right(other)),
    }
}

pub fn holds(one: &Value, expression: &Expression) -> bool {
    match expression {
        Not(inner) => !holds(one, inner),
        And(a, b) => holds(one, a) && holds(one, b),
        Or(a, b) => holds(one, a) || holds(one, b),
        Test { name, operator: "pr", value } => is_missing(one, name) != (value == "true"),
        Test { name: "date", operator: "po", value } => {
            let (from, to) = instants(value);
            effective(one).is_some_and(|(lo, hi)| lo <= to && from <= hi)
        }
        Test { name: "status", operator: "ne", value } => one["status"] != **value,
        Test { name: "value-string", operator, value } => one["valueString"].as_str().is_some_and(|text| {
            let (text, value) = (folded(text), folded(value));
            match *operator {
                "eq" => text == value,
                "ne" => text != value,
                "co" => text.contains(&value),
                "sw" => text.starts_with(&value),
                _ => text.ends_with(&value),
            }
        }),
        Test { name: "date" | "value-quantity" | "component-value-quantity", operator, value } if *operator != "eq" => {
            let Test { name, .. } = expression else { unreachable!() };
            has(one, name, &format!("{operator}{value}"))
        }
        Test { name, value, .. } => has(one, name, value),
    }
}
