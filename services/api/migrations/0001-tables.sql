-- The api's tables: who there is, what customers asked for, and who did it.
-- Runs as the api's role with search_path set to its schema. Other services read some of these by qualified
-- name, so a column is added, never renamed.

CREATE TABLE orgs (
  id text PRIMARY KEY,
  name text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id text PRIMARY KEY,
  email text NOT NULL UNIQUE,
  is_operator boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE members (
  org_id text NOT NULL REFERENCES orgs (id),
  user_id text NOT NULL REFERENCES users (id),
  role text NOT NULL CHECK (role IN ('owner', 'member')),
  PRIMARY KEY (org_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

-- `hash` is the sha256, in hex, of the whole token string; the token itself is never stored.
CREATE TABLE tokens (
  id text PRIMARY KEY,
  user_id text NOT NULL REFERENCES users (id),
  name text NOT NULL,
  hash text NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  revoked_at timestamptz
);

CREATE TABLE environments (
  id text PRIMARY KEY,
  org_id text NOT NULL REFERENCES orgs (id),
  name text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  UNIQUE (id, org_id)
);
CREATE UNIQUE INDEX environments_name ON environments (org_id, name) WHERE deleted_at IS NULL;

-- A service's org is its environment's: the foreign key holds it, not the code.
CREATE TABLE services (
  id text PRIMARY KEY,
  org_id text NOT NULL REFERENCES orgs (id),
  environment_id text NOT NULL,
  name text NOT NULL,
  kind text NOT NULL DEFAULT 'code' CHECK (kind IN ('code')),
  hostname_label text NOT NULL,
  deploy_branch text NOT NULL DEFAULT 'main',
  health_path text,
  current_release_id text,
  config_version integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  deleted_at timestamptz,
  FOREIGN KEY (environment_id, org_id) REFERENCES environments (id, org_id)
);
CREATE UNIQUE INDEX services_name ON services (environment_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX services_hostname_label ON services (hostname_label) WHERE deleted_at IS NULL;

-- Desired number and size of each process. `process` has a row from the first release that names it.
CREATE TABLE processes (
  service_id text NOT NULL REFERENCES services (id),
  process text NOT NULL,
  scale integer NOT NULL CHECK (scale BETWEEN 0 AND 500),
  memory_bytes bigint NOT NULL,
  cpu_millis integer NOT NULL,
  health_path text,
  PRIMARY KEY (service_id, process)
);

-- Immutable. `processes` is the ProcessTable, `process_settings` the sizes as they were when it was made.
-- `stages` is the api's own share of the deploy's timeline.
CREATE TABLE releases (
  id text PRIMARY KEY,
  service_id text NOT NULL REFERENCES services (id),
  version integer NOT NULL,
  deploy_id text NOT NULL UNIQUE,
  commit text NOT NULL,
  image_repository text NOT NULL,
  image_digest text NOT NULL,
  image_bytes bigint NOT NULL,
  processes jsonb NOT NULL,
  profile jsonb NOT NULL,
  config_version integer NOT NULL,
  process_settings jsonb NOT NULL,
  description text NOT NULL,
  cause text NOT NULL CHECK (cause IN ('push', 'config', 'scale')),
  traceparent text,
  stages jsonb NOT NULL DEFAULT '[]',
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (service_id, version)
);

-- Orders to end a deploy. `superseded` is the api's own: the build of an older push came after a newer release.
CREATE TABLE deploy_cancels (
  deploy_id text PRIMARY KEY,
  reason_code text NOT NULL DEFAULT 'cancelled' CHECK (reason_code IN ('cancelled', 'superseded')),
  requested_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Container subnets never overlap among hosts that are not removed: two joins at once cannot both commit.
CREATE TABLE hosts (
  id text PRIMARY KEY,
  name text NOT NULL,
  node_address text NOT NULL,
  subnet cidr NOT NULL,
  zone text NOT NULL DEFAULT 'default',
  agent_key text NOT NULL,
  logshipper_key text NOT NULL,
  curve_key text NOT NULL,
  joined_at timestamptz NOT NULL DEFAULT now(),
  removed_at timestamptz,
  CONSTRAINT hosts_subnet_free EXCLUDE USING gist (subnet inet_ops WITH &&) WHERE (removed_at IS NULL)
);
CREATE UNIQUE INDEX hosts_name ON hosts (name) WHERE removed_at IS NULL;

CREATE TABLE join_tokens (
  hash text PRIMARY KEY,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

-- Finished spans of every process, bounded by age and by count.
CREATE TABLE spans (
  trace_id text NOT NULL,
  span_id text NOT NULL,
  parent_span_id text,
  service text NOT NULL,
  name text NOT NULL,
  started_at_ms double precision NOT NULL,
  ended_at_ms double precision NOT NULL,
  status text NOT NULL,
  attributes jsonb NOT NULL DEFAULT '{}',
  kept_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (trace_id, span_id)
);
CREATE INDEX spans_by_age ON spans (kept_at);

-- One row per privileged act, written in the transaction of the act. Rows are added, never changed.
CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  org_id text,
  actor text NOT NULL,
  token_id text,
  action text NOT NULL,
  target text NOT NULL,
  request_id text,
  remote_address text,
  details jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_org ON audit (org_id, id);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit rows are added, never changed or removed';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

CREATE TABLE outbox (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text NOT NULL,
  subject text NOT NULL,
  payload jsonb NOT NULL,
  dedupe_id text NOT NULL,
  headers jsonb NOT NULL DEFAULT '{}',
  attempts integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now()
);
