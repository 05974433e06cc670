-- A placement writes its job twice, so the columns that indexes look at change as seldom as may be: then an update adds no
-- index entries (PostgreSQL's heap-only tuples). The state, the host and the time of the last
-- change are in no index themselves.
alter table jobs
  -- A host may hold something of it, or will.
  add column open boolean not null generated always as (state not in ('finished', 'failed')) stored,
  -- Its host has done nothing for it yet: it has no container and no address.
  add column pending boolean not null generated always as (state in ('requested', 'awarded', 'accepted')) stored,
  add column holds_slot boolean not null generated always as
    (state not in ('finished', 'failed', 'lost') and desired = 'run' and not leaving and not away) stored,
  -- The host that has begun it: those that wait for that are found among the pending ones, which are few.
  add column held_by text generated always as
    (case when state in ('requested', 'awarded', 'accepted', 'finished', 'failed') then null else host_id end) stored,
  -- The last change of what others read of it; null while it is being placed.
  add column told_at timestamptz generated always as
    (case when state in ('requested', 'awarded', 'accepted') then null else updated_at end) stored;
drop index jobs_open, jobs_by_host, jobs_updated, jobs_one_per_slot, jobs_auctioned;
create index jobs_open on jobs (service_id) where open;
create index jobs_by_host on jobs (held_by) where held_by is not null;
create index jobs_told on jobs (told_at);
create index jobs_pending on jobs (created_at) where pending;
-- Two live jobs of one release never share a slot: a second copy cannot even be stored.
create unique index jobs_one_per_slot on jobs (service_id, release_id, process, slot) where holds_slot;
-- Room for the next versions on the same page.
alter table jobs set (fillfactor = 50);

-- Written once and read as a whole: kept as it came. What a host answered is read off its job.
alter table decisions alter column candidates type text using candidates::text;
alter table decisions drop constraint decisions_pkey;
drop index decisions_by_job;
alter table decisions add primary key (job_id, id);
alter table decisions set (fillfactor = 100);

-- Nobody looks an event up by its number.
alter table events drop constraint events_pkey;

-- An award is told by what becomes of it: the host takes the job, or it goes back to the auction.
create or replace function record_job_changes() returns trigger language plpgsql set enable_nestloop to off as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, deploy_id, job_id, host_id, instance, details)
  select case when n.state <> o.state then 'job.' || n.state when n.ready and not o.ready then 'job.ready' else 'job.leaving' end,
         n.org_id, n.environment_id, n.service_id, n.deploy_id, n.id, coalesce(n.host_id, o.host_id), n.process || '.' || n.slot,
         scheduler.job_details(n, o.state)
    from new_rows n join old_rows o on o.id = n.id
   where n.state <> o.state and n.state <> 'awarded' or (n.ready and not o.ready) or (n.leaving and not o.leaving);
  return null;
end
$$;
