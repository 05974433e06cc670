-- The release phase's deadline and the crons of a release, from the repository.
ALTER TABLE releases ADD COLUMN tasks jsonb NOT NULL DEFAULT '{}';

-- Orders to run something once: a command (`run`), or a cron now. The scheduler carries them out.
CREATE TABLE task_orders (
  id text PRIMARY KEY,
  service_id text NOT NULL REFERENCES services (id),
  kind text NOT NULL CHECK (kind IN ('run', 'cron')),
  name text,
  command text NOT NULL,
  deadline_ms integer NOT NULL,
  requested_by text NOT NULL,
  cancelled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX task_orders_by_service ON task_orders (service_id, created_at DESC);

-- Edges answer for the service themselves since then; its instances keep running.
ALTER TABLE services ADD COLUMN maintenance_since timestamptz;
