-- A job that was replaced while its host was silent and that takes its slot back when the host returns.
alter table jobs add column away boolean not null default false;
drop index jobs_one_per_slot;
create unique index jobs_one_per_slot on jobs (service_id, release_id, process, slot)
  where state not in ('finished', 'failed', 'lost') and desired = 'run' and not leaving and not away;

-- What an operator should know. Open while `cleared_at` is null; one open row per code and subject.
create table alarms (
  id bigint generated always as identity primary key,
  code text not null,
  -- The host's id, or 'pod'.
  subject text not null,
  detail text not null,
  since timestamptz not null default now(),
  cleared_at timestamptz
);
create unique index alarms_open on alarms (code, subject) where cleared_at is null;
create index alarms_by_time on alarms (since desc);

-- Runs of the rebalancer: ordered by an operator (the id is that of api.rebalances) or begun by the scheduler.
create table rebalances (
  id text primary key,
  cause text not null check (cause in ('requested', 'host-ready')),
  state text not null default 'running' check (state in ('running', 'finished')),
  reason text,
  moves_count int not null default 0,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);

-- One job's way from one host to another. At most one is open in the pod.
create table moves (
  id bigint generated always as identity primary key,
  rebalance_id text not null,
  service_id text not null,
  process text not null,
  slot int not null,
  job_id text not null,
  from_host_id text not null,
  to_host_id text not null,
  gain double precision not null,
  reason text not null,
  state text not null default 'moving' check (state in ('moving', 'done', 'given-up')),
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
create unique index moves_one_open on moves ((true)) where state = 'moving';
create index moves_by_time on moves (started_at desc);

-- Whether the host took work when the scheduler looked last: a change to true may begin a rebalance.
alter table hosts_seen add column takes_work_since timestamptz;
