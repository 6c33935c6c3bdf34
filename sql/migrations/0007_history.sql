-- The history of a type and of everything goes by time over superseded versions too (docs/adr/0018); current ones have
-- resource_updated.
create index resource_history_updated on resource_history (resource_type, updated desc, id desc);
