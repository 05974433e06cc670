-- A build makes an image of a pushed commit, or takes a ready one.
alter table builds alter column commit drop not null, alter column bundle_key drop not null, add column image text;
alter table builds drop constraint builds_kind_check;
alter table builds add constraint builds_kind_check check (kind in ('dockerfile', 'buildpack', 'image'));
alter table builds add constraint builds_source_check
  check ((image is null) = (commit is not null) and (image is null) = (bundle_key is not null));
