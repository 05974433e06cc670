-- Deploys of ready images are known from their order on.
create or replace view deploy_overview as
with known as (
  select p.deploy_id, p.org_id, p.environment_id, p.service_id, 'push'::text as cause, p.commit, p.created_at, p.traceparent
    from git.pushes p
  union all
  select i.deploy_id, i.org_id, i.environment_id, i.service_id, 'image', null, i.created_at, i.traceparent
    from api.image_orders i
  union all
  select r.deploy_id, s.org_id, s.environment_id, r.service_id, r.cause, r.commit, r.created_at, r.traceparent
    from api.releases r join api.services s on s.id = r.service_id
   where r.cause not in ('push', 'image')
)
select
  k.deploy_id, k.org_id, k.environment_id, k.service_id, k.cause,
  case
    when d.id is not null then d.state
    when b.state in ('failed', 'cancelled', 'superseded') then b.state
    when c.deploy_id is not null then 'cancelled'
    when b.state = 'succeeded' or r.id is not null then 'built'
    when b.state = 'running' then 'building'
    else 'queued'
  end as state,
  coalesce(d.finished_at is not null, false)
    or coalesce(b.state in ('failed', 'cancelled', 'superseded'), false)
    or (d.id is null and c.deploy_id is not null) as final,
  k.commit, r.version as release_version, r.id as release_id, b.id as build_id, b.state as build_state,
  coalesce(d.reason_code, b.reason_code, case when d.id is null and c.deploy_id is not null then 'cancelled' end) as reason_code,
  coalesce(d.reason, b.reason, case when d.id is null and c.deploy_id is not null then 'the deploy was cancelled' end) as reason,
  k.created_at, coalesce(d.finished_at, b.finished_at, c.created_at) as finished_at, k.traceparent
from known k
left join builder.builds b on b.deploy_id = k.deploy_id
left join api.releases r on r.deploy_id = k.deploy_id
left join scheduler.deploys d on d.id = k.deploy_id
left join api.deploy_cancels c on c.deploy_id = k.deploy_id;
