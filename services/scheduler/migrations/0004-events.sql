-- The pod's history as facts. Triggers write it: a change and its event are one transaction, whoever makes the change.
-- Bounded by age and by count per org (src/outbound/events.ts). Events without an org are the operators' alone.
create table events (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  org_id text,
  environment_id text,
  service_id text,
  deploy_id text,
  job_id text,
  host_id text,
  -- `web.1`
  instance text,
  -- Codes and short texts, made for people by the reader: from, to, reasonCode, reason, epoch, …
  details jsonb not null default '{}'
);
create index events_by_time on events (at);
create index events_by_org on events (org_id, at);
create index events_by_host on events (host_id, at);

-- A reason's first line: what an app printed stays with its deploy.
create function first_line(text) returns text language sql immutable
  as $$ select left(split_part($1, E'\n', 1), 300) $$;

create function record_job_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, host_id, instance, details)
  values (
    case when tg_op = 'INSERT' then 'job.requested'
         when new.state is distinct from old.state then 'job.' || new.state
         when new.ready and not old.ready then 'job.ready'
         else 'job.leaving' end,
    new.org_id, new.environment_id, new.service_id, new.deploy_id, new.id,
    coalesce(new.host_id, case when tg_op = 'UPDATE' then old.host_id end), new.process || '.' || new.slot,
    jsonb_strip_nulls(jsonb_build_object(
      'from', case when tg_op = 'UPDATE' then old.state end, 'epoch', new.epoch,
      'ready', case when new.ready then true end, 'exitCode', new.exit_code,
      'restarts', nullif(new.restarts_count, 0),
      'reasonCode', new.reason_code, 'reason', scheduler.first_line(new.reason))));
  return null;
end
$$;
create trigger jobs_are_recorded after insert on jobs for each row execute function record_job_event();
create trigger job_changes_are_recorded after update of state, ready, leaving on jobs for each row
  when (old.state is distinct from new.state or (new.ready and not old.ready) or (new.leaving and not old.leaving))
  execute function record_job_event();

create function record_deploy_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, details)
  select 'deploy.' || new.state, s.org_id, s.environment_id, new.service_id, new.id,
         jsonb_strip_nulls(jsonb_build_object('from', case when tg_op = 'UPDATE' then old.state end,
           'reasonCode', new.reason_code, 'reason', scheduler.first_line(new.reason)))
    from api.services s where s.id = new.service_id;
  return null;
end
$$;
create trigger deploys_are_recorded after insert on deploys for each row execute function record_deploy_event();
create trigger deploy_changes_are_recorded after update of state on deploys for each row
  when (old.state is distinct from new.state) execute function record_deploy_event();

create function record_unplaceable_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, instance, details)
  select 'job.unplaceable', j.org_id, j.environment_id, j.service_id, j.deploy_id, j.id, j.process || '.' || j.slot,
         jsonb_build_object('reason', scheduler.first_line(coalesce(new.common_refusal, 'every host refused')))
    from scheduler.jobs j where j.id = new.job_id;
  return null;
end
$$;
create trigger refusals_are_recorded after insert on decisions for each row
  when (new.outcome = 'unplaceable') execute function record_unplaceable_event();

-- What a host's heartbeats and silence tell: its state, a reboot, an agent's restart, what makes it unavailable.
create function record_host_event() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into scheduler.events (kind, host_id) values ('host.first-heard', new.host_id);
    return null;
  end if;
  if old.state is distinct from new.state then
    insert into scheduler.events (kind, host_id, details)
    values ('host.' || new.state, new.host_id, jsonb_build_object('from', old.state));
  end if;
  if old.boot_id is distinct from new.boot_id then
    insert into scheduler.events (kind, host_id) values ('host.booted', new.host_id);
  elsif old.heartbeat->'agentStartedAtMs' is distinct from new.heartbeat->'agentStartedAtMs' then
    insert into scheduler.events (kind, host_id) values ('host.agent-started', new.host_id);
  end if;
  if coalesce(old.heartbeat->'state'->'unavailable', '[]') is distinct from coalesce(new.heartbeat->'state'->'unavailable', '[]')
     -- By code: a detail may count up with every heartbeat.
     or jsonb_path_query_array(old.heartbeat, '$.state.alarms[*].code')
        is distinct from jsonb_path_query_array(new.heartbeat, '$.state.alarms[*].code') then
    insert into scheduler.events (kind, host_id, details)
    values ('host.alarms', new.host_id, jsonb_build_object(
      'unavailable', coalesce(new.heartbeat->'state'->'unavailable', '[]'),
      'alarms', coalesce(new.heartbeat->'state'->'alarms', '[]')));
  end if;
  return null;
end
$$;
create trigger hosts_are_recorded after insert or update on hosts_seen for each row execute function record_host_event();

-- Set while two machines speak with one host's credentials: since when, and what was heard of both.
alter table hosts_seen add column cloned jsonb;
