-- Numbers and quantities. num_lo and num_hi: the main quantity in base units; here as it was written.
alter table resource add column raw_lo double precision;
alter table resource add column raw_hi double precision;

-- Keys of what else is said of a value: the unit as written, the system of a code beside it.
alter table search_range add column marks bigint[] not null default '{}';
