-- What a deploy was going to do, in words, as it was told when it began.
alter table deploys add column plan text;
