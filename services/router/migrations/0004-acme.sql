-- Certificates that the router orders for proved domains (ACME, RFC 8555).
alter table certificates add column environment_id text;
alter table certificates add column service_id text;
alter table certificates add check (source = 'pod' or (environment_id is not null and service_id is not null));

-- One row per domain that was ever ordered for.
create table acme_orders (
  name text primary key,
  service_id text not null,
  environment_id text not null,
  -- In a row; the time between two tries grows with it.
  failures int not null default 0,
  next_try_at timestamptz not null default now(),
  -- Who orders has it until then; another router may take it after.
  claimed_until timestamptz not null default '-infinity',
  -- What edges must answer while the authority looks: {token, keyAuthorization} of the contract.
  challenge jsonb,
  last_error text
);
