-- Pods: named sets of hosts, each with its strategy. What was before has one, `main`.
CREATE TABLE pods (
  name text PRIMARY KEY,
  strategy text NOT NULL DEFAULT 'spread' CHECK (strategy IN ('spread', 'binpack')),
  created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO pods (name) VALUES ('main');
ALTER TABLE hosts ADD COLUMN pod text NOT NULL DEFAULT 'main' REFERENCES pods (name);
ALTER TABLE environments ADD COLUMN pod text NOT NULL DEFAULT 'main' REFERENCES pods (name);
-- A token says which pod its machine joins, and may say the zone.
ALTER TABLE join_tokens
  ADD COLUMN pod text NOT NULL DEFAULT 'main' REFERENCES pods (name),
  ADD COLUMN zone text;
-- When an operator said which machine a host is, after two had spoken with its credentials.
ALTER TABLE hosts ADD COLUMN identity_resolved_at timestamptz;
-- Counts a host's moves to other addresses: part of the revision of the list of hosts.
ALTER TABLE hosts ADD COLUMN address_changes integer NOT NULL DEFAULT 0;
CREATE INDEX audit_by_time ON audit (at);
