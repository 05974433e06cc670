-- When orders were begun, whatever came of them: kept for an hour, against one org's taking all that the authority allows.
create table acme_starts (
  org_id text not null,
  started_at timestamptz not null default now()
);
create index acme_starts_by_time on acme_starts (started_at);
