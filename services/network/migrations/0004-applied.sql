-- The version of an environment's network to which a host said it holds.
create table applied (
  environment_id text not null references environments (environment_id) on delete cascade,
  host_id text not null,
  version int not null,
  primary key (environment_id, host_id)
);
