-- Pushes to deploy branches. A row is the start of a deploy: the builder takes it from here.
create table pushes (
  deploy_id      text primary key,
  org_id         text not null,
  environment_id text not null,
  service_id     text not null,
  -- Null only when a repair found the pushed commit and git's reflog no longer names the pusher.
  user_id        text,
  commit         text not null check (commit ~ '^[0-9a-f]{40}$'),
  ref            text not null,
  bundle_key     text not null,
  bundle_bytes   bigint not null check (bundle_bytes > 0),
  stages         jsonb not null default '[]',
  traceparent    text,
  created_at     timestamptz not null default now()
);
-- The newest push of a service: what the repair compares with the branch's head.
create index pushes_by_service on pushes (service_id, created_at desc, deploy_id desc);

-- Bundles being made. A row that outlives its upload names an object that nobody will ever read.
create table bundle_attempts (
  deploy_id  text primary key,
  bundle_key text not null,
  created_at timestamptz not null default now()
);

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
