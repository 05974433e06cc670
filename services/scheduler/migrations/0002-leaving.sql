-- A job may leave its host: its slot goes to another job, which takes over before this one stops.
alter table jobs add column leaving boolean not null default false;
drop index jobs_one_per_slot;
create unique index jobs_one_per_slot on jobs (service_id, release_id, process, slot)
  where state not in ('finished', 'failed', 'lost') and desired = 'run' and not leaving;
