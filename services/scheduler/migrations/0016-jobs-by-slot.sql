-- An auction asks who holds a waiting job's slot now.
drop index jobs_open;
create index jobs_open on jobs (service_id, process, slot) where open;
