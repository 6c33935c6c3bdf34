-- The only difference between one node and many: run once on the coordinator, after the migrations.
-- Needs the extension citus and the worker nodes registered. Safe to repeat: what is done is passed over, and what a
-- later migration makes is not missed yet. `historia migrate` runs it again where it was run once.
do $$
declare
    name text;
begin
    if not exists (select 1 from citus_tables where table_name = 'resource'::regclass) then
        perform create_distributed_table('resource', 'documento_id');
    end if;
    foreach name in array array['usuario', 'resource_history', 'search_string', 'search_range', 'audit_event', 'hl7_message'] loop
        if to_regclass(name) is not null and not exists (select 1 from citus_tables t where t.table_name = to_regclass(name)) then
            perform create_distributed_table(name, 'documento_id', colocate_with => 'resource');
        end if;
    end loop;
    -- Without a key of their own, moving their shards while they change needs to know a row by all of it.
    foreach name in array array['search_string', 'search_range'] loop
        if exists (select 1 from pg_class where oid = to_regclass(name) and relreplident <> 'f') then
            execute format('alter table %I replica identity full', name);
        end if;
    end loop;
    -- Control tables: local to the coordinator but known to Citus, so that they commit with distributed writes.
    foreach name in array array['installation', 'record', 'record_key', 'resource_directory', 'shape', 'credencial', 'session', 'oauth_client', 'hl7_receipt', 'form', 'draft', 'codigo', 'intento', 'search_generation', 'search_parameter', 'search_unfinished', 'reindex_job', 'instance'] loop
        if to_regclass(name) is not null and not exists (select 1 from citus_tables t where t.table_name = to_regclass(name)) then
            perform citus_add_local_table_to_metadata(name);
        end if;
    end loop;
end $$;
