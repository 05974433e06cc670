-- What every edge should serve, which edge serves it, and the first answer of every deploy's URL.
-- Only the router writes these tables.

-- One row per environment that ever had a service; a removed environment keeps a row without sites, because an
-- edge lets go of host names by a newer table, never by the lack of one.
create table route_tables (
  environment_id text primary key,
  version int not null check (version >= 1),
  -- RouteSite[] of the contract, in a canonical order: equal tables are equal text.
  sites jsonb not null,
  changed_at timestamptz not null default now(),
  -- The highest version that every live host's edge was seen to serve; the newest one is acknowledged when equal.
  acknowledged_version int not null default 0 check (acknowledged_version <= version),
  acknowledged_at timestamptz
);
create index route_tables_pending on route_tables (environment_id) where acknowledged_version < version;

-- What a host's edge said last about an environment, by the host's own clock.
create table route_acks (
  host_id text not null,
  environment_id text not null,
  version int not null check (version >= 0),
  at_ms double precision not null,
  primary key (host_id, environment_id)
);

-- status 0: nothing answered within the deadline.
create table first_responses (
  deploy_id text primary key,
  service_id text not null,
  hostname text not null,
  host_id text not null,
  status int not null check (status between 0 and 999),
  started_at_ms double precision not null,
  ended_at_ms double precision not null,
  created_at timestamptz not null default now()
);

create table outbox (
  id bigint generated always as identity primary key,
  event text not null,
  subject text not null,
  payload jsonb not null,
  dedupe_id text not null,
  headers jsonb not null default '{}',
  attempts int not null default 0,
  created_at timestamptz not null default now()
);
