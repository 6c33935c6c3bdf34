-- Search parameters of the installation, and what is re-read of stored resources (docs/adr/0019).

-- Grows with each change of what is extracted; one row, none before the first change.
create table search_generation (
    only_one boolean primary key default true check (only_one),
    value    bigint not null
);

-- A SearchParameter resource that is active. definition: what is extracted now, null: nothing; coming: what will be.
create table search_parameter (
    id         text collate "C" primary key,
    base       text[] collate "C" not null,
    code       text collate "C" not null,
    definition text,
    coming     text,
    -- announced: no instance may search by it; building: all extract it; ready: every resource was read for it
    state      text collate "C" not null check (state in ('announced', 'building', 'ready')),
    leaving    boolean not null default false,
    generation bigint not null,
    job        uuid not null
);

-- Parameters of the standard that a migration changed and that wait for a job.
create table search_unfinished (
    resource_type text collate "C" not null,
    code          text collate "C" not null,
    primary key (resource_type, code)
);

create table reindex_job (
    id          uuid primary key,
    asked       timestamptz not null default now(),
    cause       text collate "C" not null,
    types       text[] collate "C" not null,
    state       text collate "C" not null default 'waiting' check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
    -- that of the extraction which the rows are read with; null: not chosen yet
    generation  bigint,
    total       bigint not null default 0,
    done        bigint not null default 0,
    changed     bigint not null default 0,
    failed      bigint not null default 0,
    -- the last row that was read
    at          text[] collate "C" not null default '{"","",""}',
    started     timestamptz,
    ended       timestamptz,
    lease       uuid,
    lease_until timestamptz
);
create index reindex_job_open on reindex_job (asked) where state in ('waiting', 'running');

-- Servers that run, and the extraction that each surely writes with.
create table instance (
    id         uuid primary key,
    generation bigint not null,
    seen       timestamptz not null default now()
);
