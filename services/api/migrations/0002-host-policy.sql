-- What operators say of a host. The host itself has no word in it.
ALTER TABLE hosts
  ADD COLUMN cordoned boolean NOT NULL DEFAULT false,
  ADD COLUMN draining boolean NOT NULL DEFAULT false,
  ADD COLUMN labels jsonb NOT NULL DEFAULT '{}',
  ADD COLUMN dedicated_to text REFERENCES orgs (id);
