-- Proxies of environments: HTTPS with an environment's own certificate ends there.

-- RouteProxy[] of the contract, by host.
alter table route_tables add column proxies jsonb not null default '[]';

-- What a host said last of its proxies. `names` are the host names that were seen to be served.
create table environment_proxies (
  environment_id text not null,
  host_id text not null,
  address inet not null,
  port int not null check (port between 1 and 65535),
  names text[] not null,
  primary key (environment_id, host_id)
);
create index environment_proxies_by_host on environment_proxies (host_id);
