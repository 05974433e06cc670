-- Machines of people in an environment's network, each until its end. Their addresses are the last slice's.
create table people (
  environment_id text not null references environments (environment_id) on delete cascade,
  name text not null,
  user_id text not null,
  public_key text not null,
  address inet not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (environment_id, name),
  constraint people_address_free unique (address),
  -- The same key twice would be one peer with two addresses, of which one works.
  constraint people_key_free unique (environment_id, public_key)
);
create index people_by_end on people (expires_at);
