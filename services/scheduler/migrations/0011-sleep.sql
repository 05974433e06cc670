-- Sleeping services. `epoch` counts a service's sleeps; a sleep ends once, by whoever changes its row first.
create table sleeps (
  service_id text primary key,
  epoch int not null default 0,
  state text not null default 'awake' check (state in ('awake', 'falling', 'asleep', 'waking')),
  level text not null default 'stopped' check (level in ('frozen', 'stopped', 'away')),
  cause text not null default 'asked' check (cause in ('asked', 'idle')),
  state_since timestamptz not null default now(),
  -- The newest of the owner's orders (api.sleep_orders) that was taken.
  order_at timestamptz,
  -- What ended the sleep: the host at whose edge a request came, 'order' or 'deploy'.
  woken_by text,
  woken_at timestamptz,
  -- From the wish to wake it to an instance that answers.
  last_cold_start_ms double precision
);

-- Set while the job is to sleep: the level.
alter table jobs add column sleep_level text check (sleep_level in ('frozen', 'stopped', 'away'));

create function record_sleep_event() returns trigger language plpgsql as $$
begin
  insert into scheduler.events (kind, org_id, environment_id, service_id, details)
  select 'sleep.' || new.state, s.org_id, s.environment_id, new.service_id,
         jsonb_strip_nulls(jsonb_build_object('from', old.state, 'epoch', new.epoch, 'level', new.level, 'cause', new.cause,
           'wokenBy', case when new.state in ('waking', 'awake') then new.woken_by end,
           'coldStartMs', case when old.state = 'waking' and new.state = 'awake' then round(new.last_cold_start_ms) end))
    from api.services s where s.id = new.service_id;
  return null;
end
$$;
create trigger sleeps_are_recorded after update of state on sleeps for each row
  when (old.state is distinct from new.state) execute function record_sleep_event();
