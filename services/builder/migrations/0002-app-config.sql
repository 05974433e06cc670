-- What the app's repository says of how it wants to run (AppConfig), for the release. Null: it says nothing.
alter table builds add column app_config jsonb;
