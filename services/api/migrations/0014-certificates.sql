-- Certificates that customers brought: what may be told of them. Their keys are sealed in `secrets`.
CREATE TABLE certificates (
  id text PRIMARY KEY,
  org_id text NOT NULL REFERENCES orgs (id),
  environment_id text NOT NULL REFERENCES environments (id),
  -- Null: for every service of the environment.
  service_id text REFERENCES services (id),
  -- CertificateInfo of the contract.
  info jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  removed_at timestamptz
);
CREATE INDEX certificates_by_environment ON certificates (environment_id) WHERE removed_at IS NULL;

-- How a domain is served. Plain HTTP is led to HTTPS as soon as there is a certificate.
ALTER TABLE domains ADD COLUMN https_only boolean NOT NULL DEFAULT false;
ALTER TABLE domains ADD COLUMN hsts_seconds integer CHECK (hsts_seconds BETWEEN 0 AND 63072000);
