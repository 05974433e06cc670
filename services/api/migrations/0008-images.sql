-- Orders to deploy a ready image. The builder takes it into the pod's registry; the release comes like a push's.
CREATE TABLE image_orders (
  deploy_id text PRIMARY KEY,
  org_id text NOT NULL REFERENCES orgs (id),
  environment_id text NOT NULL REFERENCES environments (id),
  service_id text NOT NULL REFERENCES services (id),
  image text NOT NULL,
  requested_by text NOT NULL,
  traceparent text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX image_orders_by_service ON image_orders (service_id, created_at DESC);

-- No push made a ready image.
ALTER TABLE releases ALTER COLUMN commit DROP NOT NULL;
