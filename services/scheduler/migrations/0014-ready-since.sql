-- Since when an instance is ready without a break: one that comes and goes begins anew each time.
alter table jobs add column ready_since timestamptz;

create function note_ready_since() returns trigger language plpgsql as $$
begin
  new.ready_since := clock_timestamp();
  return new;
end
$$;
create trigger readiness_is_dated before update of ready, restarts_count on jobs for each row
  when (new.ready and (not old.ready or new.restarts_count <> old.restarts_count)) execute function note_ready_since();
