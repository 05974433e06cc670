-- Deploys of ready images are known from their order on.
create or replace view deploy_overview as
with known as (
  select p.deploy_id, p.org_id, p.environment_id, p.service_id, 'push'::text as cause, p.commit, p.created_at, p.traceparent
    from git.pushes p
  union all
  select i.deploy_id, i.org_id, i.environment_id, i.service_id, 'image', null, i.created_at, i.traceparent
    from api.image_orders i
  union all
  select r.deploy_id, s.org_id, s.environment_id, r.service_id, r.cause, r.commit, r.created_at, r.traceparent
    from api.releases r join api.services s on s.id = r.service_id
   where r.cause not in ('push', 'image')
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

-- Work that runs once and ends: a deploy's release phase, a cron's runs, what somebody runs. Each has one job.
create table tasks (
  id text primary key,
  org_id text not null,
  environment_id text not null,
  service_id text not null,
  release_id text not null,
  deploy_id text not null,
  kind text not null check (kind in ('release', 'cron', 'run')),
  -- The cron's.
  name text,
  -- Counts the service's tasks: the job is `cron.17`.
  number int not null,
  command text not null,
  deadline_ms int not null,
  -- The instant of its schedule that a cron's run is for.
  scheduled_at timestamptz,
  -- Null until it was made, and for one that was skipped.
  job_id text,
  state text not null default 'running'
    check (state in ('running', 'succeeded', 'failed', 'cancelled', 'skipped')),
  reason_code text,
  reason text,
  exit_code int,
  last_lines jsonb not null default '[]',
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  unique (service_id, number),
  check ((state = 'running') = (finished_at is null))
);
create unique index tasks_one_per_instant on tasks (service_id, name, scheduled_at) where kind = 'cron' and scheduled_at is not null;
create unique index tasks_one_per_deploy on tasks (deploy_id) where kind = 'release';
create index tasks_open on tasks (service_id) where finished_at is null;
create index tasks_by_service on tasks (service_id, created_at desc);
alter table jobs add column task_id text;

-- Since when a cron has its schedule: instants before that are none of its.
create table crons (
  service_id text not null,
  name text not null,
  schedule text not null,
  since timestamptz not null default now(),
  primary key (service_id, name)
);

create function record_task_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, instance, details)
  values ('task.' || case when new.state = 'running' then 'started' else new.state end, new.org_id, new.environment_id,
    new.service_id, new.deploy_id, new.job_id, new.kind || '.' || new.number,
    jsonb_strip_nulls(jsonb_build_object('name', new.name, 'exitCode', new.exit_code, 'reasonCode', new.reason_code,
      'reason', scheduler.first_line(new.reason))));
  return null;
end
$$;
create trigger tasks_are_recorded after insert on tasks for each row execute function record_task_event();
create trigger task_changes_are_recorded after update of state on tasks for each row
  when (old.state is distinct from new.state) execute function record_task_event();
