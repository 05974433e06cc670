-- What runs where, why, and how every deploy is doing. Only the scheduler writes these tables.

-- The one active scheduler. `epoch` grows with every change of holder and fences every write of a leader.
create table leader (
  name text primary key,
  holder text not null,
  epoch bigint not null,
  expires_at timestamptz not null
);

create table hosts_seen (
  host_id text primary key,
  state text not null check (state in ('alive', 'suspect', 'lost')),
  last_heartbeat_at timestamptz not null,
  boot_id text not null,
  heartbeat jsonb not null
);

create table deploys (
  id text primary key,
  service_id text not null,
  release_id text not null,
  state text not null,
  reason_code text,
  reason text,
  stages jsonb not null default '[]',
  created_at timestamptz not null default now(),
  state_since timestamptz not null default now(),
  finished_at timestamptz
);
create index deploys_open on deploys (service_id) where finished_at is null;

create table serving (
  service_id text primary key,
  release_id text not null
);

create table jobs (
  id text primary key,
  org_id text not null,
  environment_id text not null,
  service_id text not null,
  release_id text not null,
  deploy_id text not null,
  process text not null,
  slot int not null check (slot >= 1),
  -- Everything an agent needs but the secrets; the epoch is the column's.
  spec jsonb not null,
  epoch int not null default 0,
  state text not null default 'requested',
  desired text not null default 'run' check (desired in ('run', 'stop')),
  rotation text not null default 'out' check (rotation in ('out', 'in', 'draining')),
  rotation_since timestamptz not null default now(),
  ready boolean not null default false,
  host_id text,
  observed_sequence int not null default -1,
  address text,
  port int,
  restarts_count int not null default 0,
  exit_code int,
  reason_code text,
  reason text,
  last_lines jsonb not null default '[]',
  stages jsonb not null default '[]',
  lease_expires_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index jobs_open on jobs (service_id) where state not in ('finished', 'failed');
create index jobs_by_host on jobs (host_id) where state not in ('finished', 'failed');
create index jobs_by_deploy on jobs (deploy_id);
create index jobs_updated on jobs (updated_at);
-- Two live jobs of one release never share a slot: a second copy cannot even be stored.
create unique index jobs_one_per_slot on jobs (service_id, release_id, process, slot)
  where state not in ('finished', 'failed', 'lost') and desired = 'run';

create table decisions (
  id text primary key,
  job_id text not null,
  service_id text not null,
  epoch int not null,
  outcome text not null check (outcome in ('placed', 'unplaceable')),
  winner_host_id text,
  answer text not null default 'none' check (answer in ('accepted', 'declined', 'no-answer', 'none')),
  candidates jsonb not null,
  common_refusal text,
  decided_at timestamptz not null default now()
);
create index decisions_by_service on decisions (service_id, decided_at desc);
create index decisions_by_job on decisions (job_id, decided_at desc);

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

-- A deploy from push (or change of configuration) to its end, put together from the tables of those who own the parts.
create view deploy_overview as
with known as (
  select p.deploy_id, p.org_id, p.environment_id, p.service_id, 'push'::text as cause, p.commit, p.created_at, p.traceparent
    from git.pushes p
  union all
  select r.deploy_id, s.org_id, s.environment_id, r.service_id, r.cause, r.commit, r.created_at, r.traceparent
    from api.releases r join api.services s on s.id = r.service_id
   where r.cause <> 'push'
)
select
  k.deploy_id, k.org_id, k.environment_id, k.service_id, k.cause,
  case
    when d.id is not null then d.state
    when b.state in ('failed', 'cancelled', 'superseded') then b.state
    when c.deploy_id is not null then 'cancelled'
    when b.state = 'succeeded' or r.id is not null then 'built'
    when b.state = 'running' then 'building'
    else 'queued'
  end as state,
  coalesce(d.finished_at is not null, false)
    or coalesce(b.state in ('failed', 'cancelled', 'superseded'), false)
    or (d.id is null and c.deploy_id is not null) as final,
  k.commit, r.version as release_version, r.id as release_id, b.id as build_id, b.state as build_state,
  coalesce(d.reason_code, b.reason_code, case when d.id is null and c.deploy_id is not null then 'cancelled' end) as reason_code,
  coalesce(d.reason, b.reason, case when d.id is null and c.deploy_id is not null then 'the deploy was cancelled' end) as reason,
  k.created_at, coalesce(d.finished_at, b.finished_at, c.created_at) as finished_at, k.traceparent
from known k
left join builder.builds b on b.deploy_id = k.deploy_id
left join api.releases r on r.deploy_id = k.deploy_id
left join scheduler.deploys d on d.id = k.deploy_id
left join api.deploy_cancels c on c.deploy_id = k.deploy_id;
