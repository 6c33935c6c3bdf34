-- The foundation: one schema for one node and for many. documento_id is the first column of every key of the
-- tables that sql/citus/distribute.sql distributes by it; the others are control tables of the coordinator.
-- Text that is compared by machines is collated "C": byte order, and LIKE/range scans on plain btrees.

-- ---------------------------------------------------------------- control tables

-- Keys of this installation: the hash key of the search values, the signing key of tokens. Part of every backup.
create table installation (
    name  text collate "C" primary key,
    value bytea not null
);

-- One row per patient record: where it lies, and the one Patient it is of. Immutable, so instances cache it.
create table record (
    record_id    text collate "C" primary key,
    documento_id text collate "C" not null,
    patient_id   text collate "C" not null unique,
    -- whole keyed hash of the identity by which HL7 v2 opened the record
    identity     bytea unique
);

-- Further documento_ids under which data of a patient lie (after a merge, or a resource of two patients).
create table record_key (
    patient_id   text collate "C" not null,
    documento_id text collate "C" not null,
    primary key (patient_id, documento_id)
);

-- Ids that clients chose: unique across shards, and where each lies.
create table resource_directory (
    resource_type text collate "C" not null,
    id            text collate "C" not null,
    documento_id  text collate "C" not null,
    primary key (resource_type, id)
);

-- Which sets of search parameters occur in a type; the hash stands in resource.keys (docs: search plans).
create table shape (
    resource_type text collate "C" not null,
    key           bigint not null,
    parameters    text[] collate "C" not null,
    primary key (resource_type, key)
);

-- The secrets of the accounts, apart from usuario so that usuario can be shown.
create table credencial (
    usuario      text collate "C" primary key,
    documento_id text collate "C" not null,
    usuario_id   uuid not null unique,
    clave        text not null,
    actualizado  timestamptz not null
);

-- One row per token or cookie that was given out; jti is the JWT's. ended: signed out or disabled.
create table session (
    jti        uuid primary key,
    usuario_id uuid,
    client_id  text collate "C",
    kind       text collate "C" not null check (kind in ('bearer', 'cookie')),
    secret     bytea unique,
    created    timestamptz not null,
    expires    timestamptz not null,
    ended      timestamptz,
    check ((usuario_id is null) <> (client_id is null))
);
create index session_live on session (expires) where ended is null;
create index session_ended on session (expires) where ended is not null;
create index session_usuario on session (usuario_id) where ended is null;
create index session_client on session (client_id) where ended is null;

create table oauth_client (
    id        text collate "C" primary key,
    tipo      text collate "C" not null check (tipo in ('public', 'confidential', 'asymmetric')),
    secret    bytea,
    redirect  text[] not null default '{}',
    scope     text not null default '',
    rol       text collate "C",
    jwks      text,
    estado    text collate "C" not null default 'activo' check (estado in ('activo', 'inactivo')),
    created   timestamptz not null
);

-- What was received from whom: the dedupe key, and the answer that a resend gets again. Never partitioned.
create table hl7_receipt (
    sender              text collate "C" not null,
    sending_application text collate "C" not null,
    sending_facility    text collate "C" not null,
    control_id          text collate "C" not null,
    hash                bytea not null,
    received            timestamptz not null,
    documento_id        text collate "C" not null,
    message_id          uuid not null,
    ack                 bytea not null,
    primary key (sender, sending_application, sending_facility, control_id)
);

-- ---------------------------------------------------------------- distributed by documento_id

-- Who: safe to show, there is no secret in it.
create table usuario (
    documento_id text collate "C" not null,
    id           uuid not null,
    usuario      text collate "C" not null,
    nombre       text not null,
    rol          text collate "C" not null check (rol in ('paciente', 'admisionista', 'medico', 'resultados', 'admin', 'integracion')),
    estado       text collate "C" not null default 'activo' check (estado in ('activo', 'inactivo')),
    paciente_id  text collate "C",
    creado       timestamptz not null,
    actualizado  timestamptz not null,
    primary key (documento_id, id),
    check ((rol = 'paciente') = (paciente_id is not null))
);

-- The current version of every resource, tombstones included.
create table resource (
    documento_id  text collate "C" not null,
    resource_type text collate "C" not null,
    id            text collate "C" not null,
    version       bigint not null,
    method        text collate "C" not null check (method in ('POST', 'PUT', 'PATCH', 'DELETE')),
    updated       timestamptz not null,
    deleted       boolean not null default false,
    -- the Patients whose compartment it is in (search), whose record it is (access), and what access judges by
    patient       text[] collate "C" not null default '{}',
    owner         text[] collate "C" not null default '{}',
    labels        text[] collate "C" not null default '{}',
    -- Patients only: further documento_ids under which their data lie
    keys_at       text[] collate "C" not null default '{}',
    sort_date     timestamptz not null default '-infinity',
    date_lo       timestamptz,
    date_hi       timestamptz,
    num_lo        double precision,
    num_hi        double precision,
    keys          bigint[] not null default '{}',
    -- the final JSON text as it is sent; encoding 0 = plain text
    body          bytea not null,
    encoding      smallint not null default 0,
    primary key (documento_id, resource_type, id)
);
create index resource_updated on resource (resource_type, updated desc, id desc);
create index resource_date on resource (resource_type, sort_date desc, id desc);
create index resource_timeline on resource (documento_id, resource_type, sort_date desc, id desc);
create index resource_long on resource (resource_type, date_hi) where date_hi - date_lo > interval '1 day';
create index resource_keys on resource using gin (keys) with (fastupdate = on, gin_pending_list_limit = 1024);
alter table resource alter column keys set statistics 400;

create table resource_history (
    documento_id  text collate "C" not null,
    resource_type text collate "C" not null,
    id            text collate "C" not null,
    version       bigint not null,
    method        text collate "C" not null,
    updated       timestamptz not null,
    deleted       boolean not null,
    patient       text[] collate "C" not null,
    owner         text[] collate "C" not null,
    labels        text[] collate "C" not null,
    body          bytea not null,
    encoding      smallint not null,
    primary key (documento_id, resource_type, id, version)
);

-- What the row cannot answer: words of strings from their start; dates beside the main one, numbers, quantities.
create table search_string (
    documento_id  text collate "C" not null,
    resource_type text collate "C" not null,
    id            text collate "C" not null,
    key           bigint not null,
    value         text collate "C" not null
);
create index search_string_of on search_string (documento_id, resource_type, id);
create index search_string_value on search_string (key, value, id);

create table search_range (
    documento_id  text collate "C" not null,
    resource_type text collate "C" not null,
    id            text collate "C" not null,
    key           bigint not null,
    lo            double precision not null,
    hi            double precision not null
);
create index search_range_of on search_range (documento_id, resource_type, id);
create index search_range_value on search_range (key, lo, hi);

-- One row per interaction, login and message. Under the documento_id of the record it shows, else the actor's.
-- seal: the place of the sealing issue. Monthly partitions, made ahead by historia_partitions().
create table audit_event (
    documento_id  text collate "C" not null,
    recorded      timestamptz not null,
    id            uuid not null,
    action        text collate "C" not null,
    outcome       smallint not null,
    actor         text collate "C" not null,
    role          text collate "C" not null,
    patient_id    text collate "C",
    resource_type text collate "C",
    resource_id   text collate "C",
    version       bigint,
    request_id    text collate "C" not null,
    detail        text,
    seal          bytea,
    primary key (documento_id, recorded, id)
) partition by range (recorded);
create table audit_event_default partition of audit_event default;

-- Every HL7 v2 message as it came, with what became of it.
create table hl7_message (
    documento_id text collate "C" not null,
    received     timestamptz not null,
    id           uuid not null,
    sender       text collate "C" not null,
    control_id   text collate "C" not null,
    event        text collate "C" not null,
    state        text collate "C" not null check (state in ('applied', 'error', 'rejected', 'conflict')),
    code         text collate "C",
    hash         bytea not null,
    raw          bytea not null,
    ack          bytea not null,
    primary key (documento_id, received, id)
) partition by range (received);
create table hl7_message_default partition of hl7_message default;

-- Makes the partitions of this month and of the next `ahead` ones. Run at start and daily; harmless to repeat.
create function historia_partitions(ahead int) returns void language plpgsql as $$
declare
    parent text;
    first  date;
    name   text;
begin
    foreach parent in array array['audit_event', 'hl7_message'] loop
        for n in 0..ahead loop
            first := date_trunc('month', now() at time zone 'UTC')::date + make_interval(months => n);
            name := parent || '_' || to_char(first, 'YYYY_MM');
            if to_regclass(name) is null then
                execute format('create table %I partition of %I for values from (%L) to (%L)', name, parent,
                               first::text || ' 00:00:00+00', (first + interval '1 month')::date::text || ' 00:00:00+00');
            end if;
        end loop;
    end loop;
end $$;
select historia_partitions(2);
