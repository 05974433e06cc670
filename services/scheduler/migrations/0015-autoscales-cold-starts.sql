-- Counts that follow their load (api.processes.autoscale says between which limits), and why they are what they are.
create table autoscales (
  service_id text not null,
  process text not null,
  scale int not null check (scale between 1 and 500),
  reason text not null,
  changed_at timestamptz not null default clock_timestamp(),
  looked_at timestamptz not null default clock_timestamp(),
  primary key (service_id, process)
);

create function record_autoscale_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, details)
  select 'scale.automatic', s.org_id, s.environment_id, new.service_id,
         jsonb_build_object('process', new.process, 'from', old.scale, 'to', new.scale, 'reason', new.reason)
    from api.services s where s.id = new.service_id;
  return null;
end
$$;
create trigger autoscales_are_recorded after update of scale on autoscales for each row
  when (old.scale <> new.scale) execute function record_autoscale_event();

-- Where the time of the last wake went: ColdStartStage[].
alter table sleeps add column last_cold_start jsonb not null default '[]';

-- How many instances of each process are wished for now.
create view wishes as
select p.service_id, p.process,
       case when p.scale = 0 or p.autoscale is null then p.scale
            else least(greatest(coalesce(a.scale, p.scale), (p.autoscale->>'min')::int), (p.autoscale->>'max')::int) end as scale
  from api.processes p left join autoscales a on a.service_id = p.service_id and a.process = p.process;
