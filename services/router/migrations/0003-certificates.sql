-- Certificates that nobody brought: the pod's own, for names under its domain. Their keys are sealed in `secrets`.
create table certificates (
  id text primary key,
  source text not null check (source in ('pod', 'acme')),
  -- CertificateInfo of the contract.
  info jsonb not null,
  created_at timestamptz not null default now(),
  removed_at timestamptz
);
