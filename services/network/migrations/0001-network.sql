-- Addresses, members and keys of environment networks. Only the network service writes these tables.

create table environments (
  environment_id text primary key,
  subnet cidr not null,
  -- Grows when every member is to make a new key.
  key_generation int not null default 0,
  created_at timestamptz not null default now(),
  -- Set when the environment was removed and its last member left: the subnet is given away after quarantine.
  released_at timestamptz,
  constraint environments_subnet_free exclude using gist (subnet inet_ops with &&)
);

-- One host in one environment. A row stays through its quarantine: its slice and port are nobody else's so long.
create table members (
  environment_id text not null references environments (environment_id) on delete cascade,
  host_id text not null,
  slice cidr not null,
  port int not null check (port between 1 and 65535),
  public_key text not null,
  key_generation int not null default 0,
  joined_at timestamptz not null default now(),
  left_at timestamptz,
  primary key (environment_id, host_id),
  constraint members_slice_free exclude using gist (slice inet_ops with &&),
  constraint members_port_free unique (host_id, port)
);

-- The key with which a host's edge reaches containers on other hosts.
create table mesh_keys (
  host_id text primary key,
  public_key text not null,
  port int not null check (port between 1 and 65535)
);

-- What hosts are told: one row per environment, and the row `mesh`. Equal versions are equal content.
create table tables (
  name text primary key,
  version int not null check (version >= 1),
  content jsonb not null,
  changed_at timestamptz not null default now()
);

-- What a host said last of its tunnels.
create table reports (
  host_id text primary key,
  at_ms double precision not null,
  report jsonb not null
);
