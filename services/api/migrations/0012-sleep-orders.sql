-- The newest order of a service's owner to let it sleep or to wake it. The scheduler takes each once.
CREATE TABLE sleep_orders (
  service_id text PRIMARY KEY REFERENCES services (id),
  wanted text NOT NULL CHECK (wanted IN ('sleep', 'wake')),
  level text NOT NULL CHECK (level IN ('frozen', 'stopped', 'away')),
  requested_at timestamptz NOT NULL DEFAULT now()
);
