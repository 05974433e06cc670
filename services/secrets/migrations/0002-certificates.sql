-- Keys of certificates, sealed with their owner's data key. The chain is public.
create table certificates (
  id text primary key,
  -- An org's id, or 'pod'.
  owner text not null,
  chain text not null,
  key_sealed bytea not null,
  -- What was answered, for who asks again.
  info jsonb not null,
  notes jsonb not null,
  created_at timestamptz not null default now()
);
