-- What pages need beside the records: forms that were answered, drafts of ended sessions, activation codes, wrong
-- passwords. All are control tables of the coordinator.

-- The first answer to a form: the second sending gets the same. key: the one-time key; action: path of the address.
create table form (
    key     text collate "C" not null,
    action  text collate "C" not null,
    session uuid not null,
    answer  text not null,
    created timestamptz not null,
    primary key (key, action)
);
create index form_created on form (created);

-- What was typed when a session ended, for the same account after it has signed in again. Kept for an hour.
create table draft (
    id         text collate "C" primary key,
    usuario_id uuid not null,
    action     text collate "C" not null,
    body       text not null,
    created    timestamptz not null
);
create index draft_created on draft (created);

-- Activation codes of patients: SHA-256 of the code.
create table codigo (
    hash         bytea primary key,
    paciente_id  text collate "C" not null,
    creado       timestamptz not null,
    vence        timestamptz not null,
    usado        timestamptz,
    actor        text collate "C" not null
);
create index codigo_paciente on codigo (paciente_id) where usado is null;
create index codigo_vence on codigo (vence);

-- Wrong passwords and codes in a row, per account (SHA-256 of what was typed, known or not) and source.
create table intento (
    cuenta bytea not null,
    origen text collate "C" not null,
    fallos int not null,
    ultimo timestamptz not null,
    primary key (cuenta, origen)
);
create index intento_ultimo on intento (ultimo);

-- When a cookie session was last used, at most a minute old. Null: never since it was opened.
alter table session add column seen timestamptz;

-- A password that somebody else made: it must be changed before anything else, and is worth nothing after this time.
alter table credencial add column vence timestamptz;

-- The audit list of the administrator goes by time over all records.
create index audit_event_recorded on audit_event (recorded, id);
