-- Sealed variables. No other role may read this schema; nothing in it is clear.

-- One data key per org, wrapped by the master key: destroying the row makes the org's values unreadable.
create table data_keys (
  org_id text primary key,
  wrapped bytea not null,
  created_at timestamptz not null default now()
);

-- Every version of a service's variables, whole, sealed with the org's data key.
create table variable_sets (
  service_id text not null,
  version int not null check (version >= 1),
  org_id text not null,
  sealed bytea not null,
  infos jsonb not null,
  request_id text not null,
  changed_by text not null,
  created_at timestamptz not null default now(),
  primary key (service_id, version)
);
create unique index variable_sets_request on variable_sets (service_id, request_id);

-- Keys of the service itself, wrapped by the master key.
create table service_keys (
  name text primary key,
  wrapped bytea not null,
  created_at timestamptz not null default now()
);

-- Who got what, when: never a value.
create table deliveries (
  id bigint generated always as identity primary key,
  job_id text not null,
  epoch int not null,
  host_id text not null,
  service_id text not null,
  version int not null,
  outcome text not null,
  at timestamptz not null default now()
);
create index deliveries_by_job on deliveries (job_id);
