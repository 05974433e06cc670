-- What an auction reads, without the jobs that run: those that wait for a host, and those whose host has not answered.
create index jobs_auctioned on jobs (created_at) where state in ('requested', 'awarded');
