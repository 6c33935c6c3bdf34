//! Runs searches: the plans of docs/storage ("Search plans"), one after the other until one is complete.
pub const STATEMENTS: &[&str] = &[];
