-- Builds: one per push to a deploy branch, for ever visible with its log.
create table builds (
  id               text primary key,
  deploy_id        text not null unique,
  org_id           text not null,
  environment_id   text not null,
  service_id       text not null,
  commit           text not null check (commit ~ '^[0-9a-f]{40}$'),
  bundle_key       text not null,
  pushed_at        timestamptz not null,
  traceparent      text,
  state            text not null default 'queued'
    check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'superseded')),
  -- Fencing: a builder may write a running build only with the attempt that it claimed.
  attempt          int not null default 0,
  lease_owner      text,
  lease_until      timestamptz,
  -- Why a running build must stop; its builder sees it when it renews its lease.
  stop_code        text check (stop_code in ('cancelled', 'superseded')),
  superseded_by    text,
  reason_code      text,
  reason           text,
  kind             text check (kind in ('dockerfile', 'buildpack')),
  image_repository text,
  image_digest     text,
  image_bytes      bigint,
  processes        jsonb,
  profile          jsonb,
  stages           jsonb not null default '[]',
  -- Bounded by the builder's output limit.
  log              text not null default '',
  created_at       timestamptz not null default now(),
  started_at       timestamptz,
  finished_at      timestamptz,
  check (state <> 'running' or (lease_owner is not null and lease_until is not null and started_at is not null)),
  check (state <> 'succeeded' or (image_repository is not null and image_digest is not null and image_bytes is not null
    and processes is not null and profile is not null)),
  check (state not in ('failed', 'cancelled', 'superseded') or (reason_code is not null and reason is not null)),
  check ((state in ('queued', 'running')) = (finished_at is null))
);
create index builds_open on builds (created_at) where state in ('queued', 'running');
create index builds_by_service on builds (service_id, pushed_at desc);

create table outbox (
  id         bigint generated always as identity primary key,
  event      text not null,
  subject    text not null,
  payload    jsonb not null,
  dedupe_id  text not null,
  headers    jsonb not null default '{}',
  attempts   int not null default 0,
  created_at timestamptz not null default now()
);
