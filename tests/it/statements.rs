//! Every static statement of the store stands on the migrated schema.

use crate::harness::{database, run, skip};

#[test]
fn every_statement_can_be_prepared() {
    run(async {
        let Some(client) = database::of_server().await else {
            return skip("every_statement_can_be_prepared", "the database cannot be reached from here");
        };
        let mut wrong = Vec::new();
        let mut count = 0;
        for (module, statements) in historia::store::STATEMENTS {
            for statement in *statements {
                count += 1;
                if let Err(error) = client.prepare(statement).await {
                    let cause = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
                    wrong.push(format!("{module}: {cause}\n{statement}"));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
        assert!(count > 50, "{count} statements only: has a module left the list?");
    });
}
