-- What a service's owner says of it: when an instance is replaced or stopped, and which hosts may run it. Absent
-- fields have the defaults of the contract.
ALTER TABLE services ADD COLUMN policy jsonb NOT NULL DEFAULT '{}';

-- Orders of operators to even out the pod. The scheduler carries them out and keeps how far it came.
CREATE TABLE rebalances (
  id text PRIMARY KEY,
  requested_by text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
