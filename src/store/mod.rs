//! PostgreSQL and Citus.

pub mod embedded;
