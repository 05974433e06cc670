-- How the edges treat a service's requests: the contract's HttpOptions.
ALTER TABLE services ADD COLUMN http jsonb NOT NULL DEFAULT '{}';
