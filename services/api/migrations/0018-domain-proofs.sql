-- A name's TXT record is looked for again, time and again: when it was last, and since when it was found missing or other.
ALTER TABLE domain_owners ADD COLUMN checked_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE domain_owners ADD COLUMN failing_since timestamptz;
ALTER TABLE domain_owners ADD COLUMN failure text;
CREATE INDEX domain_owners_to_check ON domain_owners (checked_at) WHERE service_id IS NOT NULL;
