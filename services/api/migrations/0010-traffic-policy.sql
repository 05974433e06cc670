-- Links: a service's port, opened to another environment. One side offers, the other accepts, each by the other's name;
-- the link stands while both say so. An id is null where the name meant nothing when it was said: nobody who takes
-- such a name later is meant.
CREATE TABLE link_offers (
  service_id text NOT NULL REFERENCES services (id),
  port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
  to_org text NOT NULL,
  to_environment text NOT NULL,
  to_environment_id text,
  said_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (service_id, port, to_org, to_environment)
);

CREATE TABLE link_accepts (
  environment_id text NOT NULL REFERENCES environments (id),
  from_org text NOT NULL,
  from_environment text NOT NULL,
  from_service text NOT NULL,
  port integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
  from_service_id text,
  said_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (environment_id, from_org, from_environment, from_service, port)
);

-- Where an environment's containers may connect to. No row: the internet.
CREATE TABLE egress_policies (
  environment_id text PRIMARY KEY REFERENCES environments (id),
  mode text NOT NULL CHECK (mode IN ('open', 'none', 'list')),
  -- EgressRule[] of the contract.
  rules jsonb NOT NULL DEFAULT '[]',
  -- The host through which all of it leaves, and the address of that host which it then has.
  gateway_host_id text REFERENCES hosts (id),
  gateway_address text,
  CHECK ((gateway_host_id IS NULL) = (gateway_address IS NULL)),
  changed_at timestamptz NOT NULL DEFAULT now()
);

-- Which source networks may reach the services of an environment, or one service, through the edges. A service's own
-- list stands instead of its environment's. No row: everybody.
CREATE TABLE allow_lists (
  -- Id of an environment or of a service.
  target text PRIMARY KEY,
  cidrs jsonb NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);

-- The links that stand.
CREATE VIEW links AS
  SELECT a.environment_id AS consumer_id, e.id AS provider_id, s.id AS service_id, o.port,
         s.name AS service, e.name AS environment, g.name AS org
    FROM link_offers o
    JOIN link_accepts a ON a.environment_id = o.to_environment_id AND a.from_service_id = o.service_id AND a.port = o.port
    JOIN environments c ON c.id = a.environment_id AND c.deleted_at IS NULL
    JOIN services s ON s.id = o.service_id AND s.deleted_at IS NULL
    JOIN environments e ON e.id = s.environment_id AND e.deleted_at IS NULL
    JOIN orgs g ON g.id = e.org_id;
