-- Custom domains. A claim is what a service's people said; it counts once its name's owner row names the service.
CREATE TABLE domains (
  service_id text NOT NULL REFERENCES services (id),
  name text NOT NULL,
  org_id text NOT NULL REFERENCES orgs (id),
  -- Part of the TXT record that proves ownership.
  token text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (service_id, name)
);
CREATE INDEX domains_by_org ON domains (org_id);

-- Who has a name, in the whole pod: one row per name that was ever proved. A released one keeps its former owner.
CREATE TABLE domain_owners (
  name text PRIMARY KEY,
  org_id text NOT NULL REFERENCES orgs (id),
  service_id text,
  since timestamptz NOT NULL DEFAULT now(),
  released_at timestamptz,
  CHECK ((service_id IS NULL) = (released_at IS NOT NULL)),
  FOREIGN KEY (service_id, name) REFERENCES domains (service_id, name)
);
CREATE INDEX domain_owners_by_service ON domain_owners (service_id);
