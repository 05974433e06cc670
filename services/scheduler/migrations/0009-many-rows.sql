-- The history is written once per statement, not once per row: the scheduler changes hundreds of rows in one statement.
drop trigger jobs_are_recorded on jobs;
drop trigger job_changes_are_recorded on jobs;
drop trigger hosts_are_recorded on hosts_seen;
drop function record_job_event();
drop function record_host_event();

create function record_new_jobs() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, host_id, instance, details)
  select 'job.requested', n.org_id, n.environment_id, n.service_id, n.deploy_id, n.id, n.host_id, n.process || '.' || n.slot,
         scheduler.job_details(n, null)
    from new_rows n;
  return null;
end
$$;

-- What an event tells of a job: `earlier` is the state before, null for a new job.
create function job_details(job jobs, earlier text) returns jsonb language sql stable
  return jsonb_strip_nulls(jsonb_build_object(
    'from', earlier, 'epoch', job.epoch, 'ready', case when job.ready then true end, 'exitCode', job.exit_code,
    'restarts', nullif(job.restarts_count, 0), 'reasonCode', job.reason_code, 'reason', scheduler.first_line(job.reason)));

-- Planned once per session, maybe for one row: a nested loop over hundreds of rows would be slow.
create function record_job_changes() returns trigger language plpgsql set enable_nestloop to off as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, host_id, instance, details)
  select case when n.state <> o.state then 'job.' || n.state when n.ready and not o.ready then 'job.ready' else 'job.leaving' end,
         n.org_id, n.environment_id, n.service_id, n.deploy_id, n.id, coalesce(n.host_id, o.host_id), n.process || '.' || n.slot,
         scheduler.job_details(n, o.state)
    from new_rows n join old_rows o on o.id = n.id
   where n.state <> o.state or (n.ready and not o.ready) or (n.leaving and not o.leaving);
  return null;
end
$$;

create trigger jobs_are_recorded after insert on jobs referencing new table as new_rows
  for each statement execute function record_new_jobs();
create trigger job_changes_are_recorded after update on jobs referencing old table as old_rows new table as new_rows
  for each statement execute function record_job_changes();

create function record_new_hosts() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, host_id) select 'host.first-heard', n.host_id from new_rows n;
  return null;
end
$$;

-- What heartbeats and silence tell of hosts: state, reboot, an agent's restart, what makes them unavailable.
create function record_host_changes() returns trigger language plpgsql set enable_nestloop to off as $$
begin
  insert into scheduler.events (kind, host_id, details)
  with pairs as materialized (
    select n.host_id, o.state as was, n.state, o.boot_id is distinct from n.boot_id as booted,
           o.heartbeat as before, n.heartbeat as now
      from new_rows n join old_rows o on o.host_id = n.host_id
     where o.state <> n.state or o.boot_id <> n.boot_id
        or o.heartbeat->'agentStartedAtMs' is distinct from n.heartbeat->'agentStartedAtMs'
        or o.heartbeat->'state'->'unavailable' is distinct from n.heartbeat->'state'->'unavailable'
        or o.heartbeat->'state'->'alarms' is distinct from n.heartbeat->'state'->'alarms')
  select kind, host_id, details from (
    select 1 as place, 'host.' || state as kind, host_id, jsonb_build_object('from', was) as details
      from pairs where state <> was
    union all
    select 2, 'host.booted', host_id, '{}' from pairs where booted
    union all
    select 2, 'host.agent-started', host_id, '{}' from pairs
     where not booted and before->'agentStartedAtMs' is distinct from now->'agentStartedAtMs'
    union all
    select 3, 'host.alarms', host_id, jsonb_build_object(
             'unavailable', coalesce(now->'state'->'unavailable', '[]'), 'alarms', coalesce(now->'state'->'alarms', '[]'))
      from pairs
     where coalesce(before->'state'->'unavailable', '[]') is distinct from coalesce(now->'state'->'unavailable', '[]')
        -- By code: a detail may count up with every heartbeat.
        or jsonb_path_query_array(before, '$.state.alarms[*].code') is distinct from jsonb_path_query_array(now, '$.state.alarms[*].code')
  ) told order by host_id, place;
  return null;
end
$$;

create trigger hosts_are_recorded after insert on hosts_seen referencing new table as new_rows
  for each statement execute function record_new_hosts();
create trigger host_changes_are_recorded after update on hosts_seen referencing old table as old_rows new table as new_rows
  for each statement execute function record_host_changes();

-- A decision's candidates are about two kilobytes: compressing each costs more than the space.
alter table decisions set (toast_tuple_target = 8160, fillfactor = 60);
-- Written at every heartbeat: there is room for the next version on the same page, and no index to change.
alter table hosts_seen set (fillfactor = 50);
