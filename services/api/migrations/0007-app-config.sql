-- What an app's repository may say besides its commands. Null: the platform's own.
ALTER TABLE processes ADD COLUMN start_deadline_ms integer;
ALTER TABLE processes ADD COLUMN stop_grace_ms integer;
-- Variables that are no secrets, from the repository; the service's own variables win over them.
ALTER TABLE releases ADD COLUMN env jsonb NOT NULL DEFAULT '{}';
