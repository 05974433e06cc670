-- Releases are made from earlier ones, carry notes, and leave: a removed one stays as a row for the deploys'
-- history, but cannot be rolled back to and its image is no longer kept for it.
ALTER TABLE releases DROP CONSTRAINT releases_cause_check;
ALTER TABLE releases ADD CONSTRAINT releases_cause_check
  CHECK (cause IN ('push', 'config', 'scale', 'rollback', 'redeploy', 'image'));
ALTER TABLE releases ADD COLUMN notes text NOT NULL DEFAULT '';
ALTER TABLE releases ADD COLUMN removed_at timestamptz;

-- Instances of a process that were made before `requested_at` are to be replaced, the new ones first.
CREATE TABLE restarts (
  service_id text NOT NULL REFERENCES services (id),
  process text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (service_id, process)
);
