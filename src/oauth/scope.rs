//! SMART scopes as they are told (<https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html>).
//!
//! A scope is an upper bound: `user/*.*` is everything that the person may do. What is enforced in this version is the
//! table of roles, so a token carries the whole of its role and a narrower request is refused, not silently widened.

use crate::access::Role;
use crate::access::role::{Reach, rule};
use crate::fhir::definitions::ResourceType;

/// Longest `scope` that is read.
const LONGEST: usize = 2_000;

/// What a token of this role may do, in the words of SMART v1.
pub fn of_role(role: Role) -> &'static str {
    let writes = ResourceType::all().any(|ty| rule(role, ty).create != Reach::None);
    match (role, writes) {
        (Role::Integracion, true) => "system/*.*",
        (Role::Integracion, false) => "system/*.read",
        (Role::Paciente, true) => "patient/*.*",
        (Role::Paciente, false) => "patient/*.read",
        (_, true) => "user/*.*",
        (_, false) => "user/*.read",
    }
}

/// The same in the words of SMART v2 (`.read` = `rs`, `.*` = `cruds`).
fn second_version(scope: &str) -> String {
    match scope.strip_suffix(".read") {
        Some(start) => format!("{start}.rs"),
        None => format!("{}.cruds", scope.strip_suffix(".*").unwrap_or(scope)),
    }
}

/// Whether `scope` says all that the role may do, and nothing else: what a client may be registered with.
pub fn is_whole(scope: &str, role: Role) -> bool {
    let whole = of_role(role);
    scope == whole || scope == second_version(whole)
}

/// The scope that is granted to a client of `role` which asks for `asked`; None is `invalid_scope`.
///
/// Unknown scopes are dropped (RFC 6749, 3.3). The answer keeps the version of the words that were asked for.
pub fn grant(role: Role, asked: Option<&str>) -> Option<String> {
    let whole = of_role(role);
    let Some(asked) = asked else { return Some(whole.to_owned()) };
    if asked.len() > LONGEST {
        return None;
    }
    let mut words = asked.split(' ').filter(|word| !word.is_empty());
    let is_asked = |scope: &str| asked.split(' ').any(|word| word == scope);
    // No person and no patient stands behind a client (SMART Backend Services).
    if words.any(|word| word.starts_with("user/") || word.starts_with("patient/")) {
        return None;
    }
    let v2 = second_version(whole);
    match (is_asked(whole), is_asked(&v2)) {
        (true, _) => Some(whole.to_owned()),
        (false, true) => Some(v2),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_says_what_its_table_says() {
        let check = |role, scope: &str| assert_eq!(of_role(role), scope);
        check(Role::Paciente, "patient/*.read");
        check(Role::Medico, "user/*.*");
        check(Role::Admin, "user/*.*");
        check(Role::Integracion, "system/*.*");
        assert!(is_whole("system/*.cruds", Role::Integracion) && is_whole("system/*.*", Role::Integracion));
        assert!(!is_whole("system/*.read", Role::Integracion) && !is_whole("", Role::Integracion));
    }

    #[test]
    fn a_client_gets_the_whole_or_nothing() {
        let check = |asked: Option<&str>, granted: Option<&str>| {
            assert_eq!(grant(Role::Integracion, asked).as_deref(), granted, "{asked:?}");
        };
        check(None, Some("system/*.*"));
        check(Some("system/*.*"), Some("system/*.*"));
        check(Some("system/*.cruds"), Some("system/*.cruds"));
        check(Some("offline_access  system/*.cruds"), Some("system/*.cruds"));
        check(Some("system/*.read"), None);
        check(Some("system/Patient.rs"), None);
        check(Some("system/*.* user/*.*"), None);
        check(Some("patient/*.read"), None);
        check(Some(""), None);
        check(Some("system/*.dus"), None);
        check(Some(&"system/*.* ".repeat(500)), None);
    }
}
